"""The recipes for CI that users copy: the script on runs that pass and fail, and a workflow whose commands exist."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import click
import pytest
import yaml

from vdibench.cli import cli
from vdibench.store import Recording

from ..e2e.test_compare import made as made_run
from ..unit.graduation.candidates import edit, site

pytestmark = pytest.mark.timeout(300)  # the one with a chart may have to build kubectl and helm
ROOT = Path(__file__).resolve().parents[2]
RECIPES = ROOT / "docs" / "examples" / "ci"
SCRIPT = RECIPES / "validate.sh"
WORKFLOW = RECIPES / "github-workflow.yaml"
REFERENCE = ROOT / "tests" / "data" / "runs" / "lab"
LIMIT = "glass_to_glass_seconds p95 5%"
# What the script asks for; nothing of it comes from the shell of whoever runs the tests.
VARIABLES = re.findall(r"^#   ([A-Z_]+) ", SCRIPT.read_text(), flags=re.M)


def validate(home: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """The script, with the vdibench of these tests on the path."""
    clean = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    path = os.pathsep.join((str(Path(sys.executable).parent), clean["PATH"]))
    return subprocess.run(
        ["sh", str(SCRIPT)],
        cwd=home,
        env=clean | {"PATH": path} | variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A checkout's folder with a stored run that passes, and the same with a missed objective."""
    passed = shutil.copytree(REFERENCE, tmp_path / "results" / "passed")
    failed = shutil.copytree(passed, tmp_path / "results" / "failed")
    document = json.loads((failed / "verdict.json").read_text())
    (suite,) = (one for one in document["suites"] if one["suite"] == "stream_validation")
    (missed,) = (one for one in suite["objectives"] if one["metric"] == "input_to_photon_seconds")
    document["outcome"] = suite["outcome"] = missed["outcome"] = "fail"
    (failed / "verdict.json").write_text(json.dumps(document))
    return tmp_path


def published(home: Path) -> set[str]:
    return {path.name for path in (home / "build" / "vdibench").iterdir()}


def test_variables_are_read_from_the_script() -> None:
    assert {"CONTEXT", "RUN", "BASE", "LIMITS", "CHART", "PUBLISH", "RESULTS"} <= set(VARIABLES)
    text = SCRIPT.read_text()
    assert {name for name in VARIABLES if f"${name}" not in text and f"${{{name}" not in text} == set()
    assert SCRIPT.stat().st_mode & 0o111
    subprocess.run(["sh", "-n", str(SCRIPT)], check=True)


def test_a_passing_run_is_published_and_ends_with_its_verdict(home: Path) -> None:
    done = validate(home, RUN="passed")
    assert done.returncode == 0, done.stdout + done.stderr
    assert published(home) == {"report.html", "junit.xml", "verdict.txt"}
    assert done.stdout.rstrip().splitlines()[-2].startswith("verdict: PASS")
    assert "data:image/png;base64," in (home / "build" / "vdibench" / "report.html").read_text()


def test_a_missed_objective_fails_and_is_published_all_the_same(home: Path) -> None:
    done = validate(home, RUN="failed", PUBLISH="public")
    assert done.returncode == 99, done.stdout + done.stderr
    assert {"report.html", "junit.xml", "verdict.txt"} == {path.name for path in (home / "public").iterdir()}
    assert "verdict: FAIL" in done.stdout
    assert "verdict: FAIL" in (home / "public" / "verdict.txt").read_text()


def test_junit_is_that_of_the_run(home: Path) -> None:
    validate(home, RUN="passed")
    found = ElementTree.parse(home / "build" / "vdibench" / "junit.xml").getroot()
    suites = {one.get("name") for one in found.iter("testsuite")}
    assert suites == {one.suite for one in Recording.open(home / "results" / "passed").verdict.suites}


def test_a_run_by_path_and_results_elsewhere(home: Path) -> None:
    shutil.move(home / "results", home / "kept")
    assert validate(home, RUN="failed", RESULTS="kept").returncode == 99
    assert validate(home, RUN=str(home / "kept" / "failed")).returncode == 99


def test_a_regression_fails(tmp_path: Path) -> None:
    results = tmp_path / "results"
    results.mkdir()
    made_run(results, "base", 1)
    made_run(results, "same", 2)
    made_run(results, "slow", 3, added=0.010)
    slow = validate(tmp_path, RUN="slow", BASE="base", LIMITS=LIMIT)
    assert slow.returncode == 99, slow.stdout + slow.stderr
    assert "worse" in (tmp_path / "build" / "vdibench" / "comparison.txt").read_text()
    assert {"comparison.html", "comparison.txt", "junit.xml", "report.html", "verdict.txt"} == published(tmp_path)
    assert validate(tmp_path, RUN="same", BASE="base", LIMITS=LIMIT).returncode == 0
    # A typo in a limit is a fault of the job, whatever the run is.
    assert validate(tmp_path, RUN="slow", BASE="base", LIMITS="glass_to_glas_seconds 5%").returncode == 2


def test_the_worst_code_counts(tmp_path: Path) -> None:
    results = tmp_path / "results"
    results.mkdir()
    made_run(results, "base", 1)
    made_run(results, "wrong", 2, invalid=True)
    done = validate(tmp_path, RUN="wrong", BASE="base", LIMITS=LIMIT)
    assert done.returncode == 97, done.stdout + done.stderr


