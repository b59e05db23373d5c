"""Sockets that know when they were read: the instant of a message is that of its bytes, not of the task that gets it.

An event loop with many sessions wakes the task that waits for a message some time after its bytes were read.
"""

from __future__ import annotations

import socket
import time
from typing import Any
from weakref import WeakValueDictionary

__all__ = ["StampedSocket"]

_open: WeakValueDictionary[int, StampedSocket] = WeakValueDictionary()


class StampedSocket(socket.socket):
    """A TCP socket that notes when bytes were read from it, in Unix seconds."""

    __slots__ = ("_first", "_last")

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._first = self._last = 0.0
        _open[self.fileno()] = self

    @classmethod
    def adopt(cls, plain: socket.socket) -> StampedSocket:
        """The same socket, stamped; the one given is empty afterwards."""
        stamped = cls(plain.family, plain.type, plain.proto, plain.detach())
        stamped.setblocking(False)
        return stamped

    @classmethod
    def of(cls, number: int) -> StampedSocket | None:
        """The stamped socket with this file descriptor."""
        return _open.get(number)

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        """Read, and note when."""
        data = super().recv(size, flags)
        self._note()
        return data

    def recv_into(self, buffer: Any, size: int = 0, flags: int = 0, /) -> int:
        """Read, and note when."""
        count = super().recv_into(buffer, size, flags)
        self._note()
        return count

    def _note(self) -> None:
        self._last = time.time()
        if not self._first:
            self._first = self._last

    def take(self) -> tuple[float, float]:
        """When the first and the last byte since the previous call were read.

        Bytes of the next message that came in the same read as the end of this one count as this one's. An event loop
        that reads past this class (uvloop, by the descriptor) leaves nothing to tell: then it is now.
        """
        last = self._last or time.time()
        first, self._first = self._first or last, 0.0
        return first, last
