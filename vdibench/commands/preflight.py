"""``vdibench preflight``: is this host fit to measure, and is this cluster fit for desktops?"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import click
from rich.console import Console

from vdibench.clusters import connect
from vdibench.errors import UsageError
from vdibench.preflight import ClusterContext, HostContext, outcome_of, run_cluster_checks, run_host_checks
from vdibench.records import EXIT_CODES, Display, worst
from vdibench.report import show
from vdibench.suites.conformance import probed
from vdibench.suites.display import findings_table
from vdibench.telemetry.prometheus import Access, Prometheus

__all__ = ["preflight"]

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.command()
@click.option("--desktops", default=1, show_default=True, type=click.IntRange(1), help="Desktops at once.")
@click.option("--size", default=(1920, 1080), nargs=2, type=int, show_default=True, help="Picture size in pixels.")
@click.option("--framerate", default=60, show_default=True, type=click.IntRange(8, 240), help="Frames per second.")
@click.option("--results", default="results", type=click.Path(path_type=Path), show_default=True, help="Runs' folder.")
@click.option("--gpu", is_flag=True, help="This host should have a GPU.")
@click.option("--context", default="", metavar="NAME", help="Check the cluster of that context instead of this host.")
@click.option("--kubeconfig", default="", metavar="FILE", help="Where the context is; by default the usual places.")
@click.option("--lab", default="", metavar="NAME", help="Check the cluster of that lab instead of this host.")
@click.option("--domain", default="", help="Of the cluster's desktops; by default as Traefik has it.")
@click.option("--ingress", default="", metavar="HOST[:PORT]", help="Where users reach Traefik; by default its Service.")
@click.option("--ca-file", default=None, type=_FILE, help="PEM file of the authority of the desktops' certificate.")
@click.option("--relay", multiple=True, metavar="NAME", help="A further name or address of coturn (repeatable).")
@click.option("--replicas", default=8, show_default=True, type=click.IntRange(1), help="Sessions that share a GPU.")
@click.option("--image", default="", help="Of the pods that measure: the desktop's; by default a running session's.")
@click.option("--no-pods", is_flag=True, help="Place no pods: disks and clocks of the nodes have no data then.")
@click.option("--probe-policies", is_flag=True, help="Try the network policies from pods too, half a minute more.")
@click.option("--prometheus", default="", metavar="URL", help="Of the server that scrapes the cluster's DCGM exporter.")
@click.option("--json", "as_json", is_flag=True, help="Print the checks as JSON.")
def preflight(
    desktops: int,
    size: tuple[int, int],
    framerate: int,
    results: Path,
    gpu: bool,
    context: str,
    kubeconfig: str,
    lab: str,
    domain: str,
    ingress: str,
    ca_file: Path | None,
    relay: tuple[str, ...],
    replicas: int,
    image: str,
    no_pods: bool,
    probe_policies: bool,
    prometheus: str,
    as_json: bool,
) -> int:
    """Check this host: programs, X server, TURN, encoder, disk, memory. Each finding names its remedy.

    With --context or --lab a cluster instead: versions, GPU slices, encoders, homes, coturn, names, policies.
    """
    if context or lab:
        platform = ClusterContext(
            domain=domain,
            ingress=ingress,
            authority=ca_file,
            relay_names=relay,
            replicas=replicas,
            framerate=framerate,
            image=image,
            place_pods=not no_pods,
            prometheus=prometheus,
        )
        return _cluster(context, kubeconfig, lab, platform, probe_policies=probe_policies, as_json=as_json)
    console = Console(stderr=True)
    with console.status("") as status:
        found = run_host_checks(
            HostContext(results_folder=results, desktops=desktops, display=Display(*size, framerate), gpu=gpu),
            progress=lambda done, total, check: status.update(f"check {done + 1}/{total}: {check.name}"),
        )
    if as_json:
        print(json.dumps([dataclasses.asdict(check) for check in found]))
    else:
        show(findings_table(found).drop(columns="evidence"))
    return EXIT_CODES[worst(check.outcome for check in found)]


def _cluster(
    context: str, kubeconfig: str, lab: str, platform: ClusterContext, *, probe_policies: bool, as_json: bool
) -> int:
    if context and lab:
        raise UsageError("a context and a lab were named", "give --context or --lab")
    if probe_policies and not platform.place_pods:
        raise UsageError("--probe-policies needs pods, and --no-pods forbids them", "leave one of them out")
    if platform.prometheus:
        # What cannot be the address of one is refused before anything is placed.
        Prometheus(platform.prometheus, Access.from_environment())
    cluster = connect(context=context, kubeconfig=kubeconfig, lab=lab)
    pods = "places no pods" if not platform.place_pods else "places pods with a volume each and removes them again"
    click.echo(f"vdibench: {cluster.context}, Kubernetes {cluster.version}: {pods}", err=True)

    def say(line: str) -> None:
        click.echo(f"vdibench: preflight: {line}", err=True)

    if probe_policies:
        platform = probed(cluster, platform, say)
    found = run_cluster_checks(cluster, platform, progress=say)
    if as_json:
        print(json.dumps([finding.to_json() for finding in found]))
    else:
        table = findings_table(finding.check for finding in found).drop(columns="evidence")
        table.insert(0, "severity", [str(finding.severity) for finding in found])
        show(table)
    return EXIT_CODES[outcome_of(found)]
