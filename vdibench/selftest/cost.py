"""What each mode of the client costs on this machine: CPU time of a process that does nothing else. I/O."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from vdibench.children import Child
from vdibench.client import Mode
from vdibench.errors import VdibenchError
from vdibench.records import Cost
from vdibench.replay.process import ReplayServer
from vdibench.report import formats
from vdibench.selftest.plan import CostStep

__all__ = ["measure_cost", "measure_floor", "measure_step"]

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
    )
    of_sent, of_nominal = received / sent if sent else 0.0, received / step.sessions / source.packets_per_second
    return row, _doubt(step, of_sent, of_nominal, said["drops"]), said


def _doubt(step: CostStep, received: float, of_nominal: float, drops: float) -> str:
    what = f"{step.sessions} × {step.name}"
    if drops > 0:
        return f"{what}: its sockets threw {formats.count(drops)} packets away"
    if of_nominal < 0.9:
        return f"{what}: only {formats.ratio(of_nominal)} of the source's rate came: this machine is full"
    if received < _ENOUGH and step.mode is not Mode.DECODE:
        return f"{what}: received {formats.ratio(received)} of what was sent"
    return ""


def measure_floor(packets_per_second: float, bitrate_bps: float, seconds: float) -> dict[str, float]:
    """Cores a session: ``receive``, datagrams read and thrown away; ``decode``, pictures decoded and thrown away."""
    found = {}
    for what, rate in (("receive", packets_per_second), ("decode", bitrate_bps)):
        try:
            with Child("vdibench.selftest.floor", (what, f"{rate:.0f}", f"{seconds:g}")) as child:
                found[what] = float(child.hear(seconds + 30.0)["cpu_ratio_per_session"])
        except VdibenchError:
            continue  # a floor is something to compare with, nothing that must be there
    return found


def _wait(seconds: float) -> None:
    threading.Event().wait(seconds)
