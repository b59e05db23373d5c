"""What a level of a density search is made of: its trials, and what was decided of it. Pure.

A trial is the sampling unit: k sessions ran together for one steady window. Sessions of one trial share host, GPU and
minute, so they are not independent, and nothing here counts them as if they were.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

__all__ = ["GOOD_SHARE", "Decision", "Rule", "Trial", "needed"]

GOOD_SHARE = 0.95


def needed(sessions: int) -> int:
    """How many of so many sessions must be good for a trial to pass: 95 %, rounded up."""
    return math.ceil(GOOD_SHARE * sessions - 1e-9)


@dataclass(frozen=True, slots=True)
class Trial:
    """One repetition of a level.

    :param trial: its number, from 0.
    :param good: sessions that kept every expectation.
    :param sessions: how many there should have been; one that left no sample counts as not good.
    :param bad_sessions: names of those that did not keep them, as far as they left a sample.
    :param measured: False when no session left a steady sample or failed: then nothing is decided.
    :param margin: how far inside its objectives the session stood on which the trial hangs, from -1 to 1
        (:func:`vdibench.analysis.session_margins`); at least 0 exactly when the trial passed. None where unknown, and
        where something that is counted decided it, freezes or losses: how few there were says little of how often.
    :param at: Unix seconds of its first sample; None where it is not known.
    """

    trial: int
    good: int
    sessions: int
    bad_sessions: tuple[str, ...] = ()
    measured: bool = True
    margin: float | None = None
    at: float | None = None

    @property
    def passed(self) -> bool:
        """At least 95 % of the sessions were good."""
        return self.measured and self.good >= needed(self.sessions)


@dataclass(frozen=True, slots=True)
class Decision:
    """What is known of a level.

    :param good: True, False, or None while it is not decided.
    :param reason: why, in words.
    :param leaning: above 0 when the trials speak for good, below 0 when they speak for bad: where to look next, no
        result.
    :param open: another trial may decide it.
    """

    good: bool | None
    reason: str
    leaning: float = 0.0
    open: bool = False


class Rule(Protocol):
    """How trials decide levels."""

    def judge(self, trials: Mapping[int, Sequence[Trial]]) -> dict[int, Decision]:
        """The decision on each level, from the trials of all of them."""

    def __str__(self) -> str:
        """The rule in words, with its error rates."""
