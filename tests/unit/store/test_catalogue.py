"""Runs are listed, found and removed; nothing else is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from vdibench.errors import StoreError
from vdibench.records import Outcome, Run, RunState
from vdibench.store import RunFolder, prune, resolve, runs


@pytest.fixture
def three(run: Run, tmp_path: Path) -> list[Path]:
    """Three ended runs, oldest first, and the reference run, in ``tmp_path``."""
    paths = []
    for age in (300_000, 200_000, 100_000):
        folder = RunFolder.create(tmp_path, replace(run, started_unix_seconds=run.started_unix_seconds - age))
        folder.finish(RunState.FINISHED)
        paths.append(folder.path)
    reference = RunFolder.create(tmp_path, run)
    reference.finish(RunState.FINISHED)
    reference.path.rename(tmp_path / "reference")
    return paths


def test_runs_are_listed_newest_first(three, tmp_path: Path) -> None:
    entries = runs(tmp_path)
    assert [entry.path for entry in entries] == [tmp_path / "reference", *reversed(three)]
    assert all(entry.outcome is Outcome.NO_DATA and entry.size_bytes > 500 for entry in entries)
    assert runs(tmp_path / "absent") == []


def test_a_damaged_run_is_listed_with_its_problem(three, tmp_path: Path) -> None:
    (three[1] / "run.json").write_text("{")
    [damaged] = [entry for entry in runs(tmp_path) if entry.run is None]
    assert damaged.path == three[1]
    assert "damaged" in damaged.problem


def test_a_run_is_found_by_name_path_or_as_the_latest(three, tmp_path: Path, monkeypatch) -> None:
    assert resolve(tmp_path, "latest") == three[-1], "the reference run is never the latest"
    assert resolve(tmp_path, three[0].name) == three[0]
    assert resolve(tmp_path / "elsewhere", str(three[0])) == three[0]
    monkeypatch.chdir(tmp_path)
    assert resolve(Path("elsewhere"), "reference") == Path("reference")


def test_a_run_that_is_not_there_is_one_line_with_the_nearest(three, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=f"did you mean '{three[0].name}'"):
        resolve(tmp_path, three[0].name.replace("smoke", "smoky"))
    with pytest.raises(StoreError, match="vdibench runs list"):
        resolve(tmp_path, "zzz")
    with pytest.raises(StoreError, match="is not a run folder"):
        resolve(tmp_path, str(tmp_path))
    with pytest.raises(StoreError, match="there is no run in"):
        resolve(tmp_path / "absent", "latest")


def test_prune_keeps_the_newest(three, tmp_path: Path) -> None:
    assert [entry.path for entry in prune(tmp_path, keep=1, dry_run=True)] == [three[1], three[0]]
    assert all(path.exists() for path in three)
    assert [entry.path for entry in prune(tmp_path, keep=1)] == [three[1], three[0]]
    assert [path.exists() for path in three] == [False, False, True]
    assert sorted(path.name for path in tmp_path.iterdir()) == [three[2].name, "reference"]


def test_prune_by_age_spares_the_kept(three, tmp_path: Path) -> None:
    assert [entry.path for entry in prune(tmp_path, older_than_seconds=250_000)] == [three[0]]
    assert prune(tmp_path, keep=2, older_than_seconds=0) == []
    assert [entry.path for entry in prune(tmp_path, keep=1, older_than_seconds=0)] == [three[1]]


def test_prune_touches_nothing_else(three, run, tmp_path: Path) -> None:
    outside = tmp_path.parent / f"{tmp_path.name}-outside"
    victim = RunFolder.create(outside, run)
    victim.finish(RunState.FINISHED)
    link = tmp_path / "20200101T000000Z-pipeline-link"
    link.symlink_to(victim.path)
    (three[0] / "link").symlink_to(victim.path)
    running = RunFolder.create(tmp_path, replace(run, started_unix_seconds=1.0)).path
    (tmp_path / "README.md").write_text("kept")
    named = tmp_path / "my-run"
    three[2].rename(named)
    empty = tmp_path / "20200101T000000Z-not-a-run"
    empty.mkdir()
    damaged = three[1]
    (damaged / "run.json").write_text("{")
    assert [entry.path for entry in prune(tmp_path, keep=0)] == [three[0]]
    assert (victim.path / "run.json").exists()
    assert all(path.exists() for path in (link, running, named, empty, damaged, tmp_path / "reference"))


def test_prune_wants_a_limit(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="nothing says which runs"):
        prune(tmp_path)
    with pytest.raises(StoreError, match="cannot be negative"):
        prune(tmp_path, keep=-1)
