"""Many sessions by the native receiver, in turns with plain C, and how exact their arrivals are. I/O; blocking."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vdibench.client.native import native_module
from vdibench.errors import UsageError, VdibenchError
from vdibench.records import Accuracy, Cost, Workload
from vdibench.replay.departures import DepartureLog, FrameTimes, frame_gap_errors, matching
from vdibench.replay.process import ReplayServer
from vdibench.replay.trace import Trace, load_trace
from vdibench.replay.traces import LabTrace, shortfall
from vdibench.selftest.cost import measure_step
from vdibench.selftest.floors import measure_one_floor
from vdibench.selftest.plan import CostStep, Plan

__all__ = ["GAP_BOUND_SECONDS", "PICTURE", "ManyFindings", "gap_accuracy", "measure_many", "poor_picture"]

# Asked for 11 Mbit/s, Selkies' x264 sends 8.3 in 910 packets a second: what a desktop at 8 Mbit/s is taken to send.
PICTURE = LabTrace(bitrate_bps=11_000_000, workload=Workload.VIDEO)
"""What the targets are measured with."""

GAP_BOUND_SECONDS = 0.001
"""95 of 100 gaps between two frames are measured to within this."""

_FLOORS = ("recvfrom", "recvmmsg")


@dataclass(frozen=True, slots=True)
class ManyFindings:
    """What was measured; what was not is in ``missing`` with the reason, all of it without the native receiver.

    :param floor: cores a session in plain C, ``c_recvfrom`` and ``c_recvmmsg``, medians.
    """

    cost: tuple[Cost, ...] = ()
    floor: dict[str, float] = dataclasses.field(default_factory=dict)
    accuracy: tuple[Accuracy, ...] = ()
    doubts: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


def measure_many(plan: Plan, source: ReplayServer, trace: Path, say: Callable[[str], None]) -> ManyFindings:
    """Measure the modes of ``plan.many`` and the floors in turns, each ``plan.many_repeats`` times: medians.

    :param source: one that replays ``trace`` and notes when frames leave.
    """
    doubts = poor_picture(load_trace(trace))
    try:
        native_module(True)
    except UsageError as error:
        return ManyFindings(doubts=doubts, missing=(f"the native receiver was not measured: {error}",))
    rows: dict[CostStep, list[Cost]] = {step: [] for step in plan.many}
    floors: dict[str, list[float]] = {mode: [] for mode in _FLOORS}
    missing: list[str] = []
    for turn in range(plan.many_repeats):
        for step in plan.many:
            say(f"{step.sessions} × {step.name}, {turn + 1} of {plan.many_repeats}")
            row, doubt, _ = measure_step(step, plan.cost_seconds, source)
            rows[step].append(row)
            doubts += (doubt,) if doubt else ()
        for mode in _FLOORS:
            try:
                cores, doubt = measure_one_floor(mode, plan.cost_seconds, plan.many[0].sessions, trace=trace)
            except VdibenchError as error:
                missing.append(f"floor {mode} was not measured: {error}")
                continue
            floors[mode].append(cores)
            doubts += (doubt,) if doubt else ()
    accuracy, late = _gaps(plan.many[0], plan.cost_seconds, source, say)
    return ManyFindings(
        cost=tuple(_median(found) for found in rows.values()),
        floor={f"c_{mode}": statistics.median(found) for mode, found in floors.items() if found},
        accuracy=(accuracy,),
        doubts=tuple(dict.fromkeys([*doubts, *late])),
        missing=tuple(dict.fromkeys(missing)),
    )


def poor_picture(trace: Trace) -> tuple[str, ...]:
    """Why not to trust what such a picture costs: one that was recorded slowly has fewer packets and costs less."""
    short = shortfall(trace, PICTURE)
    return (f"{short}: this machine was busy when it was recorded",) if short else ()


def _median(rows: list[Cost]) -> Cost:
    """The row whose cost is in the middle, with what is judged of all of them."""
    middle = sorted(rows, key=lambda row: row.cpu_ratio_per_session)[len(rows) // 2]
    lags = [row.loop_lag_p99_seconds for row in rows if row.loop_lag_p99_seconds is not None]
    drops = [row.socket_drops for row in rows if row.socket_drops is not None]
    return dataclasses.replace(
        middle,
        runs=len(rows),
        loop_lag_p99_seconds=max(lags, default=None),
        loop_looks=sum(row.loop_looks for row in rows),
        socket_drops=sum(drops) if drops else None,
    )


def _gaps(
    step: CostStep, seconds: float, source: ReplayServer, say: Callable[[str], None]
) -> tuple[Accuracy, list[str]]:
    """How wrong the gaps between frames are, and why not to trust that."""
    say(f"{step.sessions} × {step.name}: gaps between frames")
    _, doubt, said = measure_step(step, seconds, source, frames=True)
    return gap_accuracy(said["frames"], said["departures"], str(source.dialect)), [doubt] if doubt else []


def gap_accuracy(said: Mapping[str, Any], departures: Mapping[str, FrameTimes], dialect: str) -> Accuracy:
    """The 95th percentile of the errors of single gaps as a row of the accuracy table.

    :param said: arrivals by session, as the client's log says them.
    :param departures: by session of the source, whose names are others.
    """
    errors, sent, seen = [], [], []
    for one in said.values():
        arrivals = DepartureLog.read(one)
        found = matching(arrivals, departures.values())
        if found is not None:
            errors.append(frame_gap_errors(found, arrivals))
            sent.append(np.diff(found.unix_seconds))
            seen.append(np.diff(arrivals.unix_seconds))
    gaps = np.concatenate(errors) if errors else np.array([])
    error = float(np.quantile(gaps, 0.95)) if len(gaps) else None
    return Accuracy(
        metric="frame_interval_seconds",
        dialect=dialect,
        injected=float(np.median(np.concatenate(sent))) if len(gaps) else 0.0,
        measured=float(np.median(np.concatenate(seen))) if len(gaps) else None,
        error=error,
        unit="seconds",
        samples=len(gaps),
        bound=GAP_BOUND_SECONDS,
        ok=None if error is None else error <= GAP_BOUND_SECONDS,
        note=f"{len(errors)} sessions; values are medians, the error is what 95 of 100 single gaps keep",
    )
