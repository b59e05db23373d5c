"""The HTTP side: who may ask, what is refused before anything connects, how many at once, what is counted."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest

from vdi_checker.result import REMEDIES, Outcome, Result
from vdi_checker.server import TokenFile
from vdi_checker.wish import Wish

from .conftest import TOKEN, wanted

URL = "https://alice.vdi.test/"


async def seen(wish: Wish) -> Result:
    return Result(Outcome.FRAME, f"of {wish.host}", codec="H264", first_frame_seconds=0.25, seconds=0.5)


async def never(wish: Wish) -> Result:
    raise AssertionError(f"somebody looked at {wish.host}")


async def test_an_answer_has_what_the_operator_reads(checker) -> None:
    ask = await checker(look=seen)
    answer = await ask(**wanted(URL))
    assert answer.status == 200
    assert await answer.json() == {
        "ok": True,
        "outcome": "frame",
        "message": "of alice.vdi.test",
        "codec": "H264",
        "profile": "",
        "encoder": "",
        "hardware": None,
        "transport": "",
        "width": 0,
        "height": 0,
        "firstFrameSeconds": 0.25,
        "seconds": 0.5,
    }


@pytest.mark.parametrize("token", ["", "another", TOKEN[:-1], f"{TOKEN}x", "ü"])
async def test_no_other_token(checker, token: str) -> None:
    ask = await checker(look=never)
    answer = await ask(token, **wanted(URL))
    assert answer.status == 401
    assert TOKEN not in await answer.text()


def test_a_token_is_replaced_while_the_checker_runs(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("old\n")
    token = TokenFile(file)
    assert token.accepts("Bearer old")
    file.write_text("new\nold\n")
    assert token.accepts("bearer new")
    assert token.accepts("Bearer old")
    file.write_text("new\n")
    assert not token.accepts("Bearer old")
    assert not token.accepts("Basic new")
    assert not token.accepts("")


def test_a_file_without_a_token_opens_to_nobody(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("\n")
    with pytest.raises(ValueError, match="holds no token"):
        TokenFile(tmp_path / "token")


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"url": "https://alice.elsewhere.test/"}, 403),
        ({"width": "wide"}, 400),
        ({"extra": 1}, 400),
    ],
)
async def test_what_is_refused_before_anybody_connects(checker, changes: dict[str, object], status: int) -> None:
    ask = await checker(look=never)
    answer = await ask(**wanted(URL) | changes)
    assert answer.status == status
    assert (await answer.json())["message"]
    assert f'vdi_checker_refused_total{{code="{status}"}} 1.0' in await (await ask(path="/metrics")).text()


async def test_so_many_at_once_and_no_more(checker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vdi_checker.server._WAIT_SECONDS", 0.05)
    running, free = 0, asyncio.Event()

    async def slow(wish: Wish) -> Result:
        nonlocal running
        running += 1
        await free.wait()
        return Result(Outcome.FRAME, "")

    ask = await checker(look=slow, at_once=2)
    first = [asyncio.create_task(ask(**wanted(URL))) for _ in range(2)]
    async with asyncio.timeout(10):
        while running < 2:  # noqa: ASYNC110  # two requests are on their way; nothing tells when both have arrived
            await asyncio.sleep(0.01)  # the next look
    answer = await ask(**wanted(URL))
    assert answer.status == 503
    assert answer.headers["Retry-After"] == "1"
    assert "vdi_checker_running_checks 2.0" in await (await ask(path="/metrics")).text()
    free.set()
    assert [one.status for one in await asyncio.gather(*first)] == [200, 200]
    assert (await ask(**wanted(URL))).status == 200
    assert running == 3


async def test_health_and_metrics_need_no_token(checker) -> None:
    ask = await checker(look=seen)
    assert (await (await ask(path="/healthz")).text()) == "OK\n"
    text = await (await ask(path="/metrics")).text()
    assert {f'vdi_checker_checks_total{{outcome="{outcome}"}} 0.0' for outcome in Outcome} <= set(text.splitlines())
    await ask(**wanted(URL))
    text = await (await ask(path="/metrics")).text()
    assert 'vdi_checker_checks_total{outcome="frame"} 1.0' in text
    assert "vdi_checker_first_frame_seconds_count 1.0" in text
    assert "vdi_checker_running_checks 0.0" in text


async def test_a_password_is_in_no_log(checker, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    ask = await checker(look=seen)
    await ask(**wanted(URL))
    await ask(**wanted(URL), nonsense=1)
    await ask("wrong", **wanted(URL))
    assert "outcome=frame" in caplog.text
    assert "nobody-guesses-this" not in caplog.text
    assert TOKEN not in caplog.text


def test_every_outcome_but_a_frame_has_a_remedy() -> None:
    assert {outcome for outcome in Outcome if not REMEDIES[outcome]} == {Outcome.FRAME}
