"""Looks at desktops, over HTTP against a server in a desktop's place: what counts as somebody, and what as nobody."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import aiohttp
import pytest
from aiohttp import web

from vdi_operator.api.template import Dialect
from vdi_operator.cluster import activity as module
from vdi_operator.cluster.activity import Activity, Followed, Outcome
from vdi_operator.core.world import ActivityFact
from vdi_operator.settings import Settings

from .api_server import until

PASSWORD = "nobody-guesses-this"
NOW = 1_800_000_000.0
FOLLOWED = Followed("cad-7", "p-1", "127.0.0.1", Dialect.SELKIES_2_WEBRTC, 0.0, PASSWORD)


class Desktop:
    """Tells of its clients, to who has its password."""

    def __init__(self) -> None:
        self.pages = 0
        self.reports = 0
        self.asked: list[str] = []
        self.reply: Callable[[], Awaitable[web.StreamResponse]] | None = None

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.path)
        login = base64.b64encode(f"user:{PASSWORD}".encode()).decode()
        if request.headers.get("Authorization") != f"Basic {login}":
            return web.Response(status=401)
        if self.reply is not None:
            return await self.reply()
        if request.path == "/metrics":
            return web.Response(text=f"fps 60.0\nfps_hist_count {self.reports}.0\n")
        return web.json_response({"sessions": [{"id": str(number)} for number in range(self.pages)]})


class Clocks:
    """Of the wall and of the machine, moved by tests alone."""

    def __init__(self) -> None:
        self.wall = NOW
        self.machine = 100.0

    def go(self, seconds: float) -> None:
        self.wall += seconds
        self.machine += seconds


class Looker:
    """An Activity whose looks a test makes one by one."""

    def __init__(self, clocks: Clocks) -> None:
        self.outcomes: Counter[Outcome] = Counter()
        self.clocks = clocks
        self.due: list[str] = []
        self.activity = Activity(
            Settings(),
            self._looked,
            due=self.due.append,
            clock=lambda: clocks.wall,
            monotonic=lambda: clocks.machine,
        )

    def _looked(self, outcome: Outcome) -> None:
        self.outcomes[outcome] += 1

    async def look(self, session: str = "cad-7") -> ActivityFact | None:
        """The next look, as if its time had come."""
        async with aiohttp.ClientSession() as http:
            await self.activity._look(http, self.activity._states[session])
        return self.activity.fact(session)


@pytest.fixture
async def desktop(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Desktop]:
    found = Desktop()
    app = web.Application()
    app.router.add_get("/{path:.*}", found.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    monkeypatch.setattr(module, "SESSION_PORT", runner.addresses[0][1])
    yield found
    await runner.cleanup()


@pytest.fixture
def looker(desktop: Desktop) -> Looker:
    made = Looker(Clocks())
    made.activity.follow(FOLLOWED)
    return made


@asynccontextmanager
async def running(activity: Activity) -> AsyncIterator[None]:
    task = asyncio.create_task(activity.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_nobody_counts_from_the_first_look_on(looker: Looker, desktop: Desktop) -> None:
    assert looker.activity.fact("cad-7") is None
    assert await looker.look() == ActivityFact("p-1", NOW, NOW)
    looker.clocks.go(60.0)
    assert await looker.look() == ActivityFact("p-1", NOW, NOW + 60.0)
    looker.clocks.go(60.0)
    desktop.pages = 1
    assert await looker.look() == ActivityFact("p-1", NOW + 120.0, float("-inf"))
    desktop.pages = 0
    looker.clocks.go(60.0)
    assert await looker.look() == ActivityFact("p-1", NOW + 120.0, NOW + 180.0)
    assert set(desktop.asked) == {"/api/sessions"}
    assert looker.outcomes == {Outcome.IDLE: 3, Outcome.ACTIVE: 1}


async def test_a_look_says_itself_when_its_desktop_may_be_stopped(looker: Looker, desktop: Desktop) -> None:
    await looker.look()
    looker.clocks.go(60.0)
    await looker.look()
    assert looker.due == [], "nobody has said after how long"
    looker.activity.follow(replace(FOLLOWED, stops_after_seconds=180.0))
    for pages, due in ((0, 0), (0, 1), (0, 2), (1, 2), (0, 2), (0, 2), (0, 3)):
        desktop.pages = pages
        looker.clocks.go(60.0)
        await looker.look()
        assert looker.due == due * ["cad-7"]


async def test_a_desktop_that_does_not_answer_is_asked_again_and_then_counts_as_in_use(
    looker: Looker, desktop: Desktop
) -> None:
    await looker.look()

    async def busy() -> web.StreamResponse:
        return web.Response(status=503)

    desktop.reply = busy
    looker.clocks.go(60.0)
    before = looker.activity.fact("cad-7")
    assert await looker.look() == before
    assert await looker.look() == before, "twice says nothing yet"
    assert looker.outcomes == {Outcome.IDLE: 1}
    assert await looker.look() == ActivityFact("p-1", NOW + 60.0, float("-inf"))
    assert looker.outcomes[Outcome.UNKNOWN] == 1
    desktop.reply = None
    looker.clocks.go(60.0)
    assert await looker.look() == ActivityFact("p-1", NOW + 60.0, NOW + 120.0)


async def test_older_ones_are_in_use_while_reports_are_added(looker: Looker, desktop: Desktop) -> None:
    looker.activity.follow(replace(FOLLOWED, dialect=Dialect.SELKIES_1_WEBRTC))
    desktop.reports = 5
    assert await looker.look() == ActivityFact("p-1", NOW, float("-inf")), "one number says nothing"
    for added, outcome in ((0, Outcome.IDLE), (12, Outcome.ACTIVE), (0, Outcome.IDLE), (-17, Outcome.UNKNOWN)):
        desktop.reports += added
        looker.outcomes.clear()
        looker.clocks.go(60.0)
        await looker.look()
        assert looker.outcomes == {outcome: 1}
    assert set(desktop.asked) == {"/metrics"}


async def test_a_clock_that_jumps_and_a_pause_without_looks_make_nobody_idle(looker: Looker) -> None:
    await looker.look()
    looker.clocks.wall += 1_000_000.0
    looker.clocks.machine += 60.0
    assert await looker.look() == ActivityFact("p-1", NOW, NOW + 60.0)
    looker.clocks.go(1_000_000.0)
    found = await looker.look()
    assert found is not None
    assert found.looked_unix_seconds - found.active_unix_seconds < 60.0 + 3 * 60.0


@pytest.mark.parametrize(
    "reply",
    [
        lambda: web.Response(status=401),
        lambda: web.Response(status=302, headers={"Location": "/elsewhere"}),
        lambda: web.Response(text="<html>"),
        lambda: web.Response(text="[" * 100_000),
        lambda: web.Response(text=json.dumps({"sessions": "none"})),
        lambda: web.Response(body=b"\xff" * 1_000_000),
    ],
    ids=["no password", "elsewhere", "no JSON", "deep", "no list", "endless"],
)
async def test_whatever_it_says_it_is_no_fault(
    looker: Looker, desktop: Desktop, reply: Callable[[], web.Response]
) -> None:
    async def odd() -> web.StreamResponse:
        return reply()

    desktop.reply = odd
    for _ in range(3):
        await looker.look()
    assert looker.outcomes == {Outcome.UNKNOWN: 1}
    assert "/elsewhere" not in desktop.asked, "the password goes nowhere else"


async def test_a_fault_of_ours_ends_no_looks_and_counts_as_in_use(
    desktop: Desktop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    read = module.clients

    def clients(dialect: Dialect, body: str) -> float | None:
        if '"0"' in body:
            raise RuntimeError("as the test wants it")
        return read(dialect, body)

    monkeypatch.setattr(module, "clients", clients)
    monkeypatch.setattr(module, "_AGAIN_SECONDS", 0.01)
    desktop.pages = 1
    outcomes: list[Outcome] = []
    activity = Activity(Settings(idle_look_seconds=1.0), outcomes.append)
    activity.follow(FOLLOWED)
    async with running(activity):
        await until(lambda: outcomes, "a look that fails")
        desktop.pages = 0
        await until(lambda: Outcome.IDLE in outcomes, "looks go on")
    assert outcomes[0] == Outcome.UNKNOWN
    assert "a fault of its own" in caplog.text
    assert PASSWORD not in caplog.text


async def test_an_address_that_is_none_is_not_asked(looker: Looker, desktop: Desktop) -> None:
    looker.activity.follow(replace(FOLLOWED, address="desktop.example.com"))
    for _ in range(3):
        await looker.look()
    assert (desktop.asked, looker.outcomes) == ([], {Outcome.UNKNOWN: 1})


async def test_each_desktop_is_looked_at_once_an_interval(desktop: Desktop) -> None:
    outcomes: list[Outcome] = []
    activity = Activity(Settings(idle_look_seconds=1.0), outcomes.append)
    for number in range(5):
        activity.follow(replace(FOLLOWED, session=f"s-{number}"))
        activity.follow(replace(FOLLOWED, session=f"s-{number}"))
    async with running(activity):
        await until(lambda: len(outcomes) >= 10, "two looks at each")
        assert len(activity._due) <= 5, "each has one next look"
    assert activity.followed() == 5


async def test_another_pod_begins_anew_and_who_is_forgotten_is_asked_no_more(looker: Looker, desktop: Desktop) -> None:
    await looker.look()
    looker.activity.follow(replace(FOLLOWED, pod_uid="p-2"))
    assert looker.activity.fact("cad-7") is None
    looker.clocks.go(60.0)
    assert await looker.look() == ActivityFact("p-2", NOW + 60.0, NOW + 60.0)
    looker.activity.forget("cad-7")
    assert (looker.activity.fact("cad-7"), looker.activity.followed()) == (None, 0)


async def test_nobody_is_looked_at_before_the_checker_has_left(desktop: Desktop) -> None:
    activity = Activity(Settings(idle_look_seconds=1.0), lambda outcome: None)
    activity.follow(replace(FOLLOWED, session="late", after_unix_seconds=time.time() + 3600.0))
    activity.follow(FOLLOWED)
    async with running(activity):
        await until(lambda: activity.fact("cad-7") is not None, "a look at the other one")
    assert activity.fact("late") is None


async def test_many_that_do_not_answer_are_asked_so_many_at_a_time(desktop: Desktop) -> None:
    gate, most, now = asyncio.Event(), 0, 0

    async def slow() -> web.StreamResponse:
        nonlocal most, now
        now += 1
        most = max(most, now)
        await gate.wait()
        now -= 1
        return web.json_response({"sessions": []})

    desktop.reply = slow
    outcomes: list[Outcome] = []
    activity = Activity(Settings(idle_look_seconds=1.0), outcomes.append)
    for number in range(160):
        activity.follow(replace(FOLLOWED, session=f"s-{number}"))
    async with running(activity):
        await until(lambda: most >= 128, "as many as may")
        gate.set()
        await until(lambda: len(outcomes) >= 160, "all of them")
    assert most == 128


async def test_a_password_is_in_no_log(looker: Looker, desktop: Desktop, caplog: pytest.LogCaptureFixture) -> None:
    async def no() -> web.StreamResponse:
        return web.Response(status=500)

    desktop.reply = no
    with caplog.at_level(logging.DEBUG):
        await looker.look()
    assert "answers 500" in caplog.text
    assert PASSWORD not in caplog.text + repr(FOLLOWED)
