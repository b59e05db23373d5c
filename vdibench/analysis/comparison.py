"""Two runs against each other: what became worse, what better, and how sure that is. Pure but for reading the runs.

:func:`compare` refuses runs that must not be compared, then holds each metric at each level of each suite against its
like. All comparisons of one call are corrected together (Holm), so that the chance of *any* false alarm among them is
at most :data:`ALPHA`; so are all limits, each of which is tested against itself and not against no difference.
``docs/design/comparison.md`` says why it is done so.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from vdibench.analysis.clusters import Side, Unit, unit_of
from vdibench.analysis.metadata import Checked, check, noted, refuse, stated
from vdibench.analysis.regressions import Limit, Wanted, comparable, default_statistic, doubt, worsening
from vdibench.analysis.resampling import FEWEST_CLUSTERS, Cluster, Method, enough_values, shift
from vdibench.errors import RunInvalid, TargetUnavailable, UsageError
from vdibench.metrics import REGISTRY, Metric, Statistic
from vdibench.records import Outcome, RunState, worst
from vdibench.store import Recording

__all__ = ["ALPHA", "Comparison", "Difference", "Finding", "LimitResult", "compare", "corrected", "differences"]

ALPHA = 0.05


class Finding(StrEnum):
    """What can be said of one metric."""

    WORSE = "worse"
    BETTER = "better"
    NO_DIFFERENCE = "no difference shown"
    UNDECIDED = "undecided"
    NO_DATA = "no data"


@dataclass(frozen=True, slots=True)
class Difference:
    """One metric at one level of one suite, on both sides; values in its base unit.

    :param low: of the difference ``new - base``, 95 % interval; None where the values are too few for one.
    :param high: the same.
    :param p: how often chance alone gives a difference at least as large, either way.
    :param p_corrected: the same with all comparisons of this call in mind; None where ``p`` is.
    :param method: where ``p`` comes from; with ``blocks`` it holds for these sessions only, and is not corrected.
    :param unit_of: what was resampled as a whole: ``runs``, ``trials`` or ``starts``.
    :param units: how many of them on each side.
    :param samples: how many values on each side.
    :param note: why nothing, or not more, can be said.
    """

    suite: str
    level: int
    metric: str
    statistic: str
    unit: str
    finding: Finding
    base: float | None = None
    new: float | None = None
    delta: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    p_corrected: float | None = None
    method: str = str(Method.NONE)
    unit_of: str = ""
    units: tuple[int, int] = (0, 0)
    samples: tuple[int, int] = (0, 0)
    note: str = ""


@dataclass(frozen=True, slots=True)
class LimitResult:
    """One limit (:mod:`vdibench.analysis.regressions`) at one place.

    :param p: how often chance alone exceeds the limit by as much, one-sided.
    :param p_corrected: the same with all limits and places of this call in mind.
    """

    limit: str
    suite: str
    level: int | None
    outcome: Outcome
    reason: str
    p: float | None = None
    p_corrected: float | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """What came of it.

    :param checked: what the runs state of themselves, key by key.
    :param notes: what the reader must know: what the comparison does not cover, what else differs.
    """

    base: tuple[str, ...]
    new: tuple[str, ...]
    synthetic: bool
    checked: tuple[Checked, ...]
    differences: tuple[Difference, ...]
    limits: tuple[LimitResult, ...]
    notes: tuple[str, ...]
    alpha: float = ALPHA

    @property
    def outcome(self) -> Outcome:
        """Of the limits, where any was given; else whether anything could be compared."""
        if self.limits:
            return worst(result.outcome for result in self.limits)
        compared = any(one.finding is not Finding.NO_DATA for one in self.differences)
        return Outcome.PASS if compared else Outcome.NO_DATA

    def found(self, finding: Finding) -> tuple[Difference, ...]:
        """The differences of which this was found."""
        return tuple(one for one in self.differences if one.finding is finding)


def compare(
    base: Sequence[Recording],
    new: Sequence[Recording],
    *,
    limits: Sequence[Limit] = (),
    wanted: Sequence[Wanted] = (),
    allowed: Iterable[str] = (),
    varied: Iterable[str] = (),
) -> Comparison:
    """Compare the runs of two sides.

    :param limits: what may not become worse; then only these metrics are compared, and those of ``wanted``.
    :param wanted: metrics to compare; without both, every metric that has a better direction.
    :param allowed: checked keys that may differ.
    :param varied: checked keys that are under test, and must differ.
    :raises RunInvalid: a run is not finished or invalid, or the sides differ in what was not named.
    :raises TargetUnavailable: the sides have no suite in common.
    :raises UsageError: a run stands twice on one side, or a key that no run states was named.
    """
    sides = (_usable("base", base), _usable("new", new))
    before, after = (Side([one.tables for one in side]) for side in sides)
    suites = [suite for suite in before.suites if suite in after.suites]
    if not suites:
        raise TargetUnavailable(
            f"base measured {', '.join(before.suites) or 'nothing'}, new {', '.join(after.suites) or 'nothing'}",
            "compare runs of the same notebook",
        )
    told = [[stated(one.run) for one in side] for side in sides]
    checked = check(told[0], told[1], suites, allowed=allowed, varied=varied)
    refuse(checked)
    asked = (*limits, *wanted)
    found = differences(before, after, suites, asked)
    return Comparison(
        tuple(one.folder.name for one in sides[0]),
        tuple(one.folder.name for one in sides[1]),
        any(one.run.context.get("synthetic", False) for side in sides for one in side),
        checked,
        tuple(found),
        tuple(_judged(limits, found, before, after)),
        (*_coverage(sides, found), *noted(*([one.run for one in side] for side in sides)), *_damage(sides)),
    )


def differences(before: Side, after: Side, suites: Iterable[str], asked: Sequence[Wanted] = ()) -> list[Difference]:
    """Every metric of both sides at each level of ``suites``, corrected together.

    :param asked: what to compare; without, every metric that has a better direction and any value.
    """
    found = corrected(
        [
            _difference(metric, statistic, suite, level, before, after)
            for suite in suites
            for level in sorted({*before.levels(suite), *after.levels(suite)})
            for metric, statistic in _asked(asked, suite, level)
        ]
    )
    # Most metrics are for one suite or dialect only: what neither side has is no news, unless it was asked for.
    return found if asked else [one for one in found if one.samples != (0, 0)]


def corrected(differences: Sequence[Difference], alpha: float = ALPHA) -> list[Difference]:
    """The same differences with their corrected p and what follows from it, in the same order.

    What too few units can show decides nothing, and is not corrected for.
    """
    tested = [None if one.method in (Method.NONE, Method.BLOCKS) else one.p for one in differences]
    pairs = zip(differences, _holm(tested), strict=True)
    return [_decided(dataclasses.replace(one, p_corrected=p), alpha) for one, p in pairs]


def _holm(tested: Sequence[float | None]) -> list[float | None]:
    """Each p with all others in mind, by Holm's method; None stays None and does not count."""
    found: list[float | None] = [None] * len(tested)
    given = sorted((p, index) for index, p in enumerate(tested) if p is not None)
    largest = 0.0
    for rank, (p, index) in enumerate(given):
        largest = found[index] = max(largest, min(1.0, (len(given) - rank) * p))
    return found


