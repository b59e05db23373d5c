"""The checker's client against a real server that answers well, badly, late and not at all."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web

from vdi_operator.cluster import checks
from vdi_operator.cluster.checks import Asked, Checker
from vdi_operator.core.world import CheckResult
from vdi_operator.settings import Settings

from .api_server import until
from .standin import FRAME, Standin

PASSWORD = "correct-horse"
ASKED = Asked(
    session="cad-7",
    session_uid="u-7",
    pod_uid="p-1",
    url="https://cad-7.vdi.example.com/",
    username="user",
    password=PASSWORD,
    dialect="selkies-2-webrtc",
    width=1920,
    height=1080,
    framerate=60,
    bitrate=8_000_000,
)


class Done(list[tuple[str, str, CheckResult]]):
    def __call__(self, session: str, uid: str, result: CheckResult) -> None:
        self.append((session, uid, result))


@pytest.fixture
def done() -> Done:
    return Done()


@pytest.fixture
async def checker(url: str, done: Done, tmp_path: Path) -> AsyncIterator[Checker]:
    token = tmp_path / "token"
    token.write_text("bearer-of-the-checker\n")
    settings = Settings(checker_url=f"{url}/", checker_token_file=str(token), checker_address="10.0.0.9:8443")
    found = Checker(settings, done, clock=lambda: 1234.5)
    yield found
    await found.close()


async def test_it_asks_for_a_frame_and_hands_on_what_was_seen(checker: Checker, standin: Standin, done: Done) -> None:
    checker.ask(ASKED)
    await until(lambda: done)
    assert standin.seen == [
        (
            {
                "url": "https://cad-7.vdi.example.com/",
                "connect": "10.0.0.9:8443",
                "username": "user",
                "password": PASSWORD,
                "dialect": "selkies-2-webrtc",
                "width": 1920,
                "height": 1080,
                "framerate": 60,
                "bitrate": 8_000_000,
                "timeoutSeconds": checks.CHECK_SECONDS,
            },
            "Bearer bearer-of-the-checker",
        )
    ]
    expected = CheckResult(
        pod_uid="p-1",
        ok=True,
        left_unix_seconds=1234.5,
        message="a frame was decoded",
        codec="H264",
        encoder="nvh264enc",
        hardware=True,
        transport="webrtc over udp by relay",
        width=1920,
        height=1080,
        first_frame_seconds=0.75,
    )
    assert done == [("cad-7", "u-7", expected)]


async def test_no_frame_is_a_result_and_attempts_are_counted_by_pod(
    checker: Checker, standin: Standin, done: Done
) -> None:
    async def no() -> web.StreamResponse:
        return web.json_response({"ok": False, "message": "401 of the page"})

    standin.reply = no
    for number in range(2):
        checker.ask(ASKED)
        await until(lambda wanted=number + 1: len(done) == wanted)
    checker.ask(replace(ASKED, pod_uid="p-2"))
    await until(lambda: len(done) == 3)
    found = [(result.ok, result.unreachable, result.pod_uid, result.attempts) for _, _, result in done]
    assert found == [(False, False, "p-1", 1), (False, False, "p-1", 2), (False, False, "p-2", 1)]
    assert done[0][2].message == "401 of the page"


@pytest.mark.parametrize(
    ("status", "text", "says"),
    [
        (401, "no", "it answers 401 no"),
        (503, "busy", "it answers 503 busy"),
        (200, "<html>", "did not check"),
        (200, '{"ok": "perhaps"}', "neither yes nor no"),
        (200, "[1]", "neither yes nor no"),
    ],
)
async def test_a_checker_that_does_not_check_is_unreachable(
    checker: Checker, standin: Standin, done: Done, status: int, text: str, says: str
) -> None:
    async def bad() -> web.StreamResponse:
        return web.Response(status=status, text=text)

    standin.reply = bad
    checker.ask(ASKED)
    await until(lambda: done)
    result = done[0][2]
    assert (result.ok, result.unreachable) == (False, True)
    assert says in result.message


async def test_nobody_there_is_unreachable(done: Done) -> None:
    checker = Checker(Settings(checker_url="http://127.0.0.1:9"), done)
    checker.ask(ASKED)
    await until(lambda: done)
    await checker.close()
    assert done[0][2].unreachable
    assert "http://127.0.0.1:9" in done[0][2].message


async def test_a_token_that_is_not_there_is_said(url: str, done: Done, tmp_path: Path) -> None:
    checker = Checker(Settings(checker_url=url, checker_token_file=str(tmp_path / "none")), done)
    checker.ask(ASKED)
    await until(lambda: done)
    await checker.close()
    assert "none" in done[0][2].message


async def test_one_pod_is_checked_once_at_a_time_and_a_new_one_instead(
    checker: Checker, standin: Standin, done: Done
) -> None:
    gate = asyncio.Event()

    async def slow() -> web.StreamResponse:
        await gate.wait()
        return web.json_response(FRAME)

    standin.reply = slow
    checker.ask(ASKED)
    await until(lambda: len(standin.seen) == 1)
    checker.ask(ASKED)
    checker.ask(replace(ASKED, pod_uid="p-2"))
    await until(lambda: len(standin.seen) == 2)
    gate.set()
    await until(lambda: done)
    checker.ask(replace(ASKED, session="other"))
    await until(lambda: len(done) == 2)
    assert [(session, result.pod_uid) for session, _, result in done] == [("cad-7", "p-2"), ("other", "p-1")]
    assert len(standin.seen) == 3


async def test_a_session_that_is_gone_is_not_heard_of(checker: Checker, standin: Standin, done: Done) -> None:
    gate = asyncio.Event()

    async def slow() -> web.StreamResponse:
        await gate.wait()
        return web.json_response(FRAME)

    standin.reply = slow
    checker.ask(ASKED)
    await until(lambda: len(standin.seen) == 1)
    checker.forget("cad-7")
    await until(lambda: not checker._running)
    gate.set()
    checker.ask(replace(ASKED, session="other"))
    await until(lambda: done)
    assert [session for session, _, _ in done] == ["other"]


async def test_a_password_is_nowhere_but_in_the_request(
    checker: Checker, standin: Standin, done: Done, caplog: pytest.LogCaptureFixture
) -> None:
    async def bad() -> web.StreamResponse:
        return web.Response(status=500, text="no")

    standin.reply = bad
    with caplog.at_level(logging.DEBUG):
        checker.ask(ASKED)
        await until(lambda: done)
    assert "did not check" in caplog.text
    assert PASSWORD not in caplog.text
    assert PASSWORD not in repr(ASKED) + repr(done)


async def test_numbers_that_are_none_do_not_get_through(checker: Checker, standin: Standin, done: Done) -> None:
    async def odd() -> web.StreamResponse:
        answer = {**FRAME, "width": True, "height": "tall", "firstFrameSeconds": float("nan"), "hardware": "yes"}
        return web.Response(text=json.dumps(answer), content_type="application/json")

    standin.reply = odd
    checker.ask(ASKED)
    await until(lambda: done)
    result = done[0][2]
    assert (result.width, result.height, result.first_frame_seconds, result.hardware) == (0, 0, 0.0, None)
