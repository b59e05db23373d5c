"""``vdibench load``: users of a scenario on many desktops, by Locust; a run folder and a verdict as of every suite."""

from __future__ import annotations

import json
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vdibench.commands.options import access_options
from vdibench.commands.values import duration_seconds, parameter_file, parameter_values
from vdibench.errors import UsageError, VdibenchError

if TYPE_CHECKING:
    from vdibench.suites.load import Parameters, Surroundings

__all__ = ["load"]

_INTERRUPTED = 130


@click.command(context_settings={"ignore_unknown_options": False})
@click.argument("locust_options", nargs=-1, metavar="[-- LOCUST OPTION...]")
@click.option(
    "--target",
    default="lab",
    show_default=True,
    help="lab, lab:NAME, url:URL, manifests, manifests:LAB, replay or replay:FILE.",
)
@click.option("--context", default="", metavar="NAME", help="Context of your kubeconfig, for target manifests.")
@click.option("--desktops", type=click.IntRange(min=1), help="Desktops to have; by default as many as users.")
@click.option("--scenario", default="", help="What users do: watch, press, office, cad, video, 3d, idle.")
@click.option(
    "--shape",
    default="",
    help="How many users when: steps:1,2,4@30s, ramp:50@5m, storm:100@10/s+60s, soak:20@30m, spike:5,20@60s.",
)
@click.option("--users", type=click.IntRange(min=1), help="So many users for --run-time, instead of a shape.")
@click.option("--run-time", default="", metavar="DURATION", help="With --users: 90, 15m, 2h.")
@click.option("--spawn-rate", type=click.FloatRange(min=0, min_open=True), help="Users a second.")
@click.option("--workers", type=click.IntRange(min=0), help="Locust workers on this host, each with an engine.")
@click.option("--mode", default="", help="How much of each stream is looked at: meter, sampled, depacketise, decode.")
@click.option("--web-port", type=click.IntRange(1, 65535), help="Serve Locust's web page, and ours at /vdibench.")
@click.option("--web-host", default="127.0.0.1", show_default=True, help="Where the web page listens.")
@click.option("--headless", is_flag=True, help="No web page (the default without --web-port).")
@click.option(
    "--csv", "csv_prefix", default="", metavar="PREFIX", help="Locust's CSV files; its percentiles are rounded."
)
@click.option("--html", "html_file", default="", metavar="FILE", help="Locust's HTML report; likewise.")
@click.option("-f", "--locustfile", default="", metavar="FILE", help="A locustfile of your own instead of a scenario.")
@click.option("--profile", default="smoke", show_default=True, help="Parameter profile: a name or a YAML file.")
@click.option("-p", "pairs", nargs=2, multiple=True, metavar="NAME VALUE", help="Set a parameter (repeatable).")
@click.option(
    "--parameters", "files", multiple=True, type=click.Path(path_type=Path), help="Parameters from a YAML file."
)
@click.option("--objectives", default="", help="Objectives: a name or a YAML file; by default the profile's.")
@access_options
@click.option("--take-control", is_flag=True, help="Of a URL's desktop: evict its user and send input.")
@click.option("--results", default="results", type=click.Path(path_type=Path), show_default=True, help="Runs' folder.")
@click.option("--expect-workers", type=click.IntRange(min=0), default=0, help="Wait for so many workers elsewhere.")
@click.option("--master-bind", default="", metavar="HOST", help="Where workers from elsewhere find the master.")
@click.option("--master-port", type=click.IntRange(0, 65535), default=0, help="The master's port; 0: a free one.")
@click.option(
    "--roster", default="", metavar="FILE", help="Write the desktops there for workers elsewhere; a worker reads them."
)
@click.option("--worker", is_flag=True, help="Be one worker of a master elsewhere; needs --master-host and --roster.")
@click.option("--master-host", default="", metavar="HOST", help="With --worker: where the master is.")
@click.option("--dry-run", is_flag=True, help="Check everything that can be checked and show the plan.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
def load(**given: Any) -> int:
    """Put users on desktops and judge what they saw: latency, frame rate, freezes, log-ins that failed.

    Users do what the scenario says and come and go by the shape; each stage of it is a level of the run. With
    --web-port and neither a shape nor --users, the web page says how many there are, until Ctrl-C. What stands after
    -- goes to Locust as it is. Verdicts come from every frame that was recorded, never from Locust's percentiles.
    """
    # Only when called: `vdibench --help` should not wait for WebRTC and pandas.
    from vdibench.suites.load import Surroundings

    if given["worker"]:
        _be_worker(given)
    parameters = _parameters(given)
    outputs = [("--csv", given["csv_prefix"]), ("--html", given["html_file"])]
    surroundings = Surroundings(
        host=given["master_bind"] or "127.0.0.1",
        port=given["master_port"],
        web_host=given["web_host"],
        web_port=given["web_port"] or 0,
        arguments=(*(word for pair in outputs if pair[1] for word in pair), *given["locust_options"]),
        roster=given["roster"],
    )
    if given["dry_run"]:
        return _show_plan(parameters, as_json=given["as_json"])
    return _run(parameters, surroundings, as_json=given["as_json"])


def _parameters(given: dict[str, Any]) -> Parameters:
    """What the profile says, and above it the command line.

    :raises UsageError: options that do not go together.
    """
    from vdibench.suites.catalogue import profile_of
    from vdibench.suites.load import SUITE, Parameters
    from vdibench.suites.parameters import build
    from vdibench.suites.profiles import load_objectives
    from vdibench.targets import PASSWORD_VARIABLE, TOKEN_VARIABLE, password_from, session_token

    if given["headless"] and given["web_port"]:
        raise UsageError("--headless has no web page, and --web-port asks for one", "leave one of them out")
    if given["worker"] is False and given["master_host"]:
        raise UsageError("--master-host is for a worker", "give --worker too, or --master-bind for a master")
    if given["expect_workers"] and not given["master_bind"]:
        raise UsageError("workers elsewhere cannot reach the master on loopback", "give --master-bind HOST")
    names = frozenset(Parameters.__dataclass_fields__)
    profile = profile_of(given["profile"])
    values = profile.values(SUITE, names)
    values |= {"target": given["target"], "profile": profile.name, "results": str(given["results"].absolute())}
    for path in given["files"]:
        values |= parameter_file(path)
    values |= parameter_values(given["pairs"])
    values |= _shape_of(given)
    if given["locustfile"]:
        values["locustfile"] = str(Path(given["locustfile"]).absolute())
    for option in ("context", "desktops", "scenario", "spawn_rate", "workers", "mode", "objectives", "user", "ca_file"):
        if given[option] not in (None, ""):
            values[option] = given[option]
    for flag in ("insecure", "take_control"):
        if given[flag]:
            values[flag] = True
    if given["expect_workers"]:
        values["remote_workers"] = given["expect_workers"]
    if given["password_file"]:
        os.environ[PASSWORD_VARIABLE] = password_from(given["password_file"])
    if given["token_file"]:
        os.environ[TOKEN_VARIABLE] = session_token(given["token_file"])
    parameters = build(Parameters, values)
    if parameters.target.startswith("url:") and parameters.count > 1:
        raise UsageError(f"{parameters.target} is one desktop, and {parameters.count} are wanted", "ask for one user")
    load_objectives(parameters.objectives)
    return parameters


def _shape_of(given: dict[str, Any]) -> dict[str, str]:
    """The shape as the command line says it; nothing where it leaves it to the profile."""
    if given["users"] is None and given["run_time"]:
        raise UsageError("--run-time belongs to --users", "give both, or a shape")
    if given["users"] is not None:
        if given["shape"]:
            raise UsageError("--users and --shape both say how many users there are", "leave one of them out")
        if not given["run_time"]:
            raise UsageError("nothing says how long the users stay", "give --run-time, such as 5m")
        return {"shape": f"soak:{given['users']}@{duration_seconds(given['run_time']):g}s"}
    if given["shape"]:
        return {"shape": given["shape"]}
    return {"shape": ""} if given["web_port"] else {}


def _be_worker(given: dict[str, Any]) -> None:
    """Become a Locust worker: this process from here on.

    :raises UsageError: it is not said of which master, or which desktops there are.
    """
    from vdibench.load.roster import ROSTER_VARIABLE, read_roster

    roster = given["roster"] or os.environ.get(ROSTER_VARIABLE, "")
    if not given["master_host"]:
        raise UsageError("a worker needs its master", "give --master-host HOST and --master-port PORT")
    read_roster(roster)
    own = Path(__file__).parent.parent / "load" / "locustfile.py"
    arguments = ["-f", given["locustfile"] or str(own), "--worker", "--master-host", given["master_host"]]
    arguments += ["--master-port", str(given["master_port"] or 5557), *given["locust_options"]]
    os.environ[ROSTER_VARIABLE] = str(Path(roster).absolute())
    os.execv(sys.executable, [sys.executable, "-m", "locust", *arguments])


def _show_plan(parameters: Parameters, *, as_json: bool) -> int:
    from vdibench.suites.load import planned_seconds

    seconds = planned_seconds(parameters)
    values = {name: getattr(parameters, name) for name in parameters.__dataclass_fields__}
    if as_json:
        print(json.dumps({"target": parameters.target, "seconds": round(seconds), "parameters": values}))
        return 0
    print(f"target {parameters.target}, about {seconds / 60:.1f} minutes; nothing was started")
    for name, value in values.items():
        print(f"    {name} = {value!r}")
    return 0


def _run(parameters: Parameters, surroundings: Surroundings, *, as_json: bool) -> int:
    from vdibench.records import EXIT_CODES
    from vdibench.report import final_line, show, verdict_table, write_report
    from vdibench.store import Recording
    from vdibench.suites.load import Load

    failure = ""
    code: int | None = None
    suite = Load(parameters, surroundings, say=lambda line: print(line, file=sys.stderr, flush=True))
    folder = suite.measurement.folder
    folder.update(context={"command": shlex.join(["vdibench", *sys.argv[1:]])})
    try:
        suite.measure()
        suite.measurement.judge()
    except VdibenchError as error:
        failure, code = str(error), error.exit_code
    except KeyboardInterrupt:
        failure, code = "interrupted; what was measured until then is kept", _INTERRUPTED
    suite.write_document()
    recording = Recording.open(folder.path)
    report = write_report(folder.path)
    verdict = recording.verdict
    code = EXIT_CODES[verdict.outcome] if code is None else code
    if as_json:
        print(
            json.dumps(
                {
                    "run": str(folder.path),
                    "verdict": str(verdict.outcome),
                    "report": str(report),
                    "error": failure or None,
                    "exit_code": code,
                    "load": suite.document,
                }
            )
        )
        return code
    show(verdict_table(verdict))
    if failure:
        print(f"vdibench: error: {failure}", file=sys.stderr)
    print(final_line(verdict, report.relative_to(Path.cwd()) if report.is_relative_to(Path.cwd()) else report))
    return code
