"""What a desktop says must not break the client: it is left aside, or ends the session as one of our errors."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from vdibench.client import DesktopSession, SessionOptions, open_http
from vdibench.client.connection import ConnectionObserver
from vdibench.client.failure import as_our_error
from vdibench.client.webrtc import WebRtcConnection
from vdibench.client.webrtc1 import LegacyWebRtcConnection
from vdibench.client.websocket import WebSocketConnection
from vdibench.errors import Disconnected, ProtocolViolation, StreamLost, VdibenchError
from vdibench.records import Desktop, Endpoint
from vdibench.selkies import ControlMessage

DESKTOP = Desktop(id="d", endpoint=Endpoint(url="http://127.0.0.1:9"))
_BOTH = pytest.mark.parametrize("kind", [WebRtcConnection, LegacyWebRtcConnection])


def nothing(*_: Any) -> None:
    """Hear it, and do nothing."""


def observer(ends: list[VdibenchError], message: Any = nothing) -> ConnectionObserver:
    return ConnectionObserver(nothing, nothing, nothing, message, nothing, nothing, ends.append, nothing)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (StreamLost("x"), StreamLost),
        (ConnectionResetError("x"), Disconnected),
        (aiohttp.ClientError("x"), Disconnected),
        (KeyError("x"), VdibenchError),
    ],
)
def test_every_error_is_one_of_ours(error: Exception, kind: type[VdibenchError]) -> None:
    assert type(as_our_error(error)) is kind


@_BOTH
async def test_an_error_of_a_message_ends_the_session_and_goes_no_further(kind: Any) -> None:
    def refuse(message: ControlMessage) -> None:
        raise KeyError(message.type)

    ends: list[VdibenchError] = []
    kind(DESKTOP, SessionOptions(), observer(ends, refuse))._events.message('{"type": "odd"}')
    (end,) = ends
    assert "KeyError('odd')" in end.cause


@_BOTH
async def test_what_is_no_message_is_a_violation(kind: Any) -> None:
    ends: list[VdibenchError] = []
    kind(DESKTOP, SessionOptions(), observer(ends))._events.message("{nonsense")
    assert [type(end) for end in ends] == [ProtocolViolation]


@_BOTH
async def test_a_ping_from_beyond_all_numbers(kind: Any) -> None:
    ends: list[VdibenchError] = []
    kind(DESKTOP, SessionOptions(), observer(ends))._events.message(f'{{"type": "ping", "start_time": {"9" * 400}}}')
    assert ends == []


class Sink:
    """Keeps facts."""

    def __init__(self) -> None:
        self.facts: dict[str, str] = {}

    def fact(self, session: str, key: str, value: str) -> None:
        self.facts[key] = value


@pytest.mark.parametrize("data", [{"info": 5}, {"info": None}, {"info": ["encoder"]}, "encoder", None])
async def test_a_stream_info_that_tells_nothing(data: Any) -> None:
    sink: Any = Sink()
    DesktopSession(DESKTOP, sink)._message(ControlMessage("stream_info", data))
    assert sink.facts == {}


async def test_messages_of_endless_kinds() -> None:
    session = DesktopSession(DESKTOP, Sink())  # no other part of a sink is asked for
    for index in range(1000):
        session._message(ControlMessage(f"kind{index}", index))
    session._message(ControlMessage("kind3", "newer"))
    assert len(session.messages) == 64
    assert session.messages["kind3"].data == "newer"


@asynccontextmanager
async def served(path: str, handler: Any) -> AsyncIterator[Desktop]:
    application = web.Application()
    application.router.add_get(path, handler)
    async with TestServer(application) as server:
        yield Desktop(id="d", endpoint=Endpoint(url=str(server.make_url("")).rstrip("/")))


async def test_an_error_in_front_of_the_settings_is_one_of_ours() -> None:
    async def odd(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_bytes(b"\xee of no kind")
        await socket.receive()
        return socket

    def refuse(key: str, value: str) -> None:
        raise KeyError(key)

    ends: list[VdibenchError] = []
    async with served("/api/websockets", odd) as desktop, open_http(desktop.endpoint) as http:
        hears = ConnectionObserver(nothing, refuse, nothing, nothing, nothing, nothing, ends.append, nothing)
        connection = WebSocketConnection(desktop, SessionOptions(), hears)
        with pytest.raises(VdibenchError, match="the client failed: KeyError"):
            await connection.open(http)
        await connection.close()


async def test_the_time_of_a_server_that_never_ends_its_answer() -> None:
    sent = 0

    async def endless(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        reply = web.StreamResponse()
        await reply.prepare(request)
        for _ in range(1000):  # 64 MiB, so that it ends when nobody hangs up
            await reply.write(bytes(1 << 16))
            sent += 1
        return reply

    async with served("/api/health", endless) as desktop, open_http(desktop.endpoint) as http:
        assert await http.date() is not None
    assert sent < 500


async def test_the_time_is_asked_for_where_it_is_told() -> None:
    """A proxy that hides the one page costs one question, and no more."""
    asked: list[str] = []

    async def health(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response(text="OK")

    async with served("/api/health", health) as desktop, open_http(desktop.endpoint) as http:
        assert await http.date() is not None
    async with served("/api/{page}", health) as desktop, open_http(desktop.endpoint) as http:
        assert await http.date() is not None
    assert asked == ["/api/health", "/api/status"]


async def test_the_time_is_asked_for_on_one_connection() -> None:
    peers: set[Any] = set()

    async def health(request: web.Request) -> web.Response:
        assert request.transport is not None
        peers.add(request.transport.get_extra_info("peername"))
        return web.json_response({"status": "ok"})

    async with served("/api/health", health) as desktop, open_http(desktop.endpoint) as http:
        for _ in range(3):
            assert await http.date() is not None
    assert len(peers) == 1
