"""The values of a metric by what varies as a whole: sessions within trials, within runs. Pure.

A session keeps its phase against the capture clock, its core and its connection from start to end, so that its frames
are no independent samples; and sessions of one trial share the host and the moment. So a trial is what is independent
of others, and its sessions stand below it. Other things live for another time: suites without levels use trials for
the steps of one session, and processes, with their memory, outlast trials, so that only runs are independent there; and
where sessions start one after the other, each start is.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import pandas as pd

from vdibench.analysis.resampling import Cluster, Values
from vdibench.metrics import PROBE, Metric, Tables, levels, values
from vdibench.records import TABLES
from vdibench.slo import LEVELED

__all__ = ["Side", "Unit", "unit_of"]

# By trial and session; always trial 0 where trials are steps of one session.
_Units = dict[tuple[int, str], dict[str, pd.DataFrame]]

_NO_SAMPLES = ("facts", "checks", "requests")
_STARTS = "milestones"  # its metrics have one value a start
_PROCESSES = "resources"


class Unit(StrEnum):
    """What of a run is independent of its like."""

    TRIALS = "trials"
    STARTS = "starts"
    RUNS = "runs"


def unit_of(metric: Metric, suite: str) -> Unit:
    """What a metric's values in a suite are independent by."""
    if suite in LEVELED:
        # Sessions of one trial start together.
        return Unit.RUNS if metric.table == _PROCESSES else Unit.TRIALS
    return Unit.STARTS if metric.table == _STARTS else Unit.RUNS


class Side:
    """The runs of one side, with what was computed of them."""

    def __init__(self, runs: Sequence[Tables]) -> None:
        self._runs = runs
        self._tables = [{name: _counted(tables[name]) for name in TABLES if name not in _NO_SAMPLES} for tables in runs]
        self._units: dict[tuple[int, str, int], _Units] = {}

    @property
    def suites(self) -> list[str]:
        """The suites that left samples, sorted."""
        found: set[str] = set()
        for tables in self._tables:
            for rows in tables.values():
                found.update(str(suite) for suite in rows["suite"].unique())
        return sorted(found)

    def levels(self, suite: str) -> list[int]:
        """The levels with steady samples of any run, ascending."""
        return sorted({level for tables in self._tables for level in levels(tables, suite)})

    def clusters(self, metric: Metric, suite: str, level: int) -> list[list[Cluster]]:
        """The values of ``metric``: for each run its units, for each of them a series a session, in order of time.

        Units, sessions and runs without a value are left out.
        """
        kind = unit_of(metric, suite)
        found: list[list[Cluster]] = []
        for number in range(len(self._runs)):
            parts: dict[object, list[Values]] = {}
            for (trial, session), unit in self._of(number, suite, level).items():
                if unit[metric.table].empty:
                    continue
                series = _ordered(values(metric, unit, suite=suite, level=level))
                if kind is Unit.STARTS:
                    parts |= {(session, start): [series[start : start + 1]] for start in range(len(series))}
                elif len(series):
                    parts.setdefault(trial if kind is Unit.TRIALS else "", []).append(series)
            if parts:
                found.append(list(parts.values()))
        return found

    def _of(self, number: int, suite: str, level: int) -> _Units:
        key = (number, suite, level)
        if key not in self._units:
            self._units[key] = _units(self._tables[number], suite, level)
        return self._units[key]


def _counted(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[rows["phase"] != PROBE]


def _units(tables: Tables, suite: str, level: int) -> _Units:
    """The tables of each session within each trial, so that looking at one does not search the whole run."""
    repeated = suite in LEVELED
    found: _Units = {}
    empty = {name: rows.iloc[:0] for name, rows in tables.items()}
    clocks: dict[str, pd.DataFrame] = {}
    for name, rows in tables.items():
        mine = rows[rows["suite"] == suite]
        if name == "clock":
            # A connection may outlast a level: what was learnt of its clock holds at every one.
            clocks = {str(session): group for session, group in mine.groupby("session")}
            continue
        mine = mine[mine["level"] == level]
        for (trial, session), group in mine.groupby([mine["trial"] if repeated else mine["trial"] * 0, "session"]):
            found.setdefault((int(str(trial)), str(session)), dict(empty))[name] = group
    for (_, session), unit in found.items():
        unit["clock"] = clocks.get(session, empty["clock"])
    return found


def _ordered(found: pd.Series) -> Values:
    """The values in order of time, where they have one."""
    if pd.api.types.is_float_dtype(found.index.dtype):
        found = found.sort_index(kind="stable")
    return found.to_numpy(dtype=float)
