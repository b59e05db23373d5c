"""What each mode of the client costs on this machine: CPU time of a process that does nothing else. I/O."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from vdibench.children import Child
from vdibench.client import Mode
from vdibench.records import Cost
from vdibench.replay.process import ReplayServer
from vdibench.report import formats
from vdibench.selftest.plan import CostStep

__all__ = [
    "MAX_CPU_RATIO",
    "MAX_LAG_SECONDS",
    "doubt_of",
    "measure_cost",
    "measure_step",
]

MAX_CPU_RATIO = 0.70
"""Cores that a client process may take: beyond, it has no time left for bursts. Not of decoding: that is in threads."""

MAX_LAG_SECONDS = 0.005
"""An event loop that is later than this in one of a hundred looks has something else to do than to receive."""

_CONNECT_SECONDS = 60.0
_ANSWER_SECONDS = 10.0
# A client that received less than this share fell behind: its CPU time is that of less work.
_ENOUGH = 0.98


def measure_cost(
    steps: Sequence[CostStep], seconds: float, source: ReplayServer, say: Callable[[str], None]
) -> tuple[tuple[Cost, ...], tuple[str, ...]]:
    """One row a step, and why the rows must not be trusted (nothing, if all is well).

    :param seconds: that each step is watched.
    """
    rows, doubts = [], []
    for step in steps:
        say(f"cost of {step.sessions} × {step.name}")
        row, doubt, _ = measure_step(step, seconds, source)
        rows.append(row)
        if doubt:
            doubts.append(doubt)
    return tuple(rows), tuple(doubts)


def measure_step(
    step: CostStep, seconds: float, source: ReplayServer, *, frames: bool = False
) -> tuple[Cost, str, dict[str, Any]]:
    """Watch with one client process; its row, why not to trust it (empty: all is well), and what it said.

    :param frames: have the client say when frames arrived (``frames``) and the source when they left (``departures``).
    """
    what = ("--mode", str(step.mode), "--native", step.native, "--sessions", str(step.sessions))
    with Child("vdibench.selftest.client", ("--url", source.url, *what, *["--frames"] * frames)) as client:
        client.hear(_CONNECT_SECONDS)
        client.say("begin")
        before = source.count()
        _wait(seconds)
        client.say("end")
        after = source.count()
        said = client.hear(_ANSWER_SECONDS)
        if frames:  # of sessions that are still there
            said["departures"] = source.departures()
    sent = (after["packets"] - before["packets"]) / (after["unix_seconds"] - before["unix_seconds"])
    received = said["packets"] / said["seconds"]
    cpu = said["cpu_seconds"] / said["seconds"] / step.sessions
    row = Cost(
        mode=step.name,
        sessions=step.sessions,
        packets_per_second=received / step.sessions,
        cpu_ratio_per_session=cpu,
        clients_per_core=1 / cpu,
        rss_bytes_per_session=said["rss_bytes_per_session"],
        source=source.description,
        loop_lag_p99_seconds=said["lag_p99_seconds"],
        loop_looks=said["lag_looks"],
        socket_drops=said["drops"],
    )
    of_sent, of_nominal = received / sent if sent else 0.0, received / step.sessions / source.packets_per_second
    return row, doubt_of(step, row, of_sent, of_nominal), said


def doubt_of(step: CostStep, row: Cost, received: float, of_nominal: float) -> str:
    """Why not to trust a row; empty: all is well.

    :param received: share of what was sent meanwhile.
    :param of_nominal: share of what the source sends on a machine that has time for it.
    """
    what = f"{step.sessions} × {step.name}"
    cpu = row.cpu_ratio_per_session * step.sessions
    if row.socket_drops:
        return f"{what}: its sockets threw {formats.count(row.socket_drops)} packets away"
    if of_nominal < 0.9:
        return f"{what}: only {formats.ratio(of_nominal)} of the source's rate came: this machine is full"
    if received < _ENOUGH and step.mode is not Mode.DECODE:
        return f"{what}: received {formats.ratio(received)} of what was sent"
    if cpu >= MAX_CPU_RATIO and step.mode is not Mode.DECODE:
        return f"{what}: its process took {formats.ratio(cpu)} of a core: the cost of a session is no longer one's own"
    if row.loop_lag_p99_seconds is None or row.loop_lag_p99_seconds >= MAX_LAG_SECONDS:
        late = formats.seconds(row.loop_lag_p99_seconds)
        return f"{what}: its event loop was {late} late in one of a hundred looks"
    return ""


def _wait(seconds: float) -> None:
    threading.Event().wait(seconds)
