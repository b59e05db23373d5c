"""When the trials of a level say that it is good, that it is bad, or not yet. Pure.

A level is *good* when at least ``holds`` (80 %) of all trials that could be made of it would pass, else it is bad.
:class:`SequentialTest` weighs two claims against each other, "it is bad" and "it is good", and gives up the one that
the trials refute. The evidence against a claim starts at 1 and is multiplied by a factor a trial; each factor has an
expected value of at most 1 while the claim is true, whatever came before. Such a product is an e-process: by Ville's
inequality the evidence against a true claim *ever* reaches 1 / alpha with a probability of at most alpha, however often
one looks and whenever one stops. So, as far as trials scatter as assumed below, a bad level is called good in at most
``alpha`` of cases, and a good one bad in at most ``beta``; one that is too close to call stays undecided after
``most_trials`` that measured something. How wrong it can be where they scatter otherwise: ``docs/design/knee.md``.

The factors. A trial's margin says how far it passed or failed. Margins of one level's trials are taken as normal, with
a median m and a standard deviation s; the level is good exactly when m >= z * s, where z is the normal quantile of
``holds`` (0.84). With y = margin / s - z:

- against "bad": exp(t * y), divided by its expected value at m = z * s, where it is largest;
- against "good": exp(-t * y), divided likewise and by what a share ``outliers`` of trials that are ruined from outside
  can add to it.

y is held between -2 and 2: a trial that passed or failed by far counts as one that passed or failed, and no single one
decides. ``fewest`` trials must have passed before a level is good, however far they did.

t is how far from the edge a level is expected to lie. Nobody knows, so the evidence is the mean of those for several t,
which is an e-process too. One more is among them that looks only at pass and fail and so assumes nothing of margins:
``_FIT`` / ``holds`` for a passed trial and (1 - ``_FIT``) / (1 - ``holds``) for a failed one, and for "good" likewise.
It is the only one left where margins say nothing of how often trials pass (the others count as 0, which keeps it an
e-process): both ways after a trial that has none, because something that is counted decided it, and for "good" after
one that failed, because what ruins one trial in three is seen in no margin of the other two.

s is ``deviation`` as long as nothing is known; what the passed trials of the same levels show of each other is mixed
in, with ``deviation`` weighing as much as two trials. It is one number for all levels of a search.

With the defaults, three trials that keep a third of the objective in hand decide that a level is good, and two that
fail clearly that it is bad. Without margins only pass and fail are left: at 80 % that takes 16 passed trials, so a
caller without margins sets ``holds`` to 0.5, where five do.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from scipy.special import ndtr, ndtri

from vdibench.analysis.trials import Decision, Rule, Trial

__all__ = ["PassedShare", "SequentialTest", "rule_of"]

_FIT, _UNFIT = 0.97, 0.05  # share of trials that pass at a level that is plainly good or plainly bad
_GOOD_TILTS, _BAD_TILTS = (1.0, 3.0), (1.0, 2.0)
_FAR = 2.0  # standard deviations from the edge, either way; further counts as that
_PRIOR_DEGREES = 2.0


@dataclass(frozen=True, slots=True)
class PassedShare:
    """A level is good when at least a share of its trials passed: the rule of a sweep. It states no error rate.

    Of up to four trials each must pass, of five or more one may fail: something else on the host ruins a trial in
    some tens, and a sweep whose every trial counts meets one sooner the more it makes.

    :param holds: as in :class:`SequentialTest`.
    """

    holds: float = 0.8

    def judge(self, trials: Mapping[int, Sequence[Trial]]) -> dict[int, Decision]:
        """The decision on each level."""
        return {level: self._decide(of_level) for level, of_level in trials.items()}

    def __str__(self) -> str:
        return f"good when at least {self.holds:.0%} of the trials passed"

    def _decide(self, trials: Sequence[Trial]) -> Decision:
        said = _count(trials)
        failed = sum(trial.measured and not trial.passed for trial in trials)
        # In whole trials: 0.8 of five is four, whatever a product of floats says.
        if failed > round((1 - self.holds) * len(trials), 9):
            return Decision(False, said, -1.0)
        if trials and all(trial.measured for trial in trials):
            return Decision(True, said, 1.0)
        return Decision(None, said, 0.0, open=True)


@dataclass(frozen=True, slots=True)
class SequentialTest:
    """Decides each level from as few trials as it takes, with error rates that hold while trials scatter as assumed.

    :param holds: share of its trials that pass at a level that is good.
    :param alpha: chance of calling a bad level good.
    :param beta: chance of calling a good level bad.
    :param deviation: standard deviation of the margins of one level's trials, as far as nothing is known.
    :param outliers: share of trials that something else on the host may ruin.
    :param most_trials: of one level that measured something; then it stays undecided. So does one of which as many
        measured nothing.
    :param fewest: passed trials (``most_trials``, if that is less) without which no level is good.
    :raises ValueError: a share or rate that is not between 0 and 1, or nothing to decide with.
    """

    holds: float = 0.8
    alpha: float = 0.05
    beta: float = 0.05
    deviation: float = 0.14
    outliers: float = 0.03
    most_trials: int = 6
    fewest: int = 3

    def __post_init__(self) -> None:
        if not (_UNFIT < self.holds < _FIT and 0 < self.alpha < 1 and 0 < self.beta < 1 and 0 <= self.outliers < 1):
            raise ValueError(f"holds must lie between {_UNFIT} and {_FIT}, error rates and outliers between 0 and 1")
        if self.deviation <= 0 or min(self.most_trials, self.fewest) < 1:
            raise ValueError("deviation must be positive, most_trials and fewest must be at least 1")

    def __str__(self) -> str:
        return (
            f"good when at least {self.holds:.0%} of trials would pass; meant to be wrong in at most "
            f"{self.alpha:.0%} of bad and {self.beta:.0%} of good levels; at most {self.most_trials} trials a level"
        )

    def judge(self, trials: Mapping[int, Sequence[Trial]]) -> dict[int, Decision]:
        """The decision on each level; trials count in the order in which they are given."""
        # In order: sums of floats depend on it, and a search that is read back must say the same to the last digit.
        deviation = self.deviation_seen(trials[level] for level in sorted(trials))
        return {level: self._decide(of_level, deviation) for level, of_level in trials.items()}

    def deviation_seen(self, levels: Iterable[Sequence[Trial]]) -> float:
        """The standard deviation of a level's margins: the assumed one, and what trials show of each other."""
        squares, degrees = _PRIOR_DEGREES * self.deviation**2, _PRIOR_DEGREES
        for trials in levels:
            # Failed ones are left out: an outlier would hide how alike the others are.
            margins = [trial.margin for trial in trials if trial.passed and trial.margin is not None]
            if len(margins) > 1:
                mean = sum(margins) / len(margins)
                squares += sum((margin - mean) ** 2 for margin in margins)
                degrees += len(margins) - 1
        return math.sqrt(squares / degrees)

    def _decide(self, trials: Sequence[Trial], deviation: float) -> Decision:
        measured = [trial for trial in trials if trial.measured]
        lost = len(trials) - len(measured)
        # Without margins from the start there is only pass and fail to weigh.
        margins = bool(measured) and measured[0].margin is not None
        against_bad = [0.0] * (1 + margins * len(_GOOD_TILTS))
        against_good = [0.0] * (1 + margins * len(_BAD_TILTS))
        leaning, passed = 0.0, 0
        for number, trial in enumerate(measured, start=1):
            passed += trial.passed
            # Not strict: where only pass and fail are weighed, the first factor is all that counts.
            against_bad = [sum(pair) for pair in zip(against_bad, self._against_bad(trial, deviation), strict=False)]
            against_good = [sum(pair) for pair in zip(against_good, self._against_good(trial, deviation), strict=False)]
            good, bad = _log_mean(against_bad), _log_mean(against_good)
            leaning = good - bad
            if good >= -math.log(self.alpha) and passed >= min(self.fewest, self.most_trials):
                inside = f", the last one {trial.margin:.0%} inside" if trial.margin is not None else ""
                return Decision(True, _count(measured[:number], lost) + inside, leaning)
            if bad >= -math.log(self.beta):
                return Decision(False, _count(measured[:number], lost), leaning)
        if len(measured) >= self.most_trials:
            return Decision(None, f"{_count(trials)}: too close to call", leaning)
        if lost >= self.most_trials:
            return Decision(None, f"{_count(trials)}: given up", leaning)
        return Decision(None, f"{_count(trials)}: not confirmed", leaning, open=True)

    def _against_bad(self, trial: Trial, deviation: float) -> list[float]:
        """Logarithms of the factors: of pass and fail, then of the margin by tilt."""
        plain = math.log(_FIT / self.holds if trial.passed else (1 - _FIT) / (1 - self.holds))
        if trial.margin is None or not trial.passed:
            return [plain, *[-math.inf] * len(_GOOD_TILTS)]
        y = self._standing(trial.margin, deviation)
        return [plain, *(tilt * y - math.log(_expected(tilt)) for tilt in _GOOD_TILTS)]

    def _against_good(self, trial: Trial, deviation: float) -> list[float]:
        plain = math.log(_UNFIT / self.holds if trial.passed else (1 - _UNFIT) / (1 - self.holds))
        if trial.margin is None:
            return [plain, *[-math.inf] * len(_BAD_TILTS)]
        y = self._standing(trial.margin, deviation)
        factors = [plain]
        for tilt in _BAD_TILTS:
            usual, ruined = _expected(-tilt), math.exp(tilt * _FAR)
            factors.append(-tilt * y - math.log((1 - self.outliers) * usual + self.outliers * ruined))
        return factors

    def _standing(self, margin: float, deviation: float) -> float:
        """Standard deviations from the edge."""
        return min(max(margin / deviation - _quantile(self.holds), -_FAR), _FAR)


