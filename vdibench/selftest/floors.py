"""Floors as processes of their own (:mod:`vdibench.selftest.floor`), and whether what they say can be trusted. I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from vdibench.children import Child
from vdibench.errors import VdibenchError
from vdibench.report import formats

__all__ = ["FloorFindings", "measure_floors", "measure_one_floor", "settled"]

_FLOOR_SESSIONS = 10
# A picture is encoded or read, then sent, before anything is measured; on a full machine that takes a while.
_START_SECONDS = 130.0
# Fewer packets are another load; a floor of less load lies too low.
_ENOUGH = 0.9


@dataclass(frozen=True, slots=True)
class FloorFindings:
    """What was measured.

    :param cores: a session, by floor; one that could not be measured is in ``missing`` with the reason, never 0.
    """

    cores: dict[str, float] = field(default_factory=dict)
    doubts: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


def measure_floors(
    seconds: float, *, trace: Path | None, bitrate_bps: float, sessions: int = _FLOOR_SESSIONS
) -> FloorFindings:
    """``receive``, datagrams read and thrown away; ``decode``, pictures decoded and thrown away.

    :param trace: what the sessions of the cost received; None for the canned picture at ``bitrate_bps``.
    """
    cores, doubts, missing = {}, [], []
    for what, many in (("receive", sessions), ("decode", 1)):
        try:
            cores[what], doubt = measure_one_floor(what, seconds, many, trace=trace, bitrate_bps=bitrate_bps)
        except VdibenchError as error:
            missing.append(f"floor {what} was not measured: {error}")
            continue
        doubts += [doubt] if doubt else []
    return FloorFindings(cores, tuple(doubts), tuple(missing))


def measure_one_floor(
    what: str, seconds: float, sessions: int, *, trace: Path | None = None, bitrate_bps: float = 8_500_000
) -> tuple[float, str]:
    """Cores that a session takes, and why not to trust it (empty: all is well), from a process of its own.

    :param what: ``receive``, ``recvfrom``, ``recvmmsg`` or ``decode``.
    :param trace: what a session receives; None for the canned picture of the replay, at ``bitrate_bps``.
    :raises VdibenchError: nothing came, or the process failed.
    """
    source = ("--bitrate", f"{bitrate_bps:.0f}") if trace is None else ("--trace", str(trace.absolute()))
    with Child("vdibench.selftest.floor", (what, f"{seconds:g}", str(sessions), *source)) as child:
        return settled(what, sessions, child.hear(seconds + _START_SECONDS))


def settled(what: str, sessions: int, said: Mapping[str, float]) -> tuple[float, str]:
    """The same of what such a process said.

    :param said: ``cpu_seconds`` in ``seconds``, ``count`` of packets or pictures, and how many ``planned``.
    :raises VdibenchError: nothing was counted: that is no cost of nothing.
    """
    if not said["count"]:
        raise VdibenchError(f"floor {what}: nothing came", "try again on a machine with less load")
    share = said["count"] / said["planned"]
    doubt = ""
    if share < _ENOUGH:
        doubt = f"floor {what}: only {formats.ratio(share)} of the planned packets came: this machine is full"
    return said["cpu_seconds"] / said["seconds"] / sessions, doubt
