"""Suite of notebook 05: it stands, and refuses, until manifests can be graduated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

from vdibench.errors import UsageError
from vdibench.suites.parameters import RunParameters, parameter

__all__ = ["SUITE", "Parameters", "graduate", "planned_seconds"]

SUITE = "graduation"


@dataclass(frozen=True)
class Parameters(RunParameters):
    """Parameters of notebook 05."""

    run: str = parameter("latest", "run whose manifests would be graduated")


def planned_seconds(parameters: Parameters) -> float:
    """About how long the suite takes."""
    return 1.0


def graduate(parameters: Parameters) -> NoReturn:
    """Refuse: there are no manifests and no chart yet.

    :raises UsageError: always.
    """
    raise UsageError(
        f"run {parameters.run!r} cannot be graduated: this version has no manifests and no operator chart yet",
        "use notebooks 01 to 04 and 06; graduation comes with the operator",
    )
