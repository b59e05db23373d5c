"""How sure a difference between two sides is, by resampling what varies as a whole. Pure; any one unit.

Neighbouring frames are no independent samples; what a session has from its start (where captures fall against draws,
which core it got) it keeps to its end; and sessions of one trial share the host and the moment. So frames are never
resampled one by one. A side is a number of *clusters* (trials, or whole runs), a cluster a number of series (one a
session), a series values in order of time:

- With at least :data:`FEWEST_CLUSTERS` clusters on both sides the interval comes from a bootstrap on two levels (whole
  clusters, and sessions within their clusters; the larger variance counts) and t's distribution with Welch's degrees of
  freedom, by clusters. p is the larger of two: that of the same t, and the share of all ways to deal the clusters
  out to two sides that give as large a difference. Where there are less than
  :data:`FEWEST_RELABELLINGS` ways and none gives a larger difference, that share says no more than how few clusters
  there are, and t's p stands alone.
- With fewer, only blocks in time within each series can be resampled. Then the interval and p say how sure the
  difference between *these* clusters is, and nothing of other ones.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import stdtr, stdtrit

from vdibench.metrics import PERCENTILE_METHOD, Statistic

__all__ = [
    "FEWEST_CLUSTERS",
    "FEWEST_RELABELLINGS",
    "Cluster",
    "Method",
    "Shift",
    "Values",
    "block_length",
    "enough_values",
    "shift",
]

Values = npt.NDArray[np.float64]
Cluster = Sequence[Values]

FEWEST_CLUSTERS = 3
# Eight against eight: the smallest p is then 0.00016, so that 0.01 is in reach of 60 comparisons at once.
FEWEST_RELABELLINGS = math.comb(16, 8)
CONFIDENCE = 0.95
_RESAMPLES = 2000
_RELABELLINGS = 20_000
_FEWEST_BLOCKS = 6
_MOST_BLOCKS = 40  # of one series: longer ones than needed are as right, and cheaper
_GRID = 512
_CHUNK = 1000


class Method(StrEnum):
    """Where p comes from."""

    RELABELLING = "relabelling"
    T = "t"
    BLOCKS = "blocks"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Shift:
    """A statistic of two sides and their difference, ``new - base``.

    :param low: of the difference, 95 % interval; None where the values are too few for one.
    :param high: the same.
    :param p: how often chance alone gives a difference at least as large, either way; None where nothing can be said.
    :param method: where ``p`` comes from. With ``blocks`` the interval and p hold for these clusters only.
    """

    base: float
    new: float
    low: float | None
    high: float | None
    p: float | None
    method: Method

    @property
    def delta(self) -> float:
        """By how much ``new`` lies above ``base``."""
        return self.new - self.base


def enough_values(statistic: Statistic, count: int) -> bool:
    """Whether so many values have such a statistic: a percentile of fewer is only their smallest or largest."""
    if statistic.percent is None:
        return count > 0
    share = min(statistic.percent, 100 - statistic.percent) / 100
    return share > 0 and count >= 1 / share - 1e-9


def shift(statistic: Statistic, base: Sequence[Cluster], new: Sequence[Cluster]) -> Shift:
    """Compare two sides; the same values always give the same answer.

    :param statistic: a percentile or ``avg``, of all values of a side together.
    :raises ValueError: a side has no values, or the statistic is another one.
    """
    sides = (_filled(base), _filled(new))
    if not all(sides):
        raise ValueError("a side without values cannot be compared")
    if statistic.kind not in ("p", "avg"):
        raise ValueError(f"{statistic} cannot be resampled: take a percentile or avg")
    before, after = (_exact(statistic, side) for side in sides)
    random = np.random.default_rng(20)
    if min(map(len, sides)) < FEWEST_CLUSTERS:
        return _by_blocks(statistic, sides, before, after, random)
    return _by_clusters(statistic, sides, before, after, random)


def _by_clusters(
    statistic: Statistic, sides: Sequence[list[Cluster]], before: float, after: float, random: np.random.Generator
) -> Shift:
    counts = [len(side) for side in sides]
    # Drawn as wholes, clusters show also what differs within them: to draw both at once would count that twice.
    pieces = [_Pieces(statistic, [np.concatenate(cluster) for cluster in side]) for side in sides]
    # A bootstrap of n clusters shows (n - 1) / n of the variance.
    variances = [
        _variance(part, count, random) * count / (count - 1) for part, count in zip(pieces, counts, strict=True)
    ]
    # Clusters may agree by luck; less than what their sessions vary by cannot be between them.
    floors = [_stratified(statistic, side, random)[0] for side in sides]
    if min(counts) <= 2 * FEWEST_CLUSTERS:
        # Nor less than what varies within sessions: there may be one a cluster.
        floors = [max(one, _within(statistic, side, random)[0]) for one, side in zip(floors, sides, strict=True)]
    variances = [max(one, floor) for one, floor in zip(variances, floors, strict=True)]
    error = math.sqrt(sum(variances))
    dealt, rarest = _relabelled(statistic, sides, random)
    if error == 0:
        # Clusters that are all alike have no spread to hold a difference against; in how many ways it could have come
        # about can still be counted.
        return Shift(before, after, None, None, dealt, Method.RELABELLING)
    freedom = error**4 / sum(one**2 / (count - 1) for one, count in zip(variances, counts, strict=True))
    p, reach = _by_t(after - before, error, freedom)
    if dealt > rarest or math.comb(sum(counts), counts[0]) >= FEWEST_RELABELLINGS:
        # Each has its blind side: t a few clusters that are far off, relabelling sides of unlike spread and number.
        p = max(p, dealt)
    method = Method.RELABELLING if p == dealt else Method.T
    return Shift(before, after, after - before - reach, after - before + reach, p, method)


def _by_blocks(
    statistic: Statistic, sides: Sequence[list[Cluster]], before: float, after: float, random: np.random.Generator
) -> Shift:
    within = [_within(statistic, side, random) for side in sides]
    error = math.sqrt(sum(variance for variance, _ in within))
    freedom = sum(freedom for _, freedom in within)
    if error == 0 or min(freedom for _, freedom in within) < _FEWEST_BLOCKS:
        # Nothing to hold a difference against; no difference at all needs nothing.
        return Shift(before, after, None, None, 1.0 if after == before else None, Method.NONE)
    p, reach = _by_t(after - before, error, freedom)
    return Shift(before, after, after - before - reach, after - before + reach, p, Method.BLOCKS)


def _by_t(difference: float, error: float, freedom: float) -> tuple[float, float]:
    """p of a difference by t's distribution, and how far its interval reaches either way."""
    return float(2 * stdtr(freedom, -abs(difference) / error)), float(stdtrit(freedom, (1 + CONFIDENCE) / 2)) * error


