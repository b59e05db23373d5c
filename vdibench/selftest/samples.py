"""What a session said in one window of the self-test, as arrays. Thread-safe; nothing is written anywhere."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from vdibench.client import FrameRecord, InputRecord, NetworkRecord

__all__ = ["Latencies", "Samples"]

Values = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Latencies:
    """Latencies of one metric in one window, in order of time.

    :param values: seconds, shape ``(n,)``.
    :param desktop: how much of each was spent in the desktop before the picture was sent, shape ``(n,)``; empty where
        the dialect does not tell.
    """

    values: Values
    desktop: Values


class Samples:
    """A sink that keeps one window; :meth:`clear` begins the next."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._frames: list[FrameRecord] = []
        self._inputs: list[InputRecord] = []
        self._since = math.inf

    def clear(self) -> None:
        """Forget everything; only what arrives or is sent from now on counts."""
        with self._lock:
            self._frames, self._inputs = [], []
            self._since = time.time()

    def frame(self, session: str, record: FrameRecord) -> None:
        """One video frame."""
        with self._lock:
            if record.arrival_unix_seconds >= self._since:
                self._frames.append(record)

    def input(self, session: str, record: InputRecord) -> None:
        """One key press or click."""
        with self._lock:
            if record.sent_unix_seconds >= self._since:
                self._inputs.append(record)

    def network(self, session: str, record: NetworkRecord) -> None:
        """Counters are read when they are needed."""

    def milestone(self, session: str, event: str, unix_seconds: float) -> None:
        """Connecting is not what is measured."""

    def fact(self, session: str, key: str, value: str) -> None:
        """What the desktop is was asked for."""

    def row(self, session: str, table: str, values: Mapping[str, Any]) -> None:
        """Nothing else is kept."""

    def latencies(self) -> dict[str, Latencies]:
        """What was measured, by metric."""
        with self._lock:
            frames = [record for record in self._frames if record.complete]
            inputs = list(self._inputs)
        drawn, captured, sent, arrived, decoded = (
            np.array([getattr(frame, f"{name}_unix_seconds") for frame in frames], dtype=np.float64)
            for name in ("marker", "capture", "sent", "arrival", "decoded")
        )
        # A frame that shows the marker of the one before is no first sight of it.
        drawn[[record.marker_repeated for record in frames]] = np.nan
        shown = {instant: part for instant, part in zip(decoded, sent - drawn, strict=True) if np.isfinite(part)}
        return {
            "capture_to_arrival_seconds": _measured(arrived - captured, sent - captured),
            "draw_to_arrival_seconds": _measured(arrived - drawn, sent - drawn),
            "glass_to_glass_seconds": _measured(decoded - drawn, sent - drawn),
            "input_to_photon_seconds": _measured(
                np.array([event.photon_unix_seconds - event.sent_unix_seconds for event in inputs], dtype=np.float64),
                np.array([shown.get(event.photon_unix_seconds, np.nan) for event in inputs], dtype=np.float64),
            ),
        }

    def arrivals(self) -> Values:
        """Unix seconds at which complete frames arrived, in order."""
        with self._lock:
            return np.sort(np.array([f.arrival_unix_seconds for f in self._frames if f.complete], dtype=np.float64))


def _measured(values: Values, desktop: Values) -> Latencies:
    known = np.isfinite(values)
    both = known & np.isfinite(desktop)
    if both.any():
        return Latencies(values[both], desktop[both])
    return Latencies(values[known], np.zeros(0))
