"""The whole machine: CPU time and pressure, memory in use, load. Reads /proc, mostly through psutil; keeps no state."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import psutil

__all__ = ["MachineReading", "read_machine"]

_PRESSURE = Path("/proc/pressure/cpu")


@dataclass(frozen=True, slots=True)
class MachineReading:
    """Counters of the machine at one instant.

    :param busy_cpu_seconds: user, nice, system and interrupt time of all cores since boot.
    :param steal_cpu_seconds: time in which the hypervisor ran somebody else; None where it is not counted.
    :param cpu_waiting_seconds: time since boot in which at least one task was ready to run and had no core (PSI, line
        ``some``, as ``node_pressure_cpu_waiting_seconds_total``); None where the kernel does not count it.
    :param memory_bytes: in use: total less what is available without swapping.
    :param load_average_1m: runnable and uninterruptible tasks; None where the system has no such figure.
    """

    busy_cpu_seconds: float
    steal_cpu_seconds: float | None
    cpu_waiting_seconds: float | None
    memory_bytes: int
    load_average_1m: float | None


def read_machine() -> MachineReading:
    """The counters now."""
    cpu = psutil.cpu_times()
    # Guest time is part of user time on Linux; adding it would count it twice.
    busy = sum(getattr(cpu, name, 0.0) for name in ("user", "nice", "system", "irq", "softirq"))
    memory = psutil.virtual_memory()
    try:
        load: float | None = psutil.getloadavg()[0]
    except OSError:
        load = None
    steal = getattr(cpu, "steal", None)
    return MachineReading(busy, steal or None, _waiting_seconds(), memory.total - memory.available, load)


def _waiting_seconds() -> float | None:
    try:
        lines = _PRESSURE.read_text().splitlines()
    except OSError:
        # A kernel without PSI has no such file; one that was started with psi=0 refuses to read it.
        return None
    totals = [word for line in lines if line.startswith("some ") for word in line.split() if word.startswith("total=")]
    return int(totals[0].removeprefix("total=")) / 1e6 if totals else None
