"""Unix time that does not jump. Reads two clocks.

Somebody sets a node's clock, or a machine that slept wakes up: by the wall's clock every start then has taken an hour,
or a pause of a second lasts for one. Here a second is a second, or nearly.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

__all__ = ["CATCHING_UP", "STEP_SECONDS", "SteadyClock"]

# What the wall's clock may be off at once and is followed at once: it is being corrected, not set.
STEP_SECONDS = 1.0
# Of more it makes up this share of the time that passes: of an hour in two.
CATCHING_UP = 0.5


class SteadyClock:
    """Unix seconds: those of the wall's clock, to which a step of it comes slowly. Never goes back by a step.

    :param wall: Unix seconds, which somebody may set.
    :param steady: seconds that nobody can set.
    """

    def __init__(self, wall: Callable[[], float] = time.time, steady: Callable[[], float] = time.monotonic) -> None:
        self._wall = wall
        self._steady = steady
        self._last = steady()
        self._ahead = wall() - self._last

    def __call__(self) -> float:
        """Now."""
        now = self._steady()
        error = self._wall() - now - self._ahead
        if abs(error) > STEP_SECONDS:
            error = math.copysign(min(abs(error), CATCHING_UP * (now - self._last)), error)
        self._ahead += error
        self._last = now
        return now + self._ahead
