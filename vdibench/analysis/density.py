"""How many sessions fit: the knee, with its bounds and every level that was tried. Pure.

A level is good when in every trial at least 95 % of its sessions were good. The knee is the largest level below
the first bad one; levels that were good above a bad one are reported as contradicting, and not believed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pandas as pd

from vdibench.analysis.sessions import Criterion, failed, good_sessions
from vdibench.metrics import STEADY, Tables

__all__ = ["GOOD_SHARE", "Knee", "Level", "Trial", "knee", "tried_levels"]

GOOD_SHARE = 0.95
_TABLES = ("frames", "inputs", "network", "milestones")


@dataclass(frozen=True, slots=True)
class Trial:
    """One repetition of a level.

    :param good: sessions that kept every expectation.
    :param sessions: how many there should have been; one that left no sample counts as not good.
    :param bad_sessions: names of those that did not keep them, as far as they left a sample.
    :param measured: False when no session left a steady sample or failed: then nothing is decided.
    """

    trial: int
    good: int
    sessions: int
    bad_sessions: tuple[str, ...]
    measured: bool

    @property
    def passed(self) -> bool:
        """At least 95 % of the sessions were good."""
        return self.measured and self.good >= GOOD_SHARE * self.sessions - 1e-9


@dataclass(frozen=True, slots=True)
class Level:
    """One number of sessions that was tried; ``good`` is None while nothing is decided."""

    level: int
    trials: tuple[Trial, ...]

    @property
    def good(self) -> bool | None:
        """True when every trial passed, False when one did not, None when one measured nothing."""
        if any(trial.measured and not trial.passed for trial in self.trials):
            return False
        return True if self.trials and all(trial.measured for trial in self.trials) else None


@dataclass(frozen=True, slots=True)
class Knee:
    """What is known of the largest number of sessions that fits.

    :param lower: largest level known to be good; 0 when even the smallest that was tried was bad.
    :param upper: largest level that may still be good; None when no level was bad ("at least ``lower``").
    :param levels: every level that was tried, ascending.
    :param contradicting: levels that were good although a smaller one was bad.
    """

    lower: int
    upper: int | None
    levels: tuple[Level, ...]
    contradicting: tuple[int, ...] = ()


def knee(
    tables: Tables,
    expectations: Sequence[Criterion],
    *,
    suite: str = "gpu_density",
    framerate: float | None = None,
    attempted: Iterable[tuple[int, int]] = (),
) -> Knee | None:
    """Find the knee in what was measured; None when no level was decided.

    :param expectations: what a good session keeps (:func:`vdibench.analysis.criteria`).
    :param attempted: (level, trial) pairs that were started, to also know of those that left nothing.
    """
    levels = tried_levels(tables, expectations, suite=suite, framerate=framerate, attempted=attempted)
    good = [level.level for level in levels if level.good is True]
    bad = [level.level for level in levels if level.good is False]
    if not good and not bad:
        return None
    if not bad:
        return Knee(max(good), None, levels)
    believed = [level for level in good if level < min(bad)]
    contradicting = tuple(level for level in good if level > min(bad))
    return Knee(max(believed, default=0), min(bad) - 1, levels, contradicting)


def tried_levels(
    tables: Tables,
    expectations: Sequence[Criterion],
    *,
    suite: str = "gpu_density",
    framerate: float | None = None,
    attempted: Iterable[tuple[int, int]] = (),
) -> tuple[Level, ...]:
    """Every level that was tried, with its trials, ascending."""
    parts = _parts(tables, suite)
    places = sorted(set(attempted) | set(parts))
    trials: dict[int, list[Trial]] = {}
    for level, trial in places:
        part = parts.get((level, trial))
        trials.setdefault(level, []).append(_trial(part, expectations, suite, level, trial, framerate))
    return tuple(Level(level, tuple(found)) for level, found in sorted(trials.items()))


def _trial(
    part: dict[str, pd.DataFrame] | None,
    expectations: Sequence[Criterion],
    suite: str,
    level: int,
    trial: int,
    framerate: float | None,
) -> Trial:
    steady = part is not None and any((part[table]["phase"] == STEADY).any() for table in ("frames", "network"))
    if part is None or not (steady or failed(part["milestones"])):
        return Trial(trial, 0, level, (), measured=False)
    verdicts = good_sessions(part, expectations, suite=suite, level=level, trial=trial, framerate=framerate)
    bad = tuple(session for session, good in verdicts.items() if not good)
    return Trial(trial, len(verdicts) - len(bad), max(level, len(verdicts)), bad, measured=True)


def _parts(tables: Tables, suite: str) -> dict[tuple[int, int], dict[str, pd.DataFrame]]:
    """The tables of each (level, trial): looking at one session then does not search the whole run."""
    empty = {name: tables[name].iloc[:0] for name in _TABLES}
    parts: dict[tuple[int, int], dict[str, pd.DataFrame]] = {}
    for name in _TABLES:
        rows = tables[name]
        mine = rows[rows["suite"] == suite]
        for level, at_level in mine.groupby("level"):
            for trial, group in at_level.groupby("trial"):
                parts.setdefault((int(str(level)), int(str(trial))), dict(empty))[name] = group
    if "clock" in tables:
        # What is known of a desktop's clock holds at every level.
        for part in parts.values():
            part["clock"] = tables["clock"]
    return parts
