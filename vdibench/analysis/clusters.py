"""The values of a metric by what varies as a whole: sessions, and the runs that they belong to. Pure.

The unit is a session within a trial: a session keeps its phase against the capture clock, its core and its connection
from start to end, so that its frames are no independent samples. Suites without levels use trials for the steps of one
session, which stay together. Each start of a session is a unit of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pandas as pd

from vdibench.analysis.resampling import Cluster, Values
from vdibench.metrics import PROBE, Metric, Tables, levels, values
from vdibench.records import TABLES
from vdibench.slo import LEVELED

__all__ = ["Side"]

_NO_SAMPLES = ("facts", "checks", "requests")
_STARTS = "milestones"  # its metrics have one value a start


class Side:
    """The runs of one side, with what was computed of them."""

    def __init__(self, runs: Sequence[Tables]) -> None:
        self._runs = runs
        self._tables = [{name: _counted(tables[name]) for name in TABLES if name not in _NO_SAMPLES} for tables in runs]
        self._units: dict[tuple[int, str, int], list[dict[str, pd.DataFrame]]] = {}

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
        found = []
        for number in range(len(self._runs)):
            sessions: list[Cluster] = []
            for unit in self._of(number, suite, level):
                if unit[metric.table].empty:
                    continue
                series = _ordered(values(metric, unit, suite=suite, level=level))
                if metric.table == _STARTS:
                    sessions.extend([one] for one in np.split(series, len(series)) if len(one))
                elif len(series):
                    sessions.append([series])
            if sessions:
                found.append(sessions)
        return found

    def _of(self, number: int, suite: str, level: int) -> list[dict[str, pd.DataFrame]]:
        key = (number, suite, level)
        if key not in self._units:
            self._units[key] = list(_units(self._tables[number], suite, level))
        return self._units[key]


def _counted(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[rows["phase"] != PROBE]


def _units(tables: Tables, suite: str, level: int) -> Iterator[dict[str, pd.DataFrame]]:
    """The tables of each session within each trial, so that looking at one does not search the whole run."""
    by = ["trial", "session"] if suite in LEVELED else ["session"]
    parts: dict[tuple[object, ...], dict[str, pd.DataFrame]] = {}
    empty = {name: rows.iloc[:0] for name, rows in tables.items()}
    clocks: dict[str, pd.DataFrame] = {}
    for name, rows in tables.items():
        mine = rows[rows["suite"] == suite]
        if name == "clock":
            # A connection may outlast a level: what was learnt of its clock holds at every one.
            clocks = {str(session): group for session, group in mine.groupby("session")}
            continue
        for key, group in mine[mine["level"] == level].groupby(by, sort=True):
            parts.setdefault(tuple(key) if isinstance(key, Iterable) else (key,), dict(empty))[name] = group
    for key, part in parts.items():
        part["clock"] = clocks.get(str(key[-1]), empty["clock"])
        yield part


def _ordered(found: pd.Series) -> Values:
    """The values in order of time, where they have one."""
    if pd.api.types.is_float_dtype(found.index.dtype):
        found = found.sort_index(kind="stable")
    return found.to_numpy(dtype=float)
