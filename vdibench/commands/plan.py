"""``vdibench plan``: GPUs and nodes for a number of users, from stored runs."""

from __future__ import annotations

import dataclasses
import json
import shlex
import sys
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from vdibench.analysis.capacity import TemplatePlan
from vdibench.analysis.prices import Cost
from vdibench.errors import StoreError
from vdibench.report import formats, show
from vdibench.report.capacity_assumptions import assumptions, warnings
from vdibench.report.capacity_document import plan_csv, plan_page
from vdibench.report.capacity_tables import (
    beyond_lines,
    cost_table,
    logins_table,
    plan_lead,
    plan_table,
    sources_table,
)
from vdibench.suites.capacity_plan import PlanOptions, Sizing, make_plan

__all__ = ["plan"]

PLAN_SCHEMA = 1


def _exact(context: click.Context, parameter: click.Parameter, value: str | None) -> Fraction | None:
    """A decimal or per cent, exactly as it was typed: 0.2 or 20%."""
    if value is None:
        return None
    text = value.strip()
    try:
        number = Fraction(text.removesuffix("%").strip()) / (100 if text.endswith("%") else 1)
    except (ValueError, ZeroDivisionError) as error:
        raise click.BadParameter(f"{text!r} is no number: write 0.2 or 20%", context, parameter) from error
    if number < 0:
        raise click.BadParameter(f"{text} is below 0", context, parameter)
    return number


@click.command()
@click.option("--users", type=click.IntRange(1), help="Users of all templates together.")
@click.option(
    "--run",
    "runs",
    multiple=True,
    required=True,
    metavar="[NAME=]RUN[:PART]",
    help="Stored run with a knee, for the users who have a share (0.6, 60%) or number (300); repeat for templates.",
)
@click.option("--profile", "day", default="", metavar="CSV", help="Who is there when: a CSV file, or office.")
@click.option(
    "--headroom",
    callback=_exact,
    default="0.2",
    metavar="SHARE",
    show_default=True,
    help="More than the peak, as a share of it.",
)
@click.option(
    "--spare-nodes",
    type=click.IntRange(0),
    default=1,
    show_default=True,
    help="Nodes that may be missing, for each template.",
)
@click.option(
    "--gpus-per-node", multiple=True, metavar="[NAME=]N", help="GPUs of a node, of all templates or one.  [default: 1]"
)
@click.option("--max-sessions", multiple=True, metavar="[NAME=]N", help="At most so many sessions on one GPU or host.")
@click.option(
    "--logins-per-minute", callback=_exact, metavar="NUMBER", help="Logins of all users at their peak, a minute."
)
@click.option("--prices", default="", metavar="YAML", help="Price file: adds what it costs.")
@click.option("--gpu", default="", metavar="NAME", help="Refuse runs that were measured on another GPU.")
@click.option("--extrapolate", is_flag=True, help="Say beside the plan what lies beyond the levels that were measured.")
@click.option("--allow-synthetic", is_flag=True, help="Plan from runs of replayed traces, labelled as such.")
@click.option("--results", default="results", type=click.Path(path_type=Path), show_default=True, help="Runs' folder.")
@click.option("--csv", "csv_file", type=click.Path(path_type=Path, dir_okay=False), help="Write the plan as CSV.")
@click.option("--html", "html_file", type=click.Path(path_type=Path, dir_okay=False), help="Write one HTML file.")
@click.option("--json", "as_json", is_flag=True, help="Print the plan as one JSON object.")
def plan(csv_file: Path | None, html_file: Path | None, as_json: bool, **given: Any) -> int:
    """Turn the knees of stored runs into GPUs and nodes for a number of users.

    Reads stored runs and nothing else; there is no built-in table of GPUs. Every number of sessions comes from a run,
    with its interval: the lower bound is planned with, the upper bound says how much less may do. Ends with 98 when a
    run has no knee or is not of the GPU asked for, with 97 when it is invalid.
    """
    sizing = make_plan(PlanOptions(**given))
    if csv_file is not None:
        # A byte order mark: without, spreadsheets take UTF-8 for another encoding.
        _write(csv_file, plan_csv(sizing.plan, sizing.cost), "utf-8-sig")
    if html_file is not None:
        command = shlex.join(["vdibench", *sys.argv[1:]])
        page = plan_page(sizing.plan, sizing.cost, sizing.beyond, command=command, written_unix_seconds=time.time())
        _write(html_file, page, "utf-8")
    if as_json:
        print(json.dumps(_document(sizing), ensure_ascii=False))
    else:
        _print(sizing)
    return 0


