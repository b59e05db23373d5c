"""What the load engine promises, each with what was found here. Pure.

Clients per core are the inverse of the CPU time of one session. What was not measured with as many sessions as the
target is of is no data, and no data never passes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from vdibench.client import Mode
from vdibench.records import Cost, Outcome, SelfTest
from vdibench.selftest.cost import MAX_CPU_RATIO, MAX_LAG_SECONDS
from vdibench.selftest.many import GAP_BOUND_SECONDS
from vdibench.selftest.plan import ENGINE_SESSIONS

__all__ = ["Target", "Verdict", "targets", "worst"]

MAX_TIMES_FLOOR = 2.5
_NATIVE = "meter-native"
# Mode, clients per core at least, sessions at least.
_COSTS = (
    (str(Mode.DECODE), 6.0, 4),
    (str(Mode.DEPACKETISE), 30.0, 10),
    (str(Mode.METER), 150.0, ENGINE_SESSIONS),
    (str(Mode.SAMPLED), 80.0, 10),
    (_NATIVE, 400.0, ENGINE_SESSIONS),
    (f"{_NATIVE}-decrypt", 300.0, ENGINE_SESSIONS),
)


class Verdict(StrEnum):
    """Of one target."""

    PASS = "pass"
    MISS = "miss"
    NO_DATA = "no data"


@dataclass(frozen=True, slots=True)
class Target:
    """One promise.

    :param bound: ``at least``, ``at most`` or ``below`` the target.
    :param value: what was found; None for no data.
    :param samples: runs, looks, gaps or packets behind the value, as ``of`` says.
    :param sessions: that were measured at once; 0 where rows of several numbers are put together.
    :param packets_per_second: of each of them, mean; None as above.
    """

    name: str
    bound: str
    target: float
    unit: str
    value: float | None = None
    samples: int = 0
    of: str = "runs"
    sessions: int = 0
    packets_per_second: float | None = None
    verdict: Verdict = Verdict.NO_DATA


def targets(found: SelfTest) -> tuple[Target, ...]:
    """All of them, in the order of their list."""
    rows = {row.mode: row for row in found.cost}
    listed = [_cost(rows.get(mode), mode, least, sessions) for mode, least, sessions in _COSTS]
    listed += [_times_floor(rows.get(_NATIVE), found.floor.get("c_recvmmsg")), _gaps(found), *_gates(found.cost)]
    return tuple(_judged(one) for one in listed)


def worst(found: SelfTest, listed: Sequence[Target]) -> Outcome:
    """Of a self-test and its targets together, in the order of :attr:`SelfTest.outcome`."""
    verdicts = {target.verdict for target in listed}
    if found.outcome is Outcome.INVALID:
        return Outcome.INVALID
    if found.outcome is Outcome.FAIL or Verdict.MISS in verdicts:
        return Outcome.FAIL
    return Outcome.NO_DATA if Verdict.NO_DATA in verdicts else found.outcome


def _judged(target: Target) -> Target:
    if target.value is None or not target.samples:
        return replace(target, value=None, verdict=Verdict.NO_DATA)
    kept = {
        "at least": target.value >= target.target,
        "at most": target.value <= target.target,
        "below": target.value < target.target,
    }[target.bound]
    return replace(target, verdict=Verdict.PASS if kept else Verdict.MISS)


def _cost(row: Cost | None, mode: str, least: float, sessions: int) -> Target:
    target = Target(f"clients_per_core/{mode}", "at least", least, "clients/core", sessions=sessions)
    if row is None or row.sessions < sessions:
        return target
    return replace(
        target,
        value=row.clients_per_core,
        samples=row.runs,
        sessions=row.sessions,
        packets_per_second=row.packets_per_second,
    )


def _times_floor(row: Cost | None, floor: float | None) -> Target:
    target = Target(
        f"times_c_recvmmsg/{_NATIVE}", "at most", MAX_TIMES_FLOOR, "ratio", sessions=row.sessions if row else 0
    )
    if row is None or not floor:
        return target
    return replace(
        target,
        value=row.cpu_ratio_per_session / floor,
        samples=row.runs,
        packets_per_second=row.packets_per_second,
    )


def _gaps(found: SelfTest) -> Target:
    target = Target("frame_gap_error_p95", "at most", GAP_BOUND_SECONDS, "seconds", of="gaps", sessions=ENGINE_SESSIONS)
    for row in found.accuracy:
        if row.metric == "frame_interval_seconds":
            return replace(target, value=row.error, samples=row.samples)
    return target


def _gates(rows: Sequence[Cost]) -> list[Target]:
    """What every row must keep, by the worst of them."""
    lags = [row.loop_lag_p99_seconds for row in rows if row.loop_lag_p99_seconds is not None]
    cores = [row.cpu_ratio_per_session * row.sessions for row in rows if row.mode != Mode.DECODE]
    drops = [row.socket_drops for row in rows if row.socket_drops is not None]
    return [
        Target(
            "loop_lag_p99",
            "below",
            MAX_LAG_SECONDS,
            "seconds",
            max(lags) if lags and len(lags) == len(rows) else None,
            sum(row.loop_looks for row in rows),
            "looks",
        ),
        Target(
            "client_cpu_without_decoding",
            "below",
            MAX_CPU_RATIO,
            "cores",
            max(cores, default=None),
            len(cores),
            "modes",
        ),
        Target(
            "socket_drops",
            "at most",
            0.0,
            "packets",
            float(sum(drops)) if drops and len(drops) == len(rows) else None,
            sum(row.runs for row in rows),
        ),
    ]
