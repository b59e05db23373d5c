"""The WebSocket dialect against a stand-in that refuses, ends and misbehaves: each is one line with its remedy."""

from __future__ import annotations

import asyncio
import gzip
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from standin_websocket import PASSWORD, USER, WebSocketStandIn

from vdibench.client import DesktopSession, SessionOptions
from vdibench.errors import (
    AuthenticationError,
    NotADesktop,
    ProtocolViolation,
    StreamLost,
    TakenOver,
    TargetUnavailable,
    VdibenchError,
)
from vdibench.records import Display
from vdibench.selkies import Dialect, Role

CONTROLLER = SessionOptions(role=Role.CONTROLLER)
DISPLAY = Display(640, 360, 30)

Start = Callable[..., WebSocketStandIn]


async def watched(desk: Any, samples: Any, act: Callable[[], Any], options: SessionOptions = CONTROLLER) -> None:
    async with DesktopSession(desk, samples, options) as session:
        await session.first_frame()
        act()
        await session.watch(5)


async def ended_by(desk: Any, samples: Any, act: Callable[[], Any]) -> VdibenchError:
    """What a session that runs ends with after ``act``."""
    with pytest.raises(VdibenchError) as caught:
        await watched(desk, samples, act)
    assert caught.value.remedy
    return caught.value


@pytest.mark.parametrize(
    ("code", "text", "kill", "kind", "words"),
    [
        (1000, "Superseded by new client", "a new primary client connected", TakenOver, "took the desktop over"),
        (1000, "", "", StreamLost, "ended the session"),
        (1001, "Disconnected by the operator", "", StreamLost, "by the operator"),
        (1008, "", "Secondary display unrealizable", TargetUnavailable, "refused us (Secondary"),
        (4000, "server shutting down", "", StreamLost, "stopped serving WebSockets"),
        (4001, "Invalid authentication token", "", AuthenticationError, "refused our"),
        (4002, "revoked", "", AuthenticationError, "revoked our"),
        (4029, "", "", TargetUnavailable, "one connection in half a second"),
        (4999, "", "", StreamLost, "code 4999"),
    ],
)
async def test_close_codes(
    code: int,
    text: str,
    kill: str,
    kind: type[VdibenchError],
    words: str,
    stand_in_websocket: Start,
    desktop: Any,
    samples: Any,
) -> None:
    """A display that was taken over closes with a plain 1000: what was said before decides."""
    server = stand_in_websocket()
    error = await ended_by(
        desktop(server.url, display=DISPLAY), samples, lambda: server.do(server.hang_up(code, text, kill))
    )
    assert type(error) is kind
    assert words in str(error)
    assert samples.frames, "what was seen before is kept"


async def test_a_cut(stand_in_websocket: Start, desktop: Any, samples: Any) -> None:
    server = stand_in_websocket()
    error = await ended_by(desktop(server.url, display=DISPLAY), samples, lambda: server.do(server.die()))
    assert isinstance(error, StreamLost)
    assert "connection broke" in str(error)


async def test_no_video_although_connected(stand_in_websocket: Start, desktop: Any, samples: Any) -> None:
    server = stand_in_websocket(still_after=3)
    options = replace(CONTROLLER, stall_seconds=0.5)
    with pytest.raises(StreamLost, match=r"no video for 0\.5 s although"):
        await watched(desktop(server.url, display=DISPLAY), samples, lambda: None, options)


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (b"\x05" + gzip.compress(bytes(64 * 1024 * 1024), mtime=0), "compressed text of more than"),
        (b"\x05" + gzip.compress(b"MODE websockets", mtime=0)[:-4], "cut short"),
        (b"\x05nothing of the kind", "not gzip"),
        (b"\x04\x11\x00", "too short"),
        (b"\x04\xf1" + bytes(20), "unknown codec (number 15)"),
        (b"\x03\x00\x00\x00\x00\x00GIF89a", "JPEG message that is none"),
        (b"\x01\x02\x00", "too short for 2"),
        (b"", "an empty binary message"),
        ('{"type": "stream_stats"', "not JSON"),
        (bytes(33 * 1024 * 1024), "no message of 33554432 bytes at most"),
    ],
)
async def test_what_no_desktop_sends(
    message: str | bytes, words: str, stand_in_websocket: Start, desktop: Any, samples: Any
) -> None:
    server = stand_in_websocket()
    error = await ended_by(desktop(server.url, display=DISPLAY), samples, lambda: server.begin(server.say(message)))
    assert isinstance(error, ProtocolViolation)
    assert words in str(error)


async def test_unknown_kinds_are_passed_over(
    stand_in_websocket: Start, desktop: Any, samples: Any, wait_until: Any
) -> None:
    server = stand_in_websocket()
    async with DesktopSession(desktop(server.url, display=DISPLAY), samples, CONTROLLER) as session:
        await session.first_frame()
        for message in (b"\x09abc", b"\x09abc", b"\x77", "SOMETHING new", "something,{else"):
            server.do(server.say(message))
        await wait_until(lambda: "something" in session.messages)
        seen = len(samples.frames)
        await wait_until(lambda: len(samples.frames) > seen + 2)
    assert [value for key, value in samples.facts if key == "websocket.unknown_kinds"] == ["0x09", "0x09, 0x77"]


# connecting


async def refused(desk: Any, samples: Any, options: SessionOptions = CONTROLLER) -> VdibenchError:
    with pytest.raises(VdibenchError) as caught:
        async with DesktopSession(desk, samples, options):
            pass
    assert caught.value.remedy
    return caught.value


