"""How many sessions fit: the knee, with its bounds and every level that was tried. Pure.

A trial passes when at least 95 % of its sessions were good. What trials say of a level is for a
:class:`vdibench.analysis.Rule`. The knee lies between the largest level known to be good and the last one below the
first that is known to be bad. A level that was good above a bad one is contradicting: it is reported and not believed,
because load that needs luck is no capacity. A level that is not decided leaves the bounds open around it.

What is read: steady rows of ``frames``, ``inputs`` and ``network`` of the suite, its ``milestones`` of any phase, and
every row of ``clock``; the columns ``level``, ``trial`` and ``session`` say whose they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from vdibench.analysis.sequential import PassedShare
from vdibench.analysis.sessions import Criterion, failed, session_margins
from vdibench.analysis.trials import Decision, Rule, Trial, needed
from vdibench.metrics import STEADY, Tables

__all__ = ["Knee", "Level", "by_trial", "found", "knee", "measured_trial", "tried_levels"]

_INSTANTS = {
    "frames": "arrival_unix_seconds",
    "inputs": "sent_unix_seconds",
    "network": "unix_seconds",
    "milestones": "unix_seconds",
}
# Of a few events, or none: one more or less is half the way to the limit.
_COUNTED = frozenset(
    {
        "audio_packets_lost_ratio",
        "freeze_duration_seconds",
        "freezes_per_minute",
        "input_loss_ratio",
        "packets_lost_ratio",
    }
)


@dataclass(frozen=True, slots=True)
class Level:
    """One number of sessions that was tried, its trials, and what they decide."""

    level: int
    trials: tuple[Trial, ...]
    decision: Decision

    @property
    def good(self) -> bool | None:
        """None while nothing is decided."""
        return self.decision.good


@dataclass(frozen=True, slots=True)
class Knee:
    """What is known of the largest number of sessions that fits.

    :param lower: largest level known to be good; 0 when even the smallest that was tried was bad.
    :param upper: largest level that may still be good; None when no level was bad ("at least ``lower``").
    :param levels: every level that was tried, ascending.
    :param contradicting: levels that were good although a smaller one was bad.
    :param rule: how levels were decided, in words.
    """

    lower: int
    upper: int | None
    levels: tuple[Level, ...]
    contradicting: tuple[int, ...] = ()
    rule: str = ""


def found(trials: Mapping[int, Sequence[Trial]], rule: Rule) -> Knee | None:
    """The knee that follows from the trials of each level; None when no level is decided."""
    return _bounds(_levels(trials, rule), rule)


def knee(
    tables: Tables,
    expectations: Sequence[Criterion],
    *,
    suite: str = "gpu_density",
    framerate: float | None = None,
    attempted: Iterable[tuple[int, int]] = (),
    rule: Rule | None = None,
) -> Knee | None:
    """Find the knee in what was measured; None when no level was decided.

    :param expectations: what a good session keeps (:func:`vdibench.analysis.criteria`).
    :param attempted: (level, trial) pairs that were started, to also know of those that left nothing.
    :param rule: how trials decide levels; None: every trial must pass.
    """
    rule = rule or PassedShare()
    return _bounds(
        tried_levels(tables, expectations, suite=suite, framerate=framerate, attempted=attempted, rule=rule), rule
    )


def tried_levels(
    tables: Tables,
    expectations: Sequence[Criterion],
    *,
    suite: str = "gpu_density",
    framerate: float | None = None,
    attempted: Iterable[tuple[int, int]] = (),
    rule: Rule | None = None,
) -> tuple[Level, ...]:
    """Every level that was tried, with its trials, ascending."""
    parts = by_trial(tables, suite)
    trials: dict[int, list[Trial]] = {}
    for level, trial in sorted(set(attempted) | set(parts)):
        part = parts.get((level, trial))
        trials.setdefault(level, []).append(_trial(part, expectations, suite, level, trial, framerate))
    return _levels(trials, rule or PassedShare())


def measured_trial(
    tables: Tables,
    expectations: Sequence[Criterion],
    level: int,
    trial: int,
    *,
    suite: str = "gpu_density",
    framerate: float | None = None,
) -> Trial:
    """What one trial showed; what a search is told after it was made."""
    return _trial(
        by_trial(tables, suite, level, trial).get((level, trial)), expectations, suite, level, trial, framerate
    )


def _levels(trials: Mapping[int, Sequence[Trial]], rule: Rule) -> tuple[Level, ...]:
    decisions = rule.judge(trials)
    return tuple(Level(level, tuple(of_level), decisions[level]) for level, of_level in sorted(trials.items()))


def _bounds(levels: tuple[Level, ...], rule: Rule) -> Knee | None:
    good = [level.level for level in levels if level.good is True]
    bad = [level.level for level in levels if level.good is False]
    if not good and not bad:
        return None
    if not bad:
        return Knee(max(good), None, levels, rule=str(rule))
    believed = [level for level in good if level < min(bad)]
    contradicting = tuple(level for level in good if level > min(bad))
    return Knee(max(believed, default=0), min(bad) - 1, levels, contradicting, str(rule))


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
        return Trial(trial, 0, level, measured=False)
    margins, counted = _margins(part, expectations, suite, level, trial, framerate)
    bad = tuple(session for session, margin in margins.items() if margin < 0)
    count = max(level, len(margins))
    # Those that left nothing are as bad as can be.
    absent = [(-1.0, False)] * (count - len(margins))
    ordered = sorted([*((margin, session in counted) for session, margin in margins.items()), *absent], reverse=True)
    deciding, by_count = ordered[needed(count) - 1]
    instants = [part[name][column].min() for name, column in _INSTANTS.items()]
    return Trial(
        trial,
        len(margins) - len(bad),
        count,
        bad,
        margin=None if by_count else deciding,
        at=min((float(instant) for instant in instants if pd.notna(instant)), default=None),
    )


def _margins(
    part: dict[str, pd.DataFrame],
    expectations: Sequence[Criterion],
    suite: str,
    level: int,
    trial: int,
    framerate: float | None,
) -> tuple[dict[str, float], set[str]]:
    """The margin of each session, and the sessions whose margin is that of something that is counted."""
    sides = [[one for one in expectations if (one[0] in _COUNTED) is counted] for counted in (False, True)]
    measured, counts = (
        session_margins(part, side, suite=suite, level=level, trial=trial, framerate=framerate) if side else {}
        for side in sides
    )
    names = measured or counts
    margins = {name: min(side[name] for side in (measured, counts) if name in side) for name in names}
    return margins, {name for name in counts if counts[name] < measured.get(name, 1.0)}


def by_trial(
    tables: Tables, suite: str, level: int | None = None, trial: int | None = None
) -> dict[tuple[int, int], dict[str, pd.DataFrame]]:
    """The tables of each (level, trial) of a suite, or of one: to look at a session is then no search of the run."""
    empty = {name: tables[name].iloc[:0] for name in _INSTANTS}
    parts: dict[tuple[int, int], dict[str, pd.DataFrame]] = {}
    for name in _INSTANTS:
        rows = tables[name]
        # Below 0 stands how sessions were made, before anything was tried with them.
        mine = rows[(rows["suite"] == suite) & (rows["trial"] >= 0)]
        if level is not None:
            mine = mine[(mine["level"] == level) & (mine["trial"] == trial)]
        for at_level, of_level in mine.groupby("level"):
            for at_trial, group in of_level.groupby("trial"):
                parts.setdefault((int(str(at_level)), int(str(at_trial))), dict(empty))[name] = group
    if "clock" in tables:
        # What is known of a desktop's clock holds at every level.
        for part in parts.values():
            part["clock"] = tables["clock"]
    return parts