def _decided(one: Difference, alpha: float) -> Difference:
    if one.finding is Finding.NO_DATA or one.base is None or one.new is None:
        return one
    if one.p_corrected is None:
        if one.delta == 0:
            return dataclasses.replace(one, finding=Finding.NO_DIFFERENCE)
        return dataclasses.replace(one, finding=Finding.UNDECIDED, note=_missing(one))
    if one.p_corrected >= alpha:
        return dataclasses.replace(one, finding=Finding.NO_DIFFERENCE)
    worse = worsening(REGISTRY[one.metric], one.base, one.new) > 0
    return dataclasses.replace(one, finding=Finding.WORSE if worse else Finding.BETTER)


def _missing(one: Difference) -> str:
    """What it takes to decide."""
    need = f"{FEWEST_CLUSTERS} {one.unit_of}" + (f" or {FEWEST_CLUSTERS} runs" if one.unit_of != Unit.RUNS else "")
    return f"{one.units[0]} + {one.units[1]} {one.unit_of} say nothing of others: at least {need} a side are needed"


def _difference(metric: Metric, statistic: Statistic, suite: str, level: int, before: Side, after: Side) -> Difference:
    sides, whole = _sides(metric, suite, level, before, after)
    samples = tuple(sum(len(series) for cluster in side for series in cluster) for side in sides)
    one = Difference(
        suite, level, metric.name, str(statistic), metric.unit, Finding.NO_DATA, samples=(samples[0], samples[1])
    )
    for name, count in zip(("base", "new"), samples, strict=True):
        if not enough_values(statistic, count):
            why = f"{name} has {'no' if not count else f'only {count}'} values"
            return dataclasses.replace(one, note=why)
    result = shift(statistic, sides[0], sides[1])
    return dataclasses.replace(
        one,
        finding=Finding.UNDECIDED,
        base=result.base,
        new=result.new,
        delta=result.delta,
        low=result.low,
        high=result.high,
        p=result.p,
        method=str(result.method),
        unit_of=str(whole),
        units=(len(sides[0]), len(sides[1])),
    )


