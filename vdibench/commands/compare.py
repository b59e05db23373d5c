"""``vdibench compare``: what became worse, what better, and how sure that is."""

from __future__ import annotations

import json
from pathlib import Path

import click

from vdibench.analysis.comparison import compare as compare_runs
from vdibench.analysis.regressions import parse_limit, parse_wanted
from vdibench.errors import UsageError
from vdibench.records import EXIT_CODES
from vdibench.report import show
from vdibench.report.comparison_page import write_comparison
from vdibench.report.comparison_tables import (
    checked_table,
    comparison_document,
    comparison_lines,
    difference_table,
    limits_table,
)
from vdibench.store import Recording, resolve

__all__ = ["compare"]

_AGAINST = "--against"


class _Sides(click.Command):
    """Takes any number of runs after ``--against``, up to the next option: what a shell makes of a pattern."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        given: list[str] = []
        after = False
        for word in args:
            if word.startswith("-"):
                after = word == _AGAINST
                given.extend([] if after else [word])
            else:
                given.extend([_AGAINST, word] if after else [word])
        if _AGAINST in args and _AGAINST not in given:
            raise click.UsageError(f"{_AGAINST} names no run", ctx)
        return super().parse_args(ctx, given)


@click.command(cls=_Sides)
@click.argument("runs", nargs=-1, required=True, metavar="BASE... [NEW]")
@click.option("--against", multiple=True, metavar="NEW...", help="The new runs, where there are several on a side.")
@click.option(
    "--fail", "limits", multiple=True, metavar="LIMIT", help="Exit with 99 when surely worse by more: 'NAME p95 5%'."
)
@click.option("--metric", "metrics", multiple=True, metavar="METRIC", help="Compare this only: 'NAME p95 in SUITE'.")
@click.option("--varied", multiple=True, metavar="KEY", help="What is under test: it must differ.")
@click.option("--allow-different", "allowed", multiple=True, metavar="KEY", help="What may differ, and is said to.")
@click.option("--all", "every", is_flag=True, help="Show also what did not change, and what has no data.")
@click.option("--results", default="results", type=click.Path(path_type=Path), show_default=True, help="Runs' folder.")
@click.option("--html", type=click.Path(path_type=Path, dir_okay=False), help="Also write a page.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
def compare(
    runs: tuple[str, ...],
    against: tuple[str, ...],
    limits: tuple[str, ...],
    metrics: tuple[str, ...],
    varied: tuple[str, ...],
    allowed: tuple[str, ...],
    every: bool,
    results: Path,
    html: Path | None,
    as_json: bool,
) -> int:
    """Compare runs: BASE NEW, or BASE... --against NEW... with several on a side.

    A run is a path, a folder's name, latest or reference; commas may stand between several. Trials are what varies:
    less than 3 on a side, and less than 3 runs, show a difference but not that it is one. Exit code 0: what was
    measured keeps every limit of --fail; 99: one is exceeded, beyond chance; 98: one is exceeded in what was measured,
    but that is not beyond chance, or data is missing; 97: the runs are invalid or differ in what was not named.
    """
    wanted, fail = [parse_wanted(text) for text in metrics], [parse_limit(text) for text in limits]
    base, new = _sides(runs, against)
    # Every name is looked up before any samples are read.
    folders = [[resolve(results, name) for name in side] for side in (base, new)]
    found = compare_runs(
        *([Recording.open(folder) for folder in side] for side in folders),
        limits=fail,
        wanted=wanted,
        allowed=allowed,
        varied=varied,
    )
    page = write_comparison(found, html) if html is not None else None
    if as_json:
        print(json.dumps(comparison_document(found), ensure_ascii=False))
        return EXIT_CODES[found.outcome]
    show(checked_table(found, same=False))
    # Whoever asked for metrics wants to see them whatever was found.
    table = difference_table(found, every=every or bool(limits or metrics))
    show(table, empty="nothing that both sides have can be compared")
    show(limits_table(found))
    for line in comparison_lines(found):
        print(line)
    if len(table) < len(found.differences):
        print(f"{len(found.differences) - len(table)} more with --all")
    if page is not None:
        print(page)
    return EXIT_CODES[found.outcome]


def _sides(runs: tuple[str, ...], against: tuple[str, ...]) -> tuple[list[str], list[str]]:
    base, new = _names(runs[:-1] if not against else runs), _names(against or runs[-1:])
    if not against and len(runs) != 2:
        raise UsageError(
            f"{len(runs)} runs were named and none after --against",
            "give BASE NEW, or several as BASE... --against NEW...",
        )
    if not base or not new:
        raise UsageError("a side has no run", "give BASE NEW, or several as BASE... --against NEW...")
    return base, new


def _names(given: tuple[str, ...]) -> list[str]:
    """Names with commas between taken apart, but for a path that has some."""
    return [name for text in given for name in ([text] if Path(text).exists() else text.split(",")) if name]
