"""Whether a trial's numbers are the desktops' or the load generator's, also where both share a host. Pure.

On hosts of their own, desktops cannot make a generator late: every reason of :mod:`vdibench.load.guard` stands. In a
lab they share its cores, and at the knee that search is for, these are full: then an event loop is late because the
host is, and the level is bad for that very reason. So a trial during which the host was full is judged by one question:
who filled it. See ``docs/design/load-guard.md``.
"""

from __future__ import annotations

from vdibench.load.guard import GuardLimits, reasons
from vdibench.metrics import STEADY, Tables, chosen

__all__ = ["FULL_SHARE", "GENERATOR_SHARE", "generator_reasons"]

FULL_SHARE = 0.85
"""Of the host's cores, from which on it counts as full: work that arrives at random queues well before the last one."""

GENERATOR_SHARE = 0.5
"""Of a full host's busy cores, from which on the generator is what filled it."""


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
) -> list[str]:
    """Why a trial must not be trusted; empty when nothing speaks against it.

    :param cores: that this host has.
    :param shared_host: the desktops are on this host.
    """
    busy = _cores(tables, suite, level, trial, "host")
    if shared_host and busy is not None and busy >= FULL_SHARE * cores:
        ours = _cores(tables, suite, level, trial, "client") or 0.0
        if ours > GENERATOR_SHARE * busy:
            return [
                f"at level {level}, trial {trial + 1}, the load generator took {ours:.1f} of the {busy:.1f} cores that "
                "were busy: its own limit was found, not the desktops'"
            ]
        return []
    return reasons(tables, suite=suite, workers=workers, limits=limits, level=level, trial=trial)


def _cores(tables: Tables, suite: str, level: int, trial: int, scope: str) -> float | None:
    """Cores in use on average while it counted; None where nobody read them."""
    rows = chosen(tables["resources"], suite=suite, level=level, trial=trial, session=scope, phase=STEADY)
    values = rows[rows["resource"] == "cpu_cores"]["value"]
    return float(values.mean()) if len(values) else None