def _sides(metric: Metric, suite: str, level: int, before: Side, after: Side) -> tuple[list[list[Cluster]], Unit]:
    """The values of both sides by what is resampled as a whole, and what that is."""
    runs = [side.clusters(metric, suite, level) for side in (before, after)]
    if min(map(len, runs)) >= FEWEST_CLUSTERS:
        # Runs differ in more than trials do: where there are enough of them, they are what varies.
        return [[[series for unit in run for series in unit] for run in side] for side in runs], Unit.RUNS
    return [[unit for run in side for unit in run] for side in runs], unit_of(metric, suite)


def _asked(asked: Sequence[Wanted], suite: str, level: int) -> Iterator[tuple[Metric, Statistic]]:
    if not asked:
        yield from ((metric, default_statistic(metric)) for metric in REGISTRY.values() if comparable(metric))
        return
    yield from dict.fromkeys((one.metric, one.statistic) for one in asked if one.covers(suite, level))


def _judged(
    limits: Iterable[Limit], found: Collection[Difference], before: Side, after: Side, alpha: float = ALPHA
) -> list[LimitResult]:
    """Every limit at its places, corrected together."""
    places = [(limit, one) for limit in limits for one in _places(limit, found)]
    tested = [_doubt(limit, one, before, after) for limit, one in places]
    results = []
    for (limit, one), p, corrected_p in zip(places, tested, _holm(tested), strict=True):
        if one is None:
            results.append(
                LimitResult(limit.text, limit.suite or "", limit.level, Outcome.NO_DATA, "base has no values")
            )
            continue
        outcome, reason = _kept(limit, one, corrected_p, alpha)
        results.append(LimitResult(limit.text, one.suite, one.level, outcome, reason, p, corrected_p))
    return results


def _places(limit: Limit, found: Iterable[Difference]) -> Sequence[Difference | None]:
    """Where base has data: what base has, new must have. One None where it has none anywhere."""
    concerned = [
        one
        for one in found
        if one.metric == limit.metric.name
        and one.statistic == str(limit.statistic)
        and limit.covers(one.suite, one.level)
    ]
    return [one for one in concerned if one.samples[0] or limit.level is not None] or [None]


def _doubt(limit: Limit, one: Difference | None, before: Side, after: Side) -> float | None:
    if one is None or one.base is None or one.new is None:
        return None
    sides, _ = _sides(limit.metric, one.suite, one.level, before, after)
    return doubt(limit, one.base, sides[0], sides[1])


def _kept(limit: Limit, one: Difference, p: float | None, alpha: float) -> tuple[Outcome, str]:
    if one.base is None or one.new is None:
        return Outcome.NO_DATA, one.note
    if not limit.exceeded(one.base, one.new):
        return Outcome.PASS, "within the limit"
    if p is None:
        return Outcome.NO_DATA, f"worse by more than the limit in what was measured; {_missing(one)}"
    if p < alpha:
        return Outcome.FAIL, "worse by more than the limit, beyond chance"
    return (
        Outcome.NO_DATA,
        "worse by more than the limit in what was measured, but chance may explain that: measure more",
    )


def _usable(name: str, side: Sequence[Recording]) -> list[Recording]:
    folders = [one.folder.resolve() for one in side]
    for folder in folders:
        if folders.count(folder) > 1:
            raise UsageError(f"{folder.name} stands twice among the {name} runs", "name each run once")
    for one in side:
        if one.run.state is not RunState.FINISHED:
            raise RunInvalid(
                f"{one.folder.name} is not finished but {one.run.state}", "compare runs that came to their end"
            )
        if one.verdict.outcome is Outcome.INVALID:
            reasons = "; ".join(reason for suite in one.verdict.suites for reason in suite.reasons)
            raise RunInvalid(f"{one.folder.name} is invalid: {reasons or 'its verdict says so'}", "measure it again")
    return list(side)


def _coverage(sides: Sequence[Sequence[Recording]], found: Iterable[Difference]) -> Iterator[str]:
    """What was resampled, and what that leaves out."""
    folders = [{one.folder.resolve() for one in side} for side in sides]
    if folders[0] & folders[1]:
        yield "a run stands on both sides: its own samples cannot differ from themselves"
    tested = [one for one in found if one.finding is not Finding.NO_DATA]
    if min(map(len, sides)) < FEWEST_CLUSTERS and tested:
        yield (
            "trials were resampled: what differs from run to run (the host's state, another lab) is not covered; "
            f"{FEWEST_CLUSTERS} runs a side cover it"
        )
    if any(one.finding is Finding.UNDECIDED for one in tested):
        yield (
            "undecided: sessions of one trial share the host and the moment, and processes outlast trials. It takes at "
            f"least {FEWEST_CLUSTERS} trials a side (-p trials {FEWEST_CLUSTERS}, where the suite has them), or "
            f"{FEWEST_CLUSTERS} runs a side"
        )


def _damage(sides: Iterable[Iterable[Recording]]) -> Iterator[str]:
    for side in sides:
        for one in side:
            yield from (f"{one.folder.name}: {line}" for line in dict.fromkeys(one.damage))
