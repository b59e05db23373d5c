"""How evenly frames arrive: rate, intervals and freezes. Pure; instants are Unix seconds.

Only complete frames count: one with a packet missing shows nothing. The freeze rule is that of W3C webrtc-stats
(freezeCount), applied to arrivals, which the client sees of every frame, instead of to rendering.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from vdibench.metrics.windows import streams, windows

__all__ = ["freezes", "frequency", "intervals", "totals"]

_HISTORY = 30  # intervals whose mean a freeze is judged by
_FACTOR = 3.0
_EXCESS_SECONDS = 0.150


def freezes(durations: np.ndarray) -> np.ndarray:
    """Which intervals between frames are freezes.

    An interval is one when it lasts at least as long as three times the mean of the (up to) 30 before it and at
    least 150 ms longer than that mean. The first interval has nothing to be judged by.

    :param durations: seconds, shape ``(n,)``, in order.
    :returns: bool, shape ``(n,)``.
    """
    count = len(durations)
    if count == 0:
        return np.zeros(0, dtype=bool)
    sums = np.concatenate(([0.0], np.cumsum(durations)))
    ends = np.arange(count)
    starts = np.maximum(ends - _HISTORY, 0)
    means = (sums[ends] - sums[starts]) / np.maximum(ends - starts, 1)
    frozen: np.ndarray = durations >= np.maximum(_FACTOR * means, means + _EXCESS_SECONDS)
    frozen[0] = False
    return frozen


def intervals(frames: pd.DataFrame) -> pd.Series:
    """Seconds between complete frames, indexed by the later one's arrival."""
    parts = []
    for _, rows in streams(frames[frames["complete"]]):
        arrivals = np.sort(rows["arrival_unix_seconds"].to_numpy())
        parts.append(pd.Series(np.diff(arrivals), index=arrivals[1:]))
    return _joined(parts)


def frequency(frames: pd.DataFrame, network: pd.DataFrame) -> pd.Series:
    """Complete frames in each whole second of each stream's window, indexed by that second's start."""
    arrivals = {stream: rows["arrival_unix_seconds"].to_numpy() for stream, rows in streams(frames[frames["complete"]])}
    parts = []
    for stream, (first, last) in windows(frames, network).items():
        seconds = int(np.floor(last - first + 1e-6))
        edges = first + np.arange(seconds + 1)
        times = arrivals.get(stream, np.zeros(0))
        bins = np.floor(times - first).astype(int)
        counts = np.bincount(bins[bins < seconds], minlength=seconds)[:seconds]
        parts.append(pd.Series(counts.astype(float), index=edges[:seconds]))
    return _joined(parts)


def totals(frames: pd.DataFrame, network: pd.DataFrame) -> pd.DataFrame:
    """One row a stream: ``level trial session seconds freezes frozen_seconds``.

    A stream that stopped is frozen from its last frame to the end of its window, one that came late from the window's
    begin; one that was watched and never showed a frame is frozen throughout. A window of no length gives no row.
    """
    arrivals = {
        stream: np.sort(rows["arrival_unix_seconds"].to_numpy()) for stream, rows in streams(frames[frames["complete"]])
    }
    rows = []
    for stream, (first, last) in windows(frames, network).items():
        if last <= first:
            continue
        times = arrivals.get(stream)
        if times is None:
            rows.append((*stream, last - first, 1, last - first))
            continue
        durations = np.diff(np.append(times, last)) if last > times[-1] else np.diff(times)
        frozen = freezes(durations)
        count, seconds = int(frozen.sum()), float(durations[frozen].sum())
        lead = float(times[0]) - first
        typical = float(np.median(durations)) if len(durations) else np.inf
        # What froze before the window's first frame has no history: what came after must judge it.
        if lead >= max(_FACTOR * typical, typical + _EXCESS_SECONDS):
            count, seconds = count + 1, seconds + lead
        rows.append((*stream, last - first, count, seconds))
    return pd.DataFrame(rows, columns=["level", "trial", "session", "seconds", "freezes", "frozen_seconds"])


def _joined(parts: list[pd.Series]) -> pd.Series:
    filled = [part for part in parts if len(part)]
    return pd.concat(filled) if filled else pd.Series(dtype=float, index=pd.Index([], dtype=float))
