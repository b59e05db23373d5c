"""What must have passed before anything is shipped, and what of it a person waived. Pure but for the tables.

A waiver names one requirement and says why. It must be needed: one of something that passed is refused, so that none
outlives its reason. A waiver of ``policies`` also excuses the suite in which they were tried, as far as nothing else of
it failed, and preflight's check ``policy_engine``, which says the same in one word. A run in which everything is waived
passed nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Mapping, Sequence

from vdibench.graduation.findings import REQUIRED, Finding, Required, Waiver
from vdibench.metrics import Tables, chosen
from vdibench.records import ObjectiveResult, Outcome, SuiteVerdict, Verdict, worst
from vdibench.slo import CHECK_PREFIX
from vdibench.store.standing import RUN_SUITE

__all__ = ["requirement_findings"]

_POLICIES, _EDGE = f"{CHECK_PREFIX}policies", f"{CHECK_PREFIX}edge_"
_ENGINE = f"{CHECK_PREFIX}policy_engine"
_TRYING = frozenset({Required.STREAM_VALIDATION, Required.PREFLIGHT})  # suites that try policies
_MEASURING = frozenset({Required.LATENCY, Required.DENSITY})
_NAMED = 3
_COUNTED = (Outcome.FAIL, Outcome.NO_DATA)


def requirement_findings(verdict: Verdict, tables: Tables, waivers: Sequence[Waiver]) -> Iterator[Finding]:
    """What a verdict lacks, and waivers that are none: kinds ``outcome``, ``suite``, ``policies`` and ``waiver``.

    :param verdict: as recomputed.
    :param tables: of the run.
    """
    waived = frozenset(waiver.what for waiver in waivers if waiver.reason.strip())
    suites = {
        suite.suite: _without_policies(suite) if Required.POLICIES in waived else suite
        for suite in verdict.suites
        if suite.suite != RUN_SUITE
    }
    yield from _outcome([suite for name, suite in suites.items() if name not in waived])
    lacking = {required: list(_lacking(required, suites, tables)) for required in REQUIRED}
    # Policies as they were found, whatever was waived.
    lacking[Required.POLICIES] = list(_policies(verdict.suites))
    for required in REQUIRED:
        if required not in waived:
            yield from lacking[required]
    yield from _waivers(waivers, {required for required in REQUIRED if lacking[required]})


def _without_policies(suite: SuiteVerdict) -> SuiteVerdict:
    """A suite's verdict as it were without the policies; what has other reasons keeps its outcome."""
    if suite.suite not in _TRYING or suite.outcome not in _COUNTED or suite.reasons:
        return suite
    left = tuple(result for result in suite.objectives if not _of_policies(result))
    return dataclasses.replace(suite, outcome=worst(result.outcome for result in left), objectives=left)


def _of_policies(result: ObjectiveResult) -> bool:
    return result.metric in (_POLICIES, _ENGINE) or result.metric.startswith(_EDGE)


def _outcome(suites: Sequence[SuiteVerdict]) -> Iterator[Finding]:
    outcome = worst(suite.outcome for suite in suites)
    if outcome is Outcome.PASS:
        return
    lines = [line for suite in suites if suite.outcome is not Outcome.PASS for line in _said(suite)]
    lines = lines or ["there is no suite that counts"]
    rest = len(lines) - _NAMED
    first = "; ".join(lines[:_NAMED]) + (f"; and {rest} more" if rest > 0 else "")
    yield Finding("outcome", f"the run's verdict is {outcome}: {first}", "mend it, and measure again", outcome)


def _said(suite: SuiteVerdict) -> Iterator[str]:
    """Why a suite did not pass: what made it invalid, then what it missed, then what nothing was known of."""
    yield from (f"{suite.suite}: {reason}" for reason in suite.reasons)
    for outcome in _COUNTED:
        for result in suite.objectives:
            if result.outcome is outcome:
                yield f"{suite.suite}: {result.metric} {result.expect}: {outcome}: {result.reason}"


def _lacking(required: Required, suites: Mapping[str, SuiteVerdict], tables: Tables) -> Iterator[Finding]:
    """Why a required suite does not count."""
    if required is Required.POLICIES:
        return
    waive = f"or waive it: --waive {required}=REASON"
    suite = suites.get(required)
    if suite is None:
        yield Finding("suite", f"{required} was not run", f"run it, {waive}", Outcome.NO_DATA)
    elif suite.outcome is not Outcome.PASS:
        cause = f"{required} did not pass: {suite.outcome}"
        yield Finding("suite", cause, f"mend it and measure again, {waive}", suite.outcome)
    elif required in _MEASURING and chosen(tables["frames"], suite=str(required)).empty:
        cause = f"{required} has no session that was measured"
        yield Finding("suite", cause, f"measure again, {waive}", Outcome.NO_DATA)


def _policies(suites: Sequence[SuiteVerdict]) -> Iterator[Finding]:
    remedy = f"see vdibench conformance, or waive it: --waive {Required.POLICIES}=REASON"
    results = [result for suite in suites if suite.suite in _TRYING for result in suite.objectives]
    whole = [result for result in results if result.metric == _POLICIES]
    edges = [result for result in results if result.metric.startswith(_EDGE)]
    outcome = worst(result.outcome for result in whole)
    if outcome is not Outcome.PASS:
        why = next((one.reason for one in whole if one.outcome is not Outcome.PASS), "the run has no such check")
        said = "the policies do not hold" if outcome is Outcome.FAIL else "the policies were not tried"
        yield Finding("policies", f"{said}: {why}", remedy, outcome)
    elif not edges:
        yield Finding("policies", "the policies are said to hold, and no edge was tried", remedy, Outcome.NO_DATA)
    if bad := [result for result in edges if result.outcome is not Outcome.PASS]:
        names = ", ".join(result.metric.removeprefix(CHECK_PREFIX) for result in bad)
        cause = f"not every edge is as the policies say: {names}"
        yield Finding("policies", cause, remedy, worst(result.outcome for result in bad))


def _waivers(waivers: Sequence[Waiver], lacking: Collection[Required]) -> Iterator[Finding]:
    for waiver in waivers:
        if not waiver.reason.strip():
            cause = f"the waiver of {waiver.what} has no reason, and counts for nothing"
            yield Finding("waiver", cause, f"give one: --waive {waiver.what}=REASON")
        elif waiver.what not in lacking:
            yield Finding("waiver", f"{waiver.what} is waived, and passed", "drop the waiver")
