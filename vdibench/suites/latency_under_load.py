"""Suite of notebook 03: latency while 1 … k desktops run together."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from vdibench.analysis import criteria
from vdibench.errors import TargetUnavailable
from vdibench.load.scenarios import SCENARIOS
from vdibench.records import SuiteVerdict
from vdibench.report import latency_by_level, levels_table, links_table, resources_over_time
from vdibench.suites.display import Figures, Judgement
from vdibench.suites.levels import LevelLoad, LevelPlan
from vdibench.suites.links import METHODS, link_profiles, link_session, measure_links
from vdibench.suites.load_parameters import LoadParameters
from vdibench.suites.measurement import Measurement
from vdibench.suites.parameters import parameter

__all__ = ["SUITE", "LatencyUnderLoad", "Parameters", "planned_seconds", "run"]

SUITE = "latency_under_load"


@dataclass(frozen=True)
class Parameters(LoadParameters):
    """Parameters of notebook 03."""

    scenario: str = parameter("press", "what users do", choices=tuple(SCENARIOS))
    max_desktops: int = parameter(2, "desktops in the last level", minimum=1)
    warmup_seconds: float = parameter(2.0, "seconds watched before anything counts", minimum=0)
    steady_seconds: float = parameter(15.0, "seconds watched for the statistics, each level", minimum=1)
    inputs: int = parameter(15, "key presses, and as many clicks, through each link", minimum=0)
    links: str = parameter("", "named links or figures to go through, semicolons between")
    link_method: str = parameter("relay", "user-space relay, or tc netem (root)", choices=METHODS)
    link_seconds: float = parameter(10.0, "seconds watched through each link", minimum=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        link_profiles(self.links)

    @property
    def plan(self) -> LevelPlan:
        """How one level is measured."""
        return LevelPlan(self.warmup_seconds, self.steady_seconds)


def planned_seconds(parameters: Parameters) -> float:
    """About how long the suite takes."""
    through = len(link_profiles(parameters.links)) * (3.0 + parameters.link_seconds + 0.36 * parameters.inputs)
    return LevelLoad.START_SECONDS + parameters.max_desktops * (2.0 + parameters.plan.seconds) + through


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
        parameters = self.parameters
        load = LevelLoad(
            measurement,
            parameters.plan,
            workers=parameters.workers,
            mode=parameters.client_mode,
            scenario=parameters.scenario_here,
        )
        expectations = criteria(measurement.objectives, SUITE, measurement.context(measurement.folder.run))
        for level in range(1, parameters.max_desktops + 1):
            failures = load.measure(level, 0)
            load.guard(level, 0, expectations, framerate=parameters.framerate)
            if len(failures) == level:
                error = next(iter(failures.values()))
                measurement.close(error)
                raise TargetUnavailable(f"every session of level {level} failed: {error.cause}", error.remedy)
        load.close()
        return levels_table(measurement.tables(), SUITE)

    def measure_links(self) -> pd.DataFrame:
        """The first desktop through each named link, one after the other; a row a link."""
        measurement, parameters = self.measurement, self.parameters
        measurement.require_open()
        desktop, links = measurement.desktops[0], link_profiles(parameters.links)
        failures = measurement.run(
            measure_links(
                measurement,
                desktop,
                links,
                method=parameters.link_method,
                seconds=parameters.link_seconds,
                inputs=parameters.inputs,
            )
        )
        sessions = {str(link): link_session(desktop, link) for link in links}
        return links_table(measurement.tables(), SUITE, sessions, {name: str(why) for name, why in failures.items()})

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
    suite.measure_links()
    return suite.measurement.judge()
