"""Rows of one table, chosen and grouped. Pure.

A *stream* is what one session delivered in one trial of one level: the unit that windows and counters belong to.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple, cast

import pandas as pd

__all__ = ["PROBE", "STEADY", "Stream", "Tables", "chosen", "streams", "windows"]

Tables = Mapping[str, pd.DataFrame]

STEADY = "steady"
PROBE = "probe"  # a check beside the measurement
_STREAM = ["level", "trial", "session"]


class Stream(NamedTuple):
    """One session in one trial of one level."""

    level: int
    trial: int
    session: str


def chosen(
    rows: pd.DataFrame,
    *,
    suite: str,
    level: int | None = None,
    trial: int | None = None,
    session: str | None = None,
    phase: str | None = STEADY,
) -> pd.DataFrame:
    """The rows of one suite and, where given, of one level, trial, session and phase."""
    keep = rows["suite"] == suite
    for column, value in (("level", level), ("trial", trial), ("session", session), ("phase", phase)):
        if value is not None:
            keep &= rows[column] == value
    return rows[keep]


def streams(rows: pd.DataFrame) -> Iterator[tuple[Stream, pd.DataFrame]]:
    """The rows of each stream."""
    for key, group in rows.groupby(_STREAM, sort=True):
        level, trial, session = cast("tuple[int, int, str]", key)
        yield Stream(int(level), int(trial), session), group


def windows(frames: pd.DataFrame, network: pd.DataFrame) -> dict[Stream, tuple[float, float]]:
    """First and last instant (Unix seconds) at which each stream was being watched.

    The readings of the counters count as well as the frames: a stream that stopped was still watched.
    """
    spans: dict[Stream, tuple[float, float]] = {}
    for rows, column in ((frames, "arrival_unix_seconds"), (network, "unix_seconds")):
        for stream, group in streams(rows):
            instants = group[column].to_numpy()
            low, high = float(instants.min()), float(instants.max())
            first, last = spans.get(stream, (low, high))
            spans[stream] = (min(first, low), max(last, high))
    return spans
