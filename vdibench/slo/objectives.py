"""Objectives and where they apply. Pure: applicability follows from suite and context, before anything is measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from vdibench.metrics import DIALECTS, REGISTRY, Metric, Presence
from vdibench.slo.coverage import LEVELED, SUITES, finds_knee, measures
from vdibench.slo.grammar import FIRST_LEVEL, Expectation, Place

__all__ = ["CONTEXT_KEYS", "OBJECTIVES_SCHEMA", "Applicability", "Objective", "Objectives"]

# History of the schema of objective files:
# 1  first
OBJECTIVES_SCHEMA = 1

# What ``where`` may ask of Run.context, and the values it knows (None: any).
CONTEXT_KEYS: Mapping[str, tuple[object, ...] | None] = {
    "target": ("lab", "url", "replay", "manifests", "operator"),
    "gpu": (True, False),
    "dialect": DIALECTS,
    "profile": None,
    "encoder": None,
    "mode": ("meter", "sampled", "depacketise", "decode"),
}


@dataclass(frozen=True, slots=True)
class Objective:
    """One objective.

    :param metric: name in the registry.
    :param suites: where it counts; empty for every suite that measures the metric.
    :param where: context key to the accepted values.
    :param at: the level that it looks at.
    :param min_samples: fewer raw values are no data.
    :param line: in the file, from 1; 0 when not from a file.
    """

    metric: str
    expectation: Expectation
    suites: tuple[str, ...] = ()
    where: Mapping[str, tuple[object, ...]] = field(default_factory=dict)
    at: Place = FIRST_LEVEL
    min_samples: int = 1
    line: int = 0

    @property
    def definition(self) -> Metric:
        """The metric in the registry."""
        return REGISTRY[self.metric]


@dataclass(frozen=True, slots=True)
class Applicability:
    """Whether an objective counts in a suite, and if not, why."""

    objective: Objective
    applies: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Objectives:
    """The content of an objective file.

    :param text: the file as it was, for ``Run.objectives``.
    :param source: file name, for messages.
    """

    name: str
    objectives: tuple[Objective, ...]
    text: str = ""
    source: str = ""

    def applicable(self, suite: str, context: Mapping[str, Any]) -> tuple[Applicability, ...]:
        """Every objective that concerns ``suite``, with whether it applies there.

        Objectives on metrics that the suite does not measure, or that name other suites, are left out altogether
        unless they name this suite.

        :param context: ``Run.context``: target, gpu, dialect, profile, encoder.
        """
        return tuple(
            _applicability(objective, suite, context) for objective in self.objectives if _concerns(objective, suite)
        )


def _concerns(objective: Objective, suite: str) -> bool:
    if objective.suites:
        return suite in objective.suites
    return measures(suite, objective.definition)


def _applicability(objective: Objective, suite: str, context: Mapping[str, Any]) -> Applicability:
    reason = _obstacle(objective, suite, context)
    return Applicability(objective, not reason, reason)


def _obstacle(objective: Objective, suite: str, context: Mapping[str, Any]) -> str:
    metric = objective.definition
    if not measures(suite, metric):
        return f"{suite} does not measure {metric.name}"
    if (metric.gpu or objective.expectation.gpu) and not context.get("gpu", False):
        return "there is no GPU in this profile"
    reach = metric.reach(context.get("dialect"))
    if reach.presence is Presence.NOT_APPLICABLE:
        return f"{context['dialect']} has no {metric.name}: {reach.note}"
    for key, accepted in objective.where.items():
        actual = context.get(key, False if key == "gpu" else None)
        if actual is None:
            return f"the run does not say its {key}"
        if key == "target":
            actual = str(actual).partition(":")[0]
        if actual not in accepted:
            return f"applies where {key} is {' or '.join(map(_word, accepted))}, not {_word(actual)}"
    if objective.at.kind == "knee" and not finds_knee(suite):
        return f"{suite} searches for no knee"
    if objective.at.kind == "level" and objective.at.level > 1 and suite in SUITES and suite not in LEVELED:
        return f"{suite} has no levels"
    return ""


def _word(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
