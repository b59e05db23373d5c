"""``vdibench preflight``: is this host fit to measure?"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import click
from rich.console import Console

from vdibench.preflight import HostContext, run_host_checks
from vdibench.records import EXIT_CODES, Display, worst
from vdibench.report import show
from vdibench.suites.display import findings_table

__all__ = ["preflight"]


@click.command()
@click.option("--desktops", default=1, show_default=True, type=click.IntRange(1), help="Desktops at once.")
@click.option("--size", default=(1920, 1080), nargs=2, type=int, show_default=True, help="Picture size in pixels.")
@click.option("--framerate", default=60, show_default=True, type=click.IntRange(8, 240), help="Frames per second.")
@click.option("--results", default="results", type=click.Path(path_type=Path), show_default=True, help="Runs' folder.")
@click.option("--gpu", is_flag=True, help="This host should have a GPU.")
@click.option("--json", "as_json", is_flag=True, help="Print the checks as JSON.")
def preflight(desktops: int, size: tuple[int, int], framerate: int, results: Path, gpu: bool, as_json: bool) -> int:
    """Check this host: programs, X server, TURN, encoder, disk, memory. Each finding names its remedy."""
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
