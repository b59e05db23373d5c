"""The committed reference run replays: same verdict from its samples, same report, small, and free of this machine."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from vdibench.analysis import criteria, knee, rule_of
from vdibench.metrics import values
from vdibench.records import Outcome, RunState
from vdibench.report import write_report
from vdibench.slo import evaluate, load
from vdibench.store import Recording

from .commands import vdibench

REFERENCE = Path(__file__).resolve().parents[2] / "results" / "reference"
MOST_BYTES = 1_000_000


@pytest.fixture(scope="module")
def reference() -> Recording:
    return Recording.open(REFERENCE)


def test_is_small_and_whole(reference: Recording) -> None:
    committed = [
        path for path in REFERENCE.rglob("*") if path.is_file() and path.suffix in {".json", ".parquet", ".xml"}
    ]
    assert sum(path.stat().st_size for path in committed) < MOST_BYTES
    assert reference.run.state is RunState.FINISHED
    assert reference.damage == []
    assert re.fullmatch(r"[0-9a-f]{7,40}", reference.run.git_commit), "made from a commit, not from a dirty tree"


def test_rests_on_enough_samples(reference: Recording) -> None:
    assert len(values("glass_to_glass_seconds", reference.tables, suite="stream_validation")) >= 1000
    assert len(values("input_to_photon_seconds", reference.tables, suite="stream_validation")) >= 50


@pytest.mark.parametrize("suite", ["stream_validation", "latency_under_load", "gpu_density"])
def test_the_verdict_follows_from_the_samples(reference: Recording, suite: str) -> None:
    objectives = load(reference.run.objectives)
    context = {**reference.run.context, "framerate": reference.run.parameters[suite]["framerate"]}
    found = None
    if suite == "gpu_density":
        rules = criteria(objectives, suite, context)
        rule = rule_of(reference.run.parameters[suite])
        found = knee(reference.tables, rules, suite=suite, framerate=context["framerate"], rule=rule)
    again = evaluate(objectives, suite, reference.tables, context, knee=found)
    stored = next(item for item in reference.verdict.suites if item.suite == suite)
    measured = [result for result in stored.objectives if not result.metric.startswith("check:")]
    assert list(again.objectives) == measured
    assert any(result.outcome is Outcome.PASS for result in measured)


def test_the_report_is_drawn_from_a_copy(tmp_path: Path) -> None:
    copy = tmp_path / "results" / "reference"
    shutil.copytree(REFERENCE, copy)
    page = write_report(copy).read_text()
    assert "data:image/png;base64," in page
    done = vdibench("verdict", "reference", cwd=tmp_path)
    assert done.returncode in {0, 99}, done.stderr
    assert vdibench("runs", "prune", "--keep", "0", cwd=tmp_path).stdout.strip() == "nothing to remove"


def test_says_nothing_of_the_machine_it_was_made_on(reference: Recording) -> None:
    texts = [(REFERENCE / name).read_text() for name in ("run.json", "verdict.json", "junit.xml")]
    texts += [reference.table(name).to_csv() for name in ("checks", "facts")]
    for text in texts:
        assert not re.search(r"/(home|root|tmp|work|var|srv|Users)/", text)
