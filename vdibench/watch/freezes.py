"""Freezes as they happen, by the rule of :mod:`vdibench.metrics.pacing`. Pure; instants are Unix seconds."""

from __future__ import annotations

import math
from collections import deque

import numpy as np

from vdibench.metrics.pacing import freezes

__all__ = ["FreezeCounter"]

_HISTORY = 30


class FreezeCounter:
    """Counts freezes of one stream; one that has not ended is counted when it has lasted long enough to be one."""

    def __init__(self) -> None:
        self.count = 0
        self.seconds = 0.0
        self._intervals: deque[float] = deque(maxlen=_HISTORY)
        self._last = math.nan
        self._open_seconds = 0.0

    def arrived(self, unix_seconds: float) -> None:
        """A complete frame arrived."""
        if not math.isnan(self._last):
            interval = unix_seconds - self._last
            self._judge(interval)
            self._intervals.append(interval)
        self._last = unix_seconds
        self._open_seconds = 0.0

    def passed(self, unix_seconds: float) -> None:
        """It is now this late, and every frame that arrived was reported."""
        if not math.isnan(self._last):
            self._judge(unix_seconds - self._last)

    @property
    def frozen_for_seconds(self) -> float:
        """How long the picture has stood still, when that is a freeze; else 0."""
        return self._open_seconds

    def _judge(self, interval: float) -> None:
        if not self._intervals or not freezes(np.array([*self._intervals, interval]))[-1]:
            return
        if not self._open_seconds:
            self.count += 1
        self.seconds += max(0.0, interval - self._open_seconds)
        self._open_seconds = interval
