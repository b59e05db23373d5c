"""``vdibench graduate``: a verified run becomes the operator's chart, and a chart is held against its evidence."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from vdibench.commands.values import duration_seconds
from vdibench.errors import UsageError
from vdibench.graduation.checking import check_chart, evidence_of
from vdibench.graduation.contents import read_chart
from vdibench.graduation.findings import REQUIRED, Finding
from vdibench.graduation.graduate import Graduated, Request
from vdibench.graduation.graduate import graduate as graduate_run
from vdibench.graduation.refusal import Refused
from vdibench.graduation.verification import exit_code
from vdibench.report import formats, show
from vdibench.report.graduation_tables import evidence_table, evidenced_objectives_table, evidenced_suites_table
from vdibench.suites.graduation import OUTPUT, find_run, waivers

__all__ = ["graduate"]

GRADUATION_SCHEMA = 1


@click.command()
@click.argument("run", required=False, default="", metavar="[RUN]")
@click.option("--name", default="", help="Of the VDITemplate; by default the overlay's, desktop where that is session.")
@click.option("--chart", type=click.Path(path_type=Path), metavar="DIR", help="The operator's chart to take.")
@click.option(
    "--output",
    default=OUTPUT,
    type=click.Path(path_type=Path),
    show_default=True,
    metavar="DIR",
    help="Where the graduated chart goes; one that is there is replaced.",
)
@click.option(
    "--waive",
    "waived",
    multiple=True,
    metavar="WHAT=REASON",
    help=f"What need not have passed, and why; the evidence says so. WHAT is one of {', '.join(REQUIRED)}.",
)
@click.option("--max-age", default="90d", show_default=True, metavar="DURATION", help="A run is evidence for so long.")
@click.option("--allow-lab", is_flag=True, help="Graduate a run on the project's own cluster; the evidence says so.")
@click.option(
    "--key",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Private key in PEM that signs the evidence; its password comes from VDIBENCH_KEY_PASSWORD.",
)
@click.option("--context", default="", metavar="NAME", help="Also hold versions against that cluster, as it is now.")
@click.option("--manifests", type=click.Path(path_type=Path), metavar="DIR", help="By default those of this package.")
@click.option("--results", default="results", type=click.Path(path_type=Path), show_default=True, help="Runs' folder.")
@click.option("--dry-run", is_flag=True, help="Check everything, and write nothing.")
@click.option(
    "--verify", type=click.Path(path_type=Path), metavar="CHART", help="Hold a graduated chart against its evidence."
)
@click.option("--run", "of_run", default="", metavar="RUN", help="With --verify: also against the run that it is of.")
@click.option(
    "--public-key",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="With --verify: the evidence must be signed by its owner.",
)
@click.option("--no-manifests", is_flag=True, help="With --verify: the manifests here are not those of the chart.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
def graduate(run: str, verify: Path | None, as_json: bool, **given: Any) -> int:
    """Turn a verified RUN into the operator's chart, or say everything that stands against it.

    The verdict is computed again from the samples; manifests, images and versions must be those of the run; and what
    the operator makes must be what was validated. With --verify CHART a graduated chart is held against its evidence
    instead. Exit code 97: the run must not be trusted; 98: something was never measured; 99: something was missed,
    differs, or has expired.
    """
    if verify is None:
        _refuse_without_verify(given)
        if not run:
            raise UsageError("no run is named", "give a path, a folder's name or latest; or --verify CHART")
        return _graduate(run, as_json=as_json, **given)
    if run:
        raise UsageError(f"run {run} and --verify are two things", "graduate a run, or give it as --run to --verify")
    return _verify(verify, as_json=as_json, **given)


def _refuse_without_verify(given: Mapping[str, Any]) -> None:
    for name, words in (("of_run", "--run"), ("public_key", "--public-key"), ("no_manifests", "--no-manifests")):
        if given[name]:
            raise UsageError(f"{words} says nothing without --verify", "give --verify CHART, or leave it out")


def _graduate(run: str, *, as_json: bool, dry_run: bool, **given: Any) -> int:
    # What is written wrongly is said before anything is read.
    waived, max_age = waivers(given["waived"]), duration_seconds(given["max_age"])
    request = Request(
        run=find_run(given["results"], run),
        chart=given["chart"],
        output=given["output"],
        name=given["name"],
        waivers=waived,
        max_age_seconds=max_age,
        allow_lab=given["allow_lab"],
        key=given["key"],
        manifests=given["manifests"],
        context=given["context"],
    )
    try:
        made = graduate_run(request, now=time.time(), say=_say, dry_run=dry_run)
    except Refused as refused:
        if as_json:
            print(json.dumps(_document(request.run, None, refused.findings, refused.exit_code), ensure_ascii=False))
        else:
            _print_findings(refused.findings)
            print(f"refused: {formats.counted(len(refused.findings), 'finding')}; nothing was written", file=sys.stderr)
        return refused.exit_code
    if as_json:
        print(json.dumps(_document(request.run, made, (), 0), ensure_ascii=False))
        return 0
    _print_evidence(made.predicate)
    if dry_run:
        print("\nnothing stands against it; nothing was written")
        return 0
    print(f"\ngraduated: {made.output}{'' if made.signed else ' (not signed)'}\n")
    for line in made.commands:
        print(line)
    return 0


def _verify(graduated: Path, *, as_json: bool, **given: Any) -> int:
    source = click.get_current_context().get_parameter_source
    for name in ("dry_run", "allow_lab", "key", "waived", "name", "chart", "context", "output", "max_age"):
        # Some have a default, so that a value alone does not say that somebody gave it.
        if source(name) is click.core.ParameterSource.COMMANDLINE:
            words = "waive" if name == "waived" else name.replace("_", "-")
            raise UsageError(f"--{words} has no place beside --verify", "leave it out")
    run = find_run(given["results"], given["of_run"]) if given["of_run"] else None
    found = check_chart(
        graduated,
        now=time.time(),
        public_key=given["public_key"],
        run=run,
        manifests=given["manifests"],
        without_manifests=given["no_manifests"],
        say=_say,
    )
    code = exit_code(found)
    predicate = evidence_of(read_chart(graduated))
    if as_json:
        document: dict[str, Any] = {"schema": GRADUATION_SCHEMA, "chart": str(graduated), "exit_code": code}
        document |= {"findings": _listed(found), "evidence": dict(predicate) or None}
        print(json.dumps(document, ensure_ascii=False))
        return code
    if predicate:
        _print_evidence(predicate)
        print()
    _print_findings(found)
    held = ["its evidence", *([] if given["no_manifests"] else ["the manifests here"])]
    held += [f"run {run.name}"] if run is not None else []
    held += ["the signature"] if given["public_key"] is not None else []
    if not found:
        print(f"valid: {graduated} agrees with {', '.join(held)}")
    else:
        print(f"not valid: {formats.counted(len(found), 'finding')}", file=sys.stderr)
    return code


def _print_evidence(predicate: Mapping[str, Any]) -> None:
    tables = (evidence_table(predicate), evidenced_suites_table(predicate), evidenced_objectives_table(predicate))
    for index, table in enumerate(tables):
        if index:
            print()
        show(table)


def _print_findings(findings: Sequence[Finding]) -> None:
    """One a line, on standard error as other errors are: cause and remedy."""
    for finding in findings:
        print(f"vdibench: refused: {formats.clean(finding)}", file=sys.stderr)


def _document(run: Path, made: Graduated | None, findings: Sequence[Finding], code: int) -> dict[str, Any]:
    return {
        "schema": GRADUATION_SCHEMA,
        "run": str(run),
        "exit_code": code,
        "findings": _listed(findings),
        "chart": str(made.output) if made is not None and made.written else None,
        "signed": made.signed if made is not None else None,
        "templates": [str(one["metadata"]["name"]) for one in made.templates] if made is not None else [],
        "evidence": dict(made.predicate) if made is not None else None,
    }


def _listed(findings: Sequence[Finding]) -> list[dict[str, str]]:
    return [{"kind": one.kind, "cause": one.cause, "remedy": one.remedy} for one in findings]


def _say(line: str) -> None:
    print(line, file=sys.stderr)
