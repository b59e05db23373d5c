"""Suite of notebook 04: how many desktops fit, by levels of users that are tried until the knee is enclosed."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import pandas as pd

from vdibench.analysis import IntegerSearch, Knee, Search, SequentialTest, Sweep, criteria, measured_trial, rule_of
from vdibench.analysis.neighbours import NEIGHBOUR, ROLE, VICTIM, WORKLOAD
from vdibench.analysis.neighbours import SUITE as NEIGHBOUR_SUITE
from vdibench.errors import ObjectiveError, ParameterError
from vdibench.records import Desktop, SuiteVerdict, Workload
from vdibench.report import (
    density_curve,
    density_table,
    fairness_table,
    limits_table,
    neighbours_table,
    resources_over_time,
)
from vdibench.suites.display import Figures, Judgement
from vdibench.suites.levels import LevelLoad, LevelPlan
from vdibench.suites.load_parameters import SHARINGS, LoadParameters
from vdibench.suites.measurement import Measurement
from vdibench.suites.parameters import parameter
from vdibench.targets import Wanted

__all__ = ["SUITE", "GpuDensity", "Parameters", "planned_seconds", "run"]

SUITE = "gpu_density"


@dataclass(frozen=True)
class Parameters(LoadParameters):
    """Parameters of notebook 04."""

    width: int = parameter(1280, "picture width of lab desktops in pixels", minimum=512)
    height: int = parameter(720, "picture height of lab desktops in pixels", minimum=256)
    framerate: int = parameter(30, "nominal frames per second", minimum=8)
    bitrate_bps: int = parameter(4_000_000, "video bit rate of lab desktops in bits per second", minimum=100_000)
    max_desktops: int = parameter(4, "largest level to try", minimum=1)
    search: str = parameter(
        "sequential",
        "sequential: double, bisect, confirm; sweep: every level until one is bad",
        choices=("sequential", "sweep"),
    )
    trials: int = parameter(6, "trials of a level: at most in a sequential search, each in a sweep", minimum=1)
    error_rate: float = parameter(
        0.05,
        "chance of a wrong decision on a level, aimed at where margins vary by up to 0.14; below 0.5",
        minimum=0.001,
    )
    warmup_seconds: float = parameter(2.0, "seconds watched before anything counts", minimum=0)
    steady_seconds: float = parameter(8.0, "seconds watched for the statistics, each trial", minimum=1)
    neighbours: int = parameter(0, "busy desktops beside a light one, tried one more at a time; 0: none", minimum=0)
    neighbour_trials: int = parameter(3, "trials of each number of neighbours", minimum=1)
    victim: str = parameter("idle", "what the light desktop shows", choices=tuple(Workload))
    sharing: str = parameter("none", "how the GPU is shared, for the record", choices=SHARINGS)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.error_rate >= 0.5:
            raise ParameterError(f"parameter error_rate is {self.error_rate:g}", "give less than 0.5: a coin has that")

    @property
    def plan(self) -> LevelPlan:
        """How one trial is measured."""
        return LevelPlan(self.warmup_seconds, self.steady_seconds)

    def wanted(self, desktops: int = 1) -> Wanted:
        """What is asked of the target: the light desktop, where there is one, is the last."""
        asked = super().wanted(desktops)
        if not self.neighbours:
            return asked
        shown = (*(asked.workload(index) for index in range(desktops - 1)), Workload(self.victim))
        return dataclasses.replace(asked, workloads=shown)

    @property
    def desktops(self) -> int:
        """How many are needed: those of the largest level, or the neighbours, and then the light one."""
        return max(self.max_desktops, self.neighbours) + bool(self.neighbours)


def planned_seconds(parameters: Parameters) -> float:
    """About how long the suite takes when most levels of it are tried."""
    levels = parameters.max_desktops
    if parameters.search == "sequential":
        # Each doubling and each halving once, and the two levels that bound the knee until they are decided.
        trials = 2 * levels.bit_length() + 2 * (parameters.trials - 1)
    else:
        trials = levels * parameters.trials
    beside = (parameters.neighbours + 1) * parameters.neighbour_trials if parameters.neighbours else 0
    return LevelLoad.START_SECONDS + parameters.desktops * 2.0 + (trials + beside) * parameters.plan.seconds


class GpuDensity:
    """The steps of notebook 04."""

    def __init__(self, parameters: Parameters) -> None:
        self.parameters = parameters
        self.measurement = Measurement(
            SUITE, parameters, desktops=parameters.desktops, planned_seconds=planned_seconds(parameters)
        )
        if parameters.sharing != SHARINGS[0]:
            self.measurement.folder.update(context={"sharing": parameters.sharing})
        self._criteria = criteria(
            self.measurement.objectives, SUITE, self.measurement.context(self.measurement.folder.run)
        )
        if not self._criteria:
            error = ObjectiveError(
                f"no objective of {parameters.objectives!r} says what a good session is in {SUITE}",
                "add one on glass_to_glass_seconds or frames_per_second",
            )
            self.measurement.close(error)
            raise error

    def search(self) -> pd.DataFrame:
        """Try levels until the knee is enclosed or none is left; returns the table of levels."""
        measurement, parameters = self.measurement, self.parameters
        measurement.require_open()
        search, load = self._search(), self._load(measurement.desktops[: parameters.max_desktops], SUITE)
        while (level := search.next()) is not None:
            trial = search.trials(level)
            failures = load.measure(level, trial)
            if level == 1 and trial == 0 and failures:
                # Not one desktop can be measured: nothing is known of how many fit.
                (error,) = failures.values()
                measurement.close(error)
                raise error
            measured = measured_trial(
                measurement.tables().tables, self._criteria, level, trial, suite=SUITE, framerate=parameters.framerate
            )
            search.add(level, measured)
            load.guard(level, trial, self._criteria, framerate=parameters.framerate)
        load.close()
        measurement.knee = search.knee()
        return density_table(measurement.tables(), SUITE)

    def _search(self) -> Search:
        parameters = self.parameters
        rule = rule_of(vars(parameters))
        if isinstance(rule, SequentialTest):
            return IntegerSearch(parameters.max_desktops, rule=rule)
        return Sweep(parameters.max_desktops, parameters.trials)

    def _load(self, desktops: tuple[Desktop, ...], suite: str) -> LevelLoad:
        parameters = self.parameters
        return LevelLoad(
            self.measurement,
            parameters.plan,
            workers=parameters.workers,
            mode=parameters.client_mode,
            scenario=parameters.scenario_here,
            desktops=desktops,
            suite=suite,
        )

    @property
    def knee(self) -> Knee | None:
        """The knee with its bounds; None while no level is decided."""
        return self.measurement.knee

    def fairness(self) -> pd.DataFrame:
        """How evenly the sessions of each level were served, and the worst of them."""
        return fairness_table(self.measurement.tables(), SUITE)

    def limits(self) -> pd.DataFrame:
        """Which resource limits: how near each was to its capacity, and whether it kept step with latency."""
        return limits_table(self.measurement.tables(), SUITE)

    def neighbours(self) -> pd.DataFrame:
        """A light desktop alone, then beside 1, 2, … busy ones; returns what it lost (none when not asked for)."""
        measurement, parameters = self.measurement, self.parameters
        measurement.require_open()
        if parameters.neighbours:
            victim, busy = measurement.desktops[-1], measurement.desktops[: parameters.neighbours]
            load = self._load((victim, *busy), NEIGHBOUR_SUITE)
            for desktop in (victim, *busy):
                load.note(desktop, ROLE, VICTIM if desktop is victim else NEIGHBOUR)
                load.note(desktop, WORKLOAD, desktop.shows)
            for count in range(parameters.neighbours + 1):
                for trial in range(parameters.neighbour_trials):
                    load.measure(1 + count, trial)
                    load.guard(1 + count, trial, self._criteria, framerate=parameters.framerate)
            load.close()
        return neighbours_table(measurement.tables())

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
    suite.neighbours()
    return suite.measurement.judge()
