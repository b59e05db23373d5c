"""Which level to try next: a search on the integers, and the full sweep that it saves. Pure.

::

    search = IntegerSearch(largest=16)
    while (level := search.next()) is not None:
        ...  # run one trial: k = level sessions, number search.trials(level)
        search.add(level, measured_trial(tables, criteria, level, search.trials(level)))
    found = search.knee()

:class:`IntegerSearch` doubles until a level is bad, then bisects. While it looks for the place, one trial a level is
enough, whichever way it leans; only the two levels that bound the knee are then tried until the rule decides them. When
one of them turns out otherwise, the search goes on from there. A level that stays undecided is stepped round on both
sides, so that the bounds enclose it. What comes next follows from the trials so far and from nothing else: a search can
be stopped, stored as the tables of its run, and taken up again by adding what was measured.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from vdibench.analysis.density import Knee, Level, found
from vdibench.analysis.sequential import PassedShare, SequentialTest
from vdibench.analysis.trials import Decision, Rule, Trial

__all__ = ["IntegerSearch", "Search", "Sweep"]


class Search(Protocol):
    """What a suite needs of either search."""

    def next(self) -> int | None:
        """The level of the next trial; None when the search is at its end. Asking changes nothing."""

    def trials(self, level: int) -> int:
        """How many trials of a level were added: the number of the next one."""

    def observe(self, level: int, *, good: int, sessions: int, margin: float | None = None) -> None:
        """Say what a trial showed, in numbers."""

    def add(self, level: int, trial: Trial) -> None:
        """Say what a trial showed."""

    def resume(self, levels: Iterable[Level]) -> None:
        """Add every trial of levels that were tried before (:func:`vdibench.analysis.tried_levels`)."""

    def knee(self) -> Knee | None:
        """What is known so far; None while no level is decided."""


class _Trials:
    """The trials so far."""

    def __init__(self, largest: int, rule: Rule) -> None:
        if largest < 1:
            raise ValueError(f"the largest level is {largest}: give at least 1")
        self.largest = largest
        self.rule = rule
        self._trials: dict[int, list[Trial]] = {}

    def trials(self, level: int) -> int:
        """How many trials of a level were added."""
        return len(self._trials.get(level, ()))

    def observe(self, level: int, *, good: int, sessions: int, margin: float | None = None) -> None:
        """Say what a trial showed.

        :param good: sessions that kept every objective.
        :param sessions: that should have; 0 when nothing could be measured.
        :param margin: as in :class:`vdibench.analysis.Trial`.
        :raises ValueError: more good sessions than sessions, or a level beyond the largest.
        """
        if not 0 <= good <= sessions:
            raise ValueError(f"{good} good of {sessions} sessions")
        self.add(level, Trial(self.trials(level), good, sessions, measured=sessions > 0, margin=margin))

    def add(self, level: int, trial: Trial) -> None:
        """Say what a trial showed.

        :raises ValueError: the level is not one of the search.
        """
        if not 1 <= level <= self.largest:
            raise ValueError(f"level {level} is not among 1 … {self.largest}")
        self._trials.setdefault(level, []).append(trial)

    def resume(self, levels: Iterable[Level]) -> None:
        """Add every trial of levels that were tried before."""
        for level in levels:
            for trial in level.trials:
                self.add(level.level, trial)

    def knee(self) -> Knee | None:
        """What is known so far."""
        return found(self._trials, self.rule)


class IntegerSearch(_Trials):
    """Doubles, bisects and confirms; see the module.

    :param largest: the largest level that can be tried.
    :param start: the first level.
    :param rule: decides levels, with its error rates.
    :param resolution: bounds that lie closer than this share of the lower one are close enough; 0: neighbouring levels.
    :param most_trials: of the whole search, those that measured nothing included: they take as long; None: as many as
        the rule allows at each level.
    """

    def __init__(
        self,
        largest: int,
        start: int = 1,
        rule: SequentialTest | None = None,
        *,
        resolution: float = 0.0,
        most_trials: int | None = None,
    ) -> None:
        super().__init__(largest, rule or SequentialTest())
        if not 1 <= start <= largest:
            raise ValueError(f"the first level, {start}, is not among 1 … {largest}")
        self.start = start
        self.resolution = resolution
        self.most_trials = most_trials

    def next(self) -> int | None:
        """The level of the next trial; None at the end."""
        if self.most_trials is not None and sum(map(len, self._trials.values())) >= self.most_trials:
            return None
        decisions = self.rule.judge(self._trials)
        silent = [level for level, known in decisions.items() if known.open and not known.leaning]
        if silent:
            return min(silent)  # nothing could be measured there
        bad = min((level for level, known in decisions.items() if _speaks(known) < 0), default=None)
        below = {level: known for level, known in decisions.items() if bad is None or level < bad}
        good = max((level for level, known in below.items() if _speaks(known) > 0), default=0)

        not_bad = max(below, default=0)
        if bad is None and not_bad < self.largest:
            return min(2 * not_bad, self.largest) if not_bad else self.start
        if bad is not None and (between := self._between(not_bad, bad)):
            return between
        not_good = min((level for level in decisions if level > good), default=None)
        if not_good is not None and (between := self._between(good, not_good)):
            return between
        # The place is found. A failed trial says more than a passed one, so the upper bound comes first.
        return next((level for level in (bad, good) if level and decisions[level].open), None)

    def _between(self, low: int, high: int) -> int | None:
        close = max(1, int(self.resolution * low))
        return (low + high) // 2 if high - low > close else None


class Sweep(_Trials):
    """Every level, ascending, so many trials each.

    :param trials: of each level.
    :param all_levels: go on above a level that was bad.
    """

    def __init__(self, largest: int, trials: int = 3, *, start: int = 1, all_levels: bool = False) -> None:
        super().__init__(largest, PassedShare())
        if trials < 1 or not 1 <= start <= largest:
            raise ValueError(f"{trials} trials from level {start} of {largest}: give at least 1 of each")
        self.start = start
        self.repetitions = trials
        self.all_levels = all_levels

    def next(self) -> int | None:
        """The level of the next trial; None at the end."""
        for level in range(self.start, self.largest + 1):
            if self.trials(level) < self.repetitions:
                return level
            if not self.all_levels and self.rule.judge({level: self._trials[level]})[level].good is False:
                return None
        return None


def _speaks(known: Decision) -> int:
    """1 for a level that is or seems good, -1 for one that is or seems bad, 0 for one that cannot be decided."""
    if known.good is not None:
        return 1 if known.good else -1
    if not known.open:
        return 0
    return 1 if known.leaning >= 0 else -1
