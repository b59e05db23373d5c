"""How late an event loop runs, measured once for all that runs in it. One object for each event loop.

The loop is asked to wake somebody in 20 ms, again and again; how late it does is what it adds to every instant that is
taken in it. Instants are those of ``loop.time()``.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from weakref import WeakKeyDictionary

__all__ = ["LoopLag"]

_STEP_SECONDS = 0.02
# Nobody asks further back than a second or two; a loop that was late for longer says so in one step.
_KEPT = 128

_OF_LOOP: WeakKeyDictionary[asyncio.AbstractEventLoop, LoopLag] = WeakKeyDictionary()


class LoopLag:
    """Measures while somebody watches."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._watchers = 0
        self._steps: deque[tuple[float, float]] = deque(maxlen=_KEPT)
        self._timer: asyncio.TimerHandle | None = None

    @classmethod
    def of(cls, loop: asyncio.AbstractEventLoop) -> LoopLag:
        """That of a loop."""
        if loop not in _OF_LOOP:
            _OF_LOOP[loop] = cls(loop)
        return _OF_LOOP[loop]

    @contextmanager
    def watched(self) -> Iterator[LoopLag]:
        """Measure meanwhile."""
        self._watchers += 1
        if self._timer is None:
            self._step()
        try:
            yield self
        finally:
            self._watchers -= 1
            if not self._watchers and self._timer is not None:
                self._timer.cancel()
                self._timer = None

    def _step(self) -> None:
        due = self._loop.time() + _STEP_SECONDS
        self._timer = self._loop.call_at(due, self._woken, due)

    def _woken(self, due: float) -> None:
        now = self._loop.time()
        self._steps.append((now, now - due))
        self._step()

    def worst_since(self, instant: float) -> float:
        """The largest lag that was found after ``instant``, in seconds; 0 where none was."""
        worst = 0.0
        for woken, lag in reversed(self._steps):
            if woken <= instant:
                break
            worst = max(worst, lag)
        return worst
