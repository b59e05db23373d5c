"""Evidence against the run that it is of, with runs as the real writer leaves them."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vdibench.graduation.capacity import capacity
from vdibench.graduation.findings import Finding
from vdibench.graduation.inspection import inspect
from vdibench.store import Recording
from vdibench.store.seal import seal, seal_digest
from vdibench.store.subjects import load_subjects

from .graduated_charts import SPEC, Graduation, Shown
from .runs import passing_run, resample, rewrite


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return passing_run(tmp_path / "results")


def graduation(run: Path, **changes: Any) -> Graduation:
    """What follows from a run, and its chart."""
    recording, subjects = Recording.open(run), load_subjects(run)
    assert subjects is not None
    shown = changes.get("capacity", capacity(recording, subjects))
    assert shown is not None
    known = {
        "run": recording.run,
        "verdict": recording.verdict,
        "of": subjects,
        "seal": seal_digest(run),
        "capacity": shown,
        "spec": {**SPEC, "capacity": {"sessionsPerGPU": shown.sessions_per_gpu}},
    }
    return Graduation(**{**known, **changes})


def inspected(chart: Path, run: Path) -> tuple[Finding, ...]:
    return inspect(chart, run=run, now=time.time())


def test_a_chart_of_a_run_agrees_with_it(run: Path, tmp_path: Path) -> None:
    chart = graduation(run).write(tmp_path / "chart")
    assert inspected(chart, run) == ()


def test_a_changed_sample_is_found(run: Path, tmp_path: Path) -> None:
    chart = graduation(run).write(tmp_path / "chart")

    def faster(frames: Any) -> Any:
        frames["decoded_unix_seconds"] -= 0.001
        return frames

    path = resample(run, "frames", "stream_validation", faster)
    found = inspected(chart, run)
    assert any(one.kind == "seal" and path.name in one.cause for one in found)


def test_a_run_that_was_sealed_again_has_another_seal(run: Path, tmp_path: Path) -> None:
    chart = graduation(run).write(tmp_path / "chart")
    rewrite(run / "run.json", lambda one: one.update(git_commit="0" * 40))
    seal(run)
    found = inspected(chart, run)
    assert {one.kind for one in found} == {"seal", "evidence"}
    assert any("run.sealSha256: was" in one.cause for one in found if one.kind == "seal")
    assert any("run.gitCommit: was" in one.cause for one in found if one.kind == "evidence")


def test_a_changed_verdict_is_found(run: Path, tmp_path: Path) -> None:
    chart = graduation(run).write(tmp_path / "chart")
    rewrite(run / "verdict.json", lambda one: one["suites"][1].update(outcome="fail"))
    found = inspected(chart, run)
    assert any(one.kind == "seal" and "verdict.json" in one.cause for one in found)
    assert any(one.kind == "evidence" and "suites[1].outcome: was" in one.cause for one in found)


def test_evidence_of_more_sessions_than_the_run_showed_is_found(run: Path, tmp_path: Path) -> None:
    """Though chart and evidence agree with each other, and the seal is the run's own."""
    better = Shown(12, None)
    verdict = Recording.open(run).verdict
    suites = tuple(
        dataclasses.replace(
            suite,
            objectives=tuple(
                dataclasses.replace(one, observed=12.0) if one.metric == "sessions_per_gpu" else one
                for one in suite.objectives
            ),
        )
        for suite in verdict.suites
    )
    forged = graduation(run, capacity=better, verdict=dataclasses.replace(verdict, suites=suites))
    chart = forged.write(tmp_path / "chart")
    assert inspect(chart, now=time.time()) == ()
    causes = [one.cause for one in inspected(chart, run)]
    assert any("capacity.sessionsPerGPU: was 2, is 12" in cause for cause in causes)
    assert any("observed: was 2.0, is 12.0" in cause for cause in causes)


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"kubernetes": "v1.99.0"}, "cluster.kubernetes: was"),
        ({"overlay": "k3s/other"}, "manifests.overlay: was"),
        ({"session": ()}, "manifests.sha256.session: was"),
        ({"lab": True}, "hardware.lab: was false, is true"),
        ({"images": ()}, "images[0]: was"),
    ],
)
def test_evidence_of_other_subjects_than_the_run_s_is_found(
    run: Path, tmp_path: Path, changes: dict[str, Any], path: str
) -> None:
    of = load_subjects(run)
    assert of is not None
    chart = graduation(run, of=dataclasses.replace(of, **changes)).write(tmp_path / "chart")
    assert any(path in one.cause for one in inspected(chart, run))


def test_another_run_is_not_the_one(run: Path, tmp_path: Path) -> None:
    chart = graduation(run).write(tmp_path / "chart")
    other = passing_run(tmp_path / "others", latency=0.02)
    found = inspected(chart, other)
    assert any(one.kind == "seal" and "run.sealSha256: was" in one.cause for one in found)


@pytest.mark.parametrize(
    ("spoil", "kind", "cause"),
    [
        (lambda run: (run / "seal.json").unlink(), "seal", "there is no seal.json"),
        (lambda run: (run / "subjects.json").unlink(), "evidence", "does not say what it was of"),
        (lambda run: (run / "run.json").unlink(), "evidence", "is not a run folder"),
        (lambda run: (run / "verdict.json").write_bytes(b"{"), "evidence", "is damaged"),
    ],
)
def test_a_run_that_lacks_something_gives_no_evidence(
    run: Path, tmp_path: Path, spoil: Callable[[Path], object], kind: str, cause: str
) -> None:
    chart = graduation(run).write(tmp_path / "chart")
    spoil(run)
    assert any(one.kind == kind and cause in one.cause for one in inspected(chart, run))
