"""``verdict.json``: what follows from the samples."""

from __future__ import annotations

from dataclasses import dataclass

from vdibench.records.outcome import Outcome

__all__ = ["VERDICT_SCHEMA", "ObjectiveResult", "SuiteVerdict", "Verdict"]

# History of the schema of verdict.json:
# 1  first
VERDICT_SCHEMA = 1


@dataclass(frozen=True, slots=True)
class ObjectiveResult:
    """One objective, evaluated.

    :param metric: name in the registry.
    :param expect: the expression as written (``p(95) < 0.050``).
    :param observed: the statistic in the metric's base unit; None without data.
    :param samples: how many raw values the statistic rests on.
    :param bound: the number it was compared with; None when not applicable.
    :param reason: why, in one line.
    """

    metric: str
    expect: str
    outcome: Outcome
    observed: float | None
    samples: int
    bound: float | None
    unit: str
    reason: str


@dataclass(frozen=True, slots=True)
class SuiteVerdict:
    """The verdict of one suite; ``reasons`` names what made it invalid or left it without data."""

    suite: str
    outcome: Outcome
    objectives: tuple[ObjectiveResult, ...] = ()
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """The verdict of a run: the worst of its suites, and no data when there is none."""

    run: str
    outcome: Outcome
    suites: tuple[SuiteVerdict, ...] = ()
    schema: int = VERDICT_SCHEMA
