"""When the trials of a level say that it is good, that it is bad, or not yet. Pure.

Let q be the share of trials at a level that would pass. The level is *good* when q is at least ``when_good`` (95 %)
and *bad* when q is at most ``when_bad`` (half). :class:`SequentialTest` multiplies up evidence, one factor a trial::

    trial                                   for good        for bad
    clear: passed with margin to spare      1 / alpha       when_bad / when_good
    passed                                  see below       when_bad / when_good
    failed                                  (1 - when_good) / (1 - when_bad)   and the inverse

and decides as soon as the evidence for good reaches 1 / alpha, or that for bad 1 / beta. Every factor has an expected
value of at most 1 while the level is what the evidence speaks against, given what came before. Such a product is a
non-negative supermartingale (an e-process), and by Ville's inequality it *ever* reaches 1 / alpha with a probability of
at most alpha, however often one looks and whenever one stops: alpha is the chance that a bad level is called good, beta
that a good one is called bad.

The factor of a trial that just passed follows from that: (1 - c / alpha - (1 - when_good)) / (when_bad - c), with c the
chance that a trial of a bad level is clear. A trial is clear when its margin is 2.5 standard deviations of the margins
of one level's trials; a level that is bad has its median margin at or below 0, so c is 0.6 % under the normal
distribution. The standard deviation is taken as ``clear_margin`` / 2.5, or as what the search itself sees among passed
trials of the same level where that is larger. Without a margin no trial is clear, and six must pass.

With the defaults: a clear trial decides good; else six passed ones. Two failed ones of two decide bad, and so do two of
four. One failed trial never does: an outlier is not a limit. After ``most_trials`` without a decision the level stays
undecided.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scipy.special import ndtr

from vdibench.analysis.trials import Decision, Rule, Trial

__all__ = ["EveryTrial", "SequentialTest", "rule_of"]

_CLEAR_DEVIATIONS = 2.5
_CLEAR_CHANCE = float(ndtr(-_CLEAR_DEVIATIONS))
_ENOUGH_DEGREES = 2  # of freedom, before a standard deviation of the search's own is believed


@dataclass(frozen=True, slots=True)
class EveryTrial:
    """A level is good when each of its trials passed: the rule of a sweep. It states no error rate."""

    def judge(self, trials: Mapping[int, Sequence[Trial]]) -> dict[int, Decision]:
        """The decision on each level."""
        return {level: self._decide(of_level) for level, of_level in trials.items()}

    def __str__(self) -> str:
        return "good when every trial passed"

    @staticmethod
    def _decide(trials: Sequence[Trial]) -> Decision:
        said = _count(trials)
        if any(trial.measured and not trial.passed for trial in trials):
            return Decision(False, said, -1.0)
        if trials and all(trial.measured for trial in trials):
            return Decision(True, said, 1.0)
        return Decision(None, said, 0.0, open=True)


@dataclass(frozen=True, slots=True)
class SequentialTest:
    """Decides each level with stated error rates, from as few trials as it takes.

    :param alpha: chance of calling a level good at which at most ``when_bad`` of the trials pass.
    :param beta: chance of calling a level bad at which at least ``when_good`` of the trials pass.
    :param clear_margin: a trial with this margin is clear; 0.25 allows trials of one level to differ by a tenth of the
        objective (one standard deviation).
    :param most_trials: of one level; then it stays undecided.
    :raises ValueError: rates that no trial can satisfy.
    """

    when_good: float = 0.95
    when_bad: float = 0.5
    alpha: float = 0.05
    beta: float = 0.05
    clear_margin: float = 0.25
    most_trials: int = 6

    def __post_init__(self) -> None:
        if not 0 < self.when_bad < self.when_good < 1:
            raise ValueError("a good level passes more often than a bad one: 0 < when_bad < when_good < 1")
        if not (2 * _CLEAR_CHANCE < self.alpha < 1 and 0 < self.beta < 1):
            raise ValueError(f"alpha must lie between {2 * _CLEAR_CHANCE:.4f} and 1, beta between 0 and 1")
        if self.clear_margin <= 0 or self.most_trials < 1:
            raise ValueError("clear_margin must be positive and most_trials at least 1")
        if self._just_passed <= 1:
            raise ValueError("with these rates a passed trial would speak for nothing: raise alpha or lower when_bad")

    def __str__(self) -> str:
        return (
            f"good when at least {self.when_good:.0%} of trials pass, bad when at most {self.when_bad:.0%} do, "
            f"each wrong in at most {self.alpha:.0%} and {self.beta:.0%} of such levels; "
            f"at most {self.most_trials} trials a level"
        )

    def judge(self, trials: Mapping[int, Sequence[Trial]]) -> dict[int, Decision]:
        """The decision on each level; trials count in the order in which they are given."""
        clear = self.clear(trials.values())
        return {level: self._decide(of_level, clear) for level, of_level in trials.items()}

    def clear(self, levels: Iterable[Sequence[Trial]]) -> float:
        """The margin from which on a trial is clear, by what the trials of all levels show of each other."""
        squares, degrees = 0.0, 0
        for trials in levels:
            # Failed ones are left out: an outlier would hide how alike the others are.
            margins = [trial.margin for trial in trials if trial.passed and trial.margin is not None]
            if len(margins) > 1:
                mean = sum(margins) / len(margins)
                squares += sum((margin - mean) ** 2 for margin in margins)
                degrees += len(margins) - 1
        if degrees < _ENOUGH_DEGREES:
            return self.clear_margin
        return max(self.clear_margin, _CLEAR_DEVIATIONS * math.sqrt(squares / degrees))

    @property
    def _failed(self) -> float:
        return (1 - self.when_good) / (1 - self.when_bad)

    @property
    def _just_passed(self) -> float:
        return (1 - _CLEAR_CHANCE / self.alpha - (1 - self.when_good)) / (self.when_bad - _CLEAR_CHANCE)

    def _decide(self, trials: Sequence[Trial], clear: float) -> Decision:
        good = bad = 1.0
        for number, trial in enumerate(trials, start=1):
            if not trial.measured:
                continue
            is_clear = trial.passed and trial.margin is not None and trial.margin >= clear
            good *= 1 / self.alpha if is_clear else self._just_passed if trial.passed else self._failed
            bad *= self.when_bad / self.when_good if trial.passed else 1 / self._failed
            said = _count(trials[:number])
            if good >= (1 / self.alpha) * (1 - 1e-9):
                margin = f", the last clearly: {trial.margin:.0%} inside" if is_clear else ""
                return Decision(True, said + margin, math.log(good / bad))
            if bad >= (1 / self.beta) * (1 - 1e-9):
                return Decision(False, said, math.log(good / bad))
        leaning = math.log(good / bad)
        if len(trials) >= self.most_trials:
            return Decision(None, f"{_count(trials)}: too close to call", leaning)
        return Decision(None, f"{_count(trials)}: more would decide", leaning, open=True)


def rule_of(parameters: Mapping[str, Any]) -> Rule:
    """The rule that a suite's parameters name: ``search`` is ``sequential`` or ``sweep`` (also when it is absent).

    :param parameters: of the suite; ``most_trials`` bounds the trials of a level of a sequential search.
    """
    if parameters.get("search") != "sequential":
        return EveryTrial()
    most = parameters.get("most_trials")
    return SequentialTest(most_trials=most) if isinstance(most, int) and most > 0 else SequentialTest()


def _count(trials: Sequence[Trial]) -> str:
    measured = [trial for trial in trials if trial.measured]
    passed = sum(trial.passed for trial in measured)
    lost = len(trials) - len(measured)
    return f"{passed} of {len(measured)} trials passed" + (f", {lost} measured nothing" if lost else "")
