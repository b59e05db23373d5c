"""What may be written into a run, and what its end means."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from vdibench.errors import StoreError
from vdibench.records import TABLES, ObjectiveResult, Outcome, Phase, RunState, SuiteVerdict
from vdibench.store import Recording, RunFolder

PASSING = SuiteVerdict(
    "stream_validation",
    Outcome.PASS,
    (ObjectiveResult("jitter_seconds", "max < 1", Outcome.PASS, 0.1, 10, 1.0, "seconds", "0.1 is < 1"),),
)
FAILING = replace(PASSING, suite="latency_under_load", outcome=Outcome.FAIL)


@pytest.fixture
def folder(run, tmp_path: Path) -> RunFolder:
    return RunFolder.create(tmp_path, run)


def test_every_table_round_trips(folder) -> None:
    values = {"string": "x", "int64": 7, "float64": 1.5, "bool": True}
    for name, table in TABLES.items():
        row = {column.name: values[column.dtype] for column in table.columns} | {"suite": "gpu_density"}
        folder.append(name, [row, row])
    folder.close()
    recording = Recording.open(folder.path)
    for name, table in TABLES.items():
        frame = recording.table(name)
        assert tuple(frame.columns) == table.names
        assert frame.iloc[1].to_dict() == {c.name: values[c.dtype] for c in table.columns} | {"suite": "gpu_density"}


def test_rows_columns_and_frames_are_the_same(folder, rows) -> None:
    plain = rows(5)
    columns = {name: [row[name] for row in plain] for name in plain[0]}
    arrays = {**columns, "rtp_timestamp": np.arange(5, dtype=np.uint32), "complete": np.ones(5, dtype=bool)}
    folder.append("frames", plain)
    folder.append("frames", arrays)
    folder.append("frames", pd.DataFrame(columns))
    folder.append("frames", [])
    folder.close()
    frame = Recording.open(folder.path).table("frames")
    assert len(frame) == 15
    first = frame.iloc[:5].reset_index(drop=True)
    assert frame.iloc[5:10].reset_index(drop=True).equals(first)
    assert frame.iloc[10:].reset_index(drop=True).equals(first)
    assert frame["decoded_unix_seconds"].isna().all()
    assert frame["marker_unix_seconds"].isna().all(), "a float column that was left out is not measured, not zero"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"packts": 1}, "no column 'packts': did you mean 'packets'?"),
        ({"packets": "3"}, "column 'packets' of table frames takes int64, not str"),
        ({"packets": True}, "takes int64, not bool"),
        ({"packets": 3.0}, "takes int64, not float"),
        ({"packets": 2**63}, "exceeds 64 bits"),
        ({"complete": 1}, "takes bool, not int"),
        ({"arrival_unix_seconds": "now"}, "takes float64, not str"),
        ({"session": None}, "takes string, not NoneType"),
        ({"suite": "Stream-Validation"}, "cannot be a suite's name"),
    ],
)
def test_rows_that_do_not_fit_are_refused_whole(folder, rows, change, message) -> None:
    with pytest.raises(StoreError, match=message.replace("?", r"\?")):
        folder.append("frames", [*rows(1), {**rows(1)[0], **change}] if "packts" not in change else rows(1, **change))
    folder.close()
    assert len(Recording.open(folder.path).table("frames")) == 0


def test_missing_columns_tables_and_uneven_columns_are_refused(folder, rows) -> None:
    row = rows(1)[0]
    row.pop("packets")
    with pytest.raises(StoreError, match="lacks column 'packets'"):
        folder.append("frames", [row])
    with pytest.raises(StoreError, match="no table 'frame': did you mean 'frames'"):
        folder.append("frame", [])
    with pytest.raises(StoreError, match="differ in length"):
        folder.append("facts", {"key": ["a"], "value": ["a", "b"]})
    with pytest.raises(StoreError, match=r"differ in their columns \(packets\)"):
        folder.append("frames", [row, rows(1)[0]])


def test_a_run_is_no_pass_before_it_finished(folder) -> None:
    assert folder.write_verdict(PASSING).outcome is Outcome.NO_DATA
    assert json.loads((folder.path / "verdict.json").read_text())["outcome"] == "no data"
    running = Recording.open(folder.path)
    assert running.run.state is RunState.RUNNING
    assert running.verdict.outcome is Outcome.NO_DATA
    assert running.verdict.suites[0] == PASSING
    assert folder.finish(RunState.FINISHED).outcome is Outcome.PASS
    assert json.loads((folder.path / "verdict.json").read_text())["outcome"] == "pass"
    assert Recording.open(folder.path).verdict.outcome is Outcome.PASS


@pytest.mark.parametrize("state", [RunState.INTERRUPTED, RunState.FAILED])
@pytest.mark.parametrize(("suite", "outcome"), [(PASSING, Outcome.NO_DATA), (FAILING, Outcome.FAIL)])
def test_an_unfinished_run_never_passes_and_keeps_its_failures(folder, state, suite, outcome) -> None:
    folder.write_verdict(suite)
    assert folder.finish(state, error="the lab went away").outcome is outcome
    recording = Recording.open(folder.path)
    assert recording.verdict.outcome is outcome
    assert recording.run.errors == ("the lab went away",)
    assert json.loads((folder.path / "verdict.json").read_text())["outcome"] == outcome


def test_a_finished_run_without_a_verdict_is_no_data(folder) -> None:
    folder.finish(RunState.FINISHED)
    verdict = Recording.open(folder.path).verdict
    assert verdict.outcome is Outcome.NO_DATA
    assert verdict.suites[-1].reasons == ("no suite reached a verdict",)


def test_a_contended_run_is_invalid_and_names_the_other(folder) -> None:
    folder.write_verdict(PASSING)
    folder.update(contention=["20260101T000000Z-pipeline-smoke"])
    assert folder.finish(RunState.FINISHED).outcome is Outcome.INVALID
    verdict = Recording.open(folder.path).verdict
    assert verdict.outcome is Outcome.INVALID
    assert "20260101T000000Z-pipeline-smoke" in verdict.suites[-1].reasons[0]


def test_a_verdict_file_that_claims_more_than_its_suites_is_not_believed(folder) -> None:
    folder.write_verdict(FAILING)
    folder.finish(RunState.FINISHED)
    path = folder.path / "verdict.json"
    path.write_text(path.read_text().replace('"outcome": "fail",\n  "suites"', '"outcome": "pass",\n  "suites"'))
    assert json.loads(path.read_text())["outcome"] == "pass"
    assert Recording.open(folder.path).verdict.outcome is Outcome.FAIL


def test_a_suite_that_ran_again_replaces_its_verdict(folder) -> None:
    folder.write_verdict(replace(PASSING, outcome=Outcome.FAIL))
    folder.write_verdict(FAILING)
    verdict = folder.write_verdict(PASSING)
    assert [(suite.suite, suite.outcome) for suite in verdict.suites[:-1]] == [
        ("stream_validation", Outcome.PASS),
        ("latency_under_load", Outcome.FAIL),
    ]


def test_changes_are_added_and_merged(folder) -> None:
    folder.update(phases=[Phase("lab", 2.0)], errors=["one"], context={"gpu": False}, git_commit="abc")
    folder.update(phases=[Phase("lab", 3.0)], errors=["one", "two"], context={"dialect": "selkies-2-webrtc"})
    run = Recording.open(folder.path).run
    assert run.phases == (Phase("lab", 2.0), Phase("lab", 3.0))
    assert run.errors == ("one", "two")
    assert run.context == {"gpu": False, "dialect": "selkies-2-webrtc"}
    assert run.git_commit == "abc"
    with pytest.raises(StoreError, match="'stat' of a run cannot be changed"):
        folder.update(stat=1)
    with pytest.raises(StoreError, match="'state' of a run cannot be changed"):
        folder.update(state=RunState.FINISHED)
    with pytest.raises(StoreError, match="takes a mapping"):
        folder.update(context="lab")


def test_values_that_json_lacks_become_text_or_null(folder) -> None:
    folder.update(parameters={"s": {"path": Path("a/b"), "nan": float("nan"), "n": np.int64(3), "t": (1, 2)}})
    text = (folder.path / "run.json").read_text()
    assert json.loads(text)["parameters"]["s"] == {"path": "a/b", "nan": None, "n": 3, "t": [1, 2]}


def test_an_ended_run_takes_no_samples_and_no_verdict_but_files(folder, rows) -> None:
    folder.finish(RunState.FINISHED)
    for writer in (folder, RunFolder.open(folder.path)):
        for write in (
            lambda writer=writer: writer.append("frames", rows(1)),
            lambda writer=writer: writer.update(errors=["late"]),
            lambda writer=writer: writer.write_verdict(PASSING),
        ):
            with pytest.raises(StoreError, match="is finished"):
                write()
        writer.write_text("report.html", "<p>drawn again</p>")
    assert Recording.open(folder.path).path("report.html").read_text() == "<p>drawn again</p>"


def test_an_ended_run_can_only_become_worse(folder) -> None:
    folder.write_verdict(PASSING)
    folder.finish(RunState.FINISHED)
    folder.finish(RunState.FAILED, error="the report could not be drawn")
    assert Recording.open(folder.path).run.state is RunState.FAILED
    folder.finish(RunState.FINISHED)
    assert Recording.open(folder.path).run.state is RunState.FAILED
    assert Recording.open(folder.path).verdict.outcome is Outcome.NO_DATA


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (KeyboardInterrupt(), RunState.INTERRUPTED),
        (asyncio.CancelledError(), RunState.INTERRUPTED),
        (ValueError("the\nlab"), RunState.FAILED),
    ],
)
def test_an_error_in_the_block_ends_the_run_and_keeps_its_samples(run, rows, tmp_path, error, state) -> None:
    folder = RunFolder.create(tmp_path, run)

    def measure() -> None:
        with folder:
            folder.append("frames", rows(7))
            raise error

    with pytest.raises(type(error)):
        measure()
    recording = Recording.open(folder.path)
    assert recording.run.state is state
    assert recording.run.errors == (("the lab",) if str(error) else (type(error).__name__,))
    assert recording.run.ended_unix_seconds is not None
    assert len(recording.table("frames")) == 7


def test_an_error_in_a_kernel_does_not_end_the_runners_run(folder, rows) -> None:

    def measure() -> None:
        with RunFolder.open(folder.path) as kernel:
            kernel.append("frames", rows(2))
            raise ValueError

    with pytest.raises(ValueError):
        measure()
    recording = Recording.open(folder.path)
    assert recording.run.state is RunState.RUNNING
    assert len(recording.table("frames")) == 2


def test_paths_stay_in_the_folder(folder) -> None:
    assert folder.write_text("figures/a.txt", "x").read_text() == "x"
    for reach in (folder.file, Recording.open(folder.path).path):
        with pytest.raises(StoreError, match="outside the run folder"):
            reach("../other/run.json")


def test_a_results_folder_that_cannot_be_written_is_one_line(run, tmp_path: Path) -> None:
    obstacle = tmp_path / "results"
    obstacle.write_text("a file")
    with pytest.raises(StoreError) as caught:
        RunFolder.create(obstacle, run)
    assert str(caught.value).startswith(f"cannot write {obstacle}: Not a directory: ")
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 1


def test_a_suite_or_profile_that_cannot_be_a_name_is_refused(run, tmp_path: Path) -> None:
    for change in ({"suite": "../x"}, {"profile": "a/b"}, {"profile": ""}, {"suite": ".hidden"}):
        with pytest.raises(StoreError, match="cannot stand in a folder's name"):
            RunFolder.create(tmp_path, replace(run, **change))
    assert list(tmp_path.iterdir()) == []
