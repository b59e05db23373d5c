"""What control groups account for and allow. Reads files; keeps no state. Linux; elsewhere there is none.

Both hierarchies are understood: version 2 (``cpu.stat``, ``memory.current``) and version 1 (``cpuacct.usage``,
``memory.usage_in_bytes``). A group is named by a directory or by its path inside the hierarchy, as
``/proc/PID/cgroup`` writes it. ``proc`` is the process whose mounts and membership count, this one by default.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Cgroup", "cpu_quota_cores", "memory_limit_bytes", "own_group", "usable_cores"]

_OWN = Path("/proc/self")
# Version 1 writes "no limit" as the largest page-aligned 64-bit number.
_NO_LIMIT_BYTES = 1 << 62


@dataclass(frozen=True, slots=True)
class Cgroup:
    """One control group: the directories in which its CPU and memory are accounted."""

    version: int
    cpu: Path | None
    memory: Path | None

    @classmethod
    def find(cls, name: str, proc: Path = _OWN) -> Cgroup | None:
        """The group of that name or directory, or None when no hierarchy of this machine has it."""
        directory = Path(name)
        if (directory / "cpu.stat").is_file() and not (directory / "cpu.cfs_quota_us").exists():
            return cls(2, directory, directory)
        mounts = dict(_mounts(proc))
        inside = name
        for point in mounts.values():
            if directory.is_relative_to(point):
                inside = "/" + str(directory.relative_to(point))
        relative = inside.strip("/")
        unified = mounts.get("")
        if unified is not None and (unified / relative / "memory.current").is_file():
            return cls(2, unified / relative, unified / relative)
        cpu = _existing(mounts.get("cpuacct"), relative, "cpuacct.usage")
        memory = _existing(mounts.get("memory"), relative, "memory.usage_in_bytes")
        if cpu is not None or memory is not None:
            return cls(1, cpu, memory)
        if unified is not None and (unified / relative / "cpu.stat").is_file():
            return cls(2, unified / relative, None)
        return None

    def cpu_seconds(self) -> float | None:
        """CPU time since the group was made, ended processes included; None when it cannot be read."""
        if self.cpu is None:
            return None
        if self.version == 1:
            nanoseconds = _number(self.cpu / "cpuacct.usage")
            return None if nanoseconds is None else nanoseconds / 1e9
        microseconds = _entry(self.cpu / "cpu.stat", "usage_usec")
        return None if microseconds is None else microseconds / 1e6

    def memory_bytes(self) -> int | None:
        """Working set: usage without the file cache that can be dropped at once, as the kubelet counts."""
        if self.memory is None:
            return None
        if self.version == 1:
            usage = _number(self.memory / "memory.usage_in_bytes")
            droppable = _entry(self.memory / "memory.stat", "total_inactive_file")
        else:
            usage = _number(self.memory / "memory.current")
            droppable = _entry(self.memory / "memory.stat", "inactive_file")
        return None if usage is None else max(0, usage - (droppable or 0))

    def populated(self) -> bool:
        """Whether a process lives in the group or below it."""
        directory = self.cpu or self.memory
        if directory is None:
            return False
        events = _entry(directory / "cgroup.events", "populated")
        if events is not None:
            return events == 1
        return any(_text(path / "cgroup.procs").strip() for path in _below(directory))


def own_group(controller: str = "", proc: Path = _OWN) -> Path | None:
    """Directory of this process's group in the unified hierarchy, or in that of a version 1 controller."""
    point = dict(_mounts(proc)).get(controller)
    if point is None:
        return None
    for line in _text(proc / "cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            directory = point / path.lstrip("/")
            # Inside a container the path may be the host's: its own root is then what is mounted.
            return directory if directory.is_dir() else point
    return None


def cpu_quota_cores(proc: Path = _OWN) -> float | None:
    """The tightest CPU quota that applies to this process, in cores; None when there is none."""
    quotas: list[float] = []
    for directory in _upwards("", proc):
        fields = _text(directory / "cpu.max").split()
        if len(fields) == 2 and fields[0] != "max":
            quotas.append(int(fields[0]) / int(fields[1]))
    for directory in _upwards("cpu", proc):
        quota, period = _number(directory / "cpu.cfs_quota_us"), _number(directory / "cpu.cfs_period_us")
        if quota is not None and period and quota > 0:
            quotas.append(quota / period)
    return min(quotas, default=None)


def memory_limit_bytes(proc: Path = _OWN) -> int | None:
    """The tightest memory limit that applies to this process; None when there is none."""
    limits: list[int] = []
    for controller, file in (("", "memory.max"), ("memory", "memory.limit_in_bytes")):
        for directory in _upwards(controller, proc):
            limit = _number(directory / file)
            if limit is not None and limit < _NO_LIMIT_BYTES:
                limits.append(limit)
    return min(limits, default=None)


def usable_cores() -> float:
    """Cores that this process may keep busy: CPU affinity, cut by the quota."""
    # Python 3.13 has os.process_cpu_count(); 3.11 has the affinity, and that on Linux only.
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity is not None else os.cpu_count() or 1
    quota = cpu_quota_cores()
    return float(cores) if quota is None else min(float(cores), quota)


def _mounts(proc: Path) -> Iterator[tuple[str, Path]]:
    """Mount point by version 1 controller; the unified hierarchy has the empty name."""
    for line in _text(proc / "mountinfo").splitlines():
        left, _, right = line.partition(" - ")
        kind, _, options = right.partition(" ")
        point = Path(left.split()[4])
        if kind == "cgroup2":
            yield "", point
        elif kind == "cgroup":
            for controller in options.split()[-1].split(","):
                yield controller, point


def _upwards(controller: str, proc: Path) -> Iterator[Path]:
    """The process's own group and the groups above it, whose limits apply as well."""
    directory, top = own_group(controller, proc), dict(_mounts(proc)).get(controller)
    while directory is not None and top is not None and directory.is_relative_to(top):
        yield directory
        directory = directory.parent


def _below(directory: Path) -> Iterator[Path]:
    for path, _, _ in os.walk(directory):
        yield Path(path)


def _existing(point: Path | None, relative: str, file: str) -> Path | None:
    if point is None or not (point / relative / file).is_file():
        return None
    return point / relative


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def _number(path: Path) -> int | None:
    text = _text(path).strip()
    return int(text) if text.lstrip("-").isdecimal() else None


def _entry(path: Path, key: str) -> int | None:
    for line in _text(path).splitlines():
        name, _, value = line.partition(" ")
        if name == key:
            return int(value)
    return None
