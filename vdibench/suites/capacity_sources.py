"""What stored runs say of how many sessions fit: the only place where a plan touches runs. Reads only.

A run that cannot be planned from is refused with the reason: still going on, ended early or without a knee (no data),
invalid, or synthetic where that was not allowed. There is no table of GPUs to fall back on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vdibench.analysis import Knee, SequentialTest, recorded_criteria, recorded_gpus, rule_of
from vdibench.analysis.capacity import Measured
from vdibench.analysis.limits import limits
from vdibench.analysis.logins import largest_burst
from vdibench.analysis.scalability import Delivered, Extrapolation, extrapolate
from vdibench.errors import NoData, RunInvalid
from vdibench.metrics import Statistic, chosen, values
from vdibench.records import Outcome, Run, RunState
from vdibench.report import Evidence, measured_table
from vdibench.slo import finds_knee
from vdibench.store import Recording, resolve

__all__ = ["beyond", "open_measured"]

_RATE, _MEAN = "frames_per_second", Statistic("avg")
_AT_LEAST = {">", ">="}
_ENOUGH = 0.9  # of the nominal rate, where no objective says what is
_MAKE = "measure how many fit with `vdibench run 04`"
_ENDED = {
    RunState.RUNNING: ("is still being written", "wait for its end, or name another run"),
    RunState.INTERRUPTED: ("was interrupted before it finished", _MAKE),
    RunState.FAILED: ("failed before it finished", _MAKE),
}
_FACTS = ("target", "dialect", "encoder in use", "picture asked for", "processor", "memory")


def open_measured(
    results: Path, run: str, *, gpu: str = "", allow_synthetic: bool = False, allow_running: bool = False
) -> tuple[Measured, Evidence]:
    """Open a stored run and read what it says of how many sessions fit.

    :param gpu: product name that the run must have been measured on, as whole words; empty: any, or none.
    :param allow_running: also of a run that goes on, once the suite that searched has its verdict: what a report
        needs that is written as the last step of its own run.
    :raises StoreError: there is no such run.
    :raises NoData: nothing can be planned from it.
    :raises RunInvalid: its numbers must not be trusted.
    """
    evidence = Evidence.of(Recording.open(resolve(results, run)))
    return _measured(evidence, gpu, allow_synthetic=allow_synthetic, allow_running=allow_running), evidence


def _measured(evidence: Evidence, gpu: str, *, allow_synthetic: bool, allow_running: bool) -> Measured:
    run = _usable(evidence, allow_synthetic=allow_synthetic, allow_running=allow_running)
    suite, knee = _knee(evidence, run)
    facts = evidence.rows("facts", suite, None)
    gpus, name = recorded_gpus(run, zip(facts["key"], facts["value"], strict=True))
    if gpu and not re.search(rf"(?<!\w){re.escape(gpu.strip())}(?!\w)", name, re.IGNORECASE):
        where = name or ("a GPU that it does not name" if gpus else "a host without a GPU")
        raise NoData(
            f"run {run.name} was measured on {where}, not on {gpu!r}",
            "plan from a run on that GPU: what another one carries cannot be told from here",
        )
    if knee.lower < 1:
        raise NoData(
            f"run {run.name} found no number of sessions that is good, not even the smallest that it tried",
            "no number of GPUs follows from that; `vdibench report` shows what was missed",
        )
    limit = limits(evidence.tables, knee, run.host, suite=suite)
    rule = rule_of(evidence.parameters(suite))
    return Measured(
        run=run.name,
        started_unix_seconds=run.started_unix_seconds,
        gpus=gpus,
        gpu=name,
        lower=knee.lower,
        # Where the load generator was what gave in, nothing is known of how many more the desktops would have borne.
        upper=None if limit.generator else knee.upper,
        levels=len(knee.levels),
        trials=sum(len(level.trials) for level in knee.levels),
        rule=knee.rule,
        error_rate=rule.alpha if isinstance(rule, SequentialTest) else None,
        contradicting=knee.contradicting,
        burst=largest_burst(chosen(evidence.tables["milestones"], suite=suite, phase=None), knee.lower),
        limited_by=limit.resource or "",
        limit_sentence=limit.sentence,
        synthetic=bool(run.context.get("synthetic")),
        facts=_facts(evidence, run, suite),
    )


def beyond(evidence: Evidence) -> Extrapolation:
    """How many sessions would still get their frame rate beyond what was measured, or why that cannot be said.

    :raises NoData: the run has no knee.
    """
    run = evidence.run
    assert run is not None, "a stored run"
    suite, _ = _knee(evidence, run)
    statistic, wanted = _objective(evidence, run, suite)
    trials = []
    for level in evidence.levels(suite):
        for trial in evidence.trials(suite, level):
            rows = chosen(evidence.tables["frames"], suite=suite, level=level, trial=trial)
            names = rows["session"].unique()
            found = (
                values(_RATE, evidence.tables, suite=suite, level=level, trial=trial, session=str(name))
                for name in names
            )
            # A session that left nothing delivered nothing.
            trials.append(Delivered(level, sum(statistic.of(rates) or 0.0 for rates in found)))
    return extrapolate(trials, wanted or _share_of_alone(evidence, suite, trials))


def _usable(evidence: Evidence, *, allow_synthetic: bool, allow_running: bool) -> Run:
    run, verdict = evidence.run, evidence.verdict
    assert run is not None, "a stored run"
    judged = [one.outcome for one in verdict.suites if finds_knee(one.suite)] if verdict is not None else []
    done = allow_running and run.state is RunState.RUNNING and bool(judged)
    if run.state in _ENDED and not done:
        state, remedy = _ENDED[run.state]
        raise NoData(f"run {run.name} {state}", remedy)
    if verdict is not None and verdict.outcome is Outcome.INVALID:
        reasons = [reason for one in verdict.suites if one.outcome is Outcome.INVALID for reason in one.reasons]
        raise RunInvalid(f"run {run.name} is invalid: {'; '.join(dict.fromkeys(reasons)) or 'no reason given'}", _MAKE)
    if run.context.get("synthetic") and not allow_synthetic:
        raise NoData(
            f"run {run.name} is synthetic: its desktops were a replayed trace",
            "plan from a run of real desktops, or give --allow-synthetic to try the planning itself",
        )
    return run


def _knee(evidence: Evidence, run: Run) -> tuple[str, Knee]:
    tried = [suite for suite in evidence.suites if finds_knee(suite)]
    for suite in tried:
        found = evidence.knee(suite)
        if found is not None:
            return suite, found
    why = "no level of it was decided" if tried else f"it ran {', '.join(evidence.suites) or 'nothing'}"
    raise NoData(f"run {run.name} does not say how many sessions fit: {why}", _MAKE)


def _facts(evidence: Evidence, run: Run, suite: str) -> dict[str, str]:
    """What a session was, in words that the report has already made fit to read."""
    shown = {str(name): str(value) for name, value in measured_table(evidence).itertuples(index=False)}
    facts = {name: shown[name] for name in _FACTS if name in shown}
    own = run.parameters.get(suite)
    parameters: Mapping[str, Any] = own if isinstance(own, Mapping) else {}
    for name in ("workload", "scenario", "sharing"):
        value = parameters.get(name) or run.context.get(name)
        if value:
            facts[name] = str(value)
    return facts


def _objective(evidence: Evidence, run: Run, suite: str) -> tuple[Statistic, float | None]:
    """What the run judged its frame rate by: the statistic of a session's seconds, and the least that it had to be.

    The highest limit where there are several; the mean and None where no objective says it.
    """
    target = evidence.framerate(suite)
    found = [
        (limit, expectation.statistic)
        for metric, expectation in recorded_criteria(run, suite)
        if metric == _RATE and expectation.operator in _AT_LEAST and expectation.statistic is not None
        if (limit := expectation.limit(target)) is not None and limit > 0
    ]
    if not found:
        return _MEAN, None
    limit, statistic = max(found, key=lambda one: one[0])
    return statistic, limit


def _share_of_alone(evidence: Evidence, suite: str, trials: Sequence[Delivered]) -> float:
    """Frames a second that a session must keep where no objective says it: a share of what was asked for or seen."""
    alone = max((one.rate / one.level for one in trials), default=1.0)
    return _ENOUGH * (evidence.framerate(suite) or alone)
