"""What the self-test found: how accurate and how expensive the measuring itself is on one machine. Pure.

Durations are seconds, rates bits or packets per second, shares ratios. ``None`` is "no data", never zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from vdibench.records.outcome import Outcome

__all__ = ["SELFTEST_SCHEMA", "Accuracy", "Cost", "SelfTest"]

SELFTEST_SCHEMA = 1  # 1: first


@dataclass(frozen=True, slots=True)
class Accuracy:
    """What was put in, what the client said of it, and whether that is close enough.

    :param metric: as in the registry, or ``packets_lost``, ``freezes``: counts that it makes ratios of.
    :param injected: what the relay did, in ``unit``.
    :param measured: what the client said; None when it said nothing.
    :param error: measured less injected.
    :param low: of the error, 95 % interval; None where it is a count.
    :param high: the same.
    :param samples: values behind ``measured`` (frames, events, packets, freezes).
    :param bound: the largest error that is accepted, in ``unit``.
    :param ok: None when nothing can be said, see ``note``.
    :param note: why not, or what else must be known; empty for nothing.
    :param applicable: the dialect has such a thing.
    """

    metric: str
    dialect: str
    injected: float
    measured: float | None
    error: float | None
    unit: str
    samples: int
    bound: float
    ok: bool | None
    low: float | None = None
    high: float | None = None
    note: str = ""
    applicable: bool = True


@dataclass(frozen=True, slots=True)
class Cost:
    """What one mode of the client costs, from the CPU time of its own process.

    :param packets_per_second: that each session received, mean.
    :param cpu_ratio_per_session: cores that one session takes.
    :param clients_per_core: its inverse.
    :param rss_bytes_per_session: growth of the resident memory by one session.
    :param source: what was received.
    :param runs: of which this is the middle one; the following are of all of them.
    :param loop_lag_p99_seconds: how late the client's event loop was in one of a hundred looks; the worst run's.
    :param loop_looks: so many in all.
    :param socket_drops: packets that its sockets threw away.
    """

    mode: str
    sessions: int
    packets_per_second: float
    cpu_ratio_per_session: float
    clients_per_core: float
    rss_bytes_per_session: float
    source: str
    runs: int = 1
    loop_lag_p99_seconds: float | None = None
    loop_looks: int = 0
    socket_drops: int | None = None


@dataclass(frozen=True, slots=True)
class SelfTest:
    """One self-test.

    :param kind: ``quick`` or ``full``.
    :param version: of vdibench.
    :param fingerprint: of the machine and of the libraries that do the work.
    :param host: facts of the machine, as in ``run.json``.
    :param desktop: what was watched, in words; empty when no desktop could be had.
    :param floor: what the same costs without this client: ``receive`` and ``decode``, cores a session.
    :param invalid: why the numbers must not be trusted: the machine was loaded, the relay itself was late.
    :param missing: what was not measured, and why.
    """

    kind: str
    version: str
    fingerprint: str
    began_unix_seconds: float
    took_seconds: float
    host: Mapping[str, Any] = field(default_factory=dict)
    desktop: str = ""
    accuracy: tuple[Accuracy, ...] = ()
    cost: tuple[Cost, ...] = ()
    floor: Mapping[str, float] = field(default_factory=dict)
    invalid: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    schema: int = SELFTEST_SCHEMA

    @property
    def outcome(self) -> Outcome:
        """Invalid before failed before no data: numbers that must not be trusted show no miss either."""
        rows = [row for row in self.accuracy if row.applicable]
        if self.invalid:
            return Outcome.INVALID
        if any(row.ok is False for row in rows):
            return Outcome.FAIL
        if not rows or self.missing or any(row.ok is None for row in rows):
            return Outcome.NO_DATA
        return Outcome.PASS
