"""The relay's event loop: sockets, timers, and packets let go to within microseconds. I/O; one thread.

asyncio wakes to the millisecond and late; here ``select`` sleeps to the microsecond until shortly before a packet is
due, and the rest is waited for awake. Times are ``time.monotonic``.
"""

from __future__ import annotations

import ctypes
import heapq
import selectors
import socket
import sys
import time
from collections.abc import Callable
from itertools import count
from select import select
from typing import Protocol

__all__ = ["Loop", "Schedule"]

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
_AWAKE_SECONDS = 0.000_15
_PR_SET_TIMERSLACK = 29


class Schedule(Protocol):
    """Something that has things to do at exact times."""

    def due(self) -> float | None:
        """When it wants to run next."""

    def run(self, now: float) -> None:
        """Do what is due."""


class Loop:
    """Watches sockets and runs schedules until :meth:`stop`."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._selector_file = self._selector.fileno()
        self._schedules: list[Schedule] = []
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        self._stopped = False

    def watch(self, source: socket.socket | int, events: int, ready: Callable[[int], None]) -> None:
        """Call ``ready`` with the events that happened; 0 for ``events`` watches no longer."""
        known = source in self._selector.get_map()
        if not events:
            if known:
                self._selector.unregister(source)
        elif known:
            self._selector.modify(source, events, ready)
        else:
            self._selector.register(source, events, ready)

    def add(self, schedule: Schedule) -> None:
        """Run it when it is due."""
        self._schedules.append(schedule)

    def remove(self, schedule: Schedule) -> None:
        """Run it no more."""
        self._schedules.remove(schedule)

    def call_later(self, seconds: float, call: Callable[[], None]) -> None:
        """Call once, not to the microsecond."""
        heapq.heappush(self._timers, (time.monotonic() + seconds, next(self._order), call))

    def stop(self) -> None:
        """Return from :meth:`run`."""
        self._stopped = True

    def run(self) -> None:
        """Run until stopped."""
        if sys.platform.startswith("linux"):
            # The kernel may else wake us 50 µs late, to save energy.
            ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, 1, 0, 0, 0)
        while not self._stopped:
            due = self._due()
            if due is None:
                select([self._selector_file], [], [])
            elif (left := due - time.monotonic()) > _AWAKE_SECONDS:
                select([self._selector_file], [], [], left - _AWAKE_SECONDS)
            for key, events in self._selector.select(0):
                key.data(events)
            self._run_due()

    def _due(self) -> float | None:
        times = [due for schedule in self._schedules if (due := schedule.due()) is not None]
        if self._timers:
            times.append(self._timers[0][0])
        return min(times, default=None)

    def _run_due(self) -> None:
        soon = self._due()
        now = time.monotonic()
        if soon is not None and soon - now <= _AWAKE_SECONDS:
            while now < soon:
                now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            heapq.heappop(self._timers)[2]()
        for schedule in tuple(self._schedules):
            due = schedule.due()
            if due is not None and due <= now:
                schedule.run(now)
