"""How much worse a metric may become: ``glass_to_glass_seconds p95 5%``. Pure.

::

    limit      = metric [ statistic ] amount [ "in" suite ] [ "at level" N ]
    wanted     = metric [ statistic ] [ "in" suite ] [ "at level" N ]
    statistic  = "p" N | "p(" N ")" | "avg" | "mean"      the metric's own without
    amount     = [ "+" | "-" ] number [ "%" | unit ]      %: of the base; unit: s ms us, B KiB MiB GiB; none: base unit

An amount is what may be lost: its sign, where there is one, is the direction in which the metric gets worse. Errors
name the word that was not understood and what is allowed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from vdibench.analysis.resampling import Cluster, Method, shift
from vdibench.errors import ParameterError
from vdibench.metrics import REGISTRY, Direction, Metric, Statistic

__all__ = [
    "MIXTURES",
    "Limit",
    "Wanted",
    "comparable",
    "default_statistic",
    "doubt",
    "parse_limit",
    "parse_wanted",
    "worsening",
]

# Values of several things under one name: the whole says nothing of any of them.
MIXTURES = frozenset({"session_phase_seconds", "server_element_seconds"})

_OF_THE_MEASURING = frozenset({"clock_bound_seconds"})

_UNITS = {
    "seconds": {"s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6},
    "bytes": {"B": 1.0, "KiB": 2.0**10, "MiB": 2.0**20, "GiB": 2.0**30},
}
_AMOUNT = re.compile(r"(?P<sign>[+-]?)(?P<number>\d+\.?\d*|\.\d+)(?P<unit>[^\d\s.]*)")
_STATISTIC = re.compile(r"p\(?(?P<percent>\d+(?:\.\d+)?)\)?")
_P95, _AVG = Statistic("p", 95.0), Statistic("avg")
_EXAMPLE = "write one like 'glass_to_glass_seconds p95 5%'"


@dataclass(frozen=True, slots=True)
class Wanted:
    """A metric's statistic, and where.

    :param suite: None for every suite that has it.
    :param level: None for every level.
    """

    text: str
    metric: Metric
    statistic: Statistic
    suite: str | None = None
    level: int | None = None

    def covers(self, suite: str, level: int) -> bool:
        """Whether this place is meant."""
        return self.suite in (None, suite) and self.level in (None, level)


@dataclass(frozen=True, slots=True)
class Limit(Wanted):
    """How much worse it may become.

    :param amount: above zero or zero; a share of the base's value where ``relative``, else in the metric's unit.
    """

    amount: float = 0.0
    relative: bool = False

    def exceeded(self, base: float, new: float) -> bool:
        """Whether ``new`` is worse than ``base`` by more than the limit."""
        return worsening(self.metric, base, new) > self.allowance(base)

    def allowance(self, base: float) -> float:
        """The limit in the metric's unit."""
        return self.amount * abs(base) if self.relative else self.amount


def worsening(metric: Metric, base: float, new: float) -> float:
    """By how much ``new`` is worse than ``base``; below zero where it is better."""
    return new - base if metric.direction is Direction.LOWER else base - new


def doubt(limit: Limit, value: float, base: Sequence[Cluster], new: Sequence[Cluster]) -> float | None:
    """How often chance alone makes ``new`` exceed the limit by as much, where it truly just keeps it: one-sided p.

    :param value: the statistic of ``base``.
    :returns: None where the units are too few to say.
    """
    sign = 1 if limit.metric.direction is Direction.LOWER else -1
    # The limit put on base: a share of it varies as base does. Percentiles and means move along.
    scale = max(0.0, 1 + sign * math.copysign(limit.amount, value)) if limit.relative else 1.0
    moved = 0.0 if limit.relative else sign * limit.amount
    allowed = [[scale * series + moved for series in cluster] for cluster in base]
    found = shift(limit.statistic, allowed, new)
    if found.p is None or found.method in (Method.BLOCKS, Method.NONE):
        return None
    beyond = worsening(limit.metric, found.base, found.new) > 0
    return found.p / 2 if beyond else 1 - found.p / 2


def default_statistic(metric: Metric) -> Statistic:
    """What a metric is compared by: p95 of latencies, else the mean."""
    return _P95 if metric.unit == "seconds" and metric.kind in ("frame", "event", "reading") else _AVG


