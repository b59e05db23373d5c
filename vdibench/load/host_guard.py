"""Whether a trial's numbers are the desktops' or the load generator's, also where both share a host. Pure.

On hosts of their own, desktops cannot make a generator late: every reason of :mod:`vdibench.load.guard` stands. In a
lab they share its cores, and at the knee that is searched for, these are full: then an event loop is late because the
host is, and the level is bad for that very reason. So a trial during which the host was full is judged by one question:
who filled it. See ``docs/design/load-guard.md``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import pandas as pd

from vdibench.load.guard import GuardLimits, reasons
from vdibench.metrics import FAILED, PROBE, STEADY, Tables, chosen

__all__ = [
    "CROWDED_SHARE",
    "FULL_SHARE",
    "GENERATOR_SHARE",
    "LATE_AND_GOOD_SECONDS",
    "OTHERS_SHARE",
    "WAITING_SHARE",
    "generator_reasons",
]

FULL_SHARE = 0.85
"""Of the host's cores, from which on it counts as full: work that arrives at random queues well before the last one."""

CROWDED_SHARE = 0.7
"""Of the host's cores, from which on waits for a core explain a late loop: :data:`WAITING_SHARE`. No other reason."""

WAITING_SHARE = 0.5
"""Of the time, in which some task was ready to run and had no core. On many cores alone it says little: one of a
thousand tasks may wait while a core elsewhere is idle."""

GENERATOR_SHARE = 0.5
"""Of a full host's busy cores, from which on the generator is what filled it."""

OTHERS_SHARE = 0.15
"""Of a full host's cores: beyond it, what is neither a desktop nor ours moved the knee."""

LATE_AND_GOOD_SECONDS = 0.05
"""Loop lag p99 of a second that a trial may have which passed all the same.

A late loop adds to latencies and to no rate. What it can hide is its own length of a gap between frames: this much is a
third of the 150 ms by which a gap must exceed the usual one to be a freeze.
"""


def generator_reasons(
    tables: Tables,
    *,
    suite: str,
    level: int,
    trial: int,
    workers: int,
    limits: GuardLimits,
    cores: float,
    shared_host: bool,
    passed: bool,
) -> list[str]:
    """Why a trial must not be trusted; empty when nothing speaks against it.

    Where every session failed before a second counted there is no number to distrust: the level is bad, not the run.

    :param cores: that this host has.
    :param shared_host: the desktops are on this host.
    :param passed: the trial's sessions were good, by what was measured.
    """
    if _all_failed(tables, suite, level, trial):
        return []
    use = _means(tables["resources"], "cpu_cores", suite, level, trial)
    waiting = _means(tables["resources"], "cpu_waiting_ratio", suite, level, trial).get("host", 0.0)
    busy = use.get("host", 0.0) / cores if shared_host else 0.0
    found: list[str] = []
    if crowded := busy >= FULL_SHARE or (busy >= CROWDED_SHARE and waiting >= WAITING_SHARE):
        engine = chosen(tables["engine"], suite=suite, level=level, trial=trial)
        found += _who_filled_it(use, cores, engine, limits)
    if busy < FULL_SHARE:
        # Waits explain a late loop, and nothing else.
        late = math.inf if crowded else LATE_AND_GOOD_SECONDS if passed else 0.0
        limits = replace(limits, loop_lag_seconds=max(limits.loop_lag_seconds, late))
        found += reasons(tables, suite=suite, workers=workers, limits=limits, level=level, trial=trial)
    place = f"level {level}, trial {trial + 1}"
    return [reason if place in reason else f"{place}: {reason}" for reason in found]


def _all_failed(tables: Tables, suite: str, level: int, trial: int) -> bool:
    if len(chosen(tables["engine"], suite=suite, level=level, trial=trial)):
        return False
    events = chosen(tables["milestones"], suite=suite, level=level, trial=trial, phase=None)
    return events[events["event"] == FAILED]["session"].nunique() >= level


def _who_filled_it(use: dict[str, float], cores: float, engine: pd.DataFrame, limits: GuardLimits) -> Iterator[str]:
    busy, ours = use["host"], use.get("client", 0.0)
    others = busy - ours - sum(value for scope, value in use.items() if scope.startswith("desktop-"))
    if ours > GENERATOR_SHARE * busy:
        yield (
            f"the load generator took {ours:.1f} of the {busy:.1f} cores that were busy: "
            "its own limit was found, not the desktops'"
        )
    if others > OTHERS_SHARE * cores:
        yield (
            f"{others:.1f} of {cores:.0f} cores went to what is neither a desktop nor the load generator: "
            "end other work on this machine"
        )
    for name, rows in engine.groupby("session"):
        mean = float(rows["cpu_ratio"].mean())
        if mean > limits.engine_cpu_ratio:
            yield f"{name} took {mean:.2f} cores where {limits.engine_cpu_ratio:.2f} are allowed: use more workers"


def _means(resources: pd.DataFrame, resource: str, suite: str, level: int, trial: int) -> dict[str, float]:
    """A resource on average while it counted, by scope; desktops that idle beside the level included."""
    rows = chosen(resources, suite=suite, level=level, trial=trial, phase=None)
    rows = rows[(rows["resource"] == resource) & rows["phase"].isin([STEADY, PROBE])]
    steady = rows[rows["phase"] == STEADY]["unix_seconds"]
    if steady.empty:
        return {}
    rows = rows[rows["unix_seconds"].between(steady.min(), steady.max())]
    return {str(scope): float(values.mean()) for scope, values in rows.groupby("session")["value"]}
