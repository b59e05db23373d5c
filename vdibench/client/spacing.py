"""How clients of one process take turns at one desktop. I/O: waits; safe to use from several event loops.

Selkies 2.x accepts one WebSocket in half a second from one address and turns the others away after it let them in.
"""

from __future__ import annotations

import asyncio
import threading
import time

from vdibench.errors import TargetUnavailable

__all__ = ["SPACING_SECONDS", "Spacing"]

# Half a second between two that are accepted; the rest is for what the way there takes longer once than another time.
SPACING_SECONDS = 0.55


class Spacing:
    """The turns at each URL."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._next: dict[str, float] = {}

    async def turn(self, url: str, limit_seconds: float) -> float:
        """Wait for the turn at ``url``; returns how long that took, in seconds.

        :raises TargetUnavailable: so many wait already that it would take longer than ``limit_seconds``.
        """
        now = time.monotonic()
        with self._lock:
            due = max(now, self._next.get(url, now))
            if due - now > limit_seconds:
                raise TargetUnavailable(
                    f"so many clients of this machine connect to {url} that our turn would come in {due - now:.0f} s",
                    "start fewer at once: the desktop takes one in half a second from one address",
                )
            self._next[url] = due + SPACING_SECONDS
            for other in [other for other, until in self._next.items() if until < now]:
                del self._next[other]
        await asyncio.sleep(due - now)  # until it is our turn
        return due - now

    def taken(self, url: str) -> None:
        """A connection was just accepted, perhaps later than its turn."""
        with self._lock:
            self._next[url] = max(self._next.get(url, 0.0), time.monotonic() + SPACING_SECONDS)
