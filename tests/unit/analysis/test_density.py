"""The knee: what it needs, what it does not believe, and what it admits not to know."""

from __future__ import annotations

import numpy as np
import pytest

from vdibench.analysis import criteria, good_sessions, jain_index, knee, measured_trial, tried_levels, worst_session
from vdibench.metrics import Statistic
from vdibench.slo import evaluate, load, parse_expectation

CRITERIA = (("glass_to_glass_seconds", parse_expectation("p(95) < 0.050")),)
SUITE = "gpu_density"


def _session(level: int, number: int, latency: float, *, trial: int = 0, frames: int = 20, phase: str = "steady"):
    return [
        {
            "suite": SUITE,
            "level": level,
            "trial": trial,
            "phase": phase,
            "session": f"desktop-{number}",
            "arrival_unix_seconds": 1e9 + at,
            "marker_unix_seconds": 1e9 + at,
            "decoded_unix_seconds": 1e9 + at + latency,
        }
        for at in range(frames)
    ]


def _levels(limits: dict[int, float], trials: int = 1):
    """Each level's sessions, all with the same latency."""
    return [
        row
        for level, latency in limits.items()
        for trial in range(trials)
        for number in range(level)
        for row in _session(level, number, latency, trial=trial)
    ]


def _bounds(rows_or_tables):
    found = knee(rows_or_tables, CRITERIA)
    return None if found is None else (found.lower, found.upper)


def test_the_knee_lies_between_the_last_good_and_the_first_bad_level(tables) -> None:
    found = knee(tables(frames=_levels({1: 0.01, 2: 0.01, 4: 0.02, 8: 0.09}, trials=2)), CRITERIA)
    assert (found.lower, found.upper) == (4, 7)
    assert [(level.level, level.good) for level in found.levels] == [(1, True), (2, True), (4, True), (8, False)]
    assert [len(level.trials) for level in found.levels] == [2, 2, 2, 2]
    assert found.levels[-1].trials[0].bad_sessions == tuple(f"desktop-{number}" for number in range(8))


def test_neighbouring_levels_pin_it(tables) -> None:
    assert _bounds(tables(frames=_levels({1: 0.01, 4: 0.01, 5: 0.09}))) == (4, 4)


def test_without_a_bad_level_there_is_no_upper_bound(tables) -> None:
    assert _bounds(tables(frames=_levels({1: 0.01, 2: 0.01}))) == (2, None)


def test_a_bad_first_level_is_a_knee_of_zero(tables) -> None:
    assert _bounds(tables(frames=_levels({1: 0.09}))) == (0, 0)
    assert _bounds(tables(frames=_levels({1: 0.09, 2: 0.09}))) == (0, 0)


def test_nothing_measured_is_no_knee(tables) -> None:
    assert knee(tables(), CRITERIA) is None
    assert knee(tables(), CRITERIA, attempted=[(1, 0)]) is None
    warm = [row for number in range(2) for row in _session(2, number, 0.01, phase="warmup")]
    assert knee(tables(frames=warm), CRITERIA) is None
    [level] = tried_levels(tables(frames=warm), CRITERIA)
    assert level.good is None


def test_one_bad_trial_makes_a_level_bad(tables) -> None:
    rows = _levels({1: 0.01, 2: 0.01}) + _session(2, 0, 0.01, trial=1) + _session(2, 1, 0.09, trial=1)
    assert _bounds(tables(frames=rows)) == (1, 1)


def test_a_trial_that_left_nothing_leaves_its_level_undecided(tables) -> None:
    rows = _levels({1: 0.01, 2: 0.01, 4: 0.09})
    found = knee(tables(frames=rows), CRITERIA, attempted=[(2, 0), (2, 1)])
    assert (found.lower, found.upper) == (1, 3)
    assert [level.good for level in found.levels] == [True, None, False]


