"""How sessions end: the desktop dies, hangs up or falls silent, or we leave. Samples stay, nothing is left."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio
from leftovers import Process, belongings, nothing_left, own_process
from standin import StandIn
from watching import until

from vdibench.client import DesktopSession, InputKind, SessionOptions
from vdibench.errors import (
    AuthenticationError,
    ProtocolViolation,
    StreamLost,
    TakenOver,
    TargetUnavailable,
    VdibenchError,
)
from vdibench.selkies import Role

PATIENCE = SessionOptions(stall_seconds=1.0)
CONTROLLER = SessionOptions(role=Role.CONTROLLER)


async def end(server_act: Callable[[], Any], url: str, desktop: Any, samples: Any) -> tuple[VdibenchError, float]:
    """Watch, make the server do something, return what ended the session and how long that took."""
    acted = 0.0
    with pytest.raises(VdibenchError) as caught:  # noqa: PT012  # the session is what raises, wherever it is
        async with DesktopSession(desktop(url), samples, PATIENCE) as session:
            await session.first_frame()
            await until(lambda: len(samples.frames) >= 10)
            acted = time.monotonic()
            await asyncio.to_thread(server_act)
            await session.watch(20)
    error = caught.value
    assert "\n" not in str(error)
    assert error.remedy
    assert len(samples.frames) >= 10
    assert "left" in samples.milestones
    return error, time.monotonic() - acted


@pytest.mark.parametrize(
    ("code", "text", "kind", "cause"),
    [
        (4000, "sharing is off", TargetUnavailable, "refused us for good (sharing is off)"),
        (4001, "Superseded by a new controller connection.", TakenOver, "another controller took the desktop over"),
        (4001, "token revoked", AuthenticationError, "refused our session token (token revoked)"),
        (4029, "", TargetUnavailable, "wants us to wait"),
        (1002, "bad frame", ProtocolViolation, "did not understand us (bad frame)"),
        (1001, "", StreamLost, "the desktop went away"),
        (1000, "", StreamLost, "the desktop ended the session"),
        (1011, "out of memory", StreamLost, "the signalling connection broke (out of memory)"),
    ],
)
async def test_hung_up(
    code: int,
    text: str,
    kind: type[VdibenchError],
    cause: str,
    stand_in: Callable[..., StandIn],
    desktop: Any,
    samples: Any,
) -> None:
    server = stand_in()
    error, seconds = await end(lambda: server.do(server.hang_up(code, text)), server.url, desktop, samples)
    assert type(error) is kind
    assert cause in error.cause
    assert seconds < 2


async def test_dies_in_mid_stream(stand_in: Callable[..., StandIn], desktop: Any, samples: Any) -> None:
    server = stand_in()
    error, seconds = await end(lambda: server.do(server.die()), server.url, desktop, samples)
    assert type(error) is StreamLost
    assert error.exit_code == 98
    assert "the signalling connection broke" in error.cause
    assert seconds < 2


async def test_video_stalls_while_the_connection_stands(
    stand_in: Callable[..., StandIn], desktop: Any, samples: Any
) -> None:
    server = stand_in()
    error, seconds = await end(lambda: setattr(server.behaviour, "video", False), server.url, desktop, samples)
    assert type(error) is StreamLost
    assert error.cause == "no video for 1 s although the desktop still answers"
    assert "UDP" in error.remedy
    assert seconds == pytest.approx(1.4, abs=0.4)


async def test_video_stalls_while_its_sound_goes_on(
    stand_in: Callable[..., StandIn], desktop: Any, samples: Any
) -> None:
    server = stand_in(audio=True)
    error, _ = await end(lambda: setattr(server.behaviour, "video", False), server.url, desktop, samples)
    assert error.cause == "no video for 1 s although the desktop still answers and its sound still comes"
    assert "encoder" in error.remedy


async def test_garbage_on_the_data_channel(stand_in: Callable[..., StandIn], desktop: Any, samples: Any) -> None:
    server = stand_in()

    async def send() -> None:
        server.session.channels["input"].send(b"\x00\x01garbage")

    error, _ = await end(lambda: server.do(send()), server.url, desktop, samples)
    assert type(error) is ProtocolViolation
    assert "not gzip" in error.cause


async def test_leaving_closes_the_socket_before_the_peer(
    stand_in: Callable[..., StandIn], desktop: Any, samples: Any, wait_until: Any
) -> None:
    server = stand_in(end_with_socket=False)
    async with DesktopSession(desktop(server.url), samples) as session:
        await session.first_frame()
    await wait_until(lambda: "closed" in server.session.events)
    assert server.session.events == ["connecting", "connected", "socket closed", "closed"]


@pytest.mark.parametrize(
    ("kind", "down", "up"), [("key", "kd,97", "ku,97"), ("click", "m,320,240,1,0", "m,320,240,0,0")]
)
async def test_leaving_releases_what_is_held(
    kind: str, down: str, up: str, stand_in: Callable[..., StandIn], desktop: Any, samples: Any, wait_until: Any
) -> None:
    server = stand_in(deaf_to_input=True)
    session = DesktopSession(desktop(server.url), samples, CONTROLLER)
    async with session:
        await session.first_frame()
        press = asyncio.create_task(session.press(InputKind(kind)))
        await wait_until(lambda: down in server.session.events)
    with pytest.raises(StreamLost, match="ended on this side"):
        await press
    await wait_until(lambda: "socket closed" in server.session.events)
    events = server.session.events
    assert events.index(down) < events.index(up) < events.index("socket closed")
    assert samples.inputs == []


async def test_a_cancelled_press_releases_too(
    stand_in: Callable[..., StandIn], desktop: Any, samples: Any, wait_until: Any
) -> None:
    server = stand_in(deaf_to_input=True)
    async with DesktopSession(desktop(server.url), samples, CONTROLLER) as session:
        await session.first_frame()
        press = asyncio.create_task(session.press(InputKind.KEY))
        await wait_until(lambda: "kd,97" in server.session.events)
        press.cancel()
        await wait_until(lambda: "ku,97" in server.session.events)
        with pytest.raises(asyncio.CancelledError):
            await press


async def test_after_leaving_there_is_a_reason(stand_in: Callable[..., StandIn], desktop: Any, samples: Any) -> None:
    server = stand_in()
    async with DesktopSession(desktop(server.url), samples) as session:
        await session.first_frame()
    with pytest.raises(StreamLost, match="ended on this side"):
        await session.watch(1)
    await session.leave()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def process() -> AsyncIterator[Process]:
    async with own_process() as started:
        yield started


DEAD_UDP = [{"urls": "turn:127.0.0.1:9?transport=udp", "username": "u", "credential": "c"}]
STAGES: dict[str, tuple[dict[str, Any], str, SessionOptions]] = {
    "HTTP": ({"answer_http": False}, "started", CONTROLLER),
    "signalling": ({"silent_signalling": True}, "reachable", CONTROLLER),
    "session": ({"peer_not_found": 10_000}, "signalled", CONTROLLER),
    "gathering": ({"ice_servers": DEAD_UDP}, "offered", CONTROLLER),
    "ICE": ({"deaf_to_answer": True}, "offered", CONTROLLER),
    "connecting": ({}, "ice_connected", CONTROLLER),
    "data channel": ({"channels": ["pointer"]}, "connected", CONTROLLER),
    "first frame": ({"video": False}, "channel_open", CONTROLLER),
    "press": ({"deaf_to_input": True}, "first_frame", CONTROLLER),
}


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(("stage", "times"), [*((stage, 3) for stage in STAGES), ("connecting", 1), ("press", 1)])
async def test_cancelled(stage: str, times: int, process: Process, desktop: Any, samples: Any, wait_until: Any) -> None:
    """Cancelled in any stage, even while it is leaving, a session leaves no task, thread or socket."""
    behaviour, milestone, options = STAGES[stage]
    await process.behave(**behaviour)
    before = belongings()

    async def use() -> None:
        async with DesktopSession(desktop(process.url), samples, options) as session:
            await session.first_frame()
            while True:
                await session.press(InputKind.KEY)

    task = asyncio.create_task(use())
    await wait_until(lambda: milestone in samples.milestones)
    await asyncio.sleep(0.02)  # a little into the stage; any instant of it must do
    for _ in range(times):
        task.cancel()
        await asyncio.sleep(0)  # one turn of the loop for the cancellation
    with pytest.raises(asyncio.CancelledError):
        await task
    assert "left" in samples.milestones
    await nothing_left(before)


@pytest.mark.asyncio(loop_scope="module")
async def test_an_orderly_session_leaves_nothing(process: Process, desktop: Any, samples: Any, wait_until: Any) -> None:
    await process.behave(audio=True)
    before = belongings()
    async with DesktopSession(desktop(process.url), samples, CONTROLLER) as session:
        await session.first_frame()
        await session.press(InputKind.CLICK)
    await nothing_left(before)


@pytest.mark.asyncio(loop_scope="module")
async def test_a_frozen_desktop_ends_the_session(process: Process, desktop: Any, samples: Any, wait_until: Any) -> None:
    await process.behave()
    before = belongings()
    error, seconds = await end(lambda: process.process.send_signal(signal.SIGSTOP), process.url, desktop, samples)
    process.process.send_signal(signal.SIGCONT)
    assert "no video for 1 s" in error.cause
    assert seconds < 8
    await nothing_left(before)


@pytest.mark.asyncio(loop_scope="module")
async def test_a_killed_desktop_ends_the_session(process: Process, desktop: Any, samples: Any, wait_until: Any) -> None:
    """The last test of this module that uses the process."""
    await process.behave()
    before = belongings()
    error, seconds = await end(process.process.kill, process.url, desktop, samples)
    assert type(error) is StreamLost
    assert "broke" in error.cause
    assert seconds < 3
    await nothing_left(before)
