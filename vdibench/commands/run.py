"""``vdibench run``: notebooks against a target, one run folder, one verdict."""

from __future__ import annotations

import json
import os
import shlex
import sys
from pathlib import Path

import click
from rich.console import Console

from vdibench.commands.options import access_options
from vdibench.commands.values import duration_seconds, parameter_file, parameter_values
from vdibench.report import final_line, show, verdict_table
from vdibench.store import Recording
from vdibench.suites import PipelineOptions, ProgressReading, cluster_notice, plan_pipeline, run_pipeline
from vdibench.targets import FORMS, PASSWORD_VARIABLE, TOKEN_VARIABLE, password_from, session_token

__all__ = ["run"]


@click.command()
@click.argument("notebooks", nargs=-1, metavar="[NOTEBOOK]...")
@click.option(
    "--target",
    default="lab",
    show_default=True,
    help=f"{FORMS}.",
)
@click.option(
    "--context", default="", metavar="NAME", help="Context of your kubeconfig, for targets manifests and operator."
)
@click.option("--profile", default="smoke", show_default=True, help="Parameter profile: a name or a YAML file.")
@click.option("-p", "pairs", nargs=2, multiple=True, metavar="NAME VALUE", help="Set a parameter (repeatable).")
@click.option("-f", "files", multiple=True, type=click.Path(path_type=Path), help="Parameters from a YAML file.")
@click.option("--objectives", default="", help="Objectives: a name or a YAML file; by default the profile's.")
@access_options
@click.option("--take-control", is_flag=True, help="Of a URL's desktop: evict its user and send input.")
@click.option("--results", default="results", type=click.Path(path_type=Path), show_default=True, help="Runs' folder.")
@click.option("--timeout", default="", metavar="DURATION", help="For the whole run: 90, 15m, 2h.")
@click.option(
    "--no-selftest", is_flag=True, help="Do not test this machine's measuring first, where it was not tested before."
)
@click.option("--without-notebooks", is_flag=True, help="Run the same suites in this process, without Jupyter.")
@click.option("--dry-run", is_flag=True, help="Check everything that can be checked and show the plan.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
def run(
    notebooks: tuple[str, ...],
    target: str,
    context: str,
    profile: str,
    pairs: tuple[tuple[str, str], ...],
    files: tuple[Path, ...],
    objectives: str,
    user: str,
    password_file: str,
    token_file: str,
    ca_file: str,
    insecure: bool,
    take_control: bool,
    results: Path,
    timeout: str,
    no_selftest: bool,
    without_notebooks: bool,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Run NOTEBOOKs (numbers such as 02, or names; all but graduation by default) and judge what they measured."""
    given = {name: value for path in files for name, value in parameter_file(path).items()}
    given |= parameter_values(pairs)
    for name, value in (("user", user), ("ca_file", ca_file), ("insecure", insecure), ("take_control", take_control)):
        if value and target.startswith("url:"):
            given[name] = value
    for name, value in (("context", context), ("ca_file", ca_file), ("insecure", insecure)):
        if value and (name == "context" or target in ("manifests", "operator")):
            given[name] = value
    if password_file:
        # The kernels inherit the environment; a password is never an argument nor a parameter.
        os.environ[PASSWORD_VARIABLE] = password_from(password_file)
    if token_file:
        os.environ[TOKEN_VARIABLE] = session_token(token_file)
    options = PipelineOptions(
        notebooks=notebooks,
        target=target,
        profile=profile,
        objectives=objectives,
        results=results,
        given=given,
        without_notebooks=without_notebooks,
        selftest=not no_selftest,
        timeout_seconds=duration_seconds(timeout) if timeout else None,
        command=shlex.join(["vdibench", *sys.argv[1:]]),
    )
    if dry_run:
        return _show_plan(options, as_json=as_json)
    for line in cluster_notice(options) if given.get("context") else ():
        print(line, file=sys.stderr)
    console = Console(stderr=True)
    with console.status("") as status:

        def progress(_: str, reading: ProgressReading) -> None:
            if console.is_terminal:
                status.update(str(reading))

        result = run_pipeline(options, show=progress, done=lambda line: console.print(line, highlight=False))
    report = result.report or result.folder
    if as_json:
        print(
            json.dumps(
                {
                    "run": str(result.folder),
                    "verdict": str(result.verdict.outcome),
                    "report": None if result.report is None else str(result.report),
                    "error": None if result.failure is None else result.failure.message,
                    "exit_code": result.exit_code,
                }
            )
        )
        return result.exit_code
    if result.measured:
        show(verdict_table(Recording.open(result.folder).verdict))
    if result.failure is not None:
        print(f"vdibench: error: {result.failure.message}", file=sys.stderr)
    if result.measured:
        print(final_line(result.verdict, _relative(report)))
    else:
        print(f"read: {_relative(result.folder / 'notebooks')}")
    return result.exit_code


def _relative(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _show_plan(options: PipelineOptions, *, as_json: bool) -> int:
    plan = plan_pipeline(options)
    document = {
        "target": options.target,
        "seconds": round(plan.seconds),
        "notebooks": {
            suite.notebook: {name: getattr(parameters, name) for name in sorted(suite.parameter_names)}
            for suite, parameters in plan.steps
        },
    }
    if as_json:
        print(json.dumps(document))
        return 0
    print(f"target {options.target}, about {plan.seconds / 60:.1f} minutes; nothing was started")
    for suite, parameters in plan.steps:
        print(f"{suite.notebook}")
        for name in parameters.__dataclass_fields__:
            print(f"    {name} = {getattr(parameters, name)!r}")
    return 0
