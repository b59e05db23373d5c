"""What the sessions of an engine saw in one second: counts and distributions. Pure; instants are Unix seconds.

Metrics are those of :mod:`vdibench.metrics` and mean the same; here they cover warm-ups too, because they are for
whoever looks on. Verdicts come from the run folder.
"""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Callable, Iterable

import numpy as np

from vdibench.client import InputRecord
from vdibench.load.batches import FrameBatch
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
    "capture_unix_seconds",
)


class SecondTally:
    """Adds up until it is asked.

    :param offset: of a session's clock at an instant: desktop minus client, in seconds; 0 where it is not known.
    """

    def __init__(self, offset: Callable[[str, float], float] = lambda session, unix_seconds: 0.0) -> None:
        self._offset = offset
        self._last: dict[str, float] = {}
        self._history: defaultdict[str, deque[float]] = defaultdict(lambda: deque(maxlen=_HISTORY))
        self._begin()

    def _begin(self) -> None:
        self.frames = 0
        self.freezes = 0
        self._distributions: defaultdict[str, Distribution] = defaultdict(Distribution)

    def add_frames(self, batch: FrameBatch) -> None:
        """Count frames as the recorder handed them over."""
        self.frames += len(batch)
        names, numbers = np.unique(np.array(batch.sessions), return_inverse=True)
        column = {name: np.array(batch.columns[name], dtype=float) for name in _NUMBERS}
        complete = np.array(batch.columns["complete"])
        fresh = ~np.array(batch.columns["marker_repeated"])
        arrival, decoded = column["arrival_unix_seconds"], column["decoded_unix_seconds"]
        ahead = np.array([self._offset(str(name), float(arrival[-1])) for name in names])[numbers]
        drawn, captured = column["marker_unix_seconds"] - ahead, column["capture_unix_seconds"] - ahead
        self._count("glass_to_glass_seconds", (decoded - drawn)[fresh])
        self._count("draw_to_arrival_seconds", (arrival - drawn)[fresh & complete])
        self._count("capture_to_arrival_seconds", (arrival - captured)[complete])
        self._count("first_to_last_packet_seconds", (arrival - column["first_arrival_unix_seconds"])[complete])
        self._count("decode_seconds", decoded - arrival)
        self._pace(names, numbers[complete], arrival[complete])

    def _pace(self, names: np.ndarray, numbers: np.ndarray, arrivals: np.ndarray) -> None:
        """Count the intervals of all sessions at once: there may be hundreds, with few frames each."""
        if not len(arrivals):
            return
        order = np.lexsort((arrivals, numbers))
        numbers, arrivals = numbers[order], arrivals[order]
        begins = np.flatnonzero(np.diff(numbers, prepend=-1))
        mine = [str(names[number]) for number in numbers[begins]]
        before = np.empty_like(arrivals)
        before[1:] = arrivals[:-1]
        before[begins] = [self._last.get(name, math.nan) for name in mine]
        durations = arrivals - before
        self._count("frame_interval_seconds", durations)
        ends = [*begins[1:].tolist(), len(arrivals)]
        for name, begin, end in zip(mine, begins.tolist(), ends, strict=True):
            self._last[name] = float(arrivals[end - 1])
            self._remember(name, durations[begin:end].tolist())

    def _remember(self, session: str, durations: list[float]) -> None:
        if math.isnan(durations[0]):  # its first frame
            durations = durations[1:]
        history = self._history[session]
        if durations and max(durations) >= _SUSPECT_SECONDS:
            frozen = pacing.freezes(np.array([*history, *durations]))
            self.freezes += int(frozen[len(history) :].sum())
        history.extend(durations)

    def add_inputs(self, records: Iterable[InputRecord]) -> None:
        """Count key presses and clicks."""
        waits = np.array([record.photon_unix_seconds - record.sent_unix_seconds for record in records], dtype=float)
        self._count("input_to_photon_seconds", waits)

    def forget(self, session: str) -> None:
        """The session ended: what comes next under its name is another stream."""
        self._last.pop(session, None)
        self._history.pop(session, None)

    def _count(self, metric: str, seconds: np.ndarray) -> None:
        if not np.isnan(seconds).all():  # nor empty
            self._distributions[metric].add(seconds)

    def histograms(self) -> dict[str, str]:
        """The distributions by metric; none of a metric that was not seen."""
        return {metric: found.text() for metric, found in sorted(self._distributions.items())}

    def begin(self) -> None:
        """Begin the next second."""
        self._begin()
