"""A sink that keeps every sample of a session in memory, and the statistics that the benchmarks print."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vdibench.client import FrameRecord, InputRecord, NetworkRecord

__all__ = ["Samples", "percentiles"]


@dataclass
class Samples:
    """A :class:`vdibench.client.SampleSink`. Thread-safe: lists are only appended to."""

    frames: list[FrameRecord] = field(default_factory=list)
    inputs: list[InputRecord] = field(default_factory=list)
    networks: list[NetworkRecord] = field(default_factory=list)
    milestones: dict[str, float] = field(default_factory=dict)
    facts: dict[str, str] = field(default_factory=dict)
    rows: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def frame(self, session: str, record: FrameRecord) -> None:
        """One video frame."""
        self.frames.append(record)

    def input(self, session: str, record: InputRecord) -> None:
        """One key press or click."""
        self.inputs.append(record)

    def network(self, session: str, record: NetworkRecord) -> None:
        """One reading of the counters."""
        self.networks.append(record)

    def milestone(self, session: str, event: str, unix_seconds: float) -> None:
        """One step of the session's life; the latest life counts."""
        self.milestones[event] = unix_seconds

    def fact(self, session: str, key: str, value: str) -> None:
        """One thing that the session said of itself."""
        self.facts[key] = value

    def row(self, session: str, table: str, values: Mapping[str, Any]) -> None:
        """One row of another table."""
        self.rows.append((table, dict(values)))

    def between(self, begin: float, end: float) -> list[FrameRecord]:
        """Complete frames whose last packet arrived in a span of Unix seconds."""
        return [one for one in self.frames if one.complete and begin <= one.arrival_unix_seconds < end]

    @staticmethod
    def glass_to_glass(frames: Iterable[FrameRecord]) -> list[float]:
        """Marker drawn to frame decoded, in seconds, of each marker's first frame."""
        found = (one.decoded_unix_seconds - one.marker_unix_seconds for one in frames if not one.marker_repeated)
        return [value for value in found if not math.isnan(value)]

    @staticmethod
    def draw_to_arrival(frames: Iterable[FrameRecord]) -> list[float]:
        """Marker drawn to last packet read, in seconds, of each marker's first frame."""
        found = (one.arrival_unix_seconds - one.marker_unix_seconds for one in frames if not one.marker_repeated)
        return [value for value in found if not math.isnan(value)]

    def photons(self) -> list[float]:
        """Event sent to change decoded, in seconds; events that were never seen are left out."""
        found = (one.photon_unix_seconds - one.sent_unix_seconds for one in self.inputs)
        return [value for value in found if not math.isnan(value)]


def percentiles(values: Iterable[float], *shares: float) -> list[float]:
    """Percentiles of raw values; NaN where there are none."""
    found = np.fromiter(values, dtype=float)
    return [float(np.percentile(found, share)) if len(found) else math.nan for share in shares]
