"""What a report says of a knee search: decisions with reasons, limits, fairness, neighbours, ways of sharing."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from vdibench import report
from vdibench.analysis import IntegerSearch
from vdibench.report import NO_DATA, Evidence
from vdibench.report.document import write_report
from vdibench.store import Recording


@pytest.fixture
def evidence(searched: Path) -> Evidence:
    return Evidence.of(Recording.open(searched))


def test_every_level_says_what_was_decided_and_why(evidence: Evidence) -> None:
    found = evidence.knee("gpu_density")
    assert found is not None
    assert (found.lower, found.upper) == (4, 5)
    table = report.density_table(evidence).set_index("sessions")
    assert table["level"].to_dict() == {
        "1": "seems good", "2": "seems good", "4": "good", "5": "undecided", "6": "bad", "8": "seems bad",
    }  # fmt: skip
    assert table.loc["4", "bound"] == "lower bound"
    assert table.loc["6", "bound"] == "first bad level"
    assert re.fullmatch(r"3 of 3 trials passed, the last one \d+% inside", table.loc["4", "why"])
    assert table.loc["5", "why"].endswith("too close to call")
    assert table.loc["8", "why"] == "0 of 1 trials passed: not confirmed"
    assert table.loc["5", "good sessions, by trial"].count(",") == 5


def test_what_limits_is_said_with_its_share(evidence: Evidence) -> None:
    assert "host CPU was at" in report.limit_sentence(evidence)
    table = report.limits_table(evidence)
    assert table.loc[0, "resource"] == "Host CPU"
    assert set(table["capacity"]) >= {"2.00 cores", "not known"}
    assert re.fullmatch(r"\d+ %|\d+\.\d %", table.loc[0, "share of it"])
    assert " … " in table.loc[0, "in step with latency"]


def test_fairness_and_the_worst_session_of_each_level(evidence: Evidence) -> None:
    table = report.fairness_table(evidence).set_index("sessions")
    assert table.index.tolist() == ["1", "2", "4", "5", "6", "8"]
    assert table.loc["1", "Jain index of frame rates"] == "1.000"
    assert float(table.loc["8", "Jain index of p95 latency"]) < 1
    assert re.fullmatch(r"desktop-\d, trial 1", table.loc["8", "of"])


def test_the_neighbour_matrix_has_a_row_a_victim_and_a_column_each_number(evidence: Evidence) -> None:
    table = report.neighbours_table(evidence)
    assert table.columns.tolist() == ["user", "neighbours", "of the user", "alone", "beside 1", "beside 2"]
    assert table["of the user"].tolist() == ["p95 glass to glass", "mean frame rate"]
    assert table.loc[0, ["user", "neighbours"]].tolist() == ["idle", "video"]
    assert re.search(r"ms, \+\d+% \(\+\d+.* ms … \+\d+.* ms\), n = 3", table.loc[0, "beside 2"])
    change = [int(re.search(r"\+(\d+)%", table.loc[0, f"beside {count}"])[1]) for count in (1, 2)]  # type: ignore[index]  # matched above
    assert change == [pytest.approx(100, abs=20), pytest.approx(200, abs=30)]


def test_ways_of_sharing_without_a_run_are_no_data(tmp_path: Path, search_run: Callable[..., Path]) -> None:
    paths = [
        search_run(tmp_path / "a", sharing="mps"),
        search_run(tmp_path / "b", knee=4.5, sharing="time-slicing", gpu=True, synthetic=True),
    ]
    table = report.sharing_table(map(Recording.open, paths)).set_index("sharing")
    assert table.index.tolist() == ["time-slicing", "whole", "mps", "mig"]
    assert table.loc["whole"].tolist() == [NO_DATA] * len(table.columns)
    assert table.loc["mps", "knee, at least"] == "4"
    assert table.loc["mps", "GPU"] == NO_DATA, "no GPU was read"
    assert table.loc["time-slicing", "GPU"].endswith(" %")
    assert table.loc["time-slicing", "run"].endswith("(synthetic)")
    assert int(table.loc["time-slicing", "knee, at least"]) < 4
    assert report.sharing_table([])["run"].tolist() == [NO_DATA] * 4


def test_a_small_level_that_is_too_close_is_not_called_bad() -> None:
    search = IntegerSearch(4)
    while (level := search.next()) is not None:
        passed = level == 1 and search.trials(level) % 2 == 0
        search.observe(
            level, good=level * passed, sessions=level, margin=0.03 if passed else -0.03 if level == 1 else -0.6
        )
    assert report.knee_text(search.knee()) == "knee: at most 1, no level is known to be good"
    bad = IntegerSearch(4)
    while (level := bad.next()) is not None:
        bad.observe(level, good=0, sessions=level, margin=-0.6)
    assert report.knee_text(bad.knee()) == "knee: none, even 1 was bad"


def test_nothing_measured_has_no_rows() -> None:
    for table in (report.density_table({}), report.fairness_table({}), report.limits_table({})):
        assert table.empty
    assert report.neighbours_table({}).empty
    assert "unknown" in report.limit_sentence({})


def test_all_of_it_stands_in_the_report(searched: Path, tmp_path: Path) -> None:
    page = write_report(Path(shutil.copytree(searched, tmp_path / searched.name))).read_text()
    for text in (
        "What limits",
        "Fairness and the worst session",
        "Noisy neighbours",
        "A level is good when at least 80% of trials would pass",
        "Knee: 4 … 5.",
    ):
        assert text in page, text
