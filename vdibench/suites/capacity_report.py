"""Suite of notebook 06: the report of a stored run. Reads only; needs no network, GPU or desktop."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from vdibench.records import RunState
from vdibench.report import density_curve, density_table, latency_by_level, measured_table
from vdibench.store import Recording, resolve
from vdibench.suites.display import Figures, Judgement
from vdibench.suites.parameters import RunParameters, parameter
from vdibench.suites.profiles import results_folder

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

    def summary(self) -> pd.DataFrame:
        """What was measured and where."""
        return measured_table(self.recording)

    def verdict(self) -> Judgement:
        """The stored run's verdict in force, every objective with it."""
        running = self.recording.run.state is RunState.RUNNING
        return Judgement(self.recording.verdict, note="this run is still being written" if running else "")

    def density(self) -> pd.DataFrame:
        """One row a level that was tried."""
        return density_table(self.recording)

    def figures(self) -> Figures:
        """The figures that a capacity planner looks at."""
        source = self.recording
        return Figures(
            (
                ("density", density_curve(source)),
                ("latency by level", latency_by_level(source, "latency_under_load")),
            )
        )


def open_run(parameters: Parameters) -> Recording:
    """Open the stored run.

    :raises StoreError: there is none of that name.
    """
    return Recording.open(resolve(results_folder(parameters.results), parameters.run))