def test_drift_fails(tmp_path: Path) -> None:
    """A chart in which a capacity was raised by hand, beside a run that passes."""
    made = site(tmp_path)
    chart = made.candidate().write().output
    # The recipe looks at the manifests of the package; these are of another site.
    drifted = validate(tmp_path, RUN=made.run.name, CHART=str(chart))
    assert drifted.returncode == 99, drifted.stdout + drifted.stderr
    assert "the overlay k3s/session" in (tmp_path / "build" / "vdibench" / "evidence.txt").read_text()
    edit(chart / "graduated" / "templates.yaml", "sessionsPerGPU: 2", "sessionsPerGPU: 8")
    tampered = validate(tmp_path, RUN=made.run.name, CHART=str(chart))
    assert tampered.returncode == 99
    assert "graduated/templates.yaml was changed" in (tmp_path / "build" / "vdibench" / "evidence.txt").read_text()


def test_without_a_cluster_or_a_run_it_says_what_it_needs(tmp_path: Path) -> None:
    done = validate(tmp_path)
    assert done.returncode not in (0, 97, 98, 99)
    assert "CONTEXT" in done.stderr
    unknown = validate(tmp_path, RUN="yesterday")
    assert unknown.returncode == 1
    assert "there is no run 'yesterday'" in unknown.stderr


def test_measuring_stops_the_job_where_it_cannot_begin(tmp_path: Path) -> None:
    """A context that is in no kubeconfig: nothing is measured, and no older run is judged in its place."""
    (tmp_path / "kubeconfig").write_text("apiVersion: v1\nkind: Config\nclusters: []\ncontexts: []\nusers: []\n")
    (tmp_path / "results").mkdir()
    made_run(tmp_path / "results", "older", 1)
    done = validate(tmp_path, CONTEXT="nowhere", KUBECONFIG=str(tmp_path / "kubeconfig"), NOTEBOOKS="02")
    assert done.returncode == 2, done.stdout + done.stderr
    assert "nowhere" in done.stdout
    assert published(tmp_path) == {"run.txt"}


# the workflow


def workflow() -> dict[Any, Any]:
    document: dict[Any, Any] = yaml.safe_load(WORKFLOW.read_text())
    return document


def commands() -> list[list[str]]:
    """Words of every line that calls vdibench, in the workflow and the script."""
    lines = [line for job in workflow()["jobs"].values() for step in job["steps"] for line in lines_of(step)]
    lines += [line.strip() for line in SCRIPT.read_text().splitlines()]
    words = [line.replace("$(", "$( ").split() for line in lines]
    return [line[line.index("vdibench") :] for line in words if "vdibench" in line and not line[0].startswith("#")]


def lines_of(step: dict[str, Any]) -> list[str]:
    return [line.strip() for line in str(step.get("run", "")).splitlines()]


def test_the_workflow_runs_the_script_where_a_kubeconfig_is() -> None:
    document = workflow()
    # YAML 1.1 reads the key "on" as true.
    assert {"pull_request", "push", "schedule"} <= set(document[True])
    validating, shipping = document["jobs"]["validate"], document["jobs"]["ship"]
    assert "self-hosted" in validating["runs-on"]
    assert document["env"]["CONTEXT"]
    scripts = [word for step in validating["steps"] for line in lines_of(step) for word in line.split()]
    assert str(SCRIPT.relative_to(ROOT)) in scripts
    (publishing,) = (step for step in validating["steps"] if step.get("name") == "Publish")
    assert publishing["if"] == "always()"
    assert "build/vdibench" in publishing["with"]["path"]
    assert shipping["needs"] == "validate"


def test_what_the_workflow_sets_the_script_reads() -> None:
    document = workflow()
    steps = document["jobs"]["validate"]["steps"]
    (measuring,) = (step for step in steps if any("validate.sh" in line for line in lines_of(step)))
    assert set(document["env"]) | set(measuring["env"]) <= set(VARIABLES)


def test_the_commands_of_the_recipes_exist() -> None:
    found = commands()
    assert {line[1] for line in found} >= {"run", "report", "compare", "graduate", "verdict", "preflight"}
    for words in found:
        name = words[1].strip('"')
        command = cli.get_command(click.Context(cli), name)
        assert command is not None, f"vdibench {name}"
        options = {option for parameter in command.params for option in parameter.opts}
        for word in words[2:]:
            if word.startswith("--"):
                assert word.partition("=")[0].rstrip(")") in options, f"vdibench {name} {word}"


def test_options_that_the_script_puts_together_exist() -> None:
    """They stand in ``set --`` lines, before the command that takes them."""
    known = {
        option
        for name in ("run", "compare", "graduate", "report", "verdict")
        if (command := cli.get_command(click.Context(cli), name)) is not None
        for parameter in command.params
        for option in parameter.opts
    }
    given = set(re.findall(r"(?<=\s)--[a-z][a-z-]*", re.sub(r"^#.*$", "", SCRIPT.read_text(), flags=re.M)))
    assert given
    assert given - known == set()
