"""UDP over a link: a listening port, and a socket of its own towards the server for each client. I/O.

The server sees each client behind an address of its own, as behind a router with address translation.
"""

from __future__ import annotations

import functools
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from vdibench.links.link import Lane, Link, Packet
from vdibench.links.loop import Loop

__all__ = ["DatagramFlow"]

# From asm-generic/socket.h; Python names them only in newer versions.
_SO_RCVBUFFORCE, _SO_TIMESTAMPNS, _SO_RXQ_OVFL = 33, 35, 40
_BUFFER_BYTES = 8 << 20
_LARGEST_DATAGRAM = 65535
_ANCILLARY_BYTES = socket.CMSG_SPACE(16) + socket.CMSG_SPACE(4)
# As many datagrams of one socket are read before others, and packets that are due, have their turn.
_AT_ONCE = 64
_MOST_CLIENTS = 256
_IDLE_SECONDS, _SWEEP_SECONDS = 180.0, 30.0


@dataclass(slots=True)
class _Client:
    upstream: socket.socket
    used: float
    send: functools.partial[None]
    overflows: int = 0


class DatagramFlow:
    """Datagrams between ``address``, where it listens, and ``target``."""

    def __init__(self, loop: Loop, link: Link, bind: str, target: tuple[str, int]) -> None:
        self._loop, self._link, self._target = loop, link, target
        self._clients: dict[Any, _Client] = {}
        self._overflows = 0
        self._closed = False
        self._socket = _socket(bind)
        try:
            self._socket.bind((bind, 0))
        except OSError:
            self._socket.close()
            raise
        self.address: tuple[str, int] = self._socket.getsockname()[:2]
        loop.watch(self._socket, 1, self._from_clients)
        loop.call_later(_SWEEP_SECONDS, self._sweep)

    def _from_clients(self, events: int) -> None:
        for data, sender, arrived, overflows in _received(self._socket):
            self._overflows = _overflowed(self._link.up, self._overflows, overflows)
            client = self._clients.get(sender) or self._accept(sender)
            if client is None:
                self._link.up.tally.dropped["socket"] += 1
                continue
            client.used = arrived
            self._link.up.take(Packet(data, client.send, datagram=True), arrived)

    def _accept(self, sender: Any) -> _Client | None:
        if len(self._clients) >= _MOST_CLIENTS:
            return None
        upstream = _socket(self._target[0])
        try:
            upstream.connect(self._target)
        except OSError:  # no route there: as silent as a network is
            upstream.close()
            return None
        answer = functools.partial(_send_to, self._socket, sender)
        client = _Client(upstream, time.monotonic(), functools.partial(_send, upstream))
        self._clients[sender] = client
        self._loop.watch(upstream, 1, functools.partial(self._from_server, client, answer))
        return client

    def _from_server(self, client: _Client, answer: functools.partial[None], events: int) -> None:
        for data, _, arrived, overflows in _received(client.upstream):
            client.overflows = _overflowed(self._link.down, client.overflows, overflows)
            client.used = arrived
            self._link.down.take(Packet(data, answer, datagram=True), arrived)

    def _sweep(self) -> None:
        if self._closed:
            return
        now = time.monotonic()
        for sender, client in tuple(self._clients.items()):
            if now - client.used > _IDLE_SECONDS:
                self._end(self._clients.pop(sender))
        self._loop.call_later(_SWEEP_SECONDS, self._sweep)

    def _end(self, client: _Client) -> None:
        self._loop.watch(client.upstream, 0, _nothing)
        client.upstream.close()

    def close(self) -> None:
        """Close every socket; what the link still holds for them goes nowhere."""
        self._closed = True
        for client in self._clients.values():
            self._end(client)
        self._clients.clear()
        self._loop.watch(self._socket, 0, _nothing)
        self._socket.close()


def _nothing(events: int) -> None:
    return None


def _socket(address: str) -> socket.socket:
    made = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    made.setblocking(False)
    for option in (_SO_RCVBUFFORCE, socket.SO_RCVBUF):
        try:
            made.setsockopt(socket.SOL_SOCKET, option, _BUFFER_BYTES)
            break
        except OSError:  # only root may force more than the machine's limit
            continue
    for option in (_SO_TIMESTAMPNS, _SO_RXQ_OVFL):
        with suppress(OSError):  # not on every system: then arrival is when it was read
            made.setsockopt(socket.SOL_SOCKET, option, 1)
    return made


def _received(source: socket.socket) -> Iterator[tuple[bytes, Any, float, int]]:
    """Datagrams that are there, with sender, arrival by the monotonic clock, and overflows of the socket so far."""
    offset = time.time() - time.monotonic()
    for _ in range(_AT_ONCE):
        try:
            data, ancillary, _, sender = source.recvmsg(_LARGEST_DATAGRAM, _ANCILLARY_BYTES)
        except BlockingIOError:
            return
        except (
            OSError
        ):  # an ICMP error of an earlier datagram: the server's port is closed, as a network would not tell
            continue
        now = arrived = time.monotonic()
        overflows = 0
        for _, kind, value in ancillary:
            if kind == _SO_TIMESTAMPNS and len(value) == 16:
                whole, nanoseconds = struct.unpack("@qq", value)
                # A wall clock that was just set must not put arrivals into the future or far into the past.
                stamped = whole + nanoseconds * 1e-9 - offset
                arrived = stamped if now - 1.0 < stamped < now else now
            elif kind == _SO_RXQ_OVFL:
                overflows = int(struct.unpack("@I", value)[0])
        yield data, sender, arrived, overflows


def _overflowed(lane: Lane, before: int, now: int) -> int:
    """Count what a socket dropped since; the kernel's counter stands only on packets after a drop."""
    if now > before:
        lane.tally.dropped["socket"] += now - before
        return now
    return before


def _send(sink: socket.socket, data: bytes) -> None:
    with suppress(OSError):  # closed, refused or full: lost on the way, as on any network
        sink.send(data)


def _send_to(sink: socket.socket, client: Any, data: bytes) -> None:
    with suppress(OSError):  # lost, as above
        sink.sendto(data, client)