@pytest.mark.parametrize("pending", [False, True])
def test_the_start_of_sessions_before_any_trial_is_no_trial(tables, pending: bool) -> None:
    place = {"suite": SUITE, "level": 1, "trial": -1, "phase": "warmup"}
    starts = [
        {**place, "session": f"desktop-{number}", "event": event, "unix_seconds": 1e9 - 60 + at}
        for number in range(3)
        for at, event in enumerate(("started", "admitted", "failed" if pending and number == 2 else "first_frame"))
    ]
    found = knee(tables(frames=_levels({1: 0.01, 2: 0.01}), milestones=starts), CRITERIA)
    assert (found.lower, found.upper) == (2, None)
    assert [trial.trial for level in found.levels for trial in level.trials] == [0, 0]


def test_a_session_that_left_nothing_is_not_good(tables) -> None:
    rows = _levels({1: 0.01}) + _session(2, 0, 0.01)
    assert _bounds(tables(frames=rows)) == (1, 1)
    network = [{"suite": SUITE, "level": 2, "session": "desktop-1", "unix_seconds": 1e9}]
    found = knee(tables(frames=rows, network=network), CRITERIA)
    assert found.levels[1].trials[0].bad_sessions == ("desktop-1",)


def test_sessions_that_were_watched_and_never_seen_are_bad_not_absent(tables) -> None:
    network = [{"suite": SUITE, "session": "desktop-0", "unix_seconds": 1e9 + at} for at in range(5)]
    assert _bounds(tables(network=network)) == (0, 0)


@pytest.mark.parametrize(("bad", "good"), [(1, True), (2, False)])
def test_95_of_100_sessions_are_enough_of_20(tables, bad: int, good: bool) -> None:
    rows = [row for number in range(20) for row in _session(20, number, 0.09 if number < bad else 0.01, frames=3)]
    [level] = tried_levels(tables(frames=rows), CRITERIA)
    assert level.good is good


def test_a_good_level_above_a_bad_one_is_not_believed(tables) -> None:
    found = knee(tables(frames=_levels({1: 0.01, 2: 0.09, 3: 0.01})), CRITERIA)
    assert (found.lower, found.upper, found.contradicting) == (1, 1, (3,))


@pytest.mark.parametrize("seed", range(10))
def test_a_known_knee_is_found_whatever_levels_are_tried(tables, seed: int) -> None:
    chance = np.random.default_rng(seed)
    true = int(chance.integers(0, 9))
    tried = sorted({int(level) for level in chance.integers(1, 9, size=5)})
    found = knee(tables(frames=_levels({level: 0.01 if level <= true else 0.09 for level in tried})), CRITERIA)
    assert found.lower <= true
    assert found.upper is None or true <= found.upper
    assert (found.upper is None) == (true >= max(tried))


def test_a_session_keeps_every_criterion_or_is_not_good(tables) -> None:
    rows = _session(1, 0, 0.01)
    made = tables(frames=rows)
    where = {"suite": SUITE, "level": 1, "trial": 0}
    rate = ("frames_per_second", parse_expectation("p(5) > 0.9 * target"))
    assert good_sessions(made, CRITERIA, **where) == {"desktop-0": True}
    assert good_sessions(made, (*CRITERIA, rate), framerate=1, **where) == {"desktop-0": True}
    assert good_sessions(made, (*CRITERIA, rate), framerate=2, **where) == {"desktop-0": False}
    assert good_sessions(made, (*CRITERIA, rate), **where) == {"desktop-0": False}, "a target that is not known"
    inputs = ("input_to_photon_seconds", parse_expectation("p(95) < 1"))
    assert good_sessions(made, (*CRITERIA, inputs), **where) == {"desktop-0": False}, "nothing measured"
    with pytest.raises(ValueError, match="at least one"):
        good_sessions(made, (), **where)


