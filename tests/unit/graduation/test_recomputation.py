"""The verdict of a stored run, made anew: the same where nothing was touched, and never a better one."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from vdibench.graduation.recomputation import recomputed, verdict_differences
from vdibench.records import Outcome, SuiteVerdict, Verdict
from vdibench.store import Recording
from vdibench.store.documents import load_verdict

from .runs import OBJECTIVES, SUITES, all_passed, drop_suite, passing_run, resample, rewrite

REFERENCE = Path(__file__).resolve().parents[2] / "data" / "runs" / "lab"


@pytest.fixture(scope="module")
def passed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return passing_run(tmp_path_factory.mktemp("results"))


@pytest.fixture
def own(passed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(passed, tmp_path / passed.name))


def again(folder: Path) -> Verdict:
    return recomputed(Recording.open(folder))


def suite_of(verdict: Verdict, name: str) -> SuiteVerdict:
    return next(suite for suite in verdict.suites if suite.suite == name)


def differences(folder: Path) -> list[str]:
    stored = load_verdict(folder)
    assert stored is not None
    return verdict_differences(stored, again(folder))


def test_the_committed_run_says_what_its_verdict_says() -> None:
    recording = Recording.open(REFERENCE)
    found = recomputed(recording)
    assert [suite.suite for suite in found.suites] == list(SUITES)
    for stored in recording.verdict.suites:
        assert suite_of(found, stored.suite) == stored
    assert found.outcome is recording.verdict.outcome
    assert differences(REFERENCE) == []


def test_a_run_as_it_was_left_says_the_same(passed: Path) -> None:
    assert again(passed) == Recording.open(passed).verdict
    assert again(passed).outcome is Outcome.PASS
    assert differences(passed) == []


def test_the_knee_is_that_of_the_samples(passed: Path) -> None:
    (found,) = [
        result for result in suite_of(again(passed), "gpu_density").objectives if result.metric == "sessions_per_gpu"
    ]
    assert (found.observed, found.outcome) == (2.0, Outcome.PASS)


def test_a_suite_that_was_taken_out_of_the_verdict_is_judged_all_the_same(tmp_path: Path) -> None:
    folder = passing_run(tmp_path, good=1)
    assert Recording.open(folder).verdict.outcome is Outcome.FAIL
    drop_suite(folder, "gpu_density")
    assert Recording.open(folder).verdict.outcome is Outcome.PASS
    assert suite_of(again(folder), "gpu_density").outcome is Outcome.FAIL
    assert again(folder).outcome is Outcome.FAIL
    assert differences(folder) == ["gpu_density: the verdict leaves it out, its samples say fail"]


def test_a_result_that_was_made_better_is_named_with_both_numbers(tmp_path: Path) -> None:
    folder = passing_run(tmp_path, good=1)

    rewrite(folder / "verdict.json", all_passed)
    assert differences(folder) == [
        "gpu_density: sessions_per_gpu knee_lower_bound >= 2 at gpu: stored pass (2), recomputed fail (1)"
    ]


def test_an_outcome_alone_that_was_made_better_is_named(own: Path, tmp_path: Path) -> None:
    folder = passing_run(tmp_path / "failed", good=1)
    rewrite(folder / "verdict.json", lambda document: document.update(outcome="pass"))
    assert differences(folder) == ["the verdict says pass, its suites say fail, recomputed fail"]
    rewrite(own / "verdict.json", lambda document: document["suites"][3].update(outcome="fail"))
    assert differences(own) == ["gpu_density: stored fail, recomputed pass"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda results: results.pop(), ": the verdict leaves it out"),
        (lambda results: results.append({**results[0], "expect": "avg > 1"}), "avg > 1: is in the verdict"),
        (lambda results: results.reverse(), "its objectives stand in another order"),
        (lambda results: results[-1].update(samples=1000), "stored of 1000 samples, recomputed of"),
        (lambda results: results[-1].update(bound=0.1), "stored against 0.1, recomputed against 24.0"),
    ],
)
def test_whatever_else_was_changed_in_it_is_named(own: Path, change: Callable[[Any], object], said: str) -> None:
    def in_stream(document: dict[str, Any]) -> None:
        (suite,) = [one for one in document["suites"] if one["suite"] == "stream_validation"]
        change(suite["objectives"])

    rewrite(own / "verdict.json", in_stream)
    found = differences(own)
    assert len(found) == 1
    assert found[0].startswith("stream_validation: ")
    assert said in found[0]


def test_one_value_of_a_sample_is_enough(own: Path) -> None:
    def later(rows: pd.DataFrame) -> pd.DataFrame:
        rows.loc[rows["event"] == "first_frame", "unix_seconds"] += 1.0
        return rows

    resample(own, "milestones", "stream_validation", later)
    (line,) = differences(own)
    assert "stream_validation: session_ready_seconds p(95) < 30: stored pass (1.1), recomputed pass (2.1" in line


def test_checks_are_those_of_the_samples(own: Path) -> None:
    def failed(rows: pd.DataFrame) -> pd.DataFrame:
        rows.loc[rows["name"] == "edge_api", "outcome"] = "fail"
        return rows

    resample(own, "checks", "stream_validation", failed)
    assert differences(own) == ["stream_validation: check:edge_api passes: stored pass, recomputed fail"]
    assert again(own).outcome is Outcome.FAIL


def test_a_word_that_is_no_outcome_is_no_pass(own: Path) -> None:
    resample(own, "checks", "preflight", lambda rows: rows.assign(outcome="passed"))
    assert suite_of(again(own), "preflight").outcome is Outcome.NO_DATA


def test_the_objectives_are_those_of_the_run(own: Path) -> None:
    softer = OBJECTIVES.replace("0.150\n      suites: [latency", "0.250\n      suites: [latency")
    assert softer != OBJECTIVES
    rewrite(own / "run.json", lambda document: document.update(objectives=softer))
    name = "glass_to_glass_seconds p(95) <"
    assert differences(own) == [
        f"{suite}: {name} {found}"
        for suite in ("latency_under_load", "gpu_density")
        for found in ("0.250: the verdict leaves it out", "0.150: is in the verdict, and was not asked for")
    ]


@pytest.mark.parametrize("text", ["", "schema: 99\n", "objectives.yaml", "not: [yaml"])
def test_without_readable_objectives_there_is_no_data(own: Path, text: str) -> None:
    rewrite(own / "run.json", lambda document: document.update(objectives=text))
    found = again(own)
    assert {suite.outcome for suite in found.suites} == {Outcome.NO_DATA}
    assert all("the objectives of the run cannot be read" in suite.reasons[-1] for suite in found.suites)


def test_the_frame_rate_is_that_of_the_suites_parameters(own: Path) -> None:
    rewrite(own / "run.json", lambda document: document["parameters"]["gpu_density"].update(framerate=20))
    found = differences(own)
    assert len(found) == 1
    assert "gpu_density: frames_per_second" in found[0]
    assert "stored against 24.0, recomputed against 16.0" in found[0]


def test_a_suite_that_was_invalid_stays_so_with_its_reasons(tmp_path: Path) -> None:
    reason = "somebody else measured meanwhile"
    folder = passing_run(tmp_path, invalid={"gpu_density": (reason,)})
    found = suite_of(again(folder), "gpu_density")
    assert (found.outcome, found.reasons) == (Outcome.INVALID, (reason,))
    assert differences(folder) == []


def test_a_suite_that_ended_early_has_no_verdict_of_its_samples(own: Path) -> None:
    ended = {"outcome": "no data", "reasons": ["the desktop went away"]}
    rewrite(own / "verdict.json", lambda document: document["suites"][3].update(ended))
    assert suite_of(again(own), "gpu_density").outcome is Outcome.NO_DATA


# what samples say against themselves


def invalid(folder: Path, suite: str) -> str:
    """Why a suite is invalid, as recomputed; its stored verdict is a pass."""
    assert suite_of(Recording.open(folder).verdict, suite).outcome is Outcome.PASS
    found = suite_of(again(folder), suite)
    assert found.outcome is Outcome.INVALID
    assert f"{suite}: stored pass, recomputed invalid: {'; '.join(found.reasons)}" in differences(folder)
    return "; ".join(found.reasons)


def test_a_late_client_is_found_again(own: Path) -> None:
    resample(own, "network", "stream_validation", lambda rows: rows.assign(event_loop_lag_seconds=0.2))
    assert "the client's event loop was late by 200 ms (p95)" in invalid(own, "stream_validation")


def test_frames_that_were_decoded_before_they_were_drawn_are_found_again(own: Path) -> None:
    def one_early(rows: pd.DataFrame) -> pd.DataFrame:
        rows.loc[rows.index[-1], "marker_unix_seconds"] = rows["decoded_unix_seconds"].iloc[-1] + 1.0
        return rows

    resample(own, "frames", "latency_under_load", one_early)
    assert "decoded before they were drawn" in invalid(own, "latency_under_load")


def test_a_software_encoder_is_found_again(own: Path) -> None:
    def software(rows: pd.DataFrame) -> pd.DataFrame:
        rows.loc[(rows["key"] == "stream.hardware") & (rows["session"] == "desktop-1"), "value"] = "False"
        return rows

    resample(own, "facts", "gpu_density", software)
    assert invalid(own, "gpu_density") == "desktop-1: encoder in use is nvh264enc, not the GPU's"


@pytest.mark.parametrize("suite", ["latency_under_load", "gpu_density"])
def test_an_overloaded_generator_is_found_again(own: Path, suite: str) -> None:
    resample(own, "engine", suite, lambda rows: rows.assign(loop_lag_p99_seconds=0.5))
    assert "level 1, trial 1" in invalid(own, suite)
    assert "event loop was late in 5 of 5 seconds" in invalid(own, suite)


def test_a_generator_that_said_nothing_is_found_again(own: Path) -> None:
    resample(own, "engine", "gpu_density", lambda rows: rows[rows["level"] != 2])
    assert "level 2, trial 1: no engine said anything" in invalid(own, "gpu_density")


def test_before_engines_had_a_table_the_stored_reasons_are_all_there_is(own: Path) -> None:
    resample(own, "engine", "gpu_density", lambda rows: rows[:0])
    rewrite(own / "run.json", lambda document: document.update(schema=2))
    assert differences(own) == []


def test_a_host_that_the_desktops_filled_excuses_a_late_loop_where_they_share_it(own: Path) -> None:
    def full(rows: pd.DataFrame) -> pd.DataFrame:
        rows.loc[rows["session"] == "host", "value"] = 7.8
        desktops = rows["session"].str.startswith("desktop-")
        rows.loc[desktops, "value"] = 7.0 / rows.loc[desktops, "level"]
        return rows

    resample(own, "engine", "gpu_density", lambda rows: rows.assign(loop_lag_p99_seconds=0.5))
    resample(own, "resources", "gpu_density", full)
    assert differences(own) == []
    # Desktops elsewhere have neither figures nor a word of how these came about.
    resample(own, "resources", "gpu_density", lambda rows: rows[~rows["session"].str.startswith("desktop-")])
    resample(own, "facts", "gpu_density", lambda rows: rows[rows["key"] != "telemetry"])
    assert "event loop was late" in invalid(own, "gpu_density")
