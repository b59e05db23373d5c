"""TCP through the relay: bytes are held, slowed and frozen, never lost; ends are passed on."""

from __future__ import annotations

import os
import socket
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from vdibench.links import RelayRoute, profile

from .ends import EchoServer

MakeRoute = Callable[..., RelayRoute]
Connect = Callable[[RelayRoute], socket.socket]


@pytest.fixture
def connect(echo: EchoServer) -> Iterator[Connect]:
    """Connect to the echo server through a route."""
    with ExitStack() as stack:

        def make(route: RelayRoute) -> socket.socket:
            made = socket.create_connection(route.open(echo.host, echo.port, udp=False), timeout=10)
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return stack.enter_context(made)

        yield make


def spoken(connection: socket.socket, address: tuple[str, int]) -> bytes:
    connection.settimeout(5.0)
    connection.connect(address)
    return connection.recv(100)


def round_trips(connection: socket.socket, count: int) -> list[float]:
    took = []
    for _ in range(count):
        began = time.monotonic()
        connection.sendall(b"ping")
        assert connection.recv(100) == b"ping"
        took.append(time.monotonic() - began)
    return took


def exchange(connection: socket.socket, data: bytes) -> tuple[bytes, float]:
    """Send all of it, end, and read until the other side ends; what came back, and how long that took."""
    began = time.monotonic()

    def send() -> None:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)

    sender = threading.Thread(target=send)
    sender.start()
    parts = []
    while part := connection.recv(65536):
        parts.append(part)
    sender.join()
    return b"".join(parts), time.monotonic() - began


def test_bytes_come_whole_and_both_ends_are_told_the_end(route: MakeRoute, connect: Connect) -> None:
    link = route("delay=2ms,jitter=3ms,loss=50%")
    data = os.urandom(3_000_000)
    back, _ = exchange(connect(link), data)
    assert back == data
    counters = link.counters()
    assert counters.up.stream_bytes == counters.down.stream_bytes == len(data)
    assert counters.up.packets == 0


def test_both_directions_are_delayed_and_so_is_the_handshake(route: MakeRoute, connect: Connect) -> None:
    link = route("delay=25ms")
    connection = connect(link)
    first, *others = round_trips(connection, 6)
    assert statistics.median(others) == pytest.approx(0.05, abs=0.01)
    assert first == pytest.approx(0.1, abs=0.02)
    link.set_profile(profile("direct"))
    assert statistics.median(round_trips(connection, 6)) < 0.01


def test_rate_holds_for_streams(route: MakeRoute, connect: Connect) -> None:
    # 500 kB at 8 Mbit/s, headers included, take half a second; a proxy's buffers must not hide that.
    link = route("rate=8Mbit")
    data = os.urandom(500_000)
    back, took = exchange(connect(link), data)
    assert back == data
    assert took == pytest.approx(500_000 * 1500 / 1448 * 8 / 8e6, rel=0.15)


def test_a_slow_reader_slows_the_writer(route: MakeRoute) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        link = route()
        with socket.create_connection(link.open(*listener.getsockname(), udp=False), timeout=10) as client:
            server, _ = listener.accept()
            with server:
                client.setblocking(False)
                sent, quiet = 0, time.monotonic()
                while time.monotonic() - quiet < 0.5:
                    try:
                        sent += client.send(bytes(65536))
                        quiet = time.monotonic()
                    except BlockingIOError:
                        time.sleep(0.01)  # the socket is full: until the relay reads on
                assert sent < 40 << 20
                server.settimeout(10)
                got = 0
                while got < sent:
                    got += len(server.recv(1 << 20))
                client.settimeout(10)
                client.sendall(b"still there")
                assert server.recv(100) == b"still there"


def test_freeze_and_cut_hold_bytes(route: MakeRoute, connect: Connect) -> None:
    link = route()
    connection = connect(link)
    round_trips(connection, 1)
    for interrupt in (link.freeze, link.cut):
        interrupt(0.2)
        assert round_trips(connection, 1)[0] == pytest.approx(0.2, abs=0.03)
    link.cut()
    connection.sendall(b"lost?")
    connection.settimeout(0.1)
    with pytest.raises(TimeoutError):
        connection.recv(100)
    link.restore()
    connection.settimeout(5.0)
    assert connection.recv(100) == b"lost?"


def test_a_reset_is_passed_on(route: MakeRoute, connect: Connect, echo: EchoServer) -> None:
    connection = connect(route())
    round_trips(connection, 1)
    (server,) = echo.connections
    server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    server.shutdown(socket.SHUT_RD)
    server.close()
    with pytest.raises(ConnectionResetError):
        connection.recv(100)


def test_where_nothing_listens_the_connection_is_reset(route: MakeRoute) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = free.getsockname()
    link = route()
    with socket.socket() as connection, pytest.raises(ConnectionResetError):
        spoken(connection, link.open(*address, udp=False))
    assert link.counters().down.stream_bytes == 0


def test_many_connections_share_the_link(route: MakeRoute, connect: Connect) -> None:
    link = route("delay=10ms")
    connections = [connect(link) for _ in range(40)]
    for number, connection in enumerate(connections):
        connection.sendall(f"number {number}".encode())
    for number, connection in enumerate(connections):
        assert connection.recv(100) == f"number {number}".encode()
