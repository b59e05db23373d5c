"""Many sockets read in rounds instead of one wake-up for each datagram. I/O; one object for each event loop.

What a process pays for reception is above all being woken. Sockets whose datagrams carry the kernel's time stamp, and
that nothing waits for, can rest for a few milliseconds: the arrival stays exact, and one wake-up serves them all. Below
:data:`MANY` sockets each datagram is read as it comes.
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

__all__ = ["Rounds"]

MANY = 4
REST_SECONDS = 0.004
# Rounds without a datagram until the sockets are waited for again.
_QUIET_ROUNDS = 2

_OF_LOOP: WeakKeyDictionary[asyncio.AbstractEventLoop, Rounds] = WeakKeyDictionary()


class Rounds:
    """Calls back when sockets can be read; the fewer wake-ups, the more there are."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._readers: dict[int, Callable[[], None]] = {}
        # Without epoll (macOS) each socket is waited for by the loop.
        self._poll: Any = select.epoll() if hasattr(select, "epoll") else None
        self._timer: asyncio.TimerHandle | None = None
        self._quiet = 0

    @classmethod
    def of(cls, loop: asyncio.AbstractEventLoop) -> Rounds:
        """The rounds of a loop."""
        if loop not in _OF_LOOP:
            _OF_LOOP[loop] = cls(loop)
        return _OF_LOOP[loop]

    def add(self, descriptor: int, read: Callable[[], None]) -> None:
        """Call ``read`` when there is something to be read, soon."""
        if self._poll is None:
            self._loop.add_reader(descriptor, read)
            return
        self._readers[descriptor] = read
        self._poll.register(descriptor, select.EPOLLIN)
        if len(self._readers) == 1:
            self._wait()

    def remove(self, descriptor: int) -> None:
        """Call it no more; before the descriptor is closed."""
        if self._poll is None:
            self._loop.remove_reader(descriptor)
        elif self._readers.pop(descriptor, None) is not None:
            self._poll.unregister(descriptor)
            if not self._readers:
                self._end()

    def _wait(self) -> None:
        self._timer = None
        self._loop.add_reader(self._poll.fileno(), self._woken)

    def _end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        else:
            self._loop.remove_reader(self._poll.fileno())
        self._poll.close()
        _OF_LOOP.pop(self._loop, None)

    def _woken(self) -> None:
        self._round()
        if len(self._readers) >= MANY:
            self._loop.remove_reader(self._poll.fileno())
            self._quiet = 0
            self._timer = self._loop.call_later(REST_SECONDS, self._rested)

    def _rested(self) -> None:
        self._quiet = 0 if self._round() else self._quiet + 1
        if not self._readers:
            return
        if self._quiet >= _QUIET_ROUNDS or len(self._readers) < MANY:
            self._wait()
        else:
            self._timer = self._loop.call_later(REST_SECONDS, self._rested)

    def _round(self) -> bool:
        """Read from all that have something; whether any had."""
        ready = self._poll.poll(0)
        for descriptor, _ in ready:
            read = self._readers.get(descriptor)
            if read is not None:  # removed by another in the same round
                try:
                    read()
                except Exception as error:  # a reader's own; the others must still be read, as with the loop's readers
                    self._loop.call_exception_handler(
                        {"message": f"reading from socket {descriptor} failed", "exception": error}
                    )
        return bool(ready)
