"""The values of a metric by what varies as a whole: sessions, and the runs that they belong to. Pure.

The unit is a session within a trial: a session keeps its phase against the capture clock, its core and its connection
from start to end, so that its frames are no independent samples. Suites without levels use trials for the steps of one
session, which stay together. Other things live for another time: each start of a session is a unit of its own; what
the measuring client shares among its sessions is one unit a trial; and processes, with their memory, outlast trials.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from vdibench.analysis.resampling import Cluster, Values
from vdibench.metrics import PROBE, Metric, Tables, levels, values
from vdibench.records import TABLES
from vdibench.slo import LEVELED

__all__ = ["Side"]

# By trial and session; always trial 0 where trials are steps of one session.
_Units = dict[tuple[int, str], dict[str, pd.DataFrame]]

_NO_SAMPLES = ("facts", "checks", "requests")
_STARTS = "milestones"  # its metrics have one value a start
_PROCESSES = "resources"
_OF_THE_CLIENT = frozenset({"event_loop_lag_seconds", "socket_drops"})


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
        """The values of ``metric``: for each run its sessions, for each session its series, in order of time.

        Sessions and runs without a value are left out.
        """
        found: list[list[Cluster]] = []
        for number in range(len(self._runs)):
            parts: dict[object, list[Values]] = {}
            for (trial, session), unit in self._of(number, suite, level).items():
                if unit[metric.table].empty:
                    continue
                series = _ordered(values(metric, unit, suite=suite, level=level))
                if metric.table == _STARTS:
                    parts |= {(trial, session, start): [series[start : start + 1]] for start in range(len(series))}
                elif len(series):
                    whole = session if metric.table == _PROCESSES else (trial, session)
                    parts.setdefault(trial if metric.name in _OF_THE_CLIENT else whole, []).append(series)
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
