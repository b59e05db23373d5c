"""A writer that is killed at any moment leaves a readable folder and never a pass."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from contextlib import suppress
from pathlib import Path
from xml.etree import ElementTree

import pytest

from vdibench.records import EXIT_CODES, Outcome, RunState
from vdibench.store import SEAL_FILE, Recording, RunFolder, broken, prune, runs

KILLS = 40


def _spin(seconds: float) -> None:
    """Let the writer go on for a moment that no line of its output marks."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


@pytest.mark.parametrize("seed", range(3))
def test_a_killed_writer_leaves_a_readable_run_that_is_no_pass(writer, tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    finished = 0
    for number in range(KILLS):
        root = tmp_path / str(number)
        root.mkdir()
        pid = writer.command("life", root)
        said = [writer.line() for _ in range(chance.randrange(1, 21))]
        _spin(chance.random() * 0.006)
        with suppress(ProcessLookupError):  # it may have come to its end
            os.kill(pid, signal.SIGKILL)
        said += writer.until("ended")
        finished += _check(root, dict(said), said)
    assert finished < KILLS, "no writer was killed in time"


def _check(root: Path, last: dict[str, str], said: list[tuple[str, str]]) -> bool:
    entries = runs(root)
    if "created" in last:
        assert [entry.path for entry in entries] == [Path(last["created"])]
    for entry in entries:  # a run may exist although its writer did not come to say so
        assert entry.problem == ""
        recording = Recording.open(entry.path)
        numbers = recording.table("frames")["rtp_timestamp"].tolist()
        assert recording.damage == []
        assert len(numbers) == len(set(numbers)), "a row is there twice"
        assert set(range(int(last.get("flushed", 0)))) <= set(numbers), "a flushed row is lost"
        assert len(recording.run.phases) >= int(last.get("updated", 0))
        on_disk = _outcome_on_disk(entry.path)
        if recording.run.state is RunState.FINISHED:
            assert ("finishing", "") in said
            if (entry.path / SEAL_FILE).exists():
                assert broken(entry.path) == ()
                assert on_disk == "pass"
        else:
            assert recording.run.state is RunState.INTERRUPTED
            assert recording.verdict.outcome is Outcome.NO_DATA
            assert EXIT_CODES[recording.verdict.outcome] == 98
            assert on_disk in (None, "no data")
            assert not (entry.path / SEAL_FILE).exists()
            assert any("interrupted" in reason for suite in recording.verdict.suites for reason in suite.reasons)
    finished = ("finished", "") in said
    if finished:
        assert (Path(last["created"]) / SEAL_FILE).exists()
    return finished


def _outcome_on_disk(folder: Path) -> str | None:
    junit = folder / "junit.xml"
    if junit.exists():
        ElementTree.parse(junit)
    path = folder / "verdict.json"
    return json.loads(path.read_text())["outcome"] if path.exists() else None


def test_what_killed_writers_left_of_new_runs_is_swept(writer, tmp_path: Path) -> None:
    abandoned = tmp_path / ".creating-1-1"
    (abandoned / "samples").mkdir(parents=True)
    fresh = tmp_path / ".creating-2-2"
    fresh.mkdir()
    os.utime(abandoned, (1, 1))
    assert runs(tmp_path) == []
    prune(tmp_path, keep=0)
    assert not abandoned.exists()
    assert fresh.exists(), "another process may be making it now"


def test_a_process_that_ends_without_closing_loses_nothing(writer, tmp_path: Path) -> None:
    writer.command("forget", tmp_path)
    said = dict(writer.until("ended"))
    assert said["ended"] == "0"
    assert len(Recording.open(Path(said["path"])).table("frames")) == 10


def test_a_forked_copy_writes_nothing_twice(writer, tmp_path: Path) -> None:
    writer.command("fork", tmp_path)
    said = dict(writer.until("ended"))
    assert said["ended"] == "0"
    assert len(Recording.open(Path(said["path"])).table("frames")) == 10


def test_a_full_disk_is_one_line_and_keeps_the_rows_for_another_try(writer, tmp_path: Path) -> None:
    writer.command("full", tmp_path)
    said = dict(writer.until("ended"))
    assert said["ended"] == "0"
    assert "File too large" in said["refused"]
    assert "free some space" in said["refused"]
    assert said["again"] == said["refused"]
    recording = Recording.open(Path(said["path"]))
    assert recording.table("frames")["rtp_timestamp"].tolist() == list(range(30))
    assert list((recording.folder / "samples").glob(".*")) == [], "temporary files stayed"


def test_parts_that_a_killed_merge_left_are_not_read_twice(run, rows, tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, run)
    for first in range(0, 50, 10):
        folder.append("frames", rows(10, first))
        folder.flush()
    samples = folder.path / "samples"
    before = {path: path.read_bytes() for path in samples.iterdir()}
    folder.finish(RunState.FINISHED)
    [merged] = samples.iterdir()
    for path, content in before.items():
        if path != merged:
            path.write_bytes(content)
    assert len(list(samples.iterdir())) == 5
    assert Recording.open(folder.path).table("frames")["rtp_timestamp"].tolist() == list(range(50))
    folder.finish(RunState.FINISHED)
    assert list(samples.iterdir()) == [merged]
    assert Recording.open(folder.path).table("frames")["rtp_timestamp"].tolist() == list(range(50))
