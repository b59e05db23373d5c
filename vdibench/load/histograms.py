"""Distributions that can be added up: HDR histograms of microseconds with three significant digits. Pure.

What stands in one is right to within a thousandth of its value; values from 1 µs to an hour. Negative ones, which
clocks that differ can give, count as 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from hdrh.histogram import HdrHistogram

__all__ = ["Distribution", "merged"]

_HIGHEST_MICROSECONDS = 3_600_000_000
_DIGITS = 3
_HALF_MAGNITUDE = 10  # sub-buckets of three digits are 2^11 a bucket
_MICROSECONDS = 1e6


class Distribution:
    """Durations of one kind."""

    def __init__(self, histogram: HdrHistogram | None = None) -> None:
        self._histogram = histogram or HdrHistogram(1, _HIGHEST_MICROSECONDS, _DIGITS)

    @classmethod
    def read(cls, text: str) -> Distribution:
        """From its text.

        :raises ValueError: it is none.
        """
        try:
            histogram = HdrHistogram(1, _HIGHEST_MICROSECONDS, _DIGITS)
            histogram.decode_and_add(text)
        except Exception as error:  # the library raises what zlib, base64 and its own header checks raise
            raise ValueError("not the text of an HDR histogram") from error
        return cls(histogram)

    def text(self) -> str:
        """Compressed, in base64; :meth:`read` takes it."""
        encoded: bytes = self._histogram.encode()
        return encoded.decode()

    def add(self, seconds: np.ndarray) -> None:
        """Count durations in seconds; NaN is left out."""
        values = np.asarray(seconds, dtype=float)
        micro = np.clip(np.rint(values[~np.isnan(values)] * _MICROSECONDS), 0, _HIGHEST_MICROSECONDS).astype(np.int64)
        # The library counts one value at a time: give it each one of those that it cannot tell apart once.
        shift = np.maximum(np.frexp(micro.astype(float))[1] - 1 - _HALF_MAGNITUDE, 0)
        found, counts = np.unique((micro >> shift) << shift, return_counts=True)
        for value, count in zip(found.tolist(), counts.tolist(), strict=True):
            self._histogram.record_value(value, count)

    def merge(self, other: Distribution) -> None:
        """Add what another one counted."""
        self._histogram.add(other._histogram)

    def __len__(self) -> int:
        return int(self._histogram.get_total_count())

    def percentile(self, percent: float) -> float:
        """In seconds; NaN when nothing was counted."""
        if not len(self):
            return float("nan")
        return float(self._histogram.get_value_at_percentile(percent)) / _MICROSECONDS

    def percentiles(self, percents: Iterable[float]) -> dict[float, float]:
        """Several at once, in seconds."""
        if not len(self):
            return dict.fromkeys(percents, float("nan"))
        found = self._histogram.get_percentile_to_value_dict(list(percents))
        return {float(percent): float(value) / _MICROSECONDS for percent, value in found.items()}


def merged(parts: Iterable[Mapping[str, str]]) -> dict[str, Distribution]:
    """Histograms of many seconds or engines (:attr:`EngineSecond.histograms`), added up by metric.

    :raises ValueError: a text among them is none.
    """
    whole: dict[str, Distribution] = {}
    for part in parts:
        for metric, text in part.items():
            found = Distribution.read(text)
            if metric in whole:
                whole[metric].merge(found)
            else:
                whole[metric] = found
    return whole
