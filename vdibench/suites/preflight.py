"""Suite of notebook 01: is this host fit for what is planned?"""

from __future__ import annotations

from dataclasses import dataclass

from vdibench.preflight import HostContext, run_host_checks
from vdibench.records import Display, SuiteVerdict
from vdibench.suites.display import Findings, Judgement
from vdibench.suites.measurement import Measurement
from vdibench.suites.parameters import RunParameters, parameter
from vdibench.suites.profiles import results_folder

__all__ = ["SUITE", "Parameters", "Preflight", "planned_seconds", "run"]

SUITE = "preflight"


@dataclass(frozen=True)
class Parameters(RunParameters):
    """Parameters of notebook 01."""

    desktops: int = parameter(1, "desktops that will run at once", minimum=1)
    width: int = parameter(1920, "picture width in pixels", minimum=512)
    height: int = parameter(1080, "picture height in pixels", minimum=256)
    framerate: int = parameter(60, "nominal frames per second", minimum=8)
    gpu: bool = parameter(False, "this host should have a GPU")


def planned_seconds(parameters: Parameters) -> float:
    """About how long the suite takes."""
    return 8.0


class Preflight:
    """The steps of notebook 01."""

    def __init__(self, parameters: Parameters) -> None:
        self.parameters = parameters
        self.measurement = Measurement(SUITE, parameters, planned_seconds=planned_seconds(parameters))

    def check_host(self) -> Findings:
        """Run every check; a check that breaks is no data and does not stop the others."""
        measurement, parameters = self.measurement, self.parameters
        measurement.require_open()
        context = HostContext(
            results_folder=results_folder(parameters.results),
            desktops=parameters.desktops,
            display=Display(parameters.width, parameters.height, parameters.framerate),
            lab=parameters.target.startswith("lab"),
            gpu=parameters.gpu,
            run_name=measurement.folder.path.name,
        )
        try:
            found = run_host_checks(
                context,
                progress=lambda done, total, check: measurement.progress.say(f"check {done + 1}/{total}: {check.name}"),
            )
        except BaseException as error:
            measurement.close(error)
            raise
        return Findings([measurement.check(check) for check in found])

    def verdict(self) -> Judgement:
        """End and judge."""
        return Judgement(self.measurement.judge())


def run(parameters: Parameters) -> SuiteVerdict:
    """All steps, without a notebook."""
    suite = Preflight(parameters)
    suite.check_host()
    return suite.measurement.judge()
