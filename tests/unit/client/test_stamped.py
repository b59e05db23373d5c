"""A socket that knows when it was read, however late the task that waits for the bytes is woken."""

from __future__ import annotations

import asyncio
import gc
import socket
import time

import pytest

from vdibench.client.stamped import StampedSocket


async def test_a_busy_loop_does_not_make_bytes_late() -> None:
    server, plain = socket.socketpair()
    with server:
        client = StampedSocket.adopt(plain)
        loop = asyncio.get_running_loop()

        class Reader(asyncio.Protocol):
            def __init__(self) -> None:
                self.arrived = loop.create_future()

            def data_received(self, data: bytes) -> None:
                # Other sessions' work, queued before the task that the bytes wake.
                loop.call_soon(time.sleep, 0.05)
                self.arrived.set_result(data)

        transport, reader = await loop.create_connection(Reader, sock=client)
        before = time.time()
        server.send(b"hello")
        assert await reader.arrived == b"hello"
        woken = time.time()
        first, last = client.take()
        assert woken - before >= 0.05
        assert before <= first == last <= before + 0.03
        transport.close()


def test_first_and_last_of_several_reads() -> None:
    server, plain = socket.socketpair()
    with server, StampedSocket.adopt(plain) as client:
        instants = []
        for part in (b"one", b"two", b"three"):
            server.send(part)
            before = time.time()
            assert client.recv(100) == part
            instants.append((before, time.time()))
        first, last = client.take()
        assert instants[0][0] <= first <= instants[0][1]
        assert instants[2][0] <= last <= instants[2][1]
        # Nothing was read since: another message of the same read.
        assert client.take() == (last, last)
        server.send(b"four")
        buffer = bytearray(10)
        assert client.recv_into(buffer) == 4
        assert client.take()[0] > last


def test_it_is_found_by_its_number_while_it_is_open() -> None:
    server, plain = socket.socketpair()
    number = plain.fileno()
    with server:
        client = StampedSocket.adopt(plain)
        assert StampedSocket.of(number) is client
        assert client.gettimeout() == 0
        client.close()
        del client
        gc.collect()
        assert StampedSocket.of(number) is None
        with pytest.raises(OSError, match="Bad file descriptor"):
            plain.send(b"x")


def test_a_loop_that_reads_past_the_socket_leaves_now() -> None:
    """uvloop takes the descriptor and nothing else: an instant of 1970 would be worse than one of the task's."""
    uvloop = pytest.importorskip("uvloop", reason="an engine's loop, where there is one")

    async def read() -> tuple[float, float, float]:
        server, plain = socket.socketpair()
        with server:
            client = StampedSocket.adopt(plain)
            reader, writer = await asyncio.open_connection(sock=client)
            before = time.time()
            server.send(b"hello")
            assert await reader.readexactly(5) == b"hello"
            writer.close()
            return before, *client.take()

    before, first, last = uvloop.run(read())
    assert before <= first == last <= time.time()
