"""What a user loses to busy neighbours: one victim beside 0, 1, 2, … heavy sessions. Pure.

What is read, of the suite ``noisy_neighbour`` unless another is named:

- table ``facts``: for each session a row with key ``neighbour.role`` and value ``victim`` or ``neighbour``, and a row
  with key ``workload`` and the name of what its desktop draws (``idle``, ``text``, ``window``, ``video``, ``3d``). Both
  hold for the whole suite; where a key comes twice for a session, the last row counts.
- steady rows of ``frames`` and ``network`` and every row of ``clock``, with ``level`` and ``trial``. A trial is one
  pair of them; ``level`` is the number of sessions running together, so that a victim alone has level 1 and one beside
  k heavy neighbours level k + 1. Which neighbours there were is counted from the sessions with samples, not from
  ``level``. Where several victims are tried, each has trials of its own: the same level with other trial numbers.

The trials of one victim without a neighbour are what the others are held against: without them there is no row. An
interval comes from :func:`vdibench.analysis.shift` with trials as the unit that varies; with fewer than three trials on
either side it speaks of these trials only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from vdibench.analysis.resampling import Cluster, Shift, enough_values, shift
from vdibench.metrics import REGISTRY, STEADY, Statistic, Tables, chosen, sessions, values

__all__ = ["NEIGHBOUR", "ROLE", "SUITE", "VICTIM", "WORKLOAD", "Influence", "neighbours"]

SUITE = "noisy_neighbour"
ROLE, WORKLOAD = "neighbour.role", "workload"
VICTIM, NEIGHBOUR = "victim", "neighbour"

# What a user notices: late pictures, and pictures that do not come.
STATISTICS = {"glass_to_glass_seconds": Statistic("p", 95.0), "frames_per_second": Statistic("avg")}


@dataclass(frozen=True, slots=True)
class Influence:
    """One cell of the matrix: a victim's metric beside so many neighbours, against the same victim alone.

    :param victim: the victim's workload; ``beside`` that of the neighbours, empty when there were several.
    :param neighbours: how many.
    :param metric: ``glass_to_glass_seconds`` (p95) or ``frames_per_second`` (mean).
    :param shift: alone (``base``), beside the neighbours (``new``), and the interval of the difference; None where
        either side has too few values.
    :param trials: beside the neighbours; ``alone`` without them.
    """

    victim: str
    beside: str
    neighbours: int
    metric: str
    shift: Shift | None
    trials: int
    alone: int

    @property
    def relative(self) -> float | None:
        """The difference as a share of what it was alone: 0.5 for half as much again."""
        return self.shift.delta / self.shift.base if self.shift is not None and self.shift.base else None


def neighbours(tables: Tables, *, suite: str = SUITE) -> tuple[Influence, ...]:
    """Every cell, by victim, number of neighbours and metric; none without the facts that say who is who."""
    trials = list(_trials(tables, suite))
    found = []
    for victim, beside, count in sorted({(trial.victim, trial.beside, len(trial.others)) for trial in trials}):
        if not count:
            continue
        here = [trial for trial in trials if (trial.victim, trial.beside, len(trial.others)) == (victim, beside, count)]
        alone = [trial for trial in trials if trial.victim == victim and not trial.others]
        if not alone:
            continue
        for metric, statistic in STATISTICS.items():
            base, new = (
                [one for trial in side if (one := trial.values(metric, tables, suite))] for side in (alone, here)
            )
            found.append(
                Influence(victim, beside, count, metric, _shift(statistic, base, new), trials=len(new), alone=len(base))
            )
    return tuple(found)


@dataclass(frozen=True, slots=True)
class _Trial:
    victim: str
    session: str
    level: int
    trial: int
    others: tuple[str, ...]
    beside: str

    def values(self, metric: str, tables: Tables, suite: str) -> Cluster:
        """The victim's values in order of time: one series, or none."""
        known = REGISTRY[metric]
        found = values(known, tables, suite=suite, level=self.level, trial=self.trial, session=self.session)
        return [found.sort_index().to_numpy(dtype=float)] if len(found) else []


def _trials(tables: Tables, suite: str) -> Iterator[_Trial]:
    roles, workloads = (_facts(tables["facts"], suite, key) for key in (ROLE, WORKLOAD))
    places: set[tuple[int, int]] = set()
    for name in ("frames", "network"):
        rows = chosen(tables[name], suite=suite, phase=STEADY)
        places.update(
            (int(level), int(trial)) for level, trial in rows[["level", "trial"]].drop_duplicates().to_numpy()
        )
    for level, trial in sorted(places):
        there = sessions(tables, suite, level, trial)
        others = tuple(session for session in there if roles.get(session) == NEIGHBOUR)
        kinds = {workloads.get(session, "") for session in others}
        beside = next(iter(kinds)) if len(kinds) == 1 else ""
        for session in there:
            if roles.get(session) == VICTIM:
                yield _Trial(workloads.get(session, session), session, level, trial, others, beside)


def _facts(rows: pd.DataFrame, suite: str, key: str) -> dict[str, str]:
    mine = rows[(rows["suite"] == suite) & (rows["key"] == key)]
    return dict(zip(mine["session"].astype(str), mine["value"].astype(str), strict=True))


def _shift(statistic: Statistic, base: list[Cluster], new: list[Cluster]) -> Shift | None:
    counts = (sum(len(series) for cluster in side for series in cluster) for side in (base, new))
    return shift(statistic, base, new) if all(enough_values(statistic, count) for count in counts) else None
