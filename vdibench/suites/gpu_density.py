"""Suite of notebook 04: how many desktops fit before the first level is bad."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from vdibench.analysis import Knee, criteria, knee
from vdibench.errors import ObjectiveError
from vdibench.records import SuiteVerdict
from vdibench.report import density_curve, density_table, resources_over_time
from vdibench.suites.display import Figures, Judgement
from vdibench.suites.levels import LevelPlan, measure_level
from vdibench.suites.measurement import Measurement
from vdibench.suites.parameters import DesktopParameters, parameter

__all__ = ["SUITE", "GpuDensity", "Parameters", "planned_seconds", "run"]

SUITE = "gpu_density"


@dataclass(frozen=True)
class Parameters(DesktopParameters):
    """Parameters of notebook 04."""

    width: int = parameter(1280, "picture width of lab desktops in pixels", minimum=512)
    height: int = parameter(720, "picture height of lab desktops in pixels", minimum=256)
    framerate: int = parameter(30, "nominal frames per second", minimum=8)
    bitrate_bps: int = parameter(4_000_000, "video bit rate of lab desktops in bits per second", minimum=100_000)
    max_desktops: int = parameter(4, "largest level to try", minimum=1)
    trials: int = parameter(1, "repetitions of each level", minimum=1)
    warmup_seconds: float = parameter(2.0, "seconds watched before anything counts", minimum=0)
    steady_seconds: float = parameter(8.0, "seconds watched for the statistics, each trial", minimum=1)

    @property
    def plan(self) -> LevelPlan:
        """How one trial is measured."""
        return LevelPlan(self.warmup_seconds, self.steady_seconds)


def planned_seconds(parameters: Parameters) -> float:
    """About how long the suite takes when every level is tried."""
    return 4.0 + parameters.max_desktops * (2.0 + parameters.trials * parameters.plan.seconds)


class GpuDensity:
    """The steps of notebook 04."""

    def __init__(self, parameters: Parameters) -> None:
        self.parameters = parameters
        self.measurement = Measurement(
            SUITE, parameters, desktops=parameters.max_desktops, planned_seconds=planned_seconds(parameters)
        )
        context = self.measurement.context(self.measurement.folder.run)
        self._criteria = criteria(self.measurement.objectives, SUITE, context)
        if not self._criteria:
            error = ObjectiveError(
                f"no objective of {parameters.objectives!r} says what a good session is in {SUITE}",
                "add one on glass_to_glass_seconds or frames_per_second",
            )
            self.measurement.close(error)
            raise error
        self._attempted: list[tuple[int, int]] = []

    def search(self) -> pd.DataFrame:
        """Try 1, 2, … desktops until a level is bad or none is left; returns the table of levels."""
        measurement, parameters = self.measurement, self.parameters
        measurement.require_open()
        for level in range(1, parameters.max_desktops + 1):
            for trial in range(parameters.trials):
                self._attempted.append((level, trial))
                level_of = measure_level(measurement, measurement.desktops[:level], parameters.plan, trial)
                failures = measurement.run(level_of)
                if level == 1 and failures:
                    # Not one desktop can be measured: nothing is known of how many fit.
                    (error,) = failures.values()
                    measurement.close(error)
                    raise error
            found = self._find()
            if found is not None and found.upper is not None:
                break
        measurement.knee = self._find()
        return density_table(measurement.tables(), SUITE)

    @property
    def knee(self) -> Knee | None:
        """The knee with its bounds; None while no level is decided."""
        return self.measurement.knee

    def _find(self) -> Knee | None:
        return knee(
            self.measurement.tables().tables,
            self._criteria,
            suite=SUITE,
            framerate=self.parameters.framerate,
            attempted=self._attempted,
        )

    def figures(self) -> Figures:
        """Good sessions and latency against the number of desktops."""
        source = self.measurement.tables()
        return Figures(
            (
                ("density", density_curve(source, SUITE)),
                ("resources over time", resources_over_time(source, SUITE)),
            )
        )

    def verdict(self) -> Judgement:
        """End and judge."""
        return Judgement(self.measurement.judge())


def run(parameters: Parameters) -> SuiteVerdict:
    """All steps, without a notebook."""
    suite = GpuDensity(parameters)
    suite.search()
    return suite.measurement.judge()
