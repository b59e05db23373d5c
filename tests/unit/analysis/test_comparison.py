"""Runs against each other: from run folders to what is worse, and what keeps a comparison from being made."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from vdibench.analysis.comparison import Comparison, Difference, Finding, compare, corrected
from vdibench.analysis.regressions import parse_limit, parse_wanted
from vdibench.errors import ParameterError, RunInvalid, TargetUnavailable, UsageError
from vdibench.records import Outcome, Run, RunState, SuiteVerdict
from vdibench.store import Recording, RunFolder

BEGIN = 1_760_000_000.0
G2G = "glass_to_glass_seconds"
Make = Callable[..., Recording]


def frames(random: np.random.Generator, place: dict[str, Any], begin: float, added: float, rate: float) -> pd.DataFrame:
    """Two seconds of one session, with an offset of its own."""
    drawn = begin + np.arange(int(2 * rate)) / rate
    latency = 0.020 + random.normal(0, 0.001) + added + np.abs(random.normal(0, 0.003, len(drawn)))
    found = pd.DataFrame({"marker_unix_seconds": drawn, "decoded_unix_seconds": drawn + latency})
    found["arrival_unix_seconds"] = found["decoded_unix_seconds"] - 0.002
    found["first_arrival_unix_seconds"] = found["assembled_unix_seconds"] = found["arrival_unix_seconds"]
    for name in ("capture", "encoded", "sent"):
        found[f"{name}_unix_seconds"] = np.nan
    other = {"rtp_timestamp": 0, "packets": 3, "size_bytes": 999, "key_frame": False, "marker_repeated": False}
    return found.assign(complete=True, **other, **place)


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """A finished run: ``make(added=0.010)`` holds every frame for 10 ms more, several values the trials' in turn."""

    def build(
        seed: int = 1,
        *,
        added: float | tuple[float, ...] = 0.0,
        rate: float = 30.0,
        levels: tuple[int, ...] = (2,),
        trials: int = 4,
        suite: str = "latency_under_load",
        state: RunState = RunState.FINISHED,
        outcome: Outcome = Outcome.PASS,
        **changes: Any,
    ) -> Recording:
        random = np.random.default_rng(seed)
        context = {"target": "lab", "dialect": "selkies-2-webrtc"} | changes.pop("context", {})
        run = Run("", suite, "smoke", "lab", BEGIN, context=context, parameters={suite: {"width": 640}}, **changes)
        with RunFolder.create(tmp_path, run) as folder:
            begin = BEGIN
            for level in levels:
                for trial in range(trials):
                    begin += 10
                    held = added[trial] if isinstance(added, tuple) else added
                    for number in range(level):
                        place = {"suite": suite, "level": level, "trial": trial, "phase": "steady"}
                        place["session"] = f"desktop-{number}"
                        folder.append("frames", frames(random, place, begin, held, rate))
            folder.write_verdict(SuiteVerdict(suite, outcome, reasons=("the host was busy",)))
            folder.finish(state, error="" if state is RunState.FINISHED else "it broke")
        return Recording.open(folder.path)

    return build


def one(found: Comparison, metric: str = G2G, level: int = 2) -> Difference:
    (row,) = [row for row in found.differences if (row.metric, row.level) == (metric, level)]
    return row


def test_a_run_does_not_differ_from_itself(make: Make) -> None:
    run = make()
    found = compare([run], [Recording.open(run.folder)])
    assert {row.finding for row in found.differences} <= {Finding.NO_DIFFERENCE, Finding.NO_DATA}
    assert all(row.delta == 0 and row.p == 1 for row in found.differences if row.finding is Finding.NO_DIFFERENCE)
    assert found.outcome is Outcome.PASS
    assert found.notes[0].startswith("a run stands on both sides")


def test_ten_milliseconds_are_found_with_their_sign(make: Make) -> None:
    base, new = make(1, trials=6), make(2, trials=6, added=0.010)
    worse, better = one(compare([base], [new])), one(compare([new], [base]))
    assert (worse.finding, better.finding) == (Finding.WORSE, Finding.BETTER)
    assert worse.delta == pytest.approx(0.010, abs=0.003)
    assert worse.p_corrected is not None
    assert worse.p_corrected < 0.01
    assert (worse.unit_of, worse.units, worse.samples) == ("trials", (6, 6), (720, 720))


def test_equal_runs_show_no_difference(make: Make) -> None:
    runs = [make(seed) for seed in range(10, 22)]
    wrong = [
        row
        for before, after in zip(runs[::2], runs[1::2], strict=True)
        for row in compare([before], [after]).differences
        if row.finding in (Finding.WORSE, Finding.BETTER)
    ]
    assert wrong == []


