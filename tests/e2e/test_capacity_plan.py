"""``vdibench plan`` from outside, on the committed reference run and on what becomes of it when its words change."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vdibench.store import Recording

from .commands import called, vdibench

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "docs" / "examples"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder whose reference run is one of a lab with a decided knee."""
    shutil.copytree(ROOT / "tests" / "data" / "runs" / "lab", tmp_path / "results" / "reference")
    return tmp_path


@pytest.fixture
def altered(home: Path) -> Callable[..., str]:
    """A copy of the reference run whose run.json says something else; its name."""

    def build(name: str, **changes: Any) -> str:
        folder = home / "results" / name
        shutil.copytree(home / "results" / "reference", folder)
        run = json.loads((folder / "run.json").read_text())
        for key, value in changes.items():
            run[key] = run[key] | value if isinstance(value, dict) else value
        (folder / "run.json").write_text(json.dumps(run))
        return name

    return build


def test_a_plan_names_every_source_and_what_it_takes_for_granted(home: Path) -> None:
    done = called("plan", "--users", "500", "--run", "reference", "--profile", "office", cwd=home)
    assert done.returncode == 0, done.stderr
    # The reference carries two sessions on its host: 500 users, 70 % at once, a fifth more, one node spare.
    assert done.stdout.startswith("500 users, at most 350 sessions at once: 211 nodes.")
    run = Recording.open(home / "results" / "reference").run
    for told in (run.name, "2 per host", "420", "210 hosts", "host CPU", "Assumptions:", "within what was measured"):
        assert told in done.stdout


def test_the_examples_of_the_documentation_work(home: Path) -> None:
    done = vdibench(
        "plan", "--users", "500", "--run", "office=reference:60%", "--run", "cad=reference",
        "--profile", str(EXAMPLES / "day.csv"), "--prices", str(EXAMPLES / "prices.yaml"),
        "--csv", "plan.csv", "--html", "plan.html", cwd=home,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    with (home / "plan.csv").open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["template"] for row in rows] == ["office", "cad"]
    assert all(float(row["cost_per_month"]) > 0 for row in rows)
    page = (home / "plan.html").read_text()
    assert "vdibench plan --users 500" in page
    assert page.count("data:image/png;base64,") == 2


def test_json_is_one_object_in_base_units_with_null_for_what_is_not_known(home: Path) -> None:
    done = called("plan", "--users", "10", "--run", "reference", "--extrapolate", "--json", cwd=home)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["schema"] == 1
    assert (found["users"], found["headroom_ratio"], found["peak_sessions"]) == (10, 0.2, 10)
    assert found["nodes"] == {"conservative": 7, "optimistic": 7}
    (template,) = found["templates"]
    assert template["measured"]["per"] == "host"
    assert template["logins"]["per_minute"] is None
    assert found["cost"] is None
    assert found["beyond"]["desktops"]["refusal"] == "3 levels were measured, 6 are needed"


@pytest.mark.parametrize(
    ("changes", "options", "code", "told"),
    [
        ({}, ["--gpu", "L4"], 98, "a host without a GPU, not on 'L4'"),
        ({"context": {"gpu": True}, "host": {"gpus": [{"name": "NVIDIA L40S"}]}}, ["--gpu", "l40s"], 0, "NVIDIA L40S"),
        ({"context": {"synthetic": True}}, [], 98, "is synthetic"),
        ({"contention": ["another-run"]}, [], 97, "is invalid"),
    ],
)
def test_what_a_run_does_not_say_is_refused_with_its_code(
    home: Path, altered: Callable[..., str], changes: dict[str, Any], options: list[str], code: int, told: str
) -> None:
    run = altered("other", **changes)
    done = called("plan", "--users", "10", "--run", run, *options, cwd=home)
    assert done.returncode == code, done.stdout + done.stderr
    said = done.stdout if code == 0 else done.stderr
    assert told in said
    if code:
        assert done.stdout == ""
        assert done.stderr.count("\n") == 1
        assert ": " in done.stderr.removeprefix("vdibench: error: "), "cause and remedy"


@pytest.mark.parametrize(
    ("options", "code", "told"),
    [
        (["--run", "reference"], 2, "nothing says how many users"),
        (["--run", "reference", "--users", "10", "--gpus-per-node", "4"], 2, "GPUs per node say nothing: leave"),
        (["--run", "reference", "--users", "10", "--headroom", "1/0"], 2, "write 0.2 or 20%"),
        (["--run", "nothing", "--users", "10"], 1, "there is no run 'nothing'"),
        (["--run", "reference", "--users", "10", "--csv", "no/such/folder.csv"], 1, "cannot write"),
    ],
)
def test_what_is_typed_wrongly_is_one_line(home: Path, options: list[str], code: int, told: str) -> None:
    done = called("plan", *options, cwd=home)
    assert done.returncode == code, done.stdout + done.stderr
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_planning_changes_nothing_in_the_runs(home: Path) -> None:
    def state() -> dict[Path, tuple[int, int]]:
        return {
            path: (path.stat().st_size, path.stat().st_mtime_ns)
            for path in (home / "results").rglob("*")
            if path.is_file()
        }

    before = state()
    assert called("plan", "--users", "10", "--run", "reference", cwd=home).returncode == 0
    assert state() == before
