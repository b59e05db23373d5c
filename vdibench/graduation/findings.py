"""What stands against a graduation, and what was waived. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from vdibench.records import Outcome

__all__ = ["REQUIRED", "Finding", "Required", "Waiver"]


class Required(StrEnum):
    """What must have passed before anything is shipped; each can be waived by name, with a reason."""

    PREFLIGHT = "preflight"
    STREAM_VALIDATION = "stream_validation"
    LATENCY = "latency_under_load"
    DENSITY = "gpu_density"
    # No suite of its own: the checks ``policies`` and ``edge_*`` of stream_validation or preflight.
    POLICIES = "policies"


REQUIRED = tuple(Required)


@dataclass(frozen=True, slots=True)
class Waiver:
    """What need not have passed.

    :param reason: of a person, kept in the evidence.
    """

    what: Required
    reason: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One reason not to ship.

    :param kind: a stable word (``seal``, ``verdict``, ``manifest``, ``image``, ``age`` …) for tests and JSON.
    :param outcome: of what was judged, where a verdict or a suite stands against it; else None.
    """

    kind: str
    cause: str
    remedy: str
    outcome: Outcome | None = None

    def __str__(self) -> str:
        return f"{self.cause}: {self.remedy}"
