"""Stages of a frame and of an input, and the clock that some of their ends are read from."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from vdibench.metrics import values, worst_bound
from vdibench.metrics.clocks import offsets

POINTS = ("marker", "capture", "encoded", "sent", "arrival", "assembled", "decoded")
STAGES = {
    "draw_to_capture_seconds": 0.001,
    "capture_to_encoded_seconds": 0.002,
    "encoded_to_sent_seconds": 0.004,
    "sent_to_arrival_seconds": 0.008,
    "arrival_to_assembled_seconds": 0.016,
    "assembled_to_decoded_seconds": 0.032,
}
OURS = {"arrival", "assembled", "decoded"}
START = 1.7e9


def _frame(number: int = 0, ahead: float = 0.0, **changes):
    """A frame whose stages last what they are worth in :data:`STAGES`, from a desktop whose clock is ``ahead``."""
    instants = START + number + np.cumsum([0.0, *STAGES.values()])
    stated = {
        f"{name}_unix_seconds": instant + (0.0 if name in OURS else ahead)
        for name, instant in zip(POINTS, instants, strict=True)
    }
    return {**stated, "first_arrival_unix_seconds": stated["arrival_unix_seconds"] - 0.003, **changes}


def test_stages_add_up_to_the_whole(tables) -> None:
    made = tables(frames=[_frame()])
    found = {name: values(name, made, suite="s").tolist() for name in STAGES}
    assert found == {name: [pytest.approx(seconds, abs=1e-6)] for name, seconds in STAGES.items()}
    whole = {
        "glass_to_glass_seconds": 0.063,
        "draw_to_arrival_seconds": 0.015,
        "capture_to_arrival_seconds": 0.014,
        "decode_seconds": 0.048,
        "first_to_last_packet_seconds": 0.003,
    }
    for name, seconds in whole.items():
        assert values(name, made, suite="s").tolist() == [pytest.approx(seconds, abs=1e-6)]


def test_a_frame_that_was_not_decoded_still_says_when_it_was_captured(tables) -> None:
    made = tables(frames=[_frame(decoded_unix_seconds=None, marker_unix_seconds=None)])
    assert len(values("capture_to_arrival_seconds", made, suite="s")) == 1
    assert len(values("draw_to_arrival_seconds", made, suite="s")) == 0


@pytest.mark.parametrize("ahead", [-3600.0, -0.02, 0.02, 3600.0])
def test_the_offset_is_taken_off_where_the_two_ends_are_of_different_clocks(tables, ahead: float) -> None:
    clock = [{"unix_seconds": START, "offset_seconds": ahead, "bound_seconds": 0.001, "phase": "warmup"}]
    sent = START + 0.5
    pressed = {
        "kind": "key",
        "sent_unix_seconds": sent,
        "drawn_unix_seconds": sent + 0.010 + ahead,
        "photon_unix_seconds": sent + 0.035,
    }
    made = tables(frames=[_frame(ahead=ahead)], inputs=[pressed], clock=clock)
    whole = {"glass_to_glass_seconds": 0.063, "input_path_seconds": 0.010, "picture_path_seconds": 0.025}
    for name, seconds in {**STAGES, **whole}.items():
        assert values(name, made, suite="s").tolist() == [pytest.approx(seconds, abs=1e-5)], name
    assert values("input_to_photon_seconds", made, suite="s").tolist() == [pytest.approx(0.035, abs=1e-6)]


def test_each_session_has_a_clock_of_its_own(tables) -> None:
    clock = [
        {"session": f"desktop-{number}", "unix_seconds": START, "offset_seconds": ahead, "bound_seconds": 0.001}
        for number, ahead in enumerate((5.0, -5.0))
    ]
    frames = [_frame(ahead=5.0, session="desktop-0"), _frame(ahead=-5.0, session="desktop-1"), _frame(session="x")]
    found = values("glass_to_glass_seconds", tables(frames=frames, clock=clock), suite="s").tolist()
    assert found == [pytest.approx(0.063, abs=1e-5)] * 3


def _clock(*estimates: tuple[float, float, float]) -> pd.DataFrame:
    columns = ["unix_seconds", "offset_seconds", "bound_seconds"]
    return pd.DataFrame(estimates, columns=columns).assign(session="desktop-0")


def _in_force(clock: pd.DataFrame, *instants: float) -> list[float]:
    rows = pd.DataFrame({"session": ["desktop-0"] * len(instants)})
    return [float(offset) for offset in offsets(clock, rows, np.array(instants))]


def test_the_estimate_that_is_the_least_uncertain_counts_before_and_after_it() -> None:
    clock = _clock((100.0, 1.0, 0.010), (150.0, 2.0, 0.001), (200.0, 3.0, 0.010))
    assert _in_force(clock, 0.0, 100.0, 150.0, 200.0, 1e6) == [2.0] * 5


def test_an_estimate_ages() -> None:
    clock = _clock((0.0, 1.0, 0.001), (1000.0, 2.0, 0.010))
    # 100 parts in a million: after 545 s the first has become as uncertain as the second is in its past.
    assert _in_force(clock, 0.0, 500.0, 700.0, 1000.0, 2000.0) == [1.0, 1.0, 2.0, 2.0, 2.0]


def test_the_choice_is_the_best_of_all() -> None:
    chance = np.random.default_rng(5)
    times = np.sort(chance.uniform(0, 1000, 40))
    clock = _clock(*zip(times, np.arange(40.0), chance.uniform(0.0001, 0.02, 40), strict=True))
    instants = chance.uniform(-100, 1100, 200)
    ages = clock["bound_seconds"].to_numpy() + 100e-6 * np.abs(instants[:, None] - times)
    assert _in_force(clock, *instants) == [float(index) for index in ages.argmin(axis=1)]


def test_a_bound_of_zero_is_one_clock_and_no_other_estimate_counts() -> None:
    clock = _clock((0.0, 0.0, 0.0), (1000.0, 0.3, 0.0001))
    assert _in_force(clock, 0.0, 1000.0) == [0.0, 0.0]


def test_without_an_estimate_there_is_no_offset() -> None:
    assert _in_force(_clock(), 1.0) == [0.0]
    assert _in_force(_clock((0.0, float("nan"), 0.1)), 1.0) == [0.0]


def test_the_worst_session_bounds_them_all_and_one_without_an_estimate_is_unbounded() -> None:
    clock = pd.concat([_clock((0.0, 0.0, 0.004), (1.0, 0.0, 0.002)), _clock((0.0, 0.0, 0.003)).assign(session="b")])
    assert worst_bound(clock, ["desktop-0"]) == 0.002
    assert worst_bound(clock, ["desktop-0", "b"]) == 0.003
    assert worst_bound(clock, ["desktop-0", "c"]) is None
    assert worst_bound(clock, []) is None
    assert worst_bound(_clock(), ["desktop-0"]) is None
