"""Whether a load's numbers may be believed: reasons why not, from what was recorded. Pure; tables in, sentences out.

A generator that is itself overloaded measures itself. What the system under load does wrong, a session that fails or a
desktop that shows nothing, is no reason here: that is what the load is there to find.

Only seconds of phase ``steady`` count. One odd second in twenty is nobody's fault; more are.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from vdibench.metrics import STEADY, Tables
from vdibench.slo import Objectives

__all__ = [
    "CLOCK_SHARE",
    "ENGINE_CPU_RATIO",
    "LOOP_LAG_SECONDS",
    "MISSING_FACT",
    "WORKER_CPU_RATIO",
    "GuardLimits",
    "latency_bounds",
    "limits_for",
    "reasons",
]

LOOP_LAG_SECONDS = 0.005
"""Loop lag p99 of a second. A tenth of the 50 ms that a desktop has; where it may have more, so may the loop."""

ENGINE_CPU_RATIO = 0.70
"""Of one core, for an engine whose one thread does everything: beyond it, work queues up before the core is full."""

WORKER_CPU_RATIO = 0.70
"""Of one core: a worker that is busy starts users and steps late."""

MISSING_FACT = "samples.missing"
"""The fact of an engine whose worker, on another host, did not hand over all that was recorded: why not."""

CLOCK_SHARE = 0.10
"""Of an objective that clocks may disagree by, as for every verdict."""

_LAG_SHARE = 0.10
_ODD_SHARE = 0.05
# A queue of this many frames that is longer in the last third of a trial than in the first does not get empty.
_BACKLOG_FRAMES = 30
_BACKLOG_GROWTH = 1.5
# Engines say a second a second; a pause of a few is a busy machine, more is one that cannot be trusted.
_SILENCE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class GuardLimits:
    """What a generator may take.

    :param loop_lag_seconds: p99 of a second.
    :param engine_cpu_ratio: cores of one engine; more than one where decoders run in threads beside the loop.
    :param worker_cpu_ratio: cores of one worker.
    """

    loop_lag_seconds: float = LOOP_LAG_SECONDS
    engine_cpu_ratio: float = ENGINE_CPU_RATIO
    worker_cpu_ratio: float = WORKER_CPU_RATIO


def limits_for(latency_bounds: Sequence[float] = (), *, decoding_cores: int = 1) -> GuardLimits:
    """The limits where latencies are held against ``latency_bounds``, in seconds.

    :param decoding_cores: cores that an engine's decoders may use; 1 where it decodes nothing.
    """
    tightest = min((bound for bound in latency_bounds if bound > 0), default=0.0)
    return GuardLimits(
        loop_lag_seconds=max(LOOP_LAG_SECONDS, _LAG_SHARE * tightest),
        engine_cpu_ratio=ENGINE_CPU_RATIO * max(1, decoding_cores),
    )


def latency_bounds(objectives: Objectives, suite: str, context: Mapping[str, Any]) -> tuple[list[float], list[float]]:
    """What latencies are held against in a suite, in seconds: all of them, and the one-way ones."""
    applicable = [item.objective for item in objectives.applicable(suite, context) if item.applies]
    latencies = [
        objective
        for objective in applicable
        if objective.definition.unit == "seconds" and objective.definition.table in {"frames", "inputs"}
    ]
    every = [float(objective.expectation.bound) for objective in latencies]
    one_way = [float(objective.expectation.bound) for objective in latencies if objective.definition.one_way]
    return every, one_way


def reasons(
    tables: Tables,
    *,
    suite: str,
    workers: int,
    limits: GuardLimits | None = None,
    level: int | None = None,
    trial: int | None = None,
    asked: bool = True,
    clock_bound_seconds: float = 0.0,
    one_way_bounds: Sequence[float] = (),
) -> list[str]:
    """Why the numbers must not be trusted; empty when nothing speaks against them.

    :param workers: that there should be.
    :param level: look at one level alone; ``trial`` likewise.
    :param asked: a level is the number of users that were asked for; else somebody changed it by hand.
    :param clock_bound_seconds: what one-way values may be wrong by.
    :param one_way_bounds: what such values are held against, in seconds.
    """
    limits = limits or GuardLimits()
    steady = _counted(tables["engine"], suite, level, trial)
    found = [*_clock(clock_bound_seconds, one_way_bounds), *_not_handed_over(tables, suite)]
    if steady.empty:
        return [*found, "no engine said anything while it counted"]
    found += _missing(steady, _windows(_counted(tables["resources"], suite, level, trial)), workers)
    # Each trial by itself: what overloads the last of twenty levels must not drown in the other nineteen.
    for (at_level, at_trial), rows in steady.groupby(["level", "trial"]):
        for name, own in rows.groupby("session"):
            found += _overloaded(str(name), own, limits, _place(at_level, at_trial))
    return [*found, *(_unachieved(steady, tables["milestones"], suite) if asked else [])]


def _counted(rows: pd.DataFrame, suite: str, level: int | None, trial: int | None) -> pd.DataFrame:
    mine = (rows["suite"] == suite) & (rows["phase"] == STEADY)
    for column, wanted in (("level", level), ("trial", trial)):
        if wanted is not None:
            mine &= rows[column] == wanted
    return rows[mine]


def _clock(bound_seconds: float, one_way_bounds: Sequence[float]) -> Iterator[str]:
    tightest = min((bound for bound in one_way_bounds if bound > 0), default=math.inf)
    if bound_seconds > CLOCK_SHARE * tightest:
        yield (
            f"the clocks of desktops and client agree to {bound_seconds:g} s only, "
            f"more than {CLOCK_SHARE:.0%} of the objective of {tightest:g} s"
        )


def _not_handed_over(tables: Tables, suite: str) -> Iterator[str]:
    facts = tables["facts"]
    mine = facts[(facts["suite"] == suite) & (facts["key"] == MISSING_FACT)]
    yield from dict.fromkeys(map(str, mine["value"]))


def _windows(resources: pd.DataFrame) -> dict[tuple[object, object], float]:
    """How long each trial counted, by level and trial: telemetry goes on whatever becomes of the engines."""
    return {
        (level, trial): float(np.ptp(rows["unix_seconds"].to_numpy()))
        for (level, trial), rows in resources.groupby(["level", "trial"])
    }


def _missing(steady: pd.DataFrame, windows: Mapping[tuple[object, object], float], workers: int) -> Iterator[str]:
    heard = steady.groupby(["level", "trial"])
    for (level, trial), seconds in windows.items():
        if seconds > _SILENCE_SECONDS and (level, trial) not in heard.groups:
            yield f"no engine said anything for {seconds:.0f} s at {_place(level, trial)}"
    for (level, trial), rows in heard:
        names = sorted(rows["session"].unique())
        if len(names) < workers:
            yield f"{len(names)} of {workers} workers answered at {_place(level, trial)}"
        said = {str(name): np.sort(own.to_numpy()) for name, own in rows.groupby("session")["unix_seconds"]}
        # Lengths and not instants: workers elsewhere have clocks of their own.
        window = max(windows.get((level, trial), 0.0), *(float(np.ptp(own)) for own in said.values()))
        for name, own in said.items():
            silence = max(window - float(np.ptp(own)), float(np.diff(own).max(initial=0.0)))
            if silence > _SILENCE_SECONDS:
                yield f"{name} said nothing for {silence:.0f} s at {_place(level, trial)}"


def _overloaded(name: str, rows: pd.DataFrame, limits: GuardLimits, place: str) -> Iterator[str]:
    for column, limit, what in (
        ("loop_lag_p99_seconds", limits.loop_lag_seconds, "event loop was late"),
        ("cpu_ratio", limits.engine_cpu_ratio, "process was busy"),
        ("worker_cpu_ratio", limits.worker_cpu_ratio, "worker was busy"),
    ):
        values = rows[column].dropna().to_numpy()
        over = int((values > limit).sum())
        if over > max(1, _ODD_SHARE * len(values)):
            yield (
                f"{name}: the {what} in {over} of {len(values)} seconds at {place}, "
                f"up to {_amount(column, float(values.max()))} where {_amount(column, limit)} are allowed"
            )
    drops = float(rows["socket_drops"].sum())
    if drops > 0:
        yield f"{name}: its sockets dropped {drops:.0f} datagrams at {place}"
    backlog = rows.sort_values("unix_seconds")["backlog"].to_numpy()
    third = max(1, len(backlog) // 3)
    first, last = float(np.median(backlog[:third])), float(np.median(backlog[-third:]))
    if last > _BACKLOG_FRAMES and last > _BACKLOG_GROWTH * max(first, 1.0):
        yield f"{name}: {last:.0f} frames waited for a decoder at the end of {place}, and more came"


def _unachieved(steady: pd.DataFrame, milestones: pd.DataFrame, suite: str) -> Iterator[str]:
    mine = milestones[(milestones["suite"] == suite) & (milestones["event"] == "failed")]
    for (number, trial), rows in steady.groupby(["level", "trial"]):
        level = int(str(number))
        # Engines report at moments of their own, and a user may be between two of them: what was there mostly.
        mostly = rows.sort_values("unix_seconds").groupby("session")[["users", "sessions"]].median()
        if (mostly["users"] >= 0).all() and (users := round(mostly["users"].sum())) < level:
            yield f"{users} users were there at {_place(level, trial)}, where {level} were asked for"
            continue
        failed = _lost(mine, milestones, suite, float(rows["unix_seconds"].max()), level, trial)
        shown = round(mostly["sessions"].sum())
        if shown + failed < level:
            yield f"{shown} sessions showed video and {failed} failed at {_place(level, trial)}: {level} were asked for"


def _lost(failed: pd.DataFrame, milestones: pd.DataFrame, suite: str, until: float, level: int, trial: object) -> int:
    """Sessions that had failed by the end of a trial: in it, or before and were not started again since."""
    here = set(failed[(failed["level"] == level) & (failed["trial"] == trial)]["session"])
    before = failed[failed["unix_seconds"] <= until].groupby("session")["unix_seconds"].max()
    starts = milestones[(milestones["suite"] == suite) & (milestones["event"] == "started")]
    last = starts[starts["unix_seconds"] <= until].groupby("session")["unix_seconds"].max()
    return len(here | {name for name, at in before.items() if at >= last.get(name, -math.inf)})


def _amount(column: str, value: float) -> str:
    return f"{value * 1e3:.1f} ms" if column.endswith("_seconds") else f"{value:.2f} cores"


def _place(level: object, trial: object) -> str:
    return f"level {level}, trial {int(str(trial)) + 1}"