def _print(sizing: Sizing) -> None:
    found = sizing.plan
    print(f"{plan_lead(found)}.\n")
    show(plan_table(found, sizing.cost))
    for table in (
        sources_table(found),
        logins_table(found),
        *([cost_table(sizing.cost)] if sizing.cost is not None else []),
    ):
        print()
        show(table)
    lines = [*warnings(found), *beyond_lines(sizing.beyond)]
    console = Console(highlight=False)
    for heading, sentences in (("Mind", lines), ("Assumptions", assumptions(found, sizing.cost))):
        if sentences:
            print(f"\n{heading}:")
        for sentence in sentences:
            console.print(f"- {formats.clean(sentence)}", markup=False, soft_wrap=not console.is_terminal)


def _document(sizing: Sizing) -> dict[str, Any]:
    """The plan in base units; null where nothing is known."""
    found = sizing.plan
    return {
        "schema": PLAN_SCHEMA,
        "users": found.terms.users,
        "headroom_ratio": float(found.terms.headroom),
        "spare_nodes": found.terms.spare_nodes,
        "synthetic": found.synthetic,
        "peak_sessions": found.peak,
        "nodes": dataclasses.asdict(found.nodes),
        "gpus": dataclasses.asdict(found.gpus),
        "day": {
            "name": found.day.name,
            "instants": [
                {"minute": minute, "sessions": count}
                for minute, count in zip(found.day.minutes, found.present, strict=True)
            ],
        },
        "templates": [_template(one) for one in found.templates],
        "cost": _cost(sizing.cost),
        "beyond": {name: dataclasses.asdict(one) for name, one in sizing.beyond.items()},
        "warnings": warnings(found),
        "assumptions": assumptions(found, sizing.cost),
    }


def _template(one: TemplatePlan) -> dict[str, Any]:
    template = one.template
    return {
        "name": template.name,
        "users": one.users,
        "share_ratio": float(template.share),
        "measured": {**dataclasses.asdict(template.measured), "per": template.measured.unit},
        "sessions_each": dataclasses.asdict(template.sessions_each),
        "gpus_per_node": template.gpus_in_node,
        "max_sessions": template.max_sessions,
        "peak_sessions": one.peak,
        "sessions": one.sessions,
        "day": list(one.day),
        "needed": dataclasses.asdict(one.carriers),
        "nodes": dataclasses.asdict(one.nodes),
        "spare_nodes": one.spare,
        "gpus": dataclasses.asdict(one.gpus),
        "logins": dataclasses.asdict(one.logins),
    }


def _cost(cost: Cost | None) -> dict[str, Any] | None:
    if cost is None:
        return None
    prices = cost.prices
    figures = {
        name: None if (amount := getattr(cost, name)) is None else dataclasses.asdict(amount)
        for name in ("per_month", "per_user_month", "per_user_hour", "per_session_hour")
    }
    return {
        "currency": prices.currency,
        "prices": prices.name,
        "source": prices.source,
        "as_of": prices.as_of,
        "hours_per_month": prices.hours_per_month,
        **figures,
        "templates": {name: dataclasses.asdict(amount) for name, amount in cost.templates.items()},
    }


def _write(path: Path, text: str, encoding: str) -> None:
    try:
        path.write_text(text, encoding=encoding, newline="")
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror}", "choose a file that can be written") from error
