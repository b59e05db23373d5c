"""TCP over a link: connections are ended here and begun anew, their bytes go through the link's queue. I/O.

Delay, rate, freezes and cuts hold the bytes. Loss does not apply: TCP would send again, and its slowness under loss
is its own affair, which a proxy does not show. A connection's first bytes wait the round trip of its handshake.
"""

from __future__ import annotations

import socket
import struct
from collections import deque
from contextlib import suppress

from vdibench.links.link import Lane, Link, Packet
from vdibench.links.loop import READ, WRITE, Loop

__all__ = ["StreamFlow"]

_SEGMENT_BYTES = 1448
_PART_SECONDS = 0.002
_LARGEST_PART = 65536
# What may be under way of one connection when nothing limits the rate; with a rate, what its queue and delay hold.
_UNLIMITED_BYTES = 4 << 20
_SMALL_BUFFER_BYTES = 64 << 10
_RESET = struct.pack("ii", 1, 0)


class StreamFlow:
    """Connections from ``address``, where it listens, to ``target``."""

    def __init__(self, loop: Loop, link: Link, bind: str, target: tuple[str, int]) -> None:
        self._loop, self._link, self._target = loop, link, target
        self._pairs: set[_Pair] = set()
        self._socket = _socket(bind, link)
        try:
            self._socket.bind((bind, 0))
            self._socket.listen(64)
        except OSError:
            self._socket.close()
            raise
        self.address: tuple[str, int] = self._socket.getsockname()[:2]
        loop.watch(self._socket, READ, self._accept)

    def _accept(self, events: int) -> None:
        with suppress(OSError):  # the client has gone again
            client, _ = self._socket.accept()
            client.setblocking(False)
            self._pairs.add(_Pair(self._loop, self._link, client, self._target, self._pairs))

    def close(self) -> None:
        """Reset every connection."""
        for pair in tuple(self._pairs):
            pair.reset()
        self._loop.watch(self._socket, 0, lambda events: None)
        self._socket.close()


class _End:
    """One socket of a pair: bytes read go into a lane, bytes written come out of the other."""

    def __init__(self, pair: _Pair, owned: socket.socket, lane: Lane, *, ready: bool) -> None:
        self.pair, self.socket, self.lane = pair, owned, lane
        self.connected = ready
        self.reading = ready
        self.unsent: deque[bytes] = deque()
        self.on_the_way = 0
        self.read_all = self.wrote_all = False
        self.peer: _End = self

    def watch(self) -> None:
        """Tell the loop what we wait for."""
        events = 0
        if self.connected and self.reading and not self.read_all and self.on_the_way < self._limit():
            events |= READ
        if self.unsent or not self.connected:
            events |= WRITE
        self.pair.loop.watch(self.socket, events, self.ready)

    def _limit(self) -> int:
        direction = self.lane.shaper.direction
        if direction.rate_bps is None:
            return _UNLIMITED_BYTES
        seconds = direction.queue_seconds + direction.delay_seconds + direction.jitter_seconds
        return max(2 * _SEGMENT_BYTES, int(direction.rate_bps / 8 * seconds))

    def ready(self, events: int) -> None:
        """The socket can be read or written."""
        try:
            if not self.connected:
                failed = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if failed:
                    raise ConnectionError(failed)
                self.connected = self.reading = True
            if events & WRITE:
                self.flush()
                self.peer.watch()
            if events & READ:
                self._read()
            self.watch()
            self.pair.end_when_done()
        except BlockingIOError:
            pass
        except OSError:
            self.pair.reset()

    def _read(self) -> None:
        rate = self.lane.shaper.direction.rate_bps
        part = _LARGEST_PART if rate is None else int(rate / 8 * _PART_SECONDS) // _SEGMENT_BYTES * _SEGMENT_BYTES
        data = self.socket.recv(min(max(part, _SEGMENT_BYTES), _LARGEST_PART))
        self.read_all = not data
        self.on_the_way += len(data)
        self.lane.take_stream(Packet(data, self.peer.write, datagram=False))

    def write(self, data: bytes) -> None:
        """The link let it go; nothing means that the other side has no more to say."""
        if self.pair.ended:
            return
        self.unsent.append(data)
        try:
            self.flush()
            self.watch()
            self.peer.watch()
            self.pair.end_when_done()
        except OSError:
            self.pair.reset()

    def flush(self) -> None:
        """Hand to the kernel as much as it takes."""
        while self.connected and self.unsent:
            data = self.unsent.popleft()
            if not data:
                self.wrote_all = True
                self.socket.shutdown(socket.SHUT_WR)
                continue
            try:
                sent = self.socket.send(data)
            except BlockingIOError:
                sent = 0
            self.peer.on_the_way -= sent
            if sent < len(data):
                self.unsent.appendleft(data[sent:])
                return


class _Pair:
    """A client's connection and the one to the server that stands for it."""

    def __init__(
        self, loop: Loop, link: Link, client: socket.socket, target: tuple[str, int], pairs: set[_Pair]
    ) -> None:
        self.loop, self._pairs = loop, pairs
        self.ended = False
        upstream = _socket(target[0], link)
        self._client = _End(self, client, link.up, ready=True)
        self._server = _End(self, upstream, link.down, ready=False)
        self._client.peer, self._server.peer = self._server, self._client
        self._client.reading = False
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        upstream.connect_ex(target)
        self._server.watch()
        loop.call_later(link.round_trip_seconds, self._begin)

    def _begin(self) -> None:
        if not self.ended:
            self._client.reading = True
            self._client.watch()

    def end_when_done(self) -> None:
        """Both sides have said all."""
        if not self.ended and self._client.wrote_all and self._server.wrote_all:
            self._close()

    def reset(self) -> None:
        """One side broke: so does the other."""
        if self.ended:
            return
        for end in (self._client, self._server):
            with suppress(OSError):  # closed already: nothing to reset
                end.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._close()

    def _close(self) -> None:
        self.ended = True
        self._pairs.discard(self)
        for end in (self._client, self._server):
            self.loop.watch(end.socket, 0, end.ready)
            end.socket.close()


def _socket(address: str, link: Link) -> socket.socket:
    made = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    made.setblocking(False)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if link.down.shaper.direction.rate_bps is not None or link.up.shaper.direction.rate_bps is not None:
        # Else megabytes would wait in this machine's buffers, which no router in between would ever hold.
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, _SEGMENT_BYTES)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SMALL_BUFFER_BYTES)
    return made