def rule_of(parameters: Mapping[str, Any]) -> Rule:
    """The rule that a suite's parameters name: ``search`` is ``sequential`` or ``sweep`` (also when it is absent).

    :param parameters: of the suite. Of a sequential search, ``trials`` bounds the trials of a level, and
        ``error_rate`` is both alpha and beta. With one trial a level nothing can be tested: that is a sweep.
    """
    trials, rate = parameters.get("trials"), parameters.get("error_rate")
    if parameters.get("search") != "sequential" or trials == 1:
        return PassedShare()
    usual = SequentialTest()
    error_rate = float(rate) if isinstance(rate, int | float) and 0 < rate < 1 else usual.alpha
    most_trials = trials if isinstance(trials, int) and trials > 0 else usual.most_trials
    return replace(usual, alpha=error_rate, beta=error_rate, most_trials=most_trials)


@cache
def _expected(tilt: float) -> float:
    """The mean of exp(tilt * y) for a standard normal y that is held between -far and far."""
    ends = (math.exp(-tilt * _FAR) + math.exp(tilt * _FAR)) * float(ndtr(-_FAR))
    return ends + math.exp(tilt**2 / 2) * float(ndtr(_FAR - tilt) - ndtr(-_FAR - tilt))


@cache
def _quantile(share: float) -> float:
    return float(ndtri(share))


def _log_mean(logarithms: Sequence[float]) -> float:
    largest = max(logarithms)
    return largest + math.log(sum(math.exp(one - largest) for one in logarithms) / len(logarithms))


def _count(trials: Sequence[Trial], lost: int = 0) -> str:
    measured = [trial for trial in trials if trial.measured]
    passed = sum(trial.passed for trial in measured)
    lost += len(trials) - len(measured)
    return f"{passed} of {len(measured)} trials passed" + (f", {lost} measured nothing" if lost else "")
