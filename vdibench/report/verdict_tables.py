"""Tables of what was judged: objectives, manual checks, reasons. Pure: text cells, ready to show."""

from __future__ import annotations

import re

import pandas as pd

from vdibench.records import ObjectiveResult, Outcome, SuiteVerdict, Verdict
from vdibench.report import formats
from vdibench.report.evidence import Evidence, Source, is_check
from vdibench.slo import CHECK_PREFIX

__all__ = ["checks_table", "objectives_table", "reasons_table", "verdict_table"]

# Observed and expected stand beside the reason, with units: there it need not repeat them in base units.
_COMPARISON = re.compile(r"^[-+.\de]+ is (not )?[<>]=? [-+.\de]+ ")
_OBJECTIVES = ["suite", "objective", "expectation", "observed", "samples", "outcome", "reason"]
_CHECKS = ["check", "outcome", "finding", "evidence", "remedy"]


def objectives_table(verdict: Verdict | SuiteVerdict, suite: str | None = None) -> pd.DataFrame:
    """One row an objective of every suite (or of one), manual checks left out."""
    rows = [
        _objective_row(one.suite, result)
        for one in _suites(verdict)
        if suite in (None, one.suite)
        for result in one.objectives
        if not is_check(result)
    ]
    return pd.DataFrame(rows, columns=_OBJECTIVES)


def verdict_table(verdict: Verdict | SuiteVerdict) -> pd.DataFrame:
    """What a reader at a terminal needs: objectives, checks that did not pass, and reasons; one line each."""
    rows: list[list[str]] = []
    for one in _suites(verdict):
        name = formats.clean(one.suite)
        rows.extend(_objective_row(one.suite, result) for result in one.objectives if not is_check(result))
        checks = [result for result in one.objectives if is_check(result)]
        good = sum(result.outcome is Outcome.PASS for result in checks)
        if checks and good == len(checks):
            word = formats.outcome_word(Outcome.PASS)
            rows.append([name, formats.counted(good, "check"), "passes", "", "", word, ""])
        elif checks:
            rows.append([name, "checks", "pass", f"{good} of {len(checks)}", "", "", ""])
        rows.extend(
            [name, f"check {formats.clean(_check_name(result))}", "passes", "", "", *_judgement(result)]
            for result in checks
            if result.outcome is not Outcome.PASS
        )
        rows.extend(
            [name, "", "", "", "", formats.outcome_word(one.outcome), formats.clean(text)] for text in one.reasons
        )
    return pd.DataFrame(rows, columns=_OBJECTIVES)


def checks_table(source: Source, suite: str) -> pd.DataFrame:
    """One row a manual check of a suite, in the order made; a check made again replaces its earlier answer."""
    rows = Evidence.of(source).rows("checks", suite, None)
    last = {str(row["name"]): row for row in rows.to_dict("records")}
    return pd.DataFrame(
        [
            [
                formats.clean(name),
                formats.outcome_word(Outcome(row["outcome"])),
                formats.clean(row["finding"]),
                formats.clean(row["evidence"]),
                formats.clean(row["remedy"]),
            ]
            for name, row in last.items()
        ],
        columns=_CHECKS,
    )


def reasons_table(verdict: Verdict) -> pd.DataFrame:
    """One row a suite: its outcome and why, where something was said."""
    return pd.DataFrame(
        [
            [
                formats.clean(one.suite),
                formats.outcome_word(one.outcome),
                _counts(one),
                "; ".join(formats.clean(reason) for reason in one.reasons),
            ]
            for one in verdict.suites
        ],
        columns=["suite", "outcome", "judged", "reason"],
    )


def _objective_row(suite: str, result: ObjectiveResult) -> list[str]:
    applies = result.outcome is not Outcome.NOT_APPLICABLE
    observed = formats.quantity(result.observed, result.unit) if applies else formats.NOT_APPLICABLE
    return [
        formats.clean(suite),
        formats.clean(result.metric),
        formats.expectation(result.expect, result.bound, result.unit),
        observed,
        formats.count(result.samples) if applies else "",
        *_judgement(result),
    ]


def _judgement(result: ObjectiveResult) -> list[str]:
    return [formats.outcome_word(result.outcome), _COMPARISON.sub("", formats.clean(result.reason))]


def _check_name(result: ObjectiveResult) -> str:
    return result.metric.removeprefix(CHECK_PREFIX)


def _counts(one: SuiteVerdict) -> str:
    words = []
    for checks, noun in ((False, "objective"), (True, "check")):
        mine = [result for result in one.objectives if is_check(result) is checks]
        counted = [result for result in mine if result.outcome is not Outcome.NOT_APPLICABLE]
        if mine:
            good = sum(result.outcome is Outcome.PASS for result in counted)
            aside = len(mine) - len(counted)
            words.append(
                f"{good} of {formats.counted(len(counted), noun)} passed"
                + (f", {aside} not applicable" if aside else "")
            )
    return "; ".join(words) or "nothing"


def _suites(verdict: Verdict | SuiteVerdict) -> tuple[SuiteVerdict, ...]:
    return (verdict,) if isinstance(verdict, SuiteVerdict) else verdict.suites