def test_a_trial_that_freezes_decided_has_no_margin(tables) -> None:
    """A frame a second for the first half, then none for ten seconds: a count says pass or fail, not by how much."""
    freezes = ("freezes_per_minute", parse_expectation("max <= 6"))
    smooth = _session(1, 0, 0.01)
    frozen = [*smooth, {**smooth[-1], "arrival_unix_seconds": smooth[-1]["arrival_unix_seconds"] + 10.0}]
    for rows, passed in ((smooth, True), (frozen, True)):
        trial = measured_trial(tables(frames=rows), (*CRITERIA, freezes), 1, 0)
        assert trial.passed is passed
    assert measured_trial(tables(frames=smooth), (*CRITERIA, freezes), 1, 0).margin == pytest.approx(0.8)
    assert measured_trial(tables(frames=frozen), (*CRITERIA, freezes), 1, 0).margin is None
    strict = ("freezes_per_minute", parse_expectation("max <= 1"))
    failed = measured_trial(tables(frames=frozen), (*CRITERIA, strict), 1, 0)
    assert (failed.passed, failed.margin, failed.bad_sessions) == (False, None, ("desktop-0",))
    late = measured_trial(tables(frames=_session(1, 0, 0.09)), (*CRITERIA, freezes), 1, 0)
    assert late.margin == pytest.approx(-0.8)


def test_criteria_are_the_objectives_of_one_session(tables) -> None:
    objectives = load(
        "schema: 1\nobjectives:\n"
        "  glass_to_glass_seconds: p(95) < 0.050\n"
        "  frames_per_second: {expect: p(5) > 1, where: {gpu: true}}\n"
        "  freezes_per_minute: max < 1\n"
        "  event_loop_lag_seconds: max < 1\n"
        "  desktop_cpu_cores: max < 1\n"
        "  sessions_per_host: knee_lower_bound >= 2\n"
    )
    found = criteria(objectives, SUITE, {"gpu": False})
    assert [metric for metric, _ in found] == ["glass_to_glass_seconds", "freezes_per_minute"]


def test_a_knee_is_what_objectives_take(tables) -> None:
    objectives = load("schema: 1\nobjectives:\n  sessions_per_host: knee_lower_bound >= 2\n")
    made = tables(frames=_levels({1: 0.01, 2: 0.01, 3: 0.09}))
    assert evaluate(objectives, SUITE, made, {}, knee=knee(made, CRITERIA)).outcome == "pass"
    made = tables(frames=_levels({1: 0.01, 2: 0.09}))
    assert evaluate(objectives, SUITE, made, {}, knee=knee(made, CRITERIA)).outcome == "fail"


@pytest.mark.parametrize(
    ("shares", "index"), [([1, 1, 1], 1.0), ([5], 1.0), ([1, 0, 0, 0], 0.25), ([], None), ([0, 0], None), ([3, 1], 0.8)]
)
def test_jain(shares, index) -> None:
    assert jain_index(shares) == (None if index is None else pytest.approx(index))


def test_the_worst_session_is_worst_in_the_metrics_own_direction(tables) -> None:
    made = tables(frames=_session(2, 0, 0.01, frames=30) + _session(2, 1, 0.03, frames=20))
    worst = worst_session("glass_to_glass_seconds", Statistic.parse("p(95)"), made, suite=SUITE, level=2)
    assert worst == ("desktop-1", pytest.approx(0.03))
    assert worst_session("frames_per_second", Statistic.parse("min"), made, suite=SUITE, level=2)[1] == 1.0
    assert worst_session("input_to_photon_seconds", Statistic.parse("max"), made, suite=SUITE, level=2) is None
    with pytest.raises(ValueError, match="better than another"):
        worst_session("frame_size_bytes", Statistic.parse("max"), made, suite=SUITE, level=2)


def test_what_is_known_of_a_desktop_s_clock_holds_at_every_level(tables) -> None:
    """Desktops whose clocks are an hour ahead are as good as others once that was found out, at the first level."""
    rows = [
        {**row, "marker_unix_seconds": row["marker_unix_seconds"] + 3600.0}
        for row in _levels({1: 0.01, 2: 0.01, 4: 0.09})
    ]
    clock = [
        {
            "suite": SUITE,
            "session": f"desktop-{number}",
            "unix_seconds": 1e9,
            "offset_seconds": 3600.0,
            "bound_seconds": 0.001,
        }
        for number in range(4)
    ]
    assert _bounds(tables(frames=rows, clock=clock)) == (2, 3)
