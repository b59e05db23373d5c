"""Verdicts and lists of runs at the terminal: a drawn table on a screen, aligned plain text anywhere else.

Writes to the stream it is given. Text from outside is shown without control characters and is never markup.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TextIO

import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from vdibench.metrics import Statistic
from vdibench.records import Outcome, SuiteVerdict, Verdict
from vdibench.report import formats
from vdibench.report.evidence import Evidence, Source
from vdibench.report.stages import dialect, frame_way
from vdibench.report.verdict_tables import verdict_table
from vdibench.slo import LEVELED
from vdibench.store import Entry

__all__ = ["final_line", "runs_table", "show", "stage_lines", "verdict_lines"]

_COLOURS = {"PASS": "green", "FAIL": "red", "NO DATA": "yellow", "NOT APPLICABLE": "dim", "INVALID": "magenta"}
_RIGHT = {"observed", "samples", "size", "lasted"}
_LAST_WORD = {
    Outcome.PASS: "PASS",
    Outcome.FAIL: "FAIL",
    Outcome.NO_DATA: "NO-DATA",
    Outcome.NOT_APPLICABLE: "NO-DATA",
    Outcome.INVALID: "INVALID",
}


def final_line(verdict: Verdict, report: Path | str) -> str:
    """The one line that a run ends with: ``verdict: PASS  results/<run>/report.html``."""
    return f"verdict: {_LAST_WORD[verdict.outcome]}  {formats.clean(report)}"


def verdict_lines(verdict: Verdict | SuiteVerdict) -> list[str]:
    """The verdict table as aligned plain text."""
    return _plain(verdict_table(verdict))


def stage_lines(source: Source) -> list[str]:
    """Where the latency of one desktop goes, a line for each suite without levels that measured it; medians."""
    evidence = Evidence.of(source)
    lines = []
    for suite in evidence.suites:
        if suite in LEVELED:
            continue
        way = frame_way(evidence, suite)
        if not way.parts:
            continue
        rows = [*way.parts, *([way.whole] if way.whole is not None else [])]
        told = [f"{part.label} {formats.seconds(Statistic('p', 50.0).of(part.values))}" for part in rows]
        known = dialect(evidence, suite)
        frames = formats.counted(way.told, "frame")
        lines.append(
            f"stages of {formats.clean(suite)}{f' ({known})' if known else ''}, p50 of {frames}: {' · '.join(told)}"
        )
    return lines


def runs_table(entries: Iterable[Entry]) -> pd.DataFrame:
    """One row a run folder, in the order given."""
    rows = []
    for entry in entries:
        run = entry.run
        if run is None:
            rows.append([entry.path.name, "unreadable", "", "", "", formats.data(entry.size_bytes), entry.problem])
            continue
        lasted = run.ended_unix_seconds - run.started_unix_seconds if run.ended_unix_seconds is not None else None
        rows.append(
            [
                entry.path.name,
                str(run.state),
                formats.outcome_word(entry.outcome) if entry.outcome is not None else "",
                formats.instant(run.started_unix_seconds),
                formats.duration(lasted) if lasted is not None else "",
                formats.data(entry.size_bytes),
                run.errors[-1] if run.errors else "",
            ]
        )
    columns = ["run", "state", "verdict", "started", "lasted", "size", "note"]
    return pd.DataFrame([[formats.clean(cell) for cell in row] for row in rows], columns=columns)


def show(table: pd.DataFrame, stream: TextIO | None = None, *, empty: str = "") -> None:
    """Print a table of text cells, such as :func:`verdict_table` or :func:`runs_table` give.

    :param stream: standard output by default; drawn with lines and colours only when it is a terminal.
    :param empty: what to print instead of a table without rows.
    """
    out = stream if stream is not None else sys.stdout
    if table.empty:
        if empty:
            print(empty, file=out)
        return
    console = Console(file=out, highlight=False)
    if not console.is_terminal:
        print("\n".join(_plain(table)), file=out)
        return
    console.print(_drawn(table))


def _drawn(table: pd.DataFrame) -> Table:
    drawn = Table(header_style="bold", show_lines=False, pad_edge=False)
    for column in table.columns:
        last = column == table.columns[-1]
        drawn.add_column(
            Text(str(column)),
            justify="right" if column in _RIGHT else "left",
            no_wrap=column in ("outcome", "verdict", "state", *_RIGHT),
            overflow="fold",
            ratio=1 if last else None,
        )
    for row in table.itertuples(index=False):
        drawn.add_row(*(Text(str(cell), style=_COLOURS.get(str(cell), "")) for cell in row))
    return drawn


def _plain(table: pd.DataFrame) -> list[str]:
    header = [str(column) for column in table.columns]
    rows = [header, *([" ".join(str(cell).split()) for cell in row] for row in table.itertuples(index=False))]
    widths = [max(len(row[index]) for row in rows) for index in range(len(header))]
    return [
        "  ".join(
            cell.rjust(width) if name in _RIGHT else cell.ljust(width)
            for cell, width, name in zip(row, widths, header, strict=True)
        ).rstrip()
        for row in rows
    ]
