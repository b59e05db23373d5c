"""``vdibench report``, ``verdict`` and ``runs``: stored runs."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import click

from vdibench.commands.values import duration_seconds
from vdibench.errors import UsageError
from vdibench.records import EXIT_CODES
from vdibench.report import final_line, runs_table, show, stage_lines, verdict_table, write_report
from vdibench.store import Recording, prune, resolve
from vdibench.store import runs as stored_runs

__all__ = ["report", "runs", "verdict"]

_results = click.option(
    "--results", default="results", type=click.Path(path_type=Path), show_default=True, help="Runs' folder."
)
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.command()
@click.argument("run")
@_results
def report(run: str, results: Path) -> None:
    """Draw the report of RUN anew: a path, a folder's name, latest or reference."""
    print(write_report(resolve(results, run)))


@click.command()
@click.argument("run")
@_results
@_json
def verdict(run: str, results: Path, as_json: bool) -> int:
    """Show the verdict of RUN and exit with its code: 0 pass, 99 fail, 98 no data, 97 invalid."""
    recording = Recording.open(resolve(results, run))
    found = recording.verdict
    if as_json:
        print(json.dumps(dataclasses.asdict(found)))
    else:
        show(verdict_table(found))
        for line in stage_lines(recording):
            print(line)
        print(final_line(found, recording.path("report.html")))
    return EXIT_CODES[found.outcome]


@click.group()
def runs() -> None:
    """List and remove stored runs."""


@runs.command(name="list")
@_results
@_json
def list_runs(results: Path, as_json: bool) -> None:
    """List the runs, newest first."""
    found = stored_runs(results)
    if as_json:
        print(json.dumps([_jsonable(entry) for entry in found]))
    else:
        show(runs_table(found), empty=f"no run in {results}; make one with: vdibench run")


@runs.command(name="prune")
@_results
@click.option("--keep", type=click.IntRange(0), default=None, help="Keep so many of the newest.")
@click.option("--older-than", default="", metavar="DURATION", help="Remove only older ones: 12h, 7d.")
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@_json
def prune_runs(results: Path, keep: int | None, older_than: str, dry_run: bool, as_json: bool) -> None:
    """Remove old runs; never the reference, never one that is running."""
    if keep is None and not older_than:
        raise UsageError("nothing says which runs may go", "give --keep N, --older-than 7d, or both")
    removed = prune(
        results,
        keep=keep,
        older_than_seconds=duration_seconds(older_than) if older_than else None,
        dry_run=dry_run,
    )
    if as_json:
        print(json.dumps([_jsonable(entry) for entry in removed]))
        return
    for entry in removed:
        print(f"{'would remove' if dry_run else 'removed'} {entry.path}")
    if not removed:
        print("nothing to remove")


def _jsonable(entry: object) -> dict[str, object]:
    # Of any of the store's frozen records: typeshed has no name for "a dataclass instance".
    fields = dataclasses.asdict(entry)  # type: ignore[call-overload]
    return {name: str(value) if isinstance(value, Path) else value for name, value in fields.items()}
