"""A check of a cluster, what it judges, and what it found. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from vdibench.preflight.cluster_context import ClusterContext
from vdibench.preflight.cluster_readings import ClusterReadings
from vdibench.preflight.cluster_snapshot import ClusterSnapshot
from vdibench.records import Check, Outcome, worst

__all__ = ["ClusterCheck", "ClusterEvidence", "ClusterFinding", "Severity", "outcome_of"]


class Severity(StrEnum):
    """What a failure means."""

    BLOCKING = "blocking"
    """Sessions do not start, are not reached, or are not safe."""
    WARNING = "warning"
    """They work, and something will go wrong or slow later."""
    INFORMATION = "information"
    """A property that numbers must be read with; it never decides."""


@dataclass(frozen=True, slots=True)
class ClusterEvidence:
    """Everything that a check may look at."""

    context: ClusterContext
    snapshot: ClusterSnapshot
    readings: ClusterReadings = field(default_factory=ClusterReadings)


@dataclass(frozen=True, slots=True)
class ClusterCheck:
    """A check before it is judged.

    :param name: the name that its :class:`~vdibench.records.Check` will have.
    :param question: what it asks.
    :param judge: pure.
    :param needs: kinds of objects without which it has no data.
    """

    name: str
    severity: Severity
    question: str
    judge: Callable[[ClusterEvidence], Check]
    needs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ClusterFinding:
    """What a check found, with what it means."""

    check: Check
    severity: Severity
    question: str

    @property
    def counts(self) -> bool:
        """Whether it decides about the whole."""
        return self.severity is not Severity.INFORMATION

    def to_json(self) -> dict[str, Any]:
        """As JSON types."""
        return {
            "name": self.check.name,
            "severity": str(self.severity),
            "question": self.question,
            "outcome": str(self.check.outcome),
            "finding": self.check.finding,
            "evidence": self.check.evidence,
            "remedy": self.check.remedy,
        }


def outcome_of(findings: Iterable[ClusterFinding]) -> Outcome:
    """The outcome of the whole; findings that are information do not count."""
    return worst(finding.check.outcome for finding in findings if finding.counts)
