"""What a run may claim: the verdict in force, from what was written and how far the run came. Pure.

Only a finished run without contention can pass. Everything else is said in the words of a suite named ``run``.
"""

from __future__ import annotations

import dataclasses

from vdibench.records import Outcome, Run, RunState, SuiteVerdict, Verdict, worst

__all__ = ["RUN_SUITE", "contenders", "in_force", "merged", "state_in_force"]

RUN_SUITE = "run"
# Runs named in a sentence; run.json has all of them.
_NAMED = 5
_UNFINISHED = {
    RunState.RUNNING: "the run is still running",
    RunState.INTERRUPTED: "the run was interrupted before it finished",
    RunState.FAILED: "the run failed before it finished",
}


def merged(run: Run, verdict: Verdict | None, suite: SuiteVerdict) -> Verdict:
    """``verdict`` with ``suite`` in place of an earlier verdict of the same suite."""
    earlier = verdict.suites if verdict is not None else ()
    if any(known.suite == suite.suite for known in earlier):
        suites = tuple(suite if known.suite == suite.suite else known for known in earlier)
    else:
        suites = (*earlier, suite)
    return in_force(run, Verdict(run.name, Outcome.NO_DATA, suites))


def in_force(run: Run, verdict: Verdict | None) -> Verdict:
    """The verdict that the run's state allows: never a pass unless it finished, alone on its machine."""
    suites = tuple(suite for suite in (verdict.suites if verdict else ()) if suite.suite != RUN_SUITE)
    suites += _of_run(run, empty=not suites)
    return Verdict(run.name, worst(suite.outcome for suite in suites), suites)


def contenders(run: Run) -> str:
    """The runs that measured on the same machine meanwhile, for a sentence: the first few by name."""
    named = ", ".join(run.contention[:_NAMED])
    rest = len(run.contention) - _NAMED
    return f"{named} and {rest} more" if rest > 0 else named


def _of_run(run: Run, *, empty: bool) -> tuple[SuiteVerdict, ...]:
    reasons = []
    outcome = Outcome.NO_DATA
    if run.contention:
        outcome = Outcome.INVALID
        reasons.append(f"another run measured on this machine at the same time: {contenders(run)}")
    if run.state in _UNFINISHED:
        reasons.append(_UNFINISHED[run.state])
    elif empty:
        reasons.append("no suite reached a verdict")
    return (SuiteVerdict(RUN_SUITE, outcome, (), tuple(reasons)),) if reasons else ()


def state_in_force(run: Run, *, alive: bool) -> Run:
    """``run`` as a reader should see it: running only while its process lives."""
    if run.state is RunState.RUNNING and not alive:
        return dataclasses.replace(run, state=RunState.INTERRUPTED)
    return run
