"""Suite of notebook 06: the report of a stored run. Reads only; needs no network, GPU or desktop."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vdibench.records import Verdict
from vdibench.store import Recording, resolve
from vdibench.suites.parameters import RunParameters, parameter

__all__ = ["SUITE", "CapacityReport", "Parameters", "open_run", "planned_seconds"]

SUITE = "capacity_report"


@dataclass(frozen=True)
class Parameters(RunParameters):
    """Parameters of notebook 06."""

    run: str = parameter("reference", "run to report on: a path, a folder's name, latest or reference")


def planned_seconds(parameters: Parameters) -> float:
    """About how long the suite takes."""
    return 6.0


class CapacityReport:
    """The steps of notebook 06 are figures and tables of :mod:`vdibench.report` over one recording."""

    def __init__(self, parameters: Parameters) -> None:
        self.parameters = parameters
        self.recording: Recording = open_run(parameters)

    def verdict(self) -> Verdict:
        """The stored run's verdict in force."""
        return self.recording.verdict


def open_run(parameters: Parameters) -> Recording:
    """Open the stored run.

    :raises StoreError: there is none of that name.
    """
    return Recording.open(resolve(Path(parameters.results), parameters.run))
