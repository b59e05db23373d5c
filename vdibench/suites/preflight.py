"""Suite of notebook 01: is this host, and the cluster where there is one, fit for what is planned?"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass

from vdibench.clusters import connect
from vdibench.preflight import ClusterContext, HostContext, run_cluster_checks, run_host_checks
from vdibench.preflight.findings import not_applicable
from vdibench.records import Display, SuiteVerdict
from vdibench.suites.conformance import probed
from vdibench.suites.display import Findings, Judgement
from vdibench.suites.measurement import Measurement
from vdibench.suites.parameters import RunParameters, parameter
from vdibench.suites.profiles import results_folder
from vdibench.targets import parse_target

__all__ = ["SUITE", "Parameters", "Preflight", "planned_seconds", "run"]

SUITE = "preflight"

# Checks that ask for a GPU: decided by the profile before anything is looked at.
_OF_GPUS = frozenset(
    {
        "gpu_slices",
        "gpu_config",
        "gpu_sharing",
        "encoder_engines",
        "encoder_sessions",
        "runtime_class",
        "dcgm_exporter",
        "dcgm_interval",
        "dcgm_labels",
        "dcgm_time_slicing",
    }
)


@dataclass(frozen=True)
class Parameters(RunParameters):
    """Parameters of notebook 01."""

    desktops: int = parameter(1, "desktops that will run at once", minimum=1)
    width: int = parameter(1920, "picture width in pixels", minimum=512)
    height: int = parameter(1080, "picture height in pixels", minimum=256)
    framerate: int = parameter(60, "nominal frames per second", minimum=8)
    gpu: bool = parameter(False, "this host should have a GPU")
    policies: bool = parameter(True, "try a cluster's network policies too, edge by edge, from pods of their own")


def planned_seconds(parameters: Parameters) -> float:
    """About how long the suite takes."""
    if not parse_target(parameters.target).on_cluster:
        return 8.0
    return 28.0 + (30.0 if parameters.policies else 0.0)


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
        except BaseException as error:  # Ctrl-C too keeps what was found
            measurement.close(error)
            raise
        return Findings([measurement.check(check) for check in found])

    def check_cluster(self) -> Findings:
        """Run every check of the target's cluster; none without one. What is information only decides nothing."""
        measurement, parameters = self.measurement, self.parameters
        measurement.require_open()
        address = parse_target(parameters.target)
        if not address.on_cluster:
            return Findings([])
        with measurement.step(), closing(connect(context=parameters.context, lab=address.name)) as cluster:
            context = ClusterContext(framerate=parameters.framerate)
            if parameters.policies:
                context = probed(cluster, context, measurement.progress.say)
            findings = run_cluster_checks(cluster, context, progress=measurement.progress.say)
        found = []
        for finding in findings:
            check = finding.check
            if finding.check.name in _OF_GPUS and not parameters.gpu:
                check = not_applicable(check.name, "the profile has no GPU")
            found.append(measurement.check(check) if finding.counts else check)
        return Findings(found)

    def verdict(self) -> Judgement:
        """End and judge."""
        return Judgement(self.measurement.judge())


def run(parameters: Parameters) -> SuiteVerdict:
    """All steps, without a notebook."""
    suite = Preflight(parameters)
    suite.check_host()
    suite.check_cluster()
    return suite.measurement.judge()
