"""Errors of medians: known shifts are found, drift and chance widen the interval, no data is never good."""

from __future__ import annotations

import numpy as np
import pytest

from vdibench.selftest.comparison import FEWEST, counted, delayed, shift, verdict

RANDOM = np.random.default_rng(7)


def latencies(middle: float, count: int = 300, spread: float = 0.008) -> np.ndarray:
    """As draw-to-arrival has them: a phase of the capture clock, evenly spread."""
    return middle + RANDOM.uniform(-spread, spread, count)


@pytest.mark.parametrize("delay", [0.0, 0.02, 0.05, 0.1])
def test_known_delay_is_found_within_its_interval(delay: float) -> None:
    found = shift(latencies(0.03 + delay), latencies(0.03), latencies(0.03))
    assert found is not None
    assert found.value == pytest.approx(delay, abs=0.002)
    assert found.low <= delay <= found.high
    assert found.samples == 300


def test_interval_holds_the_truth_as_often_as_it_says() -> None:
    hits = 0
    for _ in range(60):
        found = shift(latencies(0.05, 120), latencies(0.03, 120), latencies(0.03, 120))
        assert found is not None
        hits += found.low <= 0.02 <= found.high
    assert hits >= 54


def test_slow_drift_between_the_windows_is_taken_out_and_widens_the_interval() -> None:
    steady = shift(latencies(0.05), latencies(0.03), latencies(0.03))
    drifting = shift(latencies(0.055), latencies(0.03), latencies(0.04))
    assert steady is not None
    assert drifting is not None
    assert drifting.value == pytest.approx(0.02, abs=0.002)
    assert drifting.high - drifting.low >= steady.high - steady.low + 0.008


def test_neighbours_that_are_alike_widen_the_interval() -> None:
    slow = 0.03 + 0.008 * np.sin(np.arange(300) / 40)
    alone, together = (shift(slow + 0.02, slow, slow, block) for block in (1, 60))
    assert alone is not None
    assert together is not None
    assert together.high - together.low > 1.5 * (alone.high - alone.low)


def test_outliers_do_not_move_a_median() -> None:
    within = latencies(0.05)
    within[:20] += 5.0
    found = shift(within, latencies(0.03), latencies(0.03))
    assert found is not None
    assert found.value == pytest.approx(0.02, abs=0.002)


def test_too_few_values_say_nothing() -> None:
    few = latencies(0.03, FEWEST - 1)
    for parts in ((few, *2 * [latencies(0.03)]), (latencies(0.03), few, latencies(0.03)), (few, few, few)):
        assert shift(*parts) is None
    row = delayed("glass_to_glass_seconds", "selkies-2-webrtc", 0.02, None, 0.002)
    assert (row.ok, row.measured, row.error, row.samples) == (None, None, None, 0)
    assert row.note


@pytest.mark.parametrize(
    ("error", "low", "high", "kept"),
    [
        (0.0004, 0.0001, 0.0007, True),
        (-0.0009, -0.0012, -0.0006, True),
        (0.010, 0.009, 0.011, False),
        (-0.010, -0.011, -0.009, False),
        (0.0015, 0.0005, 0.0025, None),
        (-0.0015, -0.0025, -0.0005, None),
        (0.0005, -0.02, 0.03, None),
    ],
)
def test_bound_is_kept_missed_or_undecided(error: float, low: float, high: float, kept: bool | None) -> None:
    assert verdict(error, low, high, 0.001) is kept


def test_a_relay_that_holds_longer_than_it_says_is_found_out() -> None:
    found = shift(latencies(0.03 + 0.03), latencies(0.03), latencies(0.03))
    row = delayed("capture_to_arrival_seconds", "selkies-2-webrtc", 0.02, found, 0.001)
    assert row.ok is False
    assert row.error == pytest.approx(0.01, abs=0.002)


@pytest.mark.parametrize(("measured", "ok"), [(12.0, True), (14.0, True), (15.0, False), (9.0, False), (None, None)])
def test_counts_are_held_against_their_bound(measured: float | None, ok: bool | None) -> None:
    row = counted("packets_lost", "selkies-2-webrtc", 12, measured, "packets", 1200, 2)
    assert row.ok is ok


def test_nothing_injected_is_no_data() -> None:
    row = counted("packets_lost", "selkies-2-webrtc", 0, 0.0, "packets", 1200, 2)
    assert row.ok is None
    assert row.note == "nothing was injected"
