"""The event loop of a process that measures: the quickest there is, neither threads nor Python's collector in its way.

What the loop waits for stands in every instant that it takes. Two things of Python's own would make it wait: a thread
that keeps the interpreter (writing samples, decoding), and the collector of reference cycles, which looks at every
object: a session is some 2,000 of them, so that a hundred sessions cost 100 ms each time.
"""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Coroutine
from typing import Any, TypeVar

__all__ = ["SWEEP_SESSIONS", "SWITCH_SECONDS", "SessionGarbage", "run"]

T = TypeVar("T")

SWITCH_SECONDS = 0.0005
"""A thread keeps the interpreter no longer than this when the loop wants it; Python's own 5 ms are too long."""

SWEEP_SESSIONS = 100
"""So many sessions may end, about a megabyte each, before the collector is let at them while others are measured."""


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run ``work`` in a fresh loop of this thread, in a process that does nothing else."""
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.collect()
    gc.freeze()  # what was imported stays for good
    try:
        import uvloop
    except ImportError:  # not on every system
        return asyncio.run(work)
    return uvloop.run(work)


class SessionGarbage:
    """Keeps the collector from sessions that live, and lets it at those that ended when nobody is measured."""

    def __init__(self) -> None:
        self._started = 0
        self._swept = 0

    def look(self, *, started: int, ended: int, connecting: int) -> None:
        """Called once a second.

        :param started: sessions until now; ``ended`` of them no more.
        :param connecting: that do not show video yet.
        """
        unswept = ended - self._swept
        if unswept and (started == ended or unswept >= SWEEP_SESSIONS):
            gc.unfreeze()
            gc.collect()
            gc.freeze()
            self._swept, self._started = ended, started
        elif started != self._started and not connecting:
            gc.freeze()
            self._started = started
