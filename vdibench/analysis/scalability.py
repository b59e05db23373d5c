"""Beyond what was measured: Gunther's universal scalability law, fitted to levels, with an interval. Pure.

The law says what ``n`` sessions deliver together: ``X(n) = λ n / (1 + σ (n - 1) + κ n (n - 1))``. λ is what one
session delivers alone, σ the share of work that cannot run side by side, κ what each pair of sessions costs the
other. Delivered here means frames a second, of all sessions together.

With ``n λ / X`` on the left the law is linear in its three coefficients, none of which can be negative: it is solved
by non-negative least squares of relative errors, each trial once. The interval comes from the trials: what each of
them is off by, relative to the fit, is drawn anew and the law fitted again.

What follows is an extrapolation. It is given only where it has a leg to stand on, else the reason is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["FEWEST_LEVELS", "Delivered", "Extrapolation", "Law", "extrapolate", "fit_law"]

FEWEST_LEVELS = 6
LARGEST_ERROR = 0.10  # root mean square of relative errors of a fit that is believed
FARTHEST = 3  # times the largest level that was measured
CONFIDENCE = 0.95
_DRAWS = 1000
_COEFFICIENTS = 3
_NOTHING = 1e-3  # frames a second of each session: less than that was not delivered

_Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Delivered:
    """What one trial of a level delivered.

    :param rate: frames a second of all its sessions together.
    """

    level: int
    rate: float


@dataclass(frozen=True, slots=True)
class Law:
    """The universal scalability law.

    :param alone: λ, what one session delivers when it is alone.
    :param contention: σ.
    :param coherency: κ.
    """

    alone: float
    contention: float
    coherency: float

    def each(self, sessions: float) -> float:
        """What each of so many sessions delivers."""
        cost = 1 + self.contention * (sessions - 1) + self.coherency * sessions * (sessions - 1)
        return self.alone / cost

    def total(self, sessions: float) -> float:
        """What so many sessions deliver together."""
        return sessions * self.each(sessions)

    def fits(self, wanted: float) -> float:
        """How many sessions each still get ``wanted``; infinite when nothing slows them, 0 when not even one does."""
        spare = self.alone / wanted - 1
        if spare < 0:
            return 0.0
        # κ n² + (σ - κ) n - (σ + spare) = 0, in the form that subtracts no two numbers that are nearly alike.
        slope, rest = self.contention - self.coherency, self.contention + spare
        root = math.sqrt(slope * slope + 4 * self.coherency * rest)
        if slope < 0:
            return (root - slope) / (2 * self.coherency)
        return 2 * rest / (root + slope) if root + slope > 0 else math.inf


@dataclass(frozen=True, slots=True)
class Extrapolation:
    """How many sessions would each still get what is wanted, by the law; or why that cannot be said.

    :param wanted: frames a second of each session.
    :param law: None when there was too little to fit.
    :param error: root mean square of the relative errors of the fit.
    :param sessions: whole sessions that fit, with ``low`` and ``high`` the interval (95 %); None when refused.
    :param refusal: why nothing is said, as a clause; empty otherwise.
    """

    wanted: float
    levels: int
    trials: int
    law: Law | None = None
    error: float | None = None
    sessions: int | None = None
    low: int | None = None
    high: int | None = None
    refusal: str = ""


def fit_law(trials: Sequence[Delivered]) -> Law | None:
    """The law with the least relative errors; None when no session delivered anything."""
    levels, costs = _costs(trials)
    return _solve(levels, costs) if len(levels) else None


def extrapolate(trials: Sequence[Delivered], wanted: float) -> Extrapolation:
    """How many sessions would each still get ``wanted`` frames a second.

    :raises ValueError: ``wanted`` is not above zero.
    """
    if not wanted > 0:
        raise ValueError("extrapolation asks for a rate above zero")
    levels, costs = _costs(trials)
    known = len(set(levels.tolist()))
    said = Extrapolation(wanted, known, len(levels))
    if known < FEWEST_LEVELS:
        return _refused(said, f"{known} levels were measured, {FEWEST_LEVELS} are needed")
    law = _solve(levels, costs)
    if law is None:
        return _refused(said, "no coefficients describe what was delivered")
    ratios = costs * _model(law, levels)
    error = float(np.sqrt(np.mean((ratios - 1) ** 2)))
    said = Extrapolation(wanted, known, len(levels), law, error)
    if error > LARGEST_ERROR:
        return _refused(said, f"the law is off by {100 * error:.0f} % of what was delivered")
    farthest = FARTHEST * int(levels.max())
    fits = law.fits(wanted)
    if fits > farthest:
        return _refused(said, f"up to {int(levels.max())} sessions too little slows down to say where it ends")
    drawn = _redrawn(law, levels, ratios, wanted)
    low, high = np.quantile(drawn, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2], method="nearest")
    if high > farthest:
        return _refused(said, f"the interval reaches beyond {FARTHEST} times the largest level")
    return Extrapolation(
        wanted,
        known,
        len(levels),
        law,
        error,
        math.floor(fits + 1e-9),
        math.floor(min(low, fits) + 1e-9),
        math.floor(max(high, fits) + 1e-9),
    )


def _refused(said: Extrapolation, why: str) -> Extrapolation:
    return Extrapolation(said.wanted, said.levels, said.trials, said.law, said.error, refusal=why)


def _costs(trials: Sequence[Delivered]) -> tuple[_Numbers, _Numbers]:
    """Levels, and the inverse of what each session delivered."""
    useful = [trial for trial in trials if trial.level > 0 and trial.rate > _NOTHING * trial.level]
    levels = np.array([trial.level for trial in useful], dtype=float)
    return levels, np.array([trial.level / trial.rate for trial in useful], dtype=float)


def _design(levels: _Numbers) -> _Numbers:
    return np.column_stack((np.ones_like(levels), levels - 1, levels * (levels - 1)))


def _model(law: Law, levels: _Numbers) -> _Numbers:
    """What each session delivers by the law."""
    found: _Numbers = law.alone / (_design(levels) @ np.array((1.0, law.contention, law.coherency)))
    return found


def _solve(levels: _Numbers, costs: _Numbers) -> Law | None:
    from scipy.optimize import nnls  # slow to load, and only runs of many levels fit a law

    # Divided by the cost itself, every trial weighs alike: what is small is not lost beside what is large.
    found, _ = nnls(_design(levels) / costs[:, None], np.ones_like(costs))
    if not found[0] > 0:
        return None
    return Law(1 / float(found[0]), float(found[1] / found[0]), float(found[2] / found[0]))


def _redrawn(law: Law, levels: _Numbers, ratios: _Numbers, wanted: float) -> _Numbers:
    """How many sessions fit by the law of each redrawn set of trials."""
    random = np.random.default_rng(6)  # the same trials give the same interval
    count = len(levels)
    # Three coefficients made the fit closer than the law is: residuals are widened by what they took.
    spread = math.sqrt(count / (count - _COEFFICIENTS))
    centred = (ratios - ratios.mean()) * spread
    found = []
    for _ in range(_DRAWS):
        again = _solve(levels, (1 + random.choice(centred, count)).clip(1e-3) / _model(law, levels))
        found.append(again.fits(wanted) if again is not None else math.inf)
    return np.array(found)
