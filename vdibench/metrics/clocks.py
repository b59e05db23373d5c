"""The desktop's clock against the client's: what to take off an instant that the desktop stated. Pure; seconds.

Estimates come from the table ``clock``. An estimate ages: two free-running clocks drift apart, so each instant takes
the estimate whose bound plus drift is smallest, whether it was made before or after. A bound of zero says that both
read the same clock; no other estimate of that session counts then. A session without estimates has no offset: whether
its one-way values may be believed is decided by the bound that the run states.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

__all__ = ["offsets", "worst_bound"]

# Crystals of computers keep to 50 parts in a million; those of two hosts may err in opposite directions.
_DRIFT = 100e-6


def offsets(clock: pd.DataFrame, rows: pd.DataFrame, instants: np.ndarray) -> np.ndarray:
    """Desktop's clock minus the client's for each of ``rows`` at ``instants`` (Unix seconds, client's clock)."""
    found = np.zeros(len(rows))
    for session, estimates in clock.groupby("session"):
        mine = (rows["session"] == session).to_numpy()
        if mine.any():
            found[mine] = _offsets(estimates, instants[mine])
    return found


def worst_bound(clock: pd.DataFrame, sessions: list[str]) -> float | None:
    """The bound of the session whose best estimate is the worst; None where a session has none, or there is none."""
    best = clock.groupby("session")["bound_seconds"].min()
    bounds = [float(best.get(session, math.nan)) for session in sessions]
    return max(bounds) if bounds and not any(map(math.isnan, bounds)) else None


def _offsets(estimates: pd.DataFrame, instants: np.ndarray) -> np.ndarray:
    known = estimates.dropna(subset=["offset_seconds", "bound_seconds"]).sort_values("unix_seconds")
    if known.empty:
        return np.zeros(len(instants))
    times, bounds = known["unix_seconds"].to_numpy(), known["bound_seconds"].to_numpy()
    values = known["offset_seconds"].to_numpy()
    if (bounds == 0).any():
        return np.full(len(instants), values[bounds == 0][-1])
    # The best estimate before an instant stays the best until one whose bound beats what it has aged to: with drift
    # taken off, that is a running minimum.
    before = _running_minimum(bounds - _DRIFT * times)
    after = len(times) - 1 - _running_minimum((bounds + _DRIFT * times)[::-1])[::-1]
    place = np.searchsorted(times, instants, side="right")
    earlier = before[np.maximum(place - 1, 0)]
    later = after[np.minimum(place, len(times) - 1)]
    age = [bounds[each] + _DRIFT * np.abs(instants - times[each]) for each in (earlier, later)]
    chosen: np.ndarray = values[np.where(age[1] < age[0], later, earlier)]
    return chosen


def _running_minimum(values: np.ndarray) -> np.ndarray:
    """For each place the index of the smallest value up to there, the latest of equals."""
    smallest = np.minimum.accumulate(values)
    fresh = np.where(values <= smallest, np.arange(len(values)), 0)
    indices: np.ndarray = np.maximum.accumulate(fresh)
    return indices
