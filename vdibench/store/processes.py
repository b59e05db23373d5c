"""Is the process that wrote a run still the one that has its pid? Reads the process table, writes nothing."""

from __future__ import annotations

from pathlib import Path

import psutil

__all__ = ["identity", "is_alive"]

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_STARTED = 19  # starttime among the fields of /proc/PID/stat that follow the command's closing bracket
_DEAD_STATES = frozenset("ZXx")


def identity(pid: int) -> str:
    """What tells process ``pid`` from a later one with the same number; empty when there is none.

    On Linux the boot id and the start tick: neither moves when the wall clock is set.
    """
    if pid <= 0:
        return ""
    if _BOOT_ID.exists():  # Linux
        try:
            fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
            boot = _BOOT_ID.read_text().strip()
        except OSError:
            return ""
        return "" if fields[0] in _DEAD_STATES else f"{boot}:{fields[_STARTED]}"
    try:
        return f"{psutil.Process(pid).create_time():.2f}"
    except psutil.Error:
        return ""


def is_alive(pid: int, known_identity: str) -> bool:
    """True when process ``pid`` exists and, where an identity is known, is still the same process."""
    current = identity(pid)
    return bool(current) and (not known_identity or current == known_identity)
