"""How a process with an event loop fares: how late its loop is, what it takes. I/O: reads the process's counters."""

from __future__ import annotations

import asyncio
import math
import socket
import time
from pathlib import Path

import psutil

__all__ = ["STEP_SECONDS", "LoopLag", "ProcessUse", "this_host"]

STEP_SECONDS = 0.01
"""How often the loop is looked at: a hundred looks make the p99 of a second the second worst of them."""


def this_host() -> str:
    """Where process ids mean the same as here: a host, or a container's own processes on it."""
    try:
        space = Path("/proc/self/ns/pid").readlink().name
    except OSError:
        space = ""
    return f"{socket.gethostname()} {space}".strip()


class LoopLag:
    """The delay with which the event loop wakes a task that is due, looked at every 10 ms until cancelled."""

    def __init__(self) -> None:
        self._delays: list[float] = []

    async def watch(self) -> None:
        """Look until cancelled."""
        while True:
            due = time.perf_counter() + STEP_SECONDS  # finer than the millisecond of uvloop's own clock
            await asyncio.sleep(STEP_SECONDS)  # how late this wakes is what is measured
            self._delays.append(max(0.0, time.perf_counter() - due))

    def take(self) -> tuple[float, float]:
        """Largest delay and 99th percentile (nearest rank) in seconds since the last call; NaN without a look."""
        delays, self._delays = sorted(self._delays), []
        if not delays:
            return math.nan, math.nan
        return delays[-1], delays[math.ceil(0.99 * len(delays)) - 1]


class ProcessUse:
    """What this process takes."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._cpu, self._at = time.process_time(), time.monotonic()

    def cpu_ratio(self) -> float:
        """Cores in use since the last call."""
        cpu, now = time.process_time(), time.monotonic()
        used, passed = cpu - self._cpu, now - self._at
        self._cpu, self._at = cpu, now
        return used / passed if passed > 0 else math.nan

    def rss_bytes(self) -> float:
        """Resident memory."""
        return float(self._process.memory_info().rss)
