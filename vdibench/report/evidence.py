"""What a report draws from: tables, and where a run stands behind them also its verdict and parameters. Reads only.

Tables may come as a :class:`vdibench.store.Recording` or as a plain mapping of frames; with the latter there is no
verdict, so no objective is drawn. Values are computed once and kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from vdibench.analysis import (
    Knee,
    Level,
    recorded_framerate,
    recorded_knee,
    recorded_levels,
    recorded_parameters,
)
from vdibench.errors import StoreError
from vdibench.metrics import REGISTRY, Statistic, chosen, levels, sessions, trials, values
from vdibench.metrics.pacing import freezes, totals
from vdibench.metrics.windows import streams, windows
from vdibench.records import TABLES, ObjectiveResult, Outcome, Run, SelfTest, Verdict
from vdibench.report.starts import Start, starts
from vdibench.slo import CHECK_PREFIX, SUITES
from vdibench.store import Recording, load_selftest

__all__ = ["Evidence", "Source"]

Source: TypeAlias = "Recording | Mapping[str, pd.DataFrame] | Evidence"

_P = {percent: Statistic("p", percent) for percent in (5.0, 50.0, 95.0, 99.0)}


class Evidence:
    """Tables with what is known of their run.

    :ivar run: None when only tables were given.
    :ivar verdict: None when only tables were given.
    :ivar selftest: what the run folder says of this client's own error; None where it says nothing.
    """

    def __init__(self, source: Recording | Mapping[str, pd.DataFrame]) -> None:
        self.run: Run | None = None
        self.verdict: Verdict | None = None
        given: Mapping[str, pd.DataFrame]
        if isinstance(source, Recording):
            self.run, self.verdict, given = source.run, source.verdict, source.tables
        else:
            given = source
        self._damage: list[str] = []
        self.tables = {
            name: self._dated(name, _complete(name, given[name])) if name in given else _empty(name) for name in TABLES
        }
        self._recording = source if isinstance(source, Recording) else None
        self.selftest: SelfTest | None = None
        if self._recording is not None:
            try:
                self.selftest = load_selftest(self._recording.folder)
            except StoreError as error:
                self._damage.append(str(error))
        self._suites: dict[str, _OfSuite] = {}
        self._values: dict[tuple[Any, ...], pd.Series] = {}
        self._knees: dict[str, Knee | None] = {}
        self._starts: dict[str, list[Start]] = {}
        self._totals: dict[str, pd.DataFrame] = {}

    @classmethod
    def of(cls, source: Source) -> Evidence:
        """``source`` as evidence; evidence stays what it is, with what it has computed."""
        return source if isinstance(source, Evidence) else cls(source)

    @property
    def synthetic(self) -> bool:
        """Whether a replay took the place of desktops."""
        return self.run is not None and bool(self.run.context.get("synthetic"))

    @property
    def suites(self) -> list[str]:
        """Suites that ran, in the order of the house: those with a verdict, parameters or samples."""
        found = set() if self.run is None else set(self.run.parameters) | {self.run.suite}
        found |= {suite.suite for suite in self.verdict.suites} if self.verdict is not None else set()
        for rows in self.tables.values():
            found.update(str(suite) for suite in rows["suite"].unique())
        found -= {"run", "pipeline"}
        return [suite for suite in SUITES if suite in found] + sorted(found - set(SUITES))

    def damage(self) -> list[str]:
        """A line for each file of samples that could not be read, and for rows that say no instant."""
        unread = self._recording.damage if self._recording is not None else []
        return [*dict.fromkeys(unread), *self._damage]

    def parameters(self, suite: str) -> Mapping[str, Any]:
        """Parameters of a suite as they were in force; none where it has none."""
        return recorded_parameters(self.run, suite)

    def framerate(self, suite: str) -> float | None:
        """Frames per second that a suite asked for, or else the run."""
        return recorded_framerate(self.run, suite)

    def rows(self, table: str, suite: str, phase: str | None = "steady") -> pd.DataFrame:
        """Rows of one suite and phase (None: all)."""
        return chosen(self._of(suite)[table], suite=suite, phase=phase)

    def values(self, metric: str, suite: str, *, level: int | None = None, session: str | None = None) -> pd.Series:
        """Raw steady values of a metric, as :func:`vdibench.metrics.values` gives them."""
        key = (metric, suite, level, session)
        if key not in self._values:
            self._values[key] = values(metric, self._of(suite), suite=suite, level=level, session=session)
        return self._values[key]

    def percentile(self, percent: float, metric: str, suite: str, *, level: int | None = None) -> float | None:
        """A percentile of a metric, None without values."""
        return _P[percent].of(self.values(metric, suite, level=level))

    def levels(self, suite: str) -> list[int]:
        """Levels with steady samples, ascending."""
        return levels(self._of(suite), suite)

    def trials(self, suite: str, level: int) -> list[int]:
        """Trials of a level, ascending."""
        return trials(self._of(suite), suite, level)

    def sessions(self, suite: str, level: int | None = None) -> list[str]:
        """Desktops that were watched."""
        return sessions(self._of(suite), suite, level)

    def objectives(self, metric: str, suite: str) -> list[ObjectiveResult]:
        """Objectives of a suite on a metric that have a bound to draw."""
        if self.verdict is None:
            return []
        return [
            result
            for one in self.verdict.suites
            if one.suite == suite
            for result in one.objectives
            if result.metric == metric and result.bound is not None and result.outcome is not Outcome.NOT_APPLICABLE
        ]

    def knee(self, suite: str) -> Knee | None:
        """The density knee by the objectives and the rule of the run; None when no level was decided."""
        if suite not in self._knees:
            self._knees[suite] = recorded_knee(self.run, self.tables, suite)
        return self._knees[suite]

    def tried(self, suite: str) -> tuple[Level, ...]:
        """Every level of a density suite with its trials; none without objectives to be good by."""
        decided = self.knee(suite)
        return decided.levels if decided is not None else recorded_levels(self.run, self.tables, suite)

    def starts(self, suite: str) -> list[Start]:
        """Every start of a session, in order of time."""
        if suite not in self._starts:
            self._starts[suite] = starts(self.rows("milestones", suite, None), self.rows("facts", suite, None))
        return self._starts[suite]

    def totals(self, suite: str) -> pd.DataFrame:
        """Freezes and watched seconds of each stream, as :func:`vdibench.metrics.pacing.totals` gives them."""
        if suite not in self._totals:
            self._totals[suite] = totals(self.rows("frames", suite), self.rows("network", suite))
        return self._totals[suite]

    def frozen_spans(self, suite: str) -> list[tuple[float, float]]:
        """Begin and end (Unix seconds) of every freeze, a stream that stopped included, in order of time."""
        frames, network = self.rows("frames", suite), self.rows("network", suite)
        ends = windows(frames, network)
        spans: list[tuple[float, float]] = []
        for stream, rows in streams(frames[frames["complete"]]):
            times = np.sort(rows["arrival_unix_seconds"].to_numpy())
            last = ends[stream][1]
            edges = np.append(times, last) if last > times[-1] else times
            frozen = np.flatnonzero(freezes(np.diff(edges)))
            spans.extend((float(edges[index]), float(edges[index + 1])) for index in frozen)
        return sorted(spans)

    def _of(self, suite: str) -> _OfSuite:
        if suite not in self._suites:
            self._suites[suite] = _OfSuite(self.tables, suite)
        return self._suites[suite]

    def _dated(self, name: str, rows: pd.DataFrame) -> pd.DataFrame:
        """The rows that say when they were taken: without, a row belongs to no window."""
        column = _INSTANTS.get(name)
        if column is None or rows[column].notna().all():
            return rows
        kept = rows[rows[column].notna()]
        self._damage.append(f"{len(rows) - len(kept)} rows of {name} say no instant and were left out")
        return kept


class _OfSuite(Mapping[str, pd.DataFrame]):
    """The rows of one suite, looked for once a table: hundreds of values of it are then no search of the whole run."""

    def __init__(self, tables: Mapping[str, pd.DataFrame], suite: str) -> None:
        self._tables = tables
        self._suite = suite
        self._found: dict[str, pd.DataFrame] = {}

    def __getitem__(self, name: str) -> pd.DataFrame:
        if name not in self._found:
            rows = self._tables[name]
            self._found[name] = rows[rows["suite"] == self._suite]
        return self._found[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tables)

    def __len__(self) -> int:
        return len(self._tables)


def boundary(metric: str) -> str:
    """From where to where a metric is measured, in the registry's sentence."""
    return REGISTRY[metric].boundary


def is_check(result: ObjectiveResult) -> bool:
    """Whether a result stands for a manual check."""
    return result.metric.startswith(CHECK_PREFIX)


def _complete(name: str, rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with the columns of float that a table made by hand may leave out: not measured."""
    missing = [one.name for one in TABLES[name].columns if one.dtype == "float64" and one.name not in rows]
    return rows.assign(**dict.fromkeys(missing, np.nan)) if missing else rows


def _empty(name: str) -> pd.DataFrame:
    return pd.DataFrame({column.name: pd.Series(dtype=_DTYPES[column.dtype]) for column in TABLES[name].columns})


_INSTANTS = {
    "frames": "arrival_unix_seconds",
    "inputs": "sent_unix_seconds",
    "milestones": "unix_seconds",
    "network": "unix_seconds",
    "resources": "unix_seconds",
    "server": "unix_seconds",
    "clock": "unix_seconds",
}
_DTYPES = {"string": "object", "int64": "int64", "float64": "float64", "bool": "bool"}
