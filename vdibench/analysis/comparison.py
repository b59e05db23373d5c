"""Two runs against each other: what became worse, what better, and how sure that is. Pure but for reading the runs.

:func:`compare` refuses runs that must not be compared, then holds each metric at each level of each suite against its
like. All comparisons of one call are corrected together (Holm), so that the chance of *any* false alarm among them is
at most :data:`ALPHA`. ``docs/design/comparison.md`` says why it is done so.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

import pandas as pd

from vdibench.analysis.clusters import Side
from vdibench.analysis.metadata import Checked, check, noted, refuse, stated
from vdibench.analysis.regressions import Limit, Wanted, comparable, default_statistic, worsening
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
    :param method: where ``p`` comes from; with ``blocks`` it holds for these sessions only.
    :param unit_of: what was resampled as a whole: ``runs``, ``sessions`` or ``blocks`` of time within sessions.
    :param units: how many sessions (runs) on each side.
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
    """One limit (:mod:`vdibench.analysis.regressions`) at one place."""

    limit: str
    suite: str
    level: int | None
    outcome: Outcome
    reason: str


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
    told = [[stated(one.run, _facts(one, suites)) for one in side] for side in sides]
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
        tuple(result for limit in limits for result in _judge(limit, found)),
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
    """The same differences with their corrected p (Holm's) and what follows from it, in the same order."""
    tested = sorted(
        (index for index, one in enumerate(differences) if one.method != Method.NONE),
        key=lambda index: differences[index].p or 0.0,
    )
    found = list(differences)
    largest = 0.0
    for rank, index in enumerate(tested):
        largest = max(largest, min(1.0, (len(tested) - rank) * (differences[index].p or 0.0)))
        found[index] = dataclasses.replace(differences[index], p_corrected=largest)
    return [_decided(one, alpha) for one in found]


def _decided(one: Difference, alpha: float) -> Difference:
    if one.finding is Finding.NO_DATA or one.base is None or one.new is None:
        return one
    shown = one.p_corrected if one.p_corrected is not None else one.p
    if shown is None:
        note = f"at least {FEWEST_CLUSTERS} sessions a side are needed"
        return dataclasses.replace(one, finding=Finding.UNDECIDED, note=note)
    if shown >= alpha:
        return dataclasses.replace(one, finding=Finding.NO_DIFFERENCE)
    if one.method == Method.BLOCKS:
        note = f"these sessions differ; whether others would takes at least {FEWEST_CLUSTERS} a side"
        return dataclasses.replace(one, finding=Finding.UNDECIDED, note=note)
    worse = worsening(REGISTRY[one.metric], one.base, one.new) > 0
    return dataclasses.replace(one, finding=Finding.WORSE if worse else Finding.BETTER)


def _difference(metric: Metric, statistic: Statistic, suite: str, level: int, before: Side, after: Side) -> Difference:
    runs = [side.clusters(metric, suite, level) for side in (before, after)]
    sessions: list[list[Cluster]] = [[session for run in side for session in run] for side in runs]
    samples = tuple(sum(len(series) for session in side for series in session) for side in sessions)
    one = Difference(
        suite, level, metric.name, str(statistic), metric.unit, Finding.NO_DATA, samples=(samples[0], samples[1])
    )
    for name, count in zip(("base", "new"), samples, strict=True):
        if not enough_values(statistic, count):
            why = f"{name} has {'no' if not count else f'only {count}'} values"
            return dataclasses.replace(one, note=why)
    by_run = min(map(len, runs)) >= FEWEST_CLUSTERS
    # Runs differ in more than sessions do: where there are enough of them, they are what varies.
    sides = [[[s for session in run for s in session] for run in side] for side in runs] if by_run else sessions
    result = shift(statistic, sides[0], sides[1])
    whole = "runs" if by_run else "sessions"
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
        unit_of="blocks" if result.method is Method.BLOCKS else whole,
        units=(len(sides[0]), len(sides[1])),
    )


def _asked(asked: Sequence[Wanted], suite: str, level: int) -> Iterator[tuple[Metric, Statistic]]:
    if not asked:
        yield from ((metric, default_statistic(metric)) for metric in REGISTRY.values() if comparable(metric))
        return
    yield from dict.fromkeys((one.metric, one.statistic) for one in asked if one.covers(suite, level))


def _judge(limit: Limit, found: Collection[Difference]) -> Iterator[LimitResult]:
    """A limit at every place where base has data; what base has, new must have."""
    concerned = [
        one
        for one in found
        if one.metric == limit.metric.name
        and one.statistic == str(limit.statistic)
        and limit.covers(one.suite, one.level)
    ]
    places = [one for one in concerned if one.samples[0]] if limit.level is None else concerned
    if not places:
        yield LimitResult(limit.text, limit.suite or "", limit.level, Outcome.NO_DATA, "base has no values")
    for one in places:
        yield LimitResult(limit.text, one.suite, one.level, *_kept(limit, one))


def _kept(limit: Limit, one: Difference) -> tuple[Outcome, str]:
    if one.base is None or one.new is None:
        return Outcome.NO_DATA, one.note
    if not limit.exceeded(one.base, one.new):
        return Outcome.PASS, "within the limit"
    if one.finding is Finding.WORSE:
        return Outcome.FAIL, "worse by more than the limit"
    if one.finding is Finding.UNDECIDED:
        return Outcome.NO_DATA, f"worse by more than the limit in what was measured; {one.note}"
    return Outcome.PASS, "beyond the limit, but chance alone explains the difference"


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


def _facts(one: Recording, suites: Collection[str]) -> pd.DataFrame:
    facts = one.table("facts")
    return facts[facts["suite"].isin(suites)]


def _coverage(sides: Sequence[Sequence[Recording]], found: Iterable[Difference]) -> Iterator[str]:
    """What was resampled, and what that leaves out."""
    folders = [{one.folder.resolve() for one in side} for side in sides]
    if folders[0] & folders[1]:
        yield "a run stands on both sides: its own samples cannot differ from themselves"
    tested = [one for one in found if one.finding is not Finding.NO_DATA]
    if min(map(len, sides)) < FEWEST_CLUSTERS and tested:
        yield (
            "sessions were resampled: what differs from run to run (the host's state, another lab) is not covered; "
            f"{FEWEST_CLUSTERS} runs a side cover it"
        )
    if any(one.finding is Finding.UNDECIDED for one in tested):
        yield f"undecided: less than {FEWEST_CLUSTERS} sessions a side tell nothing of how much sessions differ anyway"


def _damage(sides: Iterable[Iterable[Recording]]) -> Iterator[str]:
    for side in sides:
        for one in side:
            yield from (f"{one.folder.name}: {line}" for line in dict.fromkeys(one.damage))
