"""``vdibench lab``: real desktops on this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence

import click
from rich.console import Console
from rich.table import Table

from vdibench.errors import LabError, UsageError
from vdibench.lab import DEFAULT_NAME, Access, ClusterSpec, DesktopSpec, Lab, LabSpec, LabStatus, workloads
from vdibench.records import Display, Workload
from vdibench.selkies import Dialect

__all__ = ["lab"]

_name = click.option("--name", default=DEFAULT_NAME, show_default=True, help="The lab's name.")
_PIPE_COLUMNS = 200

_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def lab() -> None:
    """Real desktops on this machine: X server, sound, Selkies, desk, and a TURN server on loopback."""


@lab.command()
@_name
@click.option("--desktops", default=None, type=click.IntRange(0, 64), help="How many; 1 by default, 0 with --cluster.")
@click.option("--cluster", is_flag=True, help="A real Kubernetes in namespaces of its own: needs root, minutes once.")
@click.option("--played-nodes", default=0, type=click.IntRange(0, 500), help="Nodes that only say that they run pods.")
@click.option("--size", default="1920x1080", show_default=True, metavar="WxH", help="Picture size in pixels.")
@click.option("--framerate", default=60, show_default=True, type=click.IntRange(8, 240), help="Frames per second.")
@click.option("--bitrate", default=8_000_000, show_default=True, type=click.IntRange(100_000), help="Bits per second.")
@click.option(
    "--workload",
    default="text",
    show_default=True,
    metavar="NAMES",
    help=f"What is shown: {', '.join(Workload)}; several, commas between, are dealt out in turn.",
)
@click.option(
    "--dialect",
    default=str(Dialect.SELKIES_2_WEBRTC),
    show_default=True,
    type=click.Choice([str(Dialect.SELKIES_2_WEBRTC), str(Dialect.SELKIES_2_WEBSOCKET)]),
    help="How the desktops speak with viewers.",
)
@click.option("--tls", is_flag=True, help="Serve https, with an authority of the lab's own.")
@click.option("--subfolder", default="", metavar="PATH", help="Serve everything under a path, such as /desk.")
@click.option("--secure", is_flag=True, help="Selkies' secure mode: viewers need a session token.")
@_json
def up(
    name: str,
    desktops: int | None,
    cluster: bool,
    played_nodes: int,
    size: str,
    framerate: int,
    bitrate: int,
    workload: str,
    dialect: str,
    tls: bool,
    subfolder: str,
    secure: bool,
    as_json: bool,
) -> None:
    """Start desktops, or a cluster, that stay until `vdibench lab down`."""
    count = desktops if desktops is not None else 0 if cluster else 1
    width, _, height = size.partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        raise UsageError(f"{size!r} is no picture size", "write one such as 1920x1080")
    shown = workloads(workload)
    specs = tuple(
        DesktopSpec(
            display=Display(int(width), int(height), framerate),
            workload=shown[index % len(shown)],
            bitrate_bps=bitrate,
            dialect=Dialect(dialect),
            access=Access(tls=tls, subfolder=subfolder, secure=secure),
        )
        for index in range(count)
    )
    console = Console(stderr=True)
    started = Lab.up(
        LabSpec(desktops=specs, cluster=ClusterSpec(played_nodes) if cluster else None),
        name=name,
        owned=False,
        on_progress=lambda line: console.print(line, highlight=False) if console.is_terminal else None,
    )
    _print_status([started.status()], as_json=as_json)
    if not as_json:
        for desktop in started.desktops[:1]:
            print(f"watch one with: vdibench lab exec --name {name} -- vdibench watch {desktop.endpoint.url}")
        if cluster:
            print(f"speak to the cluster with: vdibench lab exec --name {name} -- kubectl get pods --all-namespaces")


@lab.command()
@_name
def down(name: str) -> None:
    """End a lab: no process and no file of it stays."""
    Lab.take_down(name)
    print(f"lab {name} is down")


@lab.command()
@click.option("--name", default="", help="One lab; all by default.")
@_json
def status(name: str, as_json: bool) -> None:
    """Show what runs; exit 1 when a part has died."""
    found = [Lab.find(name).status()] if name else Lab.all()
    _print_status(found, as_json=as_json)
    if not found and not as_json:
        print("no lab is up")
    failures = [f"lab {item.name}: {item.failure}" for item in found if item.failure]
    if failures:
        raise LabError("; ".join(failures), "see the log lines above; take the lab down and up again")


@lab.command(name="exec", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@_name
@click.option("--desktop", default=0, show_default=True, type=click.IntRange(0), help="Which desktop, from 0.")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def execute(name: str, desktop: int, command: tuple[str, ...]) -> int:
    """Run COMMAND on a desktop's screen and sound, with its address and credentials, never in arguments.

    In a lab with a cluster and no desktops it runs inside: in the network, mounts and processes of the node, with its
    programs (kubectl, helm, ctr, nft) on the path and KUBECONFIG set.

    Sets DISPLAY, XAUTHORITY and PULSE_SERVER for programs that are to be seen there, and VDIBENCH_URL,
    VDIBENCH_USER, VDIBENCH_PASSWORD, VDIBENCH_TOKEN and VDIBENCH_CA_FILE for those that watch. What still runs
    when the lab goes down ends with it.
    """
    found = Lab.find(name)
    cluster = found.cluster
    if not found.desktops and cluster is not None:
        return _run(cluster.inside(command), cluster.environment())
    if desktop >= len(found.desktops):
        raise UsageError(f"lab {name!r} has {len(found.desktops)} desktops", "count from 0")
    endpoint = found.desktops[desktop].endpoint
    environment = os.environ | found.environment(f"desktop-{desktop}") | {"VDIBENCH_URL": endpoint.url}
    if endpoint.credentials is not None:
        environment |= {"VDIBENCH_USER": endpoint.credentials.user, "VDIBENCH_PASSWORD": endpoint.credentials.password}
    if endpoint.token:
        environment["VDIBENCH_TOKEN"] = endpoint.token
    if endpoint.ca_file:
        environment["VDIBENCH_CA_FILE"] = endpoint.ca_file
    return _run(command, (cluster.environment() if cluster is not None else {}) | environment)


def _run(command: Sequence[str], environment: Mapping[str, str]) -> int:
    try:
        return subprocess.run(command, env=environment, check=False).returncode
    except OSError as error:
        raise UsageError(f"cannot run {command[0]!r}: {error.strerror}", "check the command") from error


def _print_status(found: list[LabStatus], *, as_json: bool) -> None:
    if as_json:
        json.dump([item.to_json() for item in found], sys.stdout)
        print()
        return
    for item in found:
        turn = "none" if item.turn is None else f"{item.turn[0]}:{item.turn[1]}"
        print(f"lab {item.name}: {item.state}, TURN {turn}")
        if item.cluster is not None:
            print(f"cluster: {item.cluster.part.state}, {item.cluster.api_url}, KUBECONFIG={item.cluster.kubeconfig}")
            for line in item.cluster.part.log:
                print(f"cluster: {line}")
        if not item.desktops:
            continue
        table = Table(box=None, pad_edge=False)
        for heading in ("desktop", "state", "display", "workload", "dialect", "URL"):
            # Only an address is still one when it is broken over two lines.
            table.add_column(heading, no_wrap=heading != "URL", overflow="fold")
        for desktop in item.desktops:
            row = (desktop.id, desktop.state, desktop.display, desktop.workload, desktop.dialect, desktop.url)
            table.add_row(*map(str, row))
        console = Console()
        # A pipe has no width to keep to.
        (console if console.is_terminal else Console(width=_PIPE_COLUMNS)).print(table)
        for desktop in item.desktops:
            for part in desktop.parts:
                for line in part.log:
                    print(f"{desktop.id} {part.name}: {line}")
