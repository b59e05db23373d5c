"""How evenly the sessions of a level were served, and which had it worst. Pure; steady rows only."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from vdibench.analysis.density import by_trial
from vdibench.analysis.sessions import jain_index
from vdibench.metrics import Statistic, Tables, sessions, values

__all__ = ["Fairness", "Worst", "fairness"]

_P95, _MEAN = Statistic("p", 95.0), Statistic("avg")
_G2G, _RATE = "glass_to_glass_seconds", "frames_per_second"


@dataclass(frozen=True, slots=True)
class Worst:
    """The session of a level with the largest p95 of glass-to-glass latency in one trial."""

    session: str
    trial: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Fairness:
    """One level. An index is Jain's (1: all alike, 1/n: one has everything), of the trial that was least even.

    :param sessions: of the trial with the most.
    :param frame_rate: index of the mean frames per second of each session; one without a frame counts as 0.
    :param latency: index of the p95 of glass-to-glass latency of each session that has one.
    :param worst: None without a marker in any picture.
    """

    level: int
    sessions: int
    trials: int
    frame_rate: float | None
    latency: float | None
    worst: Worst | None


def fairness(tables: Tables, suite: str) -> tuple[Fairness, ...]:
    """Every level with steady samples, ascending."""
    levels: dict[int, list[_Trial]] = {}
    for (level, trial), part in sorted(by_trial(tables, suite).items()):
        measured = _trial(part, suite, level, trial)
        if measured.rates:
            levels.setdefault(level, []).append(measured)
    return tuple(_level(level, trials) for level, trials in sorted(levels.items()))


@dataclass(frozen=True, slots=True)
class _Trial:
    trial: int
    rates: dict[str, float]
    late: dict[str, float]


def _trial(part: Tables, suite: str, level: int, trial: int) -> _Trial:
    rates, late = {}, {}
    for session in sessions(part, suite, level, trial):
        rates[session] = _MEAN.of(values(_RATE, part, suite=suite, session=session)) or 0.0
        p95 = _P95.of(values(_G2G, part, suite=suite, session=session))
        if p95 is not None:
            late[session] = p95
    return _Trial(trial, rates if any(rates.values()) or late else {}, late)


def _level(level: int, trials: list[_Trial]) -> Fairness:
    worst = max(
        ((seconds, session, one.trial) for one in trials for session, seconds in one.late.items()), default=None
    )
    return Fairness(
        level,
        max(len(one.rates) for one in trials),
        len(trials),
        _least(jain_index(one.rates.values()) for one in trials),
        _least(jain_index(one.late.values()) for one in trials),
        None if worst is None else Worst(worst[1], worst[2], worst[0]),
    )


def _least(found: Iterable[float | None]) -> float | None:
    return min((index for index in found if index is not None), default=None)
