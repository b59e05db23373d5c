"""From objectives, samples and checks to the verdict of a suite. Pure.

No data never passes: not when nothing was measured, not when too little was, not when nothing applied.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from vdibench.metrics import Presence, Tables, chosen, levels, values, worst_bound
from vdibench.records import Check, ObjectiveResult, Outcome, SuiteVerdict, worst
from vdibench.slo.coverage import STAGED, measures_anything
from vdibench.slo.grammar import FIRST_LEVEL
from vdibench.slo.objectives import Objective, Objectives

__all__ = ["CHECK_PREFIX", "KneeBounds", "evaluate"]

CHECK_PREFIX = "check:"
_CLOCK_SHARE = 0.10  # of an objective that the clock's own bound may take


class KneeBounds(Protocol):
    """What an objective needs of a knee: the level known to be good, and the one it may still reach."""

    @property
    def lower(self) -> int:
        """Largest level known to be good; 0 when none is."""

    @property
    def upper(self) -> int | None:
        """Largest level that may still be good; None when no level was bad."""


def evaluate(
    objectives: Objectives,
    suite: str,
    tables: Tables,
    context: Mapping[str, Any],
    *,
    knee: KneeBounds | None = None,
    checks: Sequence[Check] = (),
    invalid_reasons: Sequence[str] = (),
) -> SuiteVerdict:
    """Judge one suite.

    :param context: ``Run.context``; besides what ``where`` asks for, ``framerate`` (frames per second asked for, the
        ``target`` of the grammar) and ``clock_bound_seconds`` (0 on one host).
    :param knee: of the suites that search for one; None when no level was decided.
    :param checks: manual checks; each counts like an objective.
    :param invalid_reasons: why the numbers must not be trusted; any makes the verdict invalid.
    """
    concerned = objectives.applicable(suite, context)
    results = [_of_check(check) for check in checks]
    for item in concerned:
        if item.applies:
            results.append(_judge(item.objective, suite, tables, context, knee))
        else:
            results.append(_result(item.objective, Outcome.NOT_APPLICABLE, item.reason))
    outcomes = [result.outcome for result in results]
    reasons = list(invalid_reasons)
    if invalid_reasons:
        outcomes.append(Outcome.INVALID)
    # Checks alone cannot make a suite pass that is there to measure.
    if not any(item.applies for item in concerned) and measures_anything(suite):
        outcomes.append(Outcome.NO_DATA)
        reasons.append(f"no objective applies to {suite} here")
    elif not results:
        reasons.append(f"{suite} made no check")
    return SuiteVerdict(suite, worst(outcomes), tuple(results), tuple(reasons))


def _judge(
    objective: Objective, suite: str, tables: Tables, context: Mapping[str, Any], knee: KneeBounds | None
) -> ObjectiveResult:
    expectation = objective.expectation
    framerate = context.get("framerate")
    limit = expectation.limit(None if framerate is None else float(framerate))
    if limit is None:
        return _result(objective, Outcome.NO_DATA, "the run does not say the frame rate that was asked for")
    if expectation.statistic is None:
        if knee is None:
            return _result(objective, Outcome.NO_DATA, "no level was decided", limit=limit)
        return _compare(objective, float(knee.lower), 1, limit, "levels tried")
    level = _level(objective, suite, tables, knee)
    if level is None:
        reason = "no level is known to be good" if objective.at.kind == "knee" else "no level was measured"
        return _result(objective, Outcome.NO_DATA, reason, limit=limit)
    found = values(objective.metric, tables, suite=suite, level=level)
    observed = expectation.statistic.of(found)
    place = f"at level {level}"
    if observed is None:
        reach = objective.definition.reach(context.get("dialect"))
        reason = f"{context['dialect']}: {reach.note}" if reach.presence is Presence.NO_DATA else "nothing was measured"
        return _result(objective, Outcome.NO_DATA, f"{reason} {place}", limit=limit)
    if len(found) < objective.min_samples:
        reason = f"{len(found)} samples {place}, {objective.min_samples} needed"
        return _result(objective, Outcome.NO_DATA, reason, observed, len(found), limit)
    clock = _clock_bound(suite, level, tables, context) if objective.definition.one_way else 0.0
    return _compare(objective, observed, len(found), limit, place, clock)


def _clock_bound(suite: str, level: int, tables: Tables, context: Mapping[str, Any]) -> float:
    """What one-way values may be wrong by: what the run states of its clocks, or less where they were compared."""
    stated = float(context.get("clock_bound_seconds") or 0.0)
    clock = tables.get("clock")
    if stated == 0 or clock is None:
        return stated
    # Probes beside the measurement have bounds of their own, and no frame that an objective looks at.
    steady = chosen(tables["frames"], suite=suite, level=level)["session"].unique()
    found = worst_bound(clock[clock["suite"] == suite], sorted(steady))
    return stated if found is None else min(stated, found)


def _compare(
    objective: Objective, observed: float, samples: int, limit: float, place: str, clock: float = 0.0
) -> ObjectiveResult:
    expectation = objective.expectation
    if not expectation.holds(observed, limit):
        reason = f"{observed:g} is not {expectation.operator} {limit:g} {place}"
        return _result(objective, Outcome.FAIL, reason, observed, samples, limit)
    if clock > _CLOCK_SHARE * abs(limit):
        reason = f"the clocks agree to {clock:g} seconds only, more than 10 % of the objective"
        return _result(objective, Outcome.NO_DATA, reason, observed, samples, limit)
    return _result(
        objective, Outcome.PASS, f"{observed:g} is {expectation.operator} {limit:g} {place}", observed, samples, limit
    )


def _level(objective: Objective, suite: str, tables: Tables, knee: KneeBounds | None) -> int | None:
    # By identity: one that names level 1 means it.
    if objective.at.kind == "level" and not (suite in STAGED and objective.at is FIRST_LEVEL):
        return objective.at.level
    if objective.at.kind == "knee":
        return knee.lower if knee is not None and knee.lower > 0 else None
    return max(levels(tables, suite), default=None)


def _result(
    objective: Objective,
    outcome: Outcome,
    reason: str,
    observed: float | None = None,
    samples: int = 0,
    limit: float | None = None,
) -> ObjectiveResult:
    return ObjectiveResult(
        metric=objective.metric,
        expect=objective.expectation.text,
        outcome=outcome,
        observed=observed,
        samples=samples,
        bound=limit,
        unit=objective.definition.unit,
        reason=reason,
    )


def _of_check(check: Check) -> ObjectiveResult:
    done = check.outcome in (Outcome.PASS, Outcome.FAIL)
    reason = f"{check.finding}: {check.remedy}" if check.remedy else check.finding
    return ObjectiveResult(CHECK_PREFIX + check.name, "passes", check.outcome, None, int(done), None, "", reason)
