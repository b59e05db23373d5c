"""Reading: liveness, damage, schema, and how long a million frames take."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from vdibench.errors import StoreError
from vdibench.records import RUN_SCHEMA, TABLES, VERDICT_SCHEMA, Outcome, RunState, SuiteVerdict
from vdibench.store import Recording, RunFolder, frame

DTYPES = {"int64": "int64", "float64": "float64", "bool": "bool"}


def _ended_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait(timeout=30)
    return process.pid


def test_a_run_whose_process_is_gone_was_interrupted(run, tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, replace(run, pid=_ended_process()))
    folder.write_verdict(SuiteVerdict("stream_validation", Outcome.PASS))
    recording = Recording.open(folder.path)
    assert recording.run.state is RunState.INTERRUPTED
    assert recording.verdict.outcome is Outcome.NO_DATA


def test_a_pid_that_another_process_has_now_does_not_keep_a_run_alive(run, tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, run)
    path = folder.path / "run.json"
    assert Recording.open(folder.path).run.state is RunState.RUNNING
    raw = json.loads(path.read_text())
    assert raw["pid"] == os.getpid()
    path.write_text(json.dumps({**raw, "pid_identity": raw["pid_identity"] + "0"}))
    assert Recording.open(folder.path).run.state is RunState.INTERRUPTED


def test_a_zombie_is_not_alive(run, tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        folder = RunFolder.create(tmp_path, replace(run, pid=process.pid))
        assert Recording.open(folder.path).run.state is RunState.RUNNING
        process.stdin.close()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # ended, but not yet reaped
        assert Recording.open(folder.path).run.state is RunState.INTERRUPTED


@pytest.mark.parametrize("name", TABLES)
def test_an_empty_table_is_typed(run, tmp_path: Path, name: str) -> None:
    table = Recording.open(RunFolder.create(tmp_path, run).path).table(name)
    assert len(table) == 0
    for column in TABLES[name].columns:
        assert column.dtype not in DTYPES or table[column.name].dtype == DTYPES[column.dtype]
    assert table.equals(frame(name, []))


def _older(part: Path, *, without: tuple[str, ...] = ()) -> None:
    """Rewrite a part as the first schema had it: without the columns that came later, and counters whole numbers."""
    table = TABLES[part.name.partition("-")[0]]
    read = pq.read_table(part)
    kept = read.select([c.name for c in table.columns if c.since == 1 and c.name not in without])
    for number, field in enumerate(kept.schema):
        if field.name in {"packets_lost", "nack_count", "pli_count"}:
            kept = kept.set_column(number, field.name, kept[field.name].cast("int64"))
    pq.write_table(kept, part)


@pytest.mark.parametrize("name", TABLES)
def test_a_part_of_the_first_schema_reads_with_later_columns_empty(run, tmp_path: Path, name: str) -> None:
    folder = RunFolder.create(tmp_path, run)
    samples = {"string": "x", "int64": 7, "float64": 2.0, "bool": True}
    row = {column.name: samples[column.dtype] for column in TABLES[name].columns} | {"suite": "stream_validation"}
    for _ in range(2):
        folder.append(name, [row])
        folder.flush()
    _older(folder.path / "samples" / f"{name}-stream_validation-00000.parquet")
    for merged in (False, True):
        if merged:
            folder.finish(RunState.FINISHED)
        recording = Recording.open(folder.path)
        old, new = recording.table(name).to_dict("records")
        assert recording.damage == []
        assert new == row
        for column in TABLES[name].columns:
            empty = {"string": "", "int64": -1, "float64": pytest.approx(np.nan, nan_ok=True), "bool": False}
            assert old[column.name] == (row[column.name] if column.since == 1 else empty[column.dtype])


def test_a_part_that_lacks_what_every_schema_has_is_damage(run, rows, tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, run)
    folder.append("frames", rows(1))
    folder.close()
    _older(folder.path / "samples" / "frames-stream_validation-00000.parquet", without=("complete",))
    recording = Recording.open(folder.path)
    assert len(recording.table("frames")) == 0
    assert "complete" in recording.damage[0]


def test_a_torn_part_is_left_out_and_told(run, rows, tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, run)
    for first in (0, 10, 20):
        folder.append("frames", rows(10, first))
        folder.flush()
    torn = folder.path / "samples" / "frames-stream_validation-00001.parquet"
    torn.write_bytes(torn.read_bytes()[:-40])
    (folder.path / "samples" / "frames-stream_validation-00003.parquet").write_bytes(b"")
    recording = Recording.open(folder.path)
    assert recording.table("frames")["rtp_timestamp"].tolist() == [*range(10), *range(20, 30)]
    assert [line.split(" ", 1)[0] for line in recording.damage] == [
        "frames-stream_validation-00001.parquet",
        "frames-stream_validation-00003.parquet",
    ]
    folder.finish(RunState.FINISHED)
    assert torn.exists(), "what cannot be read is kept for whoever can"
    again = Recording.open(folder.path)
    assert again.table("frames")["rtp_timestamp"].tolist() == [*range(10), *range(20, 30)]
    assert len(again.damage) == 2


def test_the_frame_that_is_given_out_is_the_callers(run, rows, tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, run)
    folder.append("frames", rows(2))
    folder.close()
    recording = Recording.open(folder.path)
    mine = recording.table("frames")
    mine["extra"] = 1
    assert "extra" not in recording.table("frames").columns
    assert set(recording.tables) == set(TABLES)
    with pytest.raises(KeyError):
        recording.tables["frame"]
    with pytest.raises(StoreError, match="no table 'frame'"):
        recording.table("frame")


@pytest.mark.parametrize("content", [None, "", "{", "[]", '{"a": 1}', '{"schema": 1}', '{"schema": 1, "state": "x"}'])
def test_what_is_not_a_run_folder_is_one_line(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "run.json").write_text(content)
    with pytest.raises(StoreError) as caught:
        Recording.open(tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert caught.value.remedy
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("name", "schema"), [("run.json", RUN_SCHEMA), ("verdict.json", VERDICT_SCHEMA)])
def test_a_newer_schema_is_refused(run, tmp_path: Path, name: str, schema: int) -> None:
    folder = RunFolder.create(tmp_path, run)
    folder.finish(RunState.FINISHED)
    path = folder.path / name
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema": schema + 1}))
    with pytest.raises(StoreError, match=re.escape(f"{path} has schema {schema + 1}, this vdibench reads up to")):
        Recording.open(folder.path)
