"""Rates and ratios from cumulative counters. Pure; instants are Unix seconds.

Where a counter falls, a new connection began: the interval across that gap belongs to neither and is left out. A
counter that is NaN does not exist in the dialect: it gives no value, never a zero.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from vdibench.metrics.windows import streams

__all__ = ["growth", "loss", "missing", "rate"]


def rate(network: pd.DataFrame, counter: str, factor: float = 1.0) -> pd.Series:
    """Growth of ``counter`` per second times ``factor``, between neighbouring readings, indexed by the later."""
    parts = []
    for _, rows in streams(network):
        ordered = rows.sort_values("unix_seconds")
        times = ordered["unix_seconds"].to_numpy()
        seconds = np.diff(times)
        growth = np.diff(ordered[counter].to_numpy())
        good = (seconds > 0) & (growth >= 0)
        parts.append(pd.Series(factor * growth[good] / seconds[good], index=times[1:][good]))
    filled = [part for part in parts if len(part)]
    return pd.concat(filled) if filled else pd.Series(dtype=float)


def loss(network: pd.DataFrame, received: str = "packets_received", lost: str = "packets_lost") -> pd.Series:
    """Lost packets of all expected, one value a stream, indexed by its last reading.

    A stream without two readings, or without a packet expected between them, has no value.
    """
    values, times = [], []
    for _, rows in streams(network):
        ordered = rows.sort_values("unix_seconds")
        came = np.diff(ordered[received].to_numpy())
        gone = np.diff(ordered[lost].to_numpy(dtype=float))
        same = (came >= 0) & ~np.isnan(gone)
        expected = int(came[same].sum() + gone[same].sum())
        if expected > 0:
            values.append(gone[same].sum() / expected)
            times.append(ordered["unix_seconds"].iloc[-1])
    return pd.Series(values, index=times, dtype=float)


def missing(audio: pd.DataFrame) -> pd.Series:
    """Sound that is missing of all sound, one value a stream in which sound came, indexed by its last second."""
    values, times = [], []
    for _, rows in streams(audio):
        gone, came = rows["missing_seconds"].sum(), rows["received_seconds"].sum()
        if gone + came > 0:
            values.append(gone / (gone + came))
            times.append(rows["unix_seconds"].max())
    return pd.Series(values, index=times, dtype=float)


def growth(network: pd.DataFrame, counter: str) -> pd.Series:
    """How much ``counter`` grew, one value a stream with two readings, indexed by its last reading."""
    values, times = [], []
    for _, rows in streams(network.dropna(subset=[counter])):
        ordered = rows.sort_values("unix_seconds")
        steps = np.diff(ordered[counter].to_numpy(dtype=float))
        if len(steps):
            values.append(steps[steps >= 0].sum())
            times.append(ordered["unix_seconds"].iloc[-1])
    return pd.Series(values, index=times, dtype=float)
