"""Where a watched session puts what it sees."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

__all__ = ["FrameRecord", "InputRecord", "NetworkRecord", "SampleSink"]

_NOT_MEASURED = float("nan")


@dataclass(slots=True)  # not frozen: one is made for each frame, and freezing takes eight times as long
class FrameRecord:
    """A row of the table ``frames`` without its place in the run."""

    arrival_unix_seconds: float
    rtp_timestamp: int
    packets: int
    size_bytes: int
    key_frame: bool
    complete: bool
    decoded_unix_seconds: float = _NOT_MEASURED
    marker_unix_seconds: float = _NOT_MEASURED
    marker_repeated: bool = False
    first_arrival_unix_seconds: float = _NOT_MEASURED
    assembled_unix_seconds: float = _NOT_MEASURED
    capture_unix_seconds: float = _NOT_MEASURED
    encoded_unix_seconds: float = _NOT_MEASURED
    sent_unix_seconds: float = _NOT_MEASURED


@dataclass(frozen=True, slots=True)
class InputRecord:
    """A row of the table ``inputs`` without its place in the run."""

    kind: str
    sent_unix_seconds: float
    photon_unix_seconds: float
    drawn_unix_seconds: float = _NOT_MEASURED


@dataclass(frozen=True, slots=True)
class NetworkRecord:
    """A row of the table ``network`` without its place in the run; NaN where the dialect has no such counter."""

    unix_seconds: float
    packets_received: int
    packets_lost: float
    bytes_received: int
    jitter_seconds: float
    nack_count: float
    pli_count: float
    audio_packets_received: int
    event_loop_lag_seconds: float
    audio_packets_lost: float = _NOT_MEASURED
    socket_drops: float = _NOT_MEASURED


class SampleSink(Protocol):
    """Takes samples of many sessions; called from the event loop and from decoder threads, so it must be thread-safe
    and must not block."""

    def frame(self, session: str, record: FrameRecord) -> None:
        """One video frame."""

    def input(self, session: str, record: InputRecord) -> None:
        """One key press or click."""

    def network(self, session: str, record: NetworkRecord) -> None:
        """One reading of the counters."""

    def milestone(self, session: str, event: str, unix_seconds: float) -> None:
        """One step of the session's life."""

    def fact(self, session: str, key: str, value: str) -> None:
        """One thing that the session said of itself."""

    def row(self, session: str, table: str, values: Mapping[str, Any]) -> None:
        """One row of a table that has no record of its own (``server``, ``clock``, ``pictures``, ``synchronisation``).

        :param values: the table's columns without its place in the run.
        """
