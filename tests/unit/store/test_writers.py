"""Several processes write one run; two runs of the same second have folders of their own."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from vdibench.records import RunState
from vdibench.store import Recording, RunFolder, runs


def test_two_processes_append_to_one_run(writer, second_writer, run, rows, tmp_path: Path) -> None:
    with RunFolder.create(tmp_path, run) as folder:
        pids = [each.command("append", folder.path, 200) for each in (writer, second_writer)]
        folder.append("frames", rows(50))
        assert [each.until("ended")[-1][1] for each in (writer, second_writer)] == ["0", "0"]
        folder.flush()
        frames = Recording.open(folder.path).table("frames")
        assert len(list((folder.path / "samples").glob("*.parquet"))) == 41
        folder.finish(RunState.FINISHED)
    for pid in pids:
        mine = frames[frames["session"] == f"desktop-{pid}"]
        assert mine["rtp_timestamp"].tolist() == list(range(200)), "rows of one writer keep their order"
    compacted = Recording.open(folder.path)
    assert len(list((folder.path / "samples").glob("*.parquet"))) == 1
    assert compacted.table("frames").equals(frames)


def test_two_processes_change_run_json_and_no_change_is_lost(writer, second_writer, run, tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, run)
    for each in (writer, second_writer):
        each.command("update", folder.path, 60)
    for number in range(20):
        folder.update(errors=[f"mine-{number}"])
    assert [each.until("ended")[-1][1] for each in (writer, second_writer)] == ["0", "0"]
    found = Recording.open(folder.path).run
    assert len(found.phases) == 120
    assert len(found.errors) == 140
    assert len(found.parameters) == 120


def test_runs_of_the_same_second_have_their_own_folders(run, tmp_path: Path) -> None:
    barrier = threading.Barrier(8)

    def create(_: int) -> str:
        barrier.wait(timeout=30)
        return RunFolder.create(tmp_path, run).path.name

    with ThreadPoolExecutor(8) as pool:
        names = set(pool.map(create, range(8)))
    base = min(names, key=len)
    assert names == {base, *(f"{base}-{number}" for number in range(2, 9))}
    assert all(Recording.open(tmp_path / name).run.name == name for name in names)
    assert runs(tmp_path)[0].path.name == f"{base}-8", "the last of a second is the newest"
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_name_says_when_what_and_how(run, tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, replace(run, started_unix_seconds=1_700_000_000.9))
    assert folder.path.name == "20231114T221320Z-pipeline-smoke"
    assert folder.run.pid == os.getpid()


def test_rows_reach_the_disk_without_a_flush(run, rows, tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, run)
    folder.append("frames", rows(3))
    pause = threading.Event()
    for _ in range(100):
        if len(Recording.open(folder.path).table("frames")) == 3:
            break
        pause.wait(0.1)
    else:
        raise AssertionError("the rows were still in memory after ten seconds")
    folder.close()
    assert len(list((folder.path / "samples").glob("*.parquet"))) == 1


def test_threads_of_one_process_share_a_folder(run, rows, tmp_path: Path) -> None:
    barrier = threading.Barrier(4)

    def append(number: int) -> None:
        barrier.wait(timeout=30)
        for first in range(0, 500, 5):
            folder.append("frames", rows(5, first, session=f"desktop-{number}"))
            if first % 100 == 0:
                folder.flush()

    with RunFolder.create(tmp_path, run) as folder, ThreadPoolExecutor(4) as pool:
        list(pool.map(append, range(4)))
    assert [thread.name for thread in threading.enumerate() if thread.name == "vdibench-store"] == []
    frames = Recording.open(folder.path).table("frames")
    for _, mine in frames.groupby("session"):
        assert mine["rtp_timestamp"].tolist() == list(range(500))
    assert len(frames) == 2000