async def test_passwords(stand_in_websocket: Start, desktop: Any, samples: Any) -> None:
    server = stand_in_websocket(authenticate=True)
    assert isinstance(await refused(desktop(server.url), samples), AuthenticationError)
    wrong = await refused(desktop(server.url, user=USER, password="battery staple"), samples.__class__())
    assert isinstance(wrong, AuthenticationError)
    async with DesktopSession(desktop(server.url, user=USER, password=PASSWORD), samples.__class__(), CONTROLLER):
        pass


async def test_it_switched_to_webrtc(stand_in_websocket: Start, desktop: Any, samples: Any) -> None:
    server = stand_in_websocket(mode="webrtc")
    options = replace(CONTROLLER, dialect=Dialect.SELKIES_2_WEBSOCKET)
    error = await refused(desktop(server.url), samples, options)
    assert isinstance(error, NotADesktop)
    assert "WebRTC mode" in str(error)


async def test_sharing_is_off(stand_in_websocket: Start, desktop: Any, samples: Any) -> None:
    server = stand_in_websocket(refuse="Strict shared clients are not enabled.")
    error = await refused(desktop(server.url), samples, SessionOptions())
    assert type(error) is TargetUnavailable
    assert "Strict shared clients are not enabled" in str(error)


async def test_connections_take_turns(stand_in_websocket: Start, desktop: Any, samples: Any) -> None:
    """The server turns away who comes within half a second of the one before, after it let him in."""
    server = stand_in_websocket(spacing=True)
    sessions = [DesktopSession(desktop(server.url), samples.__class__(), SessionOptions()) for _ in range(3)]
    began = time.monotonic()
    await asyncio.gather(*(session.connect() for session in sessions))
    assert time.monotonic() - began >= 1.0
    await asyncio.gather(*(session.leave() for session in sessions))
    assert len(server.opened) == len(server.clients) == 3


async def test_who_is_turned_away_comes_again(stand_in_websocket: Start, desktop: Any, samples: Any) -> None:
    """Clients of other processes, or behind one proxy, may be faster."""
    server = stand_in_websocket(turn_away=2)
    began = time.monotonic()
    async with DesktopSession(desktop(server.url, display=DISPLAY), samples, CONTROLLER) as session:
        await session.first_frame()
    assert time.monotonic() - began >= 1.0
    told = [value for key, value in samples.facts if key == "websocket.turned_away"]
    assert len(told) == 2
    assert told[-1].startswith("2 times: the desktop takes one connection in half a second from one address")


async def test_always_turned_away(
    stand_in_websocket: Start, desktop: Any, samples: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vdibench.client.websocket.ATTEMPTS", 2)
    server = stand_in_websocket(turn_away=99)
    error = await refused(desktop(server.url), samples)
    assert type(error) is TargetUnavailable
    assert "one connection in half a second" in str(error)
    assert len(server.clients) == 2


async def test_a_turn_that_would_come_too_late(stand_in_websocket: Start, desktop: Any, samples: Any) -> None:
    server = stand_in_websocket()
    options = replace(CONTROLLER, connect_timeout_seconds=0.8)
    sessions = [DesktopSession(desktop(server.url), samples.__class__(), options) for _ in range(3)]
    outcomes = await asyncio.gather(*(session.connect() for session in sessions), return_exceptions=True)
    await asyncio.gather(*(session.leave() for session in sessions))
    (error,) = [outcome for outcome in outcomes if outcome is not None]
    assert isinstance(error, TargetUnavailable)
    assert "our turn would come in 1 s" in str(error)


async def test_a_silent_server_waits_for_its_tokens(stand_in_websocket: Start, desktop: Any, samples: Any) -> None:
    server = stand_in_websocket(tokens={})
    desk = desktop(server.url)
    desk = replace(desk, endpoint=replace(desk.endpoint, token="t0ken"))
    error = await refused(desk, samples, replace(CONTROLLER, connect_timeout_seconds=0.5))
    assert "did not let us in within 0.5 s" in str(error)
    assert "/api/tokens" in error.remedy
    server.behaviour.tokens = {"another": "controller"}


async def test_tokens(stand_in_websocket: Start, desktop: Any, samples: Any) -> None:
    server = stand_in_websocket(tokens={"right": "controller"})
    desk = desktop(server.url, display=DISPLAY)
    wrong = await refused(replace(desk, endpoint=replace(desk.endpoint, token="wrong")), samples)
    assert isinstance(wrong, AuthenticationError)
    right = replace(desk, endpoint=replace(desk.endpoint, token="right"))
    async with DesktopSession(right, samples.__class__(), CONTROLLER) as session:
        await session.first_frame()
        assert session.messages["auth_success"].data == {"role": "controller", "slot": None}
    assert all("right" not in str(client.request.url) for client in server.clients)


async def test_a_server_that_says_no_settings(stand_in_websocket: Start, desktop: Any, samples: Any) -> None:
    server = stand_in_websocket(say_settings=False)
    error = await refused(desktop(server.url), samples, replace(CONTROLLER, connect_timeout_seconds=0.5))
    assert "did not say its settings within 0.5 s" in str(error)


async def test_nothing_is_left_of_one_who_gives_up(stand_in_websocket: Start, desktop: Any, samples: Any) -> None:
    """A cancellation in the middle of watching leaves as any other end does."""
    server = stand_in_websocket()
    session = DesktopSession(desktop(server.url, display=DISPLAY), samples, CONTROLLER)

    async def watch() -> None:
        async with session:
            await session.first_frame()
            await session.watch(30)

    task = asyncio.create_task(watch())
    await asyncio.sleep(0.4)  # into the watch
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert samples.milestones["left"] >= samples.milestones["leaving"]
    with pytest.raises(ConnectionError):
        session.connection.send("kd,97")