def _within(statistic: Statistic, side: Sequence[Cluster], random: np.random.Generator) -> tuple[float, int]:
    """Variance of a side's statistic that comes from within its series, and its degrees of freedom."""
    return _stratified(statistic, [_blocks(statistic, series) for cluster in side for series in cluster], random)


def _stratified(
    statistic: Statistic, strata: Sequence[Sequence[Values]], random: np.random.Generator
) -> tuple[float, int]:
    """Variance of the statistic of all pieces that comes from within their strata, and its degrees of freedom."""
    pieces = [piece for stratum in strata for piece in stratum]
    freedom = len(pieces) - len(strata)
    if freedom == 0:
        return 0.0, 0
    drawn = np.concatenate([_multinomial(len(stratum), random) for stratum in strata], axis=1)
    return float(_Pieces(statistic, pieces).of(drawn).var()) * len(pieces) / freedom, freedom


def _blocks(statistic: Statistic, series: Values) -> list[Values]:
    """A series cut into blocks that are about as long as its values depend on each other."""
    counted = series
    if statistic.percent is not None:
        counted = (series <= _exact(statistic, [[series]])).astype(float)  # all that a percentile sees of a value
    return np.array_split(series, min(max(1, int(len(series) / block_length(counted))), _MOST_BLOCKS))


def block_length(series: Values) -> float:
    """How many neighbours depend on each other so much that they must be drawn together, at least 1.

    The automatic choice of Politis and White (2004), as corrected by Patton, Politis and White (2009), for blocks of
    fixed length.
    """
    count = len(series)
    centred = series - series.mean()
    power = float(centred @ centred) / count if count else 0.0
    if count < 4 or power <= 1e-12 * float(np.abs(series).max()) ** 2:
        return 1.0
    run = max(5, math.ceil(math.log10(count)))
    most = min(math.ceil(math.sqrt(count)) + run, count - 1)
    covariances = np.array([float(centred[: count - lag] @ centred[lag:]) / count for lag in range(most + 1)])
    silent = np.abs(covariances[1:]) / power < 2 * math.sqrt(math.log10(count) / count)
    last = next((lag for lag in range(len(silent)) if silent[lag : lag + run].all()), len(silent))
    width = min(2 * max(last, 1), most)
    lags = np.arange(-width, width + 1)
    window = np.clip(2 * (1 - np.abs(lags) / width), 0, 1)
    weighted = window * covariances[np.abs(lags)]
    curvature, spread = float(weighted @ np.abs(lags)), float(weighted.sum())
    if spread <= 0:
        return 1.0
    length = (2 * curvature**2 / (4 / 3 * spread**2)) ** (1 / 3) * count ** (1 / 3)
    return float(min(max(length, 1.0), math.ceil(min(3 * math.sqrt(count), count / 3))))


