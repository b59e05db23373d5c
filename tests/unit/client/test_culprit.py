"""Whether a TURN server still answers, what a refusal means, and what time may heal."""

from __future__ import annotations

import asyncio
import errno
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from vdibench.client.culprit import _Answer, _meaning, _place, _turn_answers, may_heal
from vdibench.errors import (
    AuthenticationError,
    NotADesktop,
    StreamLost,
    TakenOver,
    TargetUnavailable,
    UsageError,
    VdibenchError,
)
from vdibench.selkies import IceServer

# Of the protocol tests.
sys.path.insert(0, str(Path(__file__).parents[2] / "protocol"))

from free_ports import free_port


class Reflector(asyncio.DatagramProtocol):
    """Answers as a STUN server does, after something that is no answer."""

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # as typeshed says
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.transport.sendto(b"\x80noise that is long enough", addr)
        self.transport.sendto(b"\x01\x01\x00\x00" + data[4:20], addr)


@pytest_asyncio.fixture
async def stun_port() -> AsyncIterator[int]:
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(Reflector, ("127.0.0.1", 0))
    yield transport.get_extra_info("sockname")[1]
    transport.close()


async def test_a_turn_server_over_udp(stun_port: int) -> None:
    assert await _turn_answers(IceServer(f"turn:127.0.0.1:{stun_port}?transport=udp"))
    assert not await _turn_answers(IceServer(f"turn:127.0.0.1:{free_port(socket.SOCK_DGRAM)}"))


async def test_one_that_is_silent() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        assert not await _turn_answers(IceServer(f"turn:127.0.0.1:{silent.getsockname()[1]}"))


@pytest.mark.parametrize("url", ["turn:127.0.0.1:{}?transport=tcp", "turns:127.0.0.1:{}"])
async def test_a_turn_server_over_tcp(url: str) -> None:
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    async with server:
        assert await _turn_answers(IceServer(url.format(server.sockets[0].getsockname()[1])))
    assert not await _turn_answers(IceServer(url.format(free_port())))


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("turn:turn.example.com", ("turn.example.com", 3478)),
        ("turns:turn.example.com?transport=tcp", ("turn.example.com", 5349)),
        ("turn:192.0.2.1:19478?transport=udp", ("192.0.2.1", 19478)),
        ("turn:[2001:db8::1]", ("2001:db8::1", 3478)),
        ("turn:[2001:db8::1]:99", ("2001:db8::1", 99)),
        ("turn:host:port", ("host", 3478)),
    ],
)
def test_where_it_is(url: str, place: tuple[str, int]) -> None:
    assert _place(IceServer(url)) == place


@pytest.mark.parametrize(
    ("error", "answer"),
    [
        (aiohttp.ServerDisconnectedError(), _Answer.REFUSED),
        (aiohttp.ClientOSError(errno.ECONNREFUSED, "refused"), _Answer.REFUSED),
        (aiohttp.ClientOSError(errno.ECONNRESET, "reset"), _Answer.REFUSED),
        (aiohttp.ClientOSError(errno.EHOSTUNREACH, "no route"), _Answer.NO_WAY),
        (aiohttp.ClientOSError(errno.EIO, "odd"), _Answer.SILENT),
        (TimeoutError(), _Answer.SILENT),
        (None, _Answer.SILENT),
    ],
)
def test_what_a_refusal_means(error: BaseException | None, answer: _Answer) -> None:
    assert _meaning(error) is answer


@pytest.mark.parametrize(
    ("error", "heals"),
    [
        (StreamLost("x"), True),
        (TargetUnavailable("x"), True),
        (NotADesktop("x"), True),
        (TakenOver("x"), False),
        (AuthenticationError("x"), False),
        (UsageError("x"), False),
        (VdibenchError("x"), False),
    ],
)
def test_what_time_heals(error: VdibenchError, heals: bool) -> None:
    assert may_heal(error) is heals


@pytest.mark.parametrize("port", ["0", "65536", "\u00b2", "9" * 5000])
def test_a_port_that_is_none(port: str) -> None:
    assert _place(IceServer(f"turn:host:{port}")) == ("host", 3478)
