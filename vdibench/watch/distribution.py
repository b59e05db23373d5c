"""How durations are distributed, in bounded memory however long a desktop is watched. Pure.

Log-linear classes as an HDR histogram has them: a quantile is the upper edge of its class, at most 1 % above the true
value and never above the largest one. Beside them, exact counts in fixed buckets for Prometheus.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter

__all__ = ["LATENCY_BUCKETS_SECONDS", "Distribution"]

# Dense where a desktop is good (20 to 50 ms), coarse where nobody would work with it.
LATENCY_BUCKETS_SECONDS = (
    *(0.005, 0.010, 0.015, 0.020, 0.025, 0.030, 0.040, 0.050, 0.060, 0.080),
    *(0.100, 0.150, 0.200, 0.300, 0.500, 1.0, 2.5, 5.0),
)
_CLASSES_PER_OCTAVE = 128


class Distribution:
    """Counts durations in seconds; negative ones, which a wrong clock makes, are kept as they are.

    :param buckets: upper bounds in seconds, ascending, of the exact counts.
    """

    def __init__(self, buckets: tuple[float, ...] = LATENCY_BUCKETS_SECONDS) -> None:
        self._bounds = buckets
        self._exact = [0] * (len(buckets) + 1)
        self._classes: Counter[float] = Counter()
        self.count = 0
        self.sum = 0.0
        self.max: float | None = None

    def add(self, seconds: float) -> None:
        """Count one duration."""
        self.count += 1
        self.sum += seconds
        self.max = seconds if self.max is None else max(self.max, seconds)
        self._exact[bisect_left(self._bounds, seconds)] += 1
        self._classes[_upper_edge(seconds)] += 1

    def quantile(self, q: float) -> float | None:
        """The smallest value that at least ``q`` (0..1) of all do not exceed; None without any."""
        if self.max is None:
            return None
        wanted, seen = q * self.count, 0
        for edge in sorted(self._classes):
            seen += self._classes[edge]
            if seen >= wanted:
                return min(edge, self.max)
        return self.max

    def buckets(self) -> list[tuple[float, int]]:
        """Upper bound in seconds and how many did not exceed it; the last bound is infinite."""
        found, total = [], 0
        for bound, count in zip((*self._bounds, math.inf), self._exact, strict=True):
            total += count
            found.append((bound, total))
        return found


def _upper_edge(seconds: float) -> float:
    mantissa, exponent = math.frexp(seconds)
    return math.ldexp(math.ceil(mantissa * 2 * _CLASSES_PER_OCTAVE) / (2 * _CLASSES_PER_OCTAVE), exponent)
