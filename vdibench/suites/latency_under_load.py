"""Suite of notebook 03: latency while 1 … k desktops run together."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from vdibench.errors import TargetUnavailable
from vdibench.records import SuiteVerdict
from vdibench.report import latency_by_level, levels_table, resources_over_time
from vdibench.suites.display import Figures, Judgement
from vdibench.suites.levels import LevelPlan, measure_level
from vdibench.suites.measurement import Measurement
from vdibench.suites.parameters import DesktopParameters, parameter

__all__ = ["SUITE", "LatencyUnderLoad", "Parameters", "planned_seconds", "run"]

SUITE = "latency_under_load"


@dataclass(frozen=True)
class Parameters(DesktopParameters):
    """Parameters of notebook 03."""

    max_desktops: int = parameter(2, "desktops in the last level", minimum=1)
    warmup_seconds: float = parameter(2.0, "seconds watched before anything counts", minimum=0)
    steady_seconds: float = parameter(15.0, "seconds watched for the statistics, each level", minimum=1)
    inputs: int = parameter(15, "key presses, and as many clicks, each level", minimum=0)

    @property
    def plan(self) -> LevelPlan:
        """How one level is measured."""
        return LevelPlan(self.warmup_seconds, self.steady_seconds, self.inputs)


def planned_seconds(parameters: Parameters) -> float:
    """About how long the suite takes."""
    return 4.0 + parameters.max_desktops * (2.0 + parameters.plan.seconds)


class LatencyUnderLoad:
    """The steps of notebook 03."""

    def __init__(self, parameters: Parameters) -> None:
        self.parameters = parameters
        self.measurement = Measurement(
            SUITE, parameters, desktops=parameters.max_desktops, planned_seconds=planned_seconds(parameters)
        )

    def measure(self) -> pd.DataFrame:
        """Run every level; returns the table of levels."""
        measurement = self.measurement
        measurement.require_open()
        for level in range(1, self.parameters.max_desktops + 1):
            desktops = measurement.desktops[:level]
            failures = measurement.run(measure_level(measurement, desktops, self.parameters.plan))
            if len(failures) == level:
                error = next(iter(failures.values()))
                measurement.close(error)
                raise TargetUnavailable(f"every session of level {level} failed: {error.cause}", error.remedy)
        return levels_table(measurement.tables(), SUITE)

    def figures(self) -> Figures:
        """Latency by level, and who used the host meanwhile."""
        source = self.measurement.tables()
        return Figures(
            (
                ("latency by level", latency_by_level(source, SUITE)),
                ("resources over time", resources_over_time(source, SUITE)),
            )
        )

    def verdict(self) -> Judgement:
        """End and judge."""
        return Judgement(self.measurement.judge())


def run(parameters: Parameters) -> SuiteVerdict:
    """All steps, without a notebook."""
    suite = LatencyUnderLoad(parameters)
    suite.measure()
    return suite.measurement.judge()