def _relabelled(
    statistic: Statistic, sides: Sequence[list[Cluster]], random: np.random.Generator
) -> tuple[float, float]:
    """The share of ways to deal the clusters out to two sides that give at least the difference that was found.

    :returns: that share, and the smallest that there could be.
    """
    pieces = _Pieces(statistic, [np.concatenate(cluster) for side in sides for cluster in side])
    first, count = len(sides[0]), len(sides[0]) + len(sides[1])
    found = pieces.of((np.arange(count) >= first)[None]) - pieces.of((np.arange(count) < first)[None])
    every = math.comb(count, first)
    ways = _every_way(first, count) if every <= _RELABELLINGS else _some_ways(first, count, random)
    differences = np.abs(pieces.of(~ways) - pieces.of(ways))
    as_large = int((differences >= abs(found[0]) * (1 - 1e-9)).sum())
    # Sides of the same number can change places: that difference is as large.
    rarest = (2 if 2 * first == count else 1) / min(every, _RELABELLINGS + 1) * (1 + 1e-9)
    if every <= _RELABELLINGS:
        return as_large / every, rarest
    # The way that was found is one of them: nothing is so rare that it never happened.
    return (as_large + 1) / (len(ways) + 1), rarest


@lru_cache(maxsize=16)
def _every_way(first: int, count: int) -> npt.NDArray[np.bool_]:
    """Which clusters each possible relabelling calls base, shape ``(ways, count)``."""
    chosen = np.array(list(itertools.combinations(range(count), first)))
    ways = np.zeros((len(chosen), count), dtype=bool)
    np.put_along_axis(ways, chosen, True, axis=1)
    return ways


def _some_ways(first: int, count: int, random: np.random.Generator) -> npt.NDArray[np.bool_]:
    ways = np.tile(np.arange(count) < first, (_RELABELLINGS, 1))
    shuffled: npt.NDArray[np.bool_] = random.permuted(ways, axis=1)
    return shuffled


def _variance(pieces: _Pieces, count: int, random: np.random.Generator) -> float:
    return float(pieces.of(_multinomial(count, random)).var())


def _multinomial(count: int, random: np.random.Generator) -> Values:
    """How often each of ``count`` pieces is drawn, in many resamples."""
    return random.multinomial(count, np.full(count, 1 / count), _RESAMPLES).astype(float)


class _Pieces:
    """Values in pieces that are drawn as a whole: the statistic of any mixture of them, without their values."""

    def __init__(self, statistic: Statistic, pieces: Sequence[Values]) -> None:
        self._share = None if statistic.percent is None else statistic.percent / 100
        self._sizes = np.array([len(piece) for piece in pieces], dtype=float)
        self._sums = np.array([piece.sum() for piece in pieces])
        if self._share is not None:
            self._grid = self._steps(pieces)
            self._below = np.array(
                [np.searchsorted(np.sort(piece), self._grid, side="right") for piece in pieces], float
            )

    def _steps(self, pieces: Sequence[Values]) -> Values:
        # The percentile of a mixture lies between the smallest and the largest of its parts.
        assert self._share is not None
        own = [np.quantile(piece, self._share, method=PERCENTILE_METHOD) for piece in pieces]
        every = np.unique(np.concatenate(pieces))
        between = every[(every >= min(own)) & (every <= max(own))]
        if len(between) > _GRID:
            between = between[np.unique(np.linspace(0, len(between) - 1, _GRID).astype(int))]
        return between

    def of(self, weights: npt.NDArray[np.generic]) -> Values:
        """The statistic of each mixture; shape ``(n, pieces)`` in, ``(n,)`` out."""
        mixture = weights.astype(float)
        if self._share is None:
            means: Values = mixture @ self._sums / (mixture @ self._sizes)
            return means
        found = np.empty(len(mixture))
        for at in range(0, len(mixture), _CHUNK):
            part = mixture[at : at + _CHUNK]
            reached = part @ self._below >= (self._share * (part @ self._sizes))[:, None] - 1e-9
            found[at : at + _CHUNK] = self._grid[reached.argmax(axis=1)]
        return found


def _exact(statistic: Statistic, side: Sequence[Cluster]) -> float:
    value = statistic.of(pd.Series(np.concatenate([series for cluster in side for series in cluster])))
    assert value is not None  # a side has values
    return value


def _filled(side: Sequence[Cluster]) -> list[Cluster]:
    """The clusters that have values, without their empty series."""
    kept = [[series for series in cluster if len(series)] for cluster in side]
    return [cluster for cluster in kept if cluster]