def test_fewer_frames_are_worse(make: Make) -> None:
    wanted = [parse_wanted("frames_per_second")]
    found = one(compare([make(1)], [make(2, rate=20.0)], wanted=wanted), "frames_per_second")
    assert found.finding is Finding.WORSE
    assert found.delta == pytest.approx(-10, abs=1)
    assert one(compare([make(2, rate=20.0)], [make(1)], wanted=wanted), "frames_per_second").finding is Finding.BETTER


@pytest.mark.parametrize(
    ("added", "limit", "outcome"),
    [
        (0.010, f"{G2G} p95 5%", Outcome.FAIL),
        (0.010, f"{G2G} p95 5ms", Outcome.FAIL),
        (0.010, f"{G2G} p95 20ms", Outcome.PASS),
        (0.000, f"{G2G} p95 50%", Outcome.PASS),
        (-0.010, f"{G2G} p95 5%", Outcome.PASS),
        (0.010, f"{G2G} p95 5% at level 2", Outcome.FAIL),
        (0.010, f"{G2G} p95 5% at level 3", Outcome.NO_DATA),
        (0.010, f"{G2G} p95 5% in gpu_density", Outcome.NO_DATA),
        (0.000, "input_to_photon_seconds p95 5%", Outcome.NO_DATA),
    ],
)
def test_limits_decide(make: Make, added: float, limit: str, outcome: Outcome) -> None:
    found = compare([make(1)], [make(2, added=added)], limits=[parse_limit(limit)])
    assert found.outcome is outcome
    assert all(result.reason for result in found.limits)


def test_only_what_was_asked_for_is_compared_and_corrected_for(make: Make) -> None:
    base, new = make(1), make(2)
    everything = compare([base], [new])
    asked = compare([base], [new], wanted=[parse_wanted(f"{G2G} p50")], limits=[parse_limit(f"{G2G} p95 5%")])
    assert [row.statistic for row in asked.differences] == ["p(95)", "p(50)"]
    assert len(everything.differences) > 4


@pytest.mark.parametrize(
    ("added", "outcome", "reason"),
    [
        (0.0035, Outcome.NO_DATA, "chance may explain that"),
        (0.008, Outcome.FAIL, "beyond chance"),
    ],
)
def test_a_limit_is_tested_against_itself(make: Make, added: float, outcome: Outcome, reason: str) -> None:
    """Both are surely worse than base; but only one surely by more than the limit."""
    found = compare([make(1)], [make(2, added=added)], limits=[parse_limit(f"{G2G} p95 5%")])
    assert one(found).finding is Finding.WORSE
    (result,) = found.limits
    assert (result.outcome, found.outcome) == (outcome, outcome)
    assert reason in result.reason
    assert result.p is not None
    assert (result.p < 0.05) is (outcome is Outcome.FAIL)


def test_a_large_loss_that_chance_may_explain_does_not_pass(make: Make) -> None:
    limit = [parse_limit(f"{G2G} p95 5%")]
    base, wild = make(1), make(2, added=(0.0, 0.0, 0.040, 0.0))
    found = compare([base], [wild], limits=limit)
    assert one(found).finding is Finding.NO_DIFFERENCE
    assert found.outcome is Outcome.NO_DATA
    assert "chance may explain that" in found.limits[0].reason
    # What is not worse passes, however wide its interval.
    assert compare([wild], [base], limits=limit).outcome is Outcome.PASS


def test_limits_are_corrected_together(make: Make) -> None:
    texts = [f"{G2G} p95 5%", f"{G2G} p50 5%", f"{G2G} avg 5%"]
    found = compare([make(1)], [make(2, added=0.010)], limits=[parse_limit(text) for text in texts])
    plain, corrected_too = ([getattr(result, name) for result in found.limits] for name in ("p", "p_corrected"))
    assert min(corrected_too) == pytest.approx(3 * min(plain))
    assert all(result.outcome is Outcome.FAIL for result in found.limits)


@pytest.mark.parametrize(("trials", "finding"), [(2, Finding.UNDECIDED), (3, Finding.WORSE)])
def test_many_sessions_of_few_trials_decide_nothing(make: Make, trials: int, finding: Finding) -> None:
    sides = [[make(seed, levels=(6,), trials=trials, added=added)] for seed, added in ((1, 0.0), (2, 0.010))]
    found = compare(*sides, wanted=[parse_wanted(G2G)])
    assert one(found, level=6).finding is finding
    assert one(found, level=6).units == (trials, trials)
    if finding is Finding.UNDECIDED:
        said = "2 + 2 trials say nothing of others: at least 3 trials or 3 runs a side are needed"
        assert one(found, level=6).note == said
        assert one(found, level=6).p_corrected is None
        assert any(note.startswith("undecided: sessions of one trial share the host") for note in found.notes)


