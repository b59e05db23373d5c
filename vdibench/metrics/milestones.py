"""From the steps of a session's life to durations. Pure; instants are Unix seconds.

Sessions start before any window is steady: the caller gives warm-up rows too.
"""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from vdibench.metrics.windows import Stream, streams

__all__ = ["FAILED", "FIRST_FRAME", "STARTED", "attempts", "phases"]

STARTED = "started"
FIRST_FRAME = "first_frame"
FAILED = "failed"


def attempts(milestones: pd.DataFrame) -> pd.DataFrame:
    """One row a start: ``level trial session started_unix_seconds ready_seconds failed`` (NaN: never ready)."""
    rows = []
    for stream, attempt in _attempts(milestones):
        started = attempt["unix_seconds"].iloc[0]
        shown = attempt.loc[attempt["event"] == FIRST_FRAME, "unix_seconds"]
        ready = shown.iloc[0] - started if len(shown) else float("nan")
        rows.append((*stream, started, ready, bool((attempt["event"] == FAILED).any())))
    columns = ["level", "trial", "session", "started_unix_seconds", "ready_seconds", "failed"]
    return pd.DataFrame(rows, columns=columns)


def phases(milestones: pd.DataFrame) -> pd.DataFrame:
    """One row a step up to the first frame: ``level trial session event seconds``, since the step before."""
    rows = []
    for stream, attempt in _attempts(milestones):
        before = attempt["unix_seconds"].iloc[0]
        for event, instant in zip(attempt["event"].iloc[1:], attempt["unix_seconds"].iloc[1:], strict=True):
            rows.append((*stream, event, instant - before))
            before = instant
            if event == FIRST_FRAME:
                break
    return pd.DataFrame(rows, columns=["level", "trial", "session", "event", "seconds"])


def _attempts(milestones: pd.DataFrame) -> Iterator[tuple[Stream, pd.DataFrame]]:
    for stream, rows in streams(milestones):
        ordered = rows.sort_values("unix_seconds", kind="stable")
        number = (ordered["event"] == STARTED).cumsum()
        counted = number > 0  # steps before any start belong to nothing
        for _, steps in ordered[counted].groupby(number[counted]):
            yield stream, steps
