"""Memory of a set of processes in bytes, cheaply. Reads /proc; keeps one entry for each process it has seen.

Proportional set size (PSS) is the right sum for a desktop, whose processes share libraries and frame buffers, but
reading it walks page tables under a lock of the process that is measured. So each process is asked again only every
ten seconds, or when its resident set moved by an eighth; in between its PSS moves with its resident set, which comes
for free with the CPU figures. Where PSS may not be read (another user's process), the resident set stands in.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from vdibench.telemetry.processes import Process, read_pss_bytes

__all__ = ["MemoryMeter"]

_RENEW_SECONDS = 10.0
_RENEW_RATIO = 1 / 8
_RENEW_FLOOR_BYTES = 4 << 20


@dataclass(slots=True)
class _Reading:
    pss_bytes: int | None
    rss_bytes: int
    due: float


class MemoryMeter:
    """Sums memory over processes."""

    def __init__(self) -> None:
        self._readings: dict[tuple[int, float], _Reading] = {}

    @property
    def source(self) -> str:
        """What the figures are: ``pss``, ``rss``, a mixture, or nothing yet."""
        readings = list(self._readings.values())
        proportional = sum(reading.pss_bytes is not None for reading in readings)
        if not readings:
            return "no reading"
        if proportional == len(readings):
            return "pss"
        return f"pss of {proportional} processes, rss of {len(readings) - proportional}" if proportional else "rss"

    def total_bytes(self, processes: Iterable[Process], instant: float) -> int:
        """Memory of these processes; ended ones count nothing.

        :param instant: now, in seconds of any monotonic clock.
        """
        return sum(self._bytes(process, instant) for process in processes if not process.zombie)

    def forget_all_but(self, snapshot: Iterable[Process]) -> None:
        """Drop what is known of processes that are not in the snapshot."""
        alive = {process.key for process in snapshot}
        for key in self._readings.keys() - alive:
            del self._readings[key]

    def _bytes(self, process: Process, instant: float) -> int:
        reading = self._readings.get(process.key)
        if reading is None or instant >= reading.due or self._moved(reading, process):
            first = reading is None
            reading = _Reading(read_pss_bytes(process.pid), process.rss_bytes, instant + _RENEW_SECONDS)
            if first:
                # Spread the dear readings over the interval instead of doing all in the same second.
                reading.due -= process.pid % int(_RENEW_SECONDS)
            self._readings[process.key] = reading
        if reading.pss_bytes is None:
            return process.rss_bytes
        return max(0, reading.pss_bytes + process.rss_bytes - reading.rss_bytes)

    @staticmethod
    def _moved(reading: _Reading, process: Process) -> bool:
        moved = abs(process.rss_bytes - reading.rss_bytes)
        return moved > max(_RENEW_FLOOR_BYTES, reading.rss_bytes * _RENEW_RATIO)
