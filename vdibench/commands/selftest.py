"""``vdibench selftest``: how far this machine's numbers can be trusted, and what they cost."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence

import click
import pandas as pd
from rich.console import Console

from vdibench.records import EXIT_CODES
from vdibench.report import formats, show
from vdibench.report.selftest_tables import accuracy_table, cost_table, floor_sentence, standing_sentence
from vdibench.selftest import FULL, QUICK, keep, run_selftest, with_engine
from vdibench.selftest.targets import Target, Verdict, targets, worst
from vdibench.store import selftest_document

__all__ = ["selftest"]


@click.command()
@click.option("--quick", is_flag=True, help="One dialect, two delays, few freezes: about half a minute.")
@click.option("--engine", is_flag=True, help="Every target of the load engine, with up to 40 sessions.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
def selftest(quick: bool, engine: bool, as_json: bool) -> int:
    """Inject known delay, loss, freezes and rate between a real desktop and the client, and compare.

    Says for each metric what was injected and what was measured, with the error, its interval and its bound, and what
    each mode of the client costs. The result is kept for this machine: runs put it into their folder and report.
    Exit code 0: every error kept its bound, and with --engine every target; 99: one did not; 98: something could not be
    measured; 97: the machine was loaded, so that nothing can be said.
    """
    plan = QUICK if quick else FULL
    if engine:
        plan = with_engine(plan)
    console = Console(stderr=True)
    for line in (f"{plan.kind} self-test, about {plan.seconds / 60:.1f} minutes:", *plan.lines()):
        _print(console, line)
    with console.status("") as status:
        found = run_selftest(plan, status.update if console.is_terminal else lambda line: _print(console, line))
    keep(found)
    listed = targets(found) if engine else ()
    outcome = worst(found, listed)
    if as_json:
        document = selftest_document(found) | {"outcome": str(outcome)}
        if engine:
            document["targets"] = [dataclasses.asdict(target) for target in listed]
        print(json.dumps(document, ensure_ascii=False))
        return EXIT_CODES[outcome]
    show(accuracy_table(found))
    show(cost_table(found))
    if engine:
        show(_targets_table(listed))
    for line in (floor_sentence(found), standing_sentence(found, 0.0)):
        if line:
            print(line)
    return EXIT_CODES[outcome]


def _targets_table(listed: Sequence[Target]) -> pd.DataFrame:
    rows = [
        [
            target.name,
            formats.count(target.sessions) if target.sessions else "",
            formats.quantity(target.packets_per_second, "1/second") if target.packets_per_second else "",
            _amount(target.value, target.unit),
            f"{target.bound} {_amount(target.target, target.unit)}",
            f"{formats.count(target.samples)} {target.of}",
            "MISS" if target.verdict is Verdict.MISS else str(target.verdict),
        ]
        for target in listed
    ]
    return pd.DataFrame(
        rows, columns=["target", "sessions", "packets a session", "found", "wanted", "samples", "verdict"]
    )


def _amount(value: float | None, unit: str) -> str:
    if unit == "cores":
        return formats.cores(value)
    return formats.seconds(value) if unit == "seconds" else formats.plain(value)


def _print(console: Console, line: str) -> None:
    console.print(line, highlight=False, markup=False, soft_wrap=True)
