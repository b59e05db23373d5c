"""When frames left the replay, held against when they arrived: the error of the gaps between them. Pure.

Frames are known by their RTP time stamps, over WebSocket by their numbers. Both begin somewhere else in each session: a
session of the client is that of the server with which it shares them. Numbers come again after 65,536 frames: take a
log of a WebSocket session before that (18 minutes at 60 frames a second).
"""

from __future__ import annotations

import base64
import sys
from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["DepartureLog", "FrameTimes", "frame_gap_errors", "matching"]

Values = npt.NDArray[np.float64]
Stamps = npt.NDArray[np.int64]

# An hour of 60 frames a second: who reads no more than that loses the oldest.
_MOST = 216_000


@dataclass(frozen=True, slots=True)
class FrameTimes:
    """Frames of one session, in order.

    :param timestamps: RTP time stamps, or numbers, shape ``(n,)``.
    :param unix_seconds: when the last packet of each left or arrived, shape ``(n,)``.
    """

    timestamps: Stamps
    unix_seconds: Values

    def __len__(self) -> int:
        return len(self.timestamps)


class DepartureLog:
    """Notes of one session, until they are taken."""

    def __init__(self) -> None:
        self._timestamps = array("q")
        self._instants = array("d")
        self.forgotten = 0

    def note(self, timestamp: int, unix_seconds: float) -> None:
        """The last packet of a frame left."""
        self._timestamps.append(timestamp)
        self._instants.append(unix_seconds)
        if len(self._timestamps) >= 2 * _MOST:
            del self._timestamps[:_MOST]
            del self._instants[:_MOST]
            self.forgotten += _MOST

    def take(self) -> dict[str, Any]:
        """What was noted since the last call, as JSON types."""
        said = {"timestamps": _text(self._timestamps), "unix_seconds": _text(self._instants)}
        self._timestamps, self._instants = array("q"), array("d")
        return said

    @staticmethod
    def read(said: Mapping[str, Any]) -> FrameTimes:
        """The inverse of :meth:`take`."""
        return FrameTimes(
            np.frombuffer(base64.b64decode(said["timestamps"]), dtype="<i8").astype(np.int64),
            np.frombuffer(base64.b64decode(said["unix_seconds"]), dtype="<f8").astype(np.float64),
        )


def _text(numbers: array[Any]) -> str:
    if sys.byteorder == "big":
        numbers.byteswap()
    return base64.b64encode(numbers.tobytes()).decode()


def frame_gap_errors(departures: FrameTimes, arrivals: FrameTimes) -> Values:
    """How wrong the gap between two frames was measured, absolute, in seconds, one value for each pair.

    A pair is two frames that left one after the other and both arrived; what did not leave or did not arrive is none.

    :param arrivals: of complete frames, of the same session; those that did not leave in this stretch are passed over.
    """
    arrived = dict(zip(arrivals.timestamps.tolist(), arrivals.unix_seconds.tolist(), strict=True))
    there = np.array([arrived.get(stamp, np.nan) for stamp in departures.timestamps.tolist()], dtype=np.float64)
    errors = np.abs(np.diff(there) - np.diff(departures.unix_seconds))
    return errors[np.isfinite(errors)]


def matching(arrivals: FrameTimes, candidates: Iterable[FrameTimes]) -> FrameTimes | None:
    """Of the server's sessions the one whose frames arrived here; None where no frame of any did."""
    found = list(candidates)
    shared = [len(np.intersect1d(arrivals.timestamps, one.timestamps)) for one in found]
    return found[int(np.argmax(shared))] if any(shared) else None
