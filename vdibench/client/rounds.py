"""Many sockets read in rounds instead of one wake-up for each datagram. I/O; one object for each event loop.

What a process pays for reception is above all being woken. Sockets whose datagrams carry the kernel's time stamp, and
that nothing waits for, can rest for a few milliseconds: the arrival stays exact, and one wake-up serves them all. Below
:data:`MANY` sockets each datagram is read as it comes.
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import Callable, Iterable
from typing import Any
from weakref import WeakKeyDictionary

from vdibench.client.native import Lane

__all__ = ["Rounds"]

MANY = 4
REST_SECONDS = 0.004
# Rounds without a datagram until the sockets are waited for again.
_QUIET_ROUNDS = 2

Take = Callable[[Any], object]


class _Polled:
    """Sockets that Python reads itself: who is called has nothing but the word that there is something."""

    def __init__(self) -> None:
        self._poll = select.epoll()
        self._readers: dict[int, Take] = {}
        self.fileno, self.close = self._poll.fileno, self._poll.close

    def add(self, descriptor: int, read: Take) -> None:
        self._readers[descriptor] = read
        self._poll.register(descriptor, select.EPOLLIN)

    def remove(self, descriptor: int) -> None:
        del self._readers[descriptor]
        self._poll.unregister(descriptor)

    def round(self) -> Iterable[tuple[Take, Any]] | None:
        ready = self._poll.poll(0)
        # One that another has removed in the same round is no reader any more.
        return ((self._readers[fd], None) for fd, _ in ready if fd in self._readers) if ready else None


_OF_LOOP: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Any, Rounds]] = WeakKeyDictionary()


class Rounds:
    """Calls back when sockets can be read; the fewer wake-ups, the more there are.

    :param native: the module ``vdibench_native``, whose receiver then reads; None reads nothing and only calls back.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, native: Any = None) -> None:
        self._loop = loop
        self._native = native
        self._readers: set[int] = set()
        # Without epoll (macOS) each socket is waited for by the loop.
        self._sockets: Any = None
        if native is not None:
            self._sockets = native.Receiver()
        elif hasattr(select, "epoll"):
            self._sockets = _Polled()
        self._timer: asyncio.TimerHandle | None = None
        self._quiet = 0

    @classmethod
    def of(cls, loop: asyncio.AbstractEventLoop, native: Any = None) -> Rounds:
        """The rounds of a loop."""
        rounds = _OF_LOOP.setdefault(loop, {})
        if native not in rounds:
            rounds[native] = cls(loop, native)
        return rounds[native]

    def add(self, descriptor: int, take: Take) -> Lane | None:
        """Call ``take`` when there is something, soon.

        It is called with None and has to read, or with what the native receiver read, a list in order of arrival:
        datagrams, runs, and errors of the socket. The receiver's lane is returned.
        """
        if self._sockets is None:
            self._loop.add_reader(descriptor, take, None)
            return None
        lane: Lane | None = self._sockets.add(descriptor, take)
        self._readers.add(descriptor)
        if len(self._readers) == 1:
            self._wait()
        return lane

    def remove(self, descriptor: int) -> None:
        """Call it no more; before the descriptor is closed."""
        if self._sockets is None:
            self._loop.remove_reader(descriptor)
        elif descriptor in self._readers:
            self._readers.remove(descriptor)
            self._sockets.remove(descriptor)
            if not self._readers:
                self._end()

    def _wait(self) -> None:
        self._timer = None
        self._loop.add_reader(self._sockets.fileno(), self._woken)

    def _end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        else:
            self._loop.remove_reader(self._sockets.fileno())
        self._sockets.close()
        _OF_LOOP.get(self._loop, {}).pop(self._native, None)

    def _woken(self) -> None:
        self._round()
        if len(self._readers) >= MANY:
            self._loop.remove_reader(self._sockets.fileno())
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
        ready = self._sockets.round()
        if ready is None:
            return False
        for take, what in ready:
            try:
                take(what)
            except Exception as error:  # a reader's own; the others must still be read, as with the loop's readers
                self._loop.call_exception_handler({"message": "reading from a socket failed", "exception": error})
        return True