def comparable(metric: Metric) -> bool:
    """Whether two sides can be compared by this metric: it has a better direction and values of one thing."""
    left_out = MIXTURES | _OF_THE_MEASURING
    return metric.direction is not Direction.NONE and bool(metric.table) and metric.name not in left_out


def parse_limit(text: str) -> Limit:
    """Understand one limit.

    :raises ParameterError: it is not in the language.
    """
    metric, statistic, rest = _begin(text)
    if not rest:
        raise ParameterError(f"{text!r} does not say how much {metric.name} may lose", _EXAMPLE)
    amount, relative = _amount(text, metric, rest.pop(0))
    suite, level = _place(text, rest)
    return Limit(" ".join(text.split()), metric, statistic, suite, level, amount, relative)


def parse_wanted(text: str) -> Wanted:
    """Understand a metric, its statistic and where.

    :raises ParameterError: it is not in the language.
    """
    metric, statistic, rest = _begin(text)
    suite, level = _place(text, rest)
    return Wanted(" ".join(text.split()), metric, statistic, suite, level)


def _begin(text: str) -> tuple[Metric, Statistic, list[str]]:
    words = text.split()
    if not words:
        raise ParameterError("a limit is empty", _EXAMPLE)
    metric, rest = _metric(words[0]), words[1:]
    if not rest or rest[0][0] in "+-.0123456789" or rest[0] in ("in", "at"):
        return metric, default_statistic(metric), rest
    return metric, _statistic(text, rest[0]), rest[1:]


def _metric(name: str) -> Metric:
    names = [known for known, metric in REGISTRY.items() if comparable(metric)]
    if name in names:
        return REGISTRY[name]
    if name in REGISTRY:
        raise ParameterError(
            f"{name} cannot be compared: {_why_not(REGISTRY[name])}", f"take one of {', '.join(_near(name, names))}"
        )
    near = _near(name, names)
    raise ParameterError(f"there is no metric {name!r}", f"did you mean {near[0]!r}? docs/reference/metrics.md has all")


def _near(name: str, names: list[str]) -> list[str]:
    return get_close_matches(name, names, n=3, cutoff=0.0)


def _why_not(metric: Metric) -> str:
    if metric.name in MIXTURES:
        return "its values are of several things"
    if metric.name in _OF_THE_MEASURING:
        return "it says how exact the measuring was"
    if not metric.table:
        return "a run has one value of it"
    return "neither more nor less of it is better"


def _statistic(text: str, word: str) -> Statistic:
    if word in ("avg", "mean"):
        return _AVG
    match = _STATISTIC.fullmatch(word)
    if match is not None and 0 < float(match["percent"]) < 100:
        return Statistic("p", float(match["percent"]))
    raise ParameterError(f"{word!r} in {text!r} is not a statistic", "write p95, p50, p5 or avg")


def _amount(text: str, metric: Metric, word: str) -> tuple[float, bool]:
    match = _AMOUNT.fullmatch(word)
    units = _UNITS.get(metric.unit, {})
    allowed = f"a number with % (of the base){''.join(f', {unit}' for unit in units)}, or alone in {metric.unit}"
    if match is None or match["unit"] not in ("", "%", *units):
        raise ParameterError(f"{word!r} in {text!r} is not an amount of {metric.unit}", f"write {allowed}")
    worse = "+" if metric.direction is Direction.LOWER else "-"
    if match["sign"] and match["sign"] != worse:
        raise ParameterError(
            f"{word!r} in {text!r} would be an improvement: {metric.direction} is better",
            f"write how much may be lost: {worse}{word[1:]}",
        )
    number = float(match["number"])
    if not math.isfinite(number):
        raise ParameterError(f"{word!r} in {text!r} is not a number", f"write {allowed}")
    if match["unit"] == "%":
        return number / 100, True
    return number * units.get(match["unit"], 1.0), False


def _place(text: str, rest: Iterable[str]) -> tuple[str | None, int | None]:
    suite: str | None = None
    level: int | None = None
    words = list(rest)
    while words:
        if words[0] == "in" and len(words) > 1 and suite is None:
            suite, words = words[1], words[2:]
        elif words[:2] == ["at", "level"] and len(words) > 2 and words[2].isdecimal() and level is None:
            level, words = int(words[2]), words[3:]
        else:
            raise ParameterError(
                f"{' '.join(words)!r} at the end of {text!r} is not understood", "write 'in SUITE' or 'at level N'"
            )
    return suite, level