def test_equal_sessions_of_few_trials_are_undecided_too(make: Make) -> None:
    """That these show no difference says nothing of others, either."""
    found = compare([make(1, trials=2)], [make(2, trials=2)], wanted=[parse_wanted(G2G)])
    assert one(found).finding is Finding.UNDECIDED


def test_few_sessions_decide_nothing(make: Make) -> None:
    base, new = make(1, levels=(1,), trials=1), make(2, levels=(1,), trials=1, added=0.010)
    limit = [parse_limit(f"{G2G} p95 5%")]
    found = compare([base], [new], limits=limit)
    assert one(found, level=1).finding is Finding.UNDECIDED
    assert "at least 3" in one(found, level=1).note
    assert found.outcome is Outcome.NO_DATA
    # What is not even worse needs no more sessions.
    assert compare([new], [base], limits=limit).outcome is Outcome.PASS


def test_several_runs_are_what_is_resampled(make: Make) -> None:
    base, new = [make(seed) for seed in (1, 2, 3)], [make(seed, added=0.010) for seed in (4, 5, 6)]
    found = one(compare(base, new))
    assert (found.unit_of, found.units, found.finding) == ("runs", (3, 3), Finding.WORSE)
    assert not any("not covered" in note for note in compare(base, new).notes)
    assert one(compare(base[:2], new[:2])).unit_of == "trials"


def test_what_base_has_new_must_have(make: Make) -> None:
    base, new = make(1, levels=(1, 2)), make(2, levels=(2, 3))
    limit = [parse_limit(f"{G2G} p95 50%")]
    assert compare([base], [new], limits=limit).outcome is Outcome.NO_DATA
    found = compare([new], [make(3, levels=(1, 2, 3))], limits=limit)
    assert [result.level for result in found.limits] == [2, 3]
    assert found.outcome is Outcome.PASS


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"outcome": Outcome.INVALID}, "is invalid: the host was busy"),
        ({"state": RunState.FAILED}, "is not finished but failed"),
        ({"state": RunState.INTERRUPTED}, "is not finished but interrupted"),
        ({"context": {"link": "4g"}}, "they differ in link: not stated against 4g"),
        ({"context": {"synthetic": True}}, "they differ in synthetic: no against yes"),
    ],
)
def test_runs_that_must_not_be_compared_are_refused(make: Make, how: dict[str, Any], said: str) -> None:
    with pytest.raises(RunInvalid, match=said) as caught:
        compare([make(1)], [make(2, **how)])
    assert caught.value.exit_code == 97


def test_what_was_accepted_is_told(make: Make) -> None:
    found = compare([make(1)], [make(2, context={"link": "4g"})], varied=["link"])
    assert [(key.key, str(key.agreement)) for key in found.checked if key.agreement != "same"] == [
        ("link", "under test")
    ]
    assert compare([make(3, context={"synthetic": True})], [make(4, context={"synthetic": True})]).synthetic


def test_no_suite_in_common_is_no_data(make: Make) -> None:
    with pytest.raises(TargetUnavailable, match="base measured latency_under_load, new gpu_density"):
        compare([make(1)], [make(2, suite="gpu_density")])


def test_mistakes_are_the_callers(make: Make) -> None:
    run = make(1)
    with pytest.raises(UsageError, match="stands twice among the base runs"):
        compare([run, Recording.open(run.folder)], [make(2)])
    with pytest.raises(ParameterError, match="no run states 'encodr'"):
        compare([run], [make(2)], allowed=["encodr"])


def test_many_comparisons_raise_the_bar() -> None:
    """Holm: the smallest of m counts m times, the next m - 1 times, and none less than the one before."""
    row = Difference("s", 1, G2G, "p(95)", "seconds", Finding.UNDECIDED, 1.0, 2.0, 1.0, 0.5, 1.5, method="t")
    given = [0.012, 0.004, 0.30, 0.011]
    found = corrected([dataclasses.replace(row, p=p) for p in given])
    assert [one.p_corrected for one in found] == pytest.approx([0.033, 0.016, 0.30, 0.033])
    assert [one.finding for one in found] == [Finding.WORSE, Finding.WORSE, Finding.NO_DIFFERENCE, Finding.WORSE]
    assert corrected([]) == []


def test_an_older_run_has_no_data_where_it_has_no_column(make: Make) -> None:
    """Stages came with schema 2: an older run compares, without them."""
    reference = Recording.open(Path(__file__).resolve().parents[3] / "tests" / "data" / "runs" / "lab")
    found = compare([reference], [Recording.open(reference.folder)], wanted=[parse_wanted(G2G)])
    assert {row.finding for row in found.differences} == {Finding.NO_DIFFERENCE}
    stages = one(
        compare([make(1)], [make(2)], wanted=[parse_wanted("capture_to_arrival_seconds")]), "capture_to_arrival_seconds"
    )
    assert (stages.finding, stages.note) == (Finding.NO_DATA, "base has no values")
