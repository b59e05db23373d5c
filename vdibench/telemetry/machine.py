"""The whole machine: CPU time, memory in use and load. Reads /proc through psutil; keeps no state."""

from __future__ import annotations

from dataclasses import dataclass

import psutil

__all__ = ["MachineReading", "read_machine"]


@dataclass(frozen=True, slots=True)
class MachineReading:
    """Counters of the machine at one instant.

    :param busy_cpu_seconds: user, nice, system and interrupt time of all cores since boot.
    :param steal_cpu_seconds: time in which the hypervisor ran somebody else; None where it is not counted.
    :param memory_bytes: in use: total less what is available without swapping.
    :param load_average_1m: runnable and uninterruptible tasks; None where the system has no such figure.
    """

    busy_cpu_seconds: float
    steal_cpu_seconds: float | None
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
    return MachineReading(busy, steal or None, memory.total - memory.available, load)
