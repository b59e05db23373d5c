"""Statistics of raw values, and what is known of a percentile from a limited number of them. Pure.

Percentiles are the smallest raw value that at least q of the values do not exceed (numpy's ``inverted_cdf``): a
value that was measured, never one between two.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

__all__ = ["AGGREGATIONS", "PERCENTILE_METHOD", "Statistic", "percentile_bounds"]

AGGREGATIONS = ("p(N)", "avg", "min", "max", "count", "rate")
PERCENTILE_METHOD: Final = "inverted_cdf"
_FORM = re.compile(r"p\(\s*(?P<percent>\d+(\.\d+)?)\s*\)|(?P<plain>avg|min|max|count|rate)")


@dataclass(frozen=True, slots=True)
class Statistic:
    """One number made of many.

    :param kind: ``p``, ``avg``, ``min``, ``max``, ``count`` or ``rate`` (values per second of the span they cover).
    :param percent: of ``p``, above 0 and up to 100.
    """

    kind: str
    percent: float | None = None

    @classmethod
    def parse(cls, text: str) -> Statistic:
        """From ``p(95)``, ``avg``, ``min``, ``max``, ``count`` or ``rate``.

        :raises ValueError: anything else.
        """
        match = _FORM.fullmatch(text.strip())
        if match is None:
            raise ValueError(f"{text.strip()!r} is not one of {', '.join(AGGREGATIONS)}")
        if match["plain"]:
            return cls(match["plain"])
        percent = float(match["percent"])
        if not 0 < percent <= 100:
            raise ValueError(f"a percentile is above 0 and up to 100, not {match['percent']}")
        return cls("p", percent)

    def __str__(self) -> str:
        return f"p({self.percent:g})" if self.percent is not None else self.kind

    def of(self, values: pd.Series) -> float | None:
        """The statistic of ``values``, whose index ``rate`` takes as seconds; None when there are too few."""
        if len(values) == 0:
            return None
        numbers = values.to_numpy(dtype=float)
        if self.kind == "p" and self.percent is not None:
            return float(np.quantile(numbers, self.percent / 100, method=PERCENTILE_METHOD))
        if self.kind == "avg":
            return float(numbers.mean())
        if self.kind == "min":
            return float(numbers.min())
        if self.kind == "max":
            return float(numbers.max())
        if self.kind == "rate":
            span = float(values.index.max() - values.index.min())
            return (len(values) - 1) / span if span > 0 else None
        return float(len(values))


def percentile_bounds(values: pd.Series, q: float, confidence: float = 0.95) -> tuple[float | None, float | None]:
    """Two raw values that hold the true quantile ``q`` (0..1) between them with at least ``confidence``.

    Order statistics and the binomial distribution only: no assumption about the values' distribution, but that they
    are independent, which neighbouring frames are not: read it as the least that is uncertain. None stands for a
    bound that so few values cannot give.

    :raises ValueError: ``q`` or ``confidence`` outside (0, 1).
    """
    if not (0 < q < 1 and 0 < confidence < 1):
        raise ValueError("q and confidence lie between 0 and 1")
    count = len(values)
    if count == 0:
        return None, None
    ordered = np.sort(values.to_numpy(dtype=float))
    below = _binomial_cdf(count, q)  # below[k] = P(at most k values lie under the quantile)
    tail = (1 - confidence) / 2
    # The r-th smallest value exceeds the quantile with P(fewer than r under it) = below[r - 1].
    lower = int(np.searchsorted(below, tail, side="right"))
    upper = int(np.searchsorted(below, 1 - tail, side="left")) + 1
    return (
        float(ordered[lower - 1]) if lower >= 1 else None,
        float(ordered[upper - 1]) if upper <= count else None,
    )


def _binomial_cdf(count: int, q: float) -> np.ndarray:
    logs = np.concatenate(([0.0], np.cumsum(np.log(np.arange(1, count + 1)))))
    k = np.arange(count + 1)
    mass = np.exp(logs[count] - logs[k] - logs[count - k] + k * math.log(q) + (count - k) * math.log1p(-q))
    cumulated: np.ndarray = np.minimum(np.cumsum(mass), 1.0)
    return cumulated
