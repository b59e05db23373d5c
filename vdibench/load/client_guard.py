"""Whether the measuring client itself was late, or its clock another one than the desktops'. Pure; tables in."""

from __future__ import annotations

from vdibench.metrics import Statistic, Tables, values
from vdibench.report import formats

__all__ = ["MAX_LATE_SECONDS", "client_reasons"]

# The client's own delay: the event loop's worst of each second and the time from a frame's last packet to its
# picture, in 95 of 100 cases. Beyond it, latencies say more of this host than of the desktop.
MAX_LATE_SECONDS = 0.05


def client_reasons(tables: Tables, suite: str) -> list[str]:
    """Why a suite's numbers must not be trusted because of the client; empty when nothing speaks against them.

    At one desktop nothing excuses a late client; at more, the levels themselves show when this host is full.
    """
    found = []
    for metric, what in (("event_loop_lag_seconds", "event loop"), ("decode_seconds", "decoder")):
        late = Statistic.parse("p(95)").of(values(metric, tables, suite=suite, level=1))
        if late is not None and late > MAX_LATE_SECONDS:
            found.append(f"the client's {what} was late by {formats.seconds(late)} (p95): this machine is overloaded")
    if (values("glass_to_glass_seconds", tables, suite=suite) < 0).any():
        found.append("frames were decoded before they were drawn: the clocks of desktop and client differ")
    return found
