"""What the sessions of an engine saw in one second: counts and distributions. Pure; instants are Unix seconds.

Metrics are those of :mod:`vdibench.metrics` and mean the same; here they cover warm-ups too, because they are for
whoever looks on. Verdicts come from the run folder.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from vdibench.client import FrameRecord, InputRecord
from vdibench.load.batches import SeenFrame
from vdibench.load.histograms import Distribution
from vdibench.metrics import pacing

__all__ = ["SecondTally"]

# An interval shorter than this is no freeze whatever came before it: pacing.freezes asks for 150 ms over the mean.
_SUSPECT_SECONDS = 0.150
_HISTORY = 30

_NUMBERS = (
    "arrival_unix_seconds",
    "decoded_unix_seconds",
    "marker_unix_seconds",
    "first_arrival_unix_seconds",
    "assembled_unix_seconds",
    "capture_unix_seconds",
)


@dataclass
class _Pace:
    """What is remembered of one session's frames."""

    last: float = math.nan
    intervals: list[float] = field(default_factory=list)


class SecondTally:
    """Adds up until it is asked.

    :param offset: of a session's clock at an instant: desktop minus client, in seconds; 0 where it is not known.
    """

    def __init__(self, offset: Callable[[str, float], float] = lambda session, unix_seconds: 0.0) -> None:
        self._offset = offset
        self._paces: defaultdict[str, _Pace] = defaultdict(_Pace)
        self._begin()

    def _begin(self) -> None:
        self.frames = 0
        self.freezes = 0
        self._distributions: defaultdict[str, Distribution] = defaultdict(Distribution)

    def add_frames(self, seen: Sequence[SeenFrame]) -> None:
        """Count frames as the recorder handed them over."""
        self.frames += len(seen)
        by_session: defaultdict[str, list[FrameRecord]] = defaultdict(list)
        for _, session, record in seen:
            by_session[session].append(record)
        for session, records in by_session.items():
            self._pace(session, [record.arrival_unix_seconds for record in records if record.complete])
        self._latencies(by_session)

    def _latencies(self, by_session: dict[str, list[FrameRecord]]) -> None:
        records = [record for found in by_session.values() for record in found]
        if not records:
            return
        column = {name: np.array([getattr(record, name) for record in records]) for name in _NUMBERS}
        now = records[-1].arrival_unix_seconds
        ahead = np.concatenate(
            [np.full(len(found), self._offset(session, now)) for session, found in by_session.items()]
        )
        complete = np.array([record.complete for record in records])
        fresh = np.array([not record.marker_repeated for record in records])
        arrival, decoded = column["arrival_unix_seconds"], column["decoded_unix_seconds"]
        drawn, captured = column["marker_unix_seconds"] - ahead, column["capture_unix_seconds"] - ahead
        self._count("glass_to_glass_seconds", (decoded - drawn)[fresh])
        self._count("draw_to_arrival_seconds", (arrival - drawn)[fresh & complete])
        self._count("capture_to_arrival_seconds", (arrival - captured)[complete])
        self._count("first_to_last_packet_seconds", (arrival - column["first_arrival_unix_seconds"])[complete])
        self._count("decode_seconds", decoded - arrival)

    def _pace(self, session: str, arrivals: list[float]) -> None:
        if not arrivals:
            return
        pace = self._paces[session]
        arrivals.sort()
        durations = np.diff(np.array([pace.last, *arrivals]))
        pace.last = arrivals[-1]
        durations = durations[~np.isnan(durations)]
        self._count("frame_interval_seconds", durations)
        if len(durations) and durations.max() >= _SUSPECT_SECONDS:
            frozen = pacing.freezes(np.array([*pace.intervals, *durations]))
            self.freezes += int(frozen[len(pace.intervals) :].sum())
        pace.intervals = [*pace.intervals, *durations.tolist()][-_HISTORY:]

    def add_inputs(self, records: Iterable[InputRecord]) -> None:
        """Count key presses and clicks."""
        waits = np.array([record.photon_unix_seconds - record.sent_unix_seconds for record in records], dtype=float)
        self._count("input_to_photon_seconds", waits)

    def forget(self, session: str) -> None:
        """The session ended: what comes next under its name is another stream."""
        self._paces.pop(session, None)

    def _count(self, metric: str, seconds: np.ndarray) -> None:
        if not np.isnan(seconds).all():
            self._distributions[metric].add(seconds)

    def histograms(self) -> dict[str, str]:
        """The distributions by metric; none of a metric that was not seen."""
        return {metric: found.text() for metric, found in sorted(self._distributions.items())}

    def begin(self) -> None:
        """Begin the next second."""
        self._begin()
