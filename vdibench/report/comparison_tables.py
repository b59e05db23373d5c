"""A comparison as tables, lines and one JSON object. Pure: text cells with units; the object in base units."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

import pandas as pd

from vdibench.analysis.comparison import Comparison, Difference, Finding
from vdibench.analysis.metadata import Agreement
from vdibench.analysis.resampling import Method
from vdibench.records import EXIT_CODES
from vdibench.report import formats

__all__ = [
    "checked_table",
    "comparison_document",
    "comparison_lines",
    "difference_table",
    "limits_table",
    "names",
    "signed",
]

# What a reader looks for first.
_ORDER = (Finding.WORSE, Finding.BETTER, Finding.UNDECIDED, Finding.NO_DIFFERENCE, Finding.NO_DATA)
_DIFFERENCE = [
    "suite",
    "level",
    "metric",
    "statistic",
    "base",
    "new",
    "change",
    "95 % interval",
    "p",
    "resampled",
    "finding",
]
_LEAST_P = 1e-4
# Shown also where nothing changed: what a person asks for first.
_HEADLINES = frozenset(
    {
        "glass_to_glass_seconds",
        "input_to_photon_seconds",
        "frames_per_second",
        "freezes_per_minute",
        "session_ready_seconds",
        "session_failure_ratio",
        "desktop_cpu_cores",
    }
)


def difference_table(found: Comparison, *, every: bool = True) -> pd.DataFrame:
    """One row a metric, level and suite: what changed first, what nothing can be said of last.

    :param every: also metrics of lesser interest that did not change, and those without data.
    """
    ordered = sorted(
        (one for one in found.differences if every or _tells(one)), key=lambda one: _ORDER.index(one.finding)
    )
    return pd.DataFrame([_row(one) for one in ordered], columns=_DIFFERENCE)


def limits_table(found: Comparison) -> pd.DataFrame:
    """One row a limit and place."""
    rows = [
        [
            formats.clean(one.limit),
            formats.clean(one.suite),
            "" if one.level is None else str(one.level),
            formats.outcome_word(one.outcome),
            _p(one.p_corrected),
            formats.clean(one.reason),
        ]
        for one in found.limits
    ]
    return pd.DataFrame(rows, columns=["limit", "suite", "level", "outcome", "p", "reason"])


def checked_table(found: Comparison, *, same: bool = True) -> pd.DataFrame:
    """One row a key that must agree.

    :param same: also those that do.
    """
    rows = [
        [formats.clean(one.name), formats.clean(one.base), formats.clean(one.new), str(one.agreement)]
        for one in sorted(found.checked, key=lambda one: one.agreement is Agreement.SAME)
        if same or one.agreement is not Agreement.SAME
    ]
    return pd.DataFrame(rows, columns=["what", "base", "new", "agreement"])


def comparison_lines(found: Comparison) -> list[str]:
    """What stands below the tables: counts of findings, and what the reader must know."""
    counts = [f"{str(finding).replace('_', ' ')} {len(found.found(finding))}" for finding in _ORDER]
    tested = sum(one.p_corrected is not None for one in found.differences)
    lines = [f"{', '.join(counts)}; p corrected for {formats.counted(tested, 'comparison')} (Holm)"]
    if limits := sum(one.p_corrected is not None for one in found.limits):
        lines.append(f"limits: p of being worse by more, one-sided, corrected for {formats.counted(limits, 'limit')}")
    if found.synthetic:
        lines.append("synthetic: desktops were replayed from a trace")
    lines.extend(f"note: {formats.clean(note)}" for note in found.notes)
    return lines


def comparison_document(found: Comparison) -> dict[str, Any]:
    """The comparison as one JSON object. Keys are only ever added; values are in base units, null is no data."""
    document = dataclasses.asdict(found)
    for key, one in zip(document["checked"], found.checked, strict=True):
        key["agreement"] = str(one.agreement)
    for key, row in zip(document["differences"], found.differences, strict=True):
        key["finding"] = str(row.finding)
    for key, result in zip(document["limits"], found.limits, strict=True):
        key["outcome"] = str(result.outcome)
    return {**document, "outcome": str(found.outcome), "exit_code": EXIT_CODES[found.outcome]}


def signed(value: float | None, unit: str) -> str:
    """A difference with its sign."""
    if value is None:
        return formats.NO_DATA
    text = formats.quantity(abs(value), unit)
    return text if value == 0 else f"{'+' if value > 0 else '−'}{text}"


def _tells(one: Difference) -> bool:
    if one.finding is Finding.NO_DIFFERENCE or one.p is None:
        return one.metric in _HEADLINES and one.finding is not Finding.NO_DATA
    return True


def _row(one: Difference) -> list[str]:
    begin = [formats.clean(one.suite), str(one.level), one.metric, one.statistic]
    if one.finding is Finding.NO_DATA:
        return [*begin, "", "", "", "", "", "", f"{one.finding}: {one.note}"]
    note = f": {one.note}" if one.note else ""
    return [
        *begin,
        formats.quantity(one.base, one.unit),
        formats.quantity(one.new, one.unit),
        _change(one),
        _interval(one),
        _p(one.p_corrected if one.p_corrected is not None else one.p),
        _resampled(one),
        f"{one.finding}{note}",
    ]


def _change(one: Difference) -> str:
    text = signed(one.delta, one.unit)
    if one.delta is None or not one.base or one.delta == 0:
        return text
    return f"{text} ({one.delta / abs(one.base):+.1%})".replace("-", "−").replace("%", " %")


def _interval(one: Difference) -> str:
    if one.low is None or one.high is None:
        return ""
    return f"{signed(one.low, one.unit)} … {signed(one.high, one.unit)}"


def _p(value: float | None) -> str:
    if value is None:
        return ""
    return f"< {_LEAST_P:g}" if value < _LEAST_P else formats.significant(value, 2)


def _resampled(one: Difference) -> str:
    amounts = f"{one.units[0]} + {one.units[1]}"
    return f"{'time within ' if one.method == Method.BLOCKS else ''}{amounts} {one.unit_of}"


def names(runs: Iterable[str]) -> str:
    """Run names in one line."""
    return ", ".join(formats.clean(name) for name in runs)
