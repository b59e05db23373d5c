"""What breaks without a word is explained: desktop, link or TURN server; reconnecting has patience; nothing is left."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import psutil
import pytest
from leftovers import Process, own_process
from standin import StandIn
from watching import Again, Samples, until

from vdibench.client import DesktopSession, Mode, SessionOptions, culprit, session
from vdibench.errors import StreamLost, TakenOver, TargetUnavailable
from vdibench.links import DIRECT, Relay, RelayRoute

StandIns = Callable[..., StandIn]
IMPATIENT = SessionOptions(stall_seconds=1.0)


async def test_a_link_that_is_cut(stand_in: StandIns, desktop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(culprit, "ASK_SECONDS", 0.5)
    server, samples = stand_in(audio=True), Again()
    async with Relay() as relay:
        route = relay.route(DIRECT)
        options = SessionOptions(stall_seconds=1.0, route=route)
        async with DesktopSession(desktop(server.url), samples, options) as watched:
            await watched.first_frame()
            await until(lambda: len(samples.frames) > 10)
            began = route.cut(3.0)
            with pytest.raises(StreamLost) as caught:
                await watched.watch(10)
            assert caught.value.cause == f"no video for 1 s, and {server.url} no longer answers"
            assert "network" in caught.value.remedy
            assert time.time() - began == pytest.approx(1.5, abs=0.5)
            before = len(samples.frames)
            # The counters were read each second while the desktop was asked, too.
            assert samples.networks[-1].unix_seconds > began + 0.5
            await watched.reconnect(20)
            assert samples.milestones["first_frame"] > began + 3.0
            await until(lambda: len(samples.frames) > before + 10)


async def test_a_short_cut_ends_nothing(stand_in: StandIns, desktop: Any, samples: Samples) -> None:
    """The stall is over while its reason is looked for."""
    server = stand_in()
    async with DesktopSession(desktop(server.url), samples, IMPATIENT) as watched:
        await watched.first_frame()
        await until(lambda: len(samples.frames) > 10)
        server.behaviour.video = False
        await watched.watch(0.1)
        last = watched.picture.last_arrival
        await watched.watch(last + 1.1 - asyncio.get_running_loop().time())
        server.behaviour.video = True
        before = len(samples.frames)
        await watched.watch(1.0)
        assert len(samples.frames) > before + 10


@pytest.mark.parametrize(
    ("changes", "cause", "remedy"),
    [
        ({}, "the signalling connection broke (code 1006) although the desktop still answers", "proxy"),
        (
            {"pages_status": 502},
            "is answered for by what stands in front of it, which does not reach it",
            "it ended, or is being restarted",
        ),
        # A session that was suspended has no route any more.
        (
            {"pages_status": 404},
            "is answered for by what stands in front of it, which does not reach it",
            "it ended, or is being restarted",
        ),
    ],
)
async def test_signalling_that_breaks(
    changes: dict[str, Any], cause: str, remedy: str, stand_in: StandIns, desktop: Any, samples: Samples
) -> None:
    server = stand_in(end_with_socket=False)
    async with DesktopSession(desktop(server.url), samples, IMPATIENT) as watched:
        await watched.first_frame()
        for name, value in changes.items():
            setattr(server.behaviour, name, value)
        await asyncio.to_thread(server.do, server.cut_signalling())
        with pytest.raises(StreamLost) as caught:
            await watched.watch(5)
    assert cause in caught.value.cause
    assert remedy in caught.value.remedy


async def test_a_better_reason_while_one_is_looked_for(stand_in: StandIns, desktop: Any, samples: Samples) -> None:
    """The media end, HTTP is silent, and then the server says goodbye."""
    server = stand_in(end_with_socket=False)
    async with DesktopSession(desktop(server.url), samples) as watched:
        await watched.first_frame()
        server.behaviour.answer_http = False
        await asyncio.to_thread(server.do, server.session.close())
        await until(lambda: server.log[-1] == "/api/status")
        await asyncio.to_thread(server.do, server.hang_up(1001, "restart"))
        with pytest.raises(StreamLost, match=r"the desktop went away \(restart\)"):
            await watched.watch(5)


async def test_patience(stand_in: StandIns, desktop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "_TRY_AGAIN_SECONDS", 0.2)
    server, samples = stand_in(), Again()
    async with DesktopSession(desktop(server.url), samples, IMPATIENT) as watched:
        await watched.first_frame()
        server.behaviour.pages_status = 503
        for patience, attempts in ((0.0, 1), (0.5, 2)):
            asked = server.log.count("/api/status")
            with pytest.raises(TargetUnavailable, match="no Selkies desktop yet"):
                await watched.reconnect(patience)
            assert server.log.count("/api/status") >= asked + attempts
        asyncio.get_running_loop().call_later(0.7, setattr, server.behaviour, "pages_status", 200)
        await watched.reconnect(10)
        assert server.log.count("/api/status") >= asked + 3

        server.behaviour.close_at_hello = (4001, "Superseded by a new controller connection.")
        asked = len(server.sessions)
        began = time.monotonic()
        with pytest.raises(TakenOver):
            await watched.reconnect(10)
        assert time.monotonic() - began < 2


async def interrupted(number: int, process: Process, relay: Relay, desktop: Any) -> None:
    """One session that connects, is cut off and is left."""
    samples, mode = Samples(), (Mode.DECODE, Mode.METER)[number % 2]
    route: RelayRoute = relay.route(DIRECT)
    options = SessionOptions(stall_seconds=0.5, route=route, mode=mode, connect_timeout_seconds=30.0)
    async with DesktopSession(desktop(process.url), samples, options) as watched:
        await watched.first_frame()
        if number % 4 < 2:
            route.cut(3.0)
        else:
            route.close()
        with pytest.raises(StreamLost):
            await watched.watch(20)
    assert samples.frames
    assert "left" in samples.milestones


async def test_twenty_interrupted_sessions_leave_nothing(desktop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tasks, threads and descriptors are what they were, and are after five as after twenty."""
    monkeypatch.setattr(culprit, "ASK_SECONDS", 0.3)

    def held() -> tuple[int, int, int]:
        threads = [thread for thread in threading.enumerate() if not thread.name.startswith("asyncio_")]
        return len(asyncio.all_tasks()), len(threads), psutil.Process().num_fds()

    async with own_process() as process, Relay() as relay:
        await process.behave(fps=10.0)
        await interrupted(0, process, relay, desktop)  # modules, buffers and the loop's thread pool
        before = held()
        for group in range(4):
            await asyncio.gather(*(interrupted(5 * group + one, process, relay, desktop) for one in range(5)))
            await until(lambda: all(now <= then for now, then in zip(held(), before, strict=True)), 3.0)
