"""Frame rate and freezes against the rule written out the slow way."""

from __future__ import annotations

import numpy as np
import pytest

from vdibench.metrics import values
from vdibench.metrics.pacing import freezes

START = 1e9


def _frames(arrivals, **changes):
    return [{"arrival_unix_seconds": START + at, **changes} for at in arrivals]


def _slow_freezes(durations: list[float]) -> list[bool]:
    found = []
    for position, duration in enumerate(durations):
        history = durations[max(0, position - 30) : position]
        mean = sum(history) / len(history) if history else float("inf")
        found.append(duration >= 3 * mean and duration >= mean + 0.150)
    return found


@pytest.mark.parametrize("seed", range(20))
def test_freezes_follow_the_w3c_rule(seed: int) -> None:
    chance = np.random.default_rng(seed)
    durations = chance.exponential(0.017, size=chance.integers(0, 300))
    durations[chance.random(len(durations)) < 0.05] *= 20
    assert freezes(durations).tolist() == _slow_freezes(durations.tolist())


@pytest.mark.parametrize(
    ("mean", "gap", "frozen"),
    [(0.016, 0.167, True), (0.016, 0.165, False), (0.1, 0.301, True), (0.1, 0.299, False), (0.0, 0.15, True)],
)
def test_the_freeze_threshold(mean: float, gap: float, frozen: bool) -> None:
    assert freezes(np.array([mean] * 40 + [gap]))[-1] == frozen


def test_an_even_stream_has_its_rate_and_no_freeze(tables) -> None:
    made = tables(frames=_frames(np.arange(0, 10.001, 1 / 60)))
    assert values("frames_per_second", made, suite="s").tolist() == [60.0] * 10
    assert values("freezes_per_minute", made, suite="s").tolist() == [0.0]
    assert values("freeze_duration_seconds", made, suite="s").tolist() == [0.0]
    assert np.allclose(values("frame_interval_seconds", made, suite="s"), 1 / 60)


def test_a_pause_is_a_freeze_and_an_empty_second_is_zero(tables) -> None:
    arrivals = np.concatenate((np.arange(0, 3, 0.02), np.arange(5.5, 10.001, 0.02)))
    made = tables(frames=_frames(arrivals))
    assert values("frames_per_second", made, suite="s").tolist() == [50, 50, 50, 0, 0, 25, 50, 50, 50, 50]
    assert values("freezes_per_minute", made, suite="s").tolist() == pytest.approx([6.0])
    assert values("freeze_duration_seconds", made, suite="s").tolist() == pytest.approx([2.52])


def test_a_stream_that_stops_while_it_is_watched_is_frozen(tables) -> None:
    network = [{"unix_seconds": START + at} for at in range(11)]
    made = tables(frames=_frames(np.arange(0, 3, 0.02)), network=network)
    assert values("frames_per_second", made, suite="s").tolist() == [50] * 3 + [0] * 7
    assert values("freeze_duration_seconds", made, suite="s").iloc[0] == pytest.approx(7.02)
    assert values("freezes_per_minute", made, suite="s").iloc[0] == pytest.approx(6.0)


def test_a_stream_that_never_shows_a_frame_is_frozen_throughout(tables) -> None:
    made = tables(network=[{"unix_seconds": START + at} for at in range(11)])
    assert values("frames_per_second", made, suite="s").tolist() == [0] * 10
    assert values("freeze_duration_seconds", made, suite="s").tolist() == [10.0]


def test_a_broken_frame_is_not_seen(tables) -> None:
    whole = _frames(np.arange(0, 2.001, 0.1))
    broken = _frames(np.arange(0.05, 2, 0.1), complete=False)
    made = tables(frames=whole + broken)
    assert values("frames_per_second", made, suite="s").tolist() == [10.0, 10.0]
    assert np.allclose(values("frame_interval_seconds", made, suite="s"), 0.1)


def test_streams_are_not_mixed(tables) -> None:
    rows = [
        row
        for number in range(3)
        for row in _frames(np.arange(0, 2.001, 0.5), session=f"desktop-{number}", trial=number % 2)
    ]
    made = tables(frames=rows)
    assert values("frames_per_second", made, suite="s").tolist() == [2.0] * 6
    assert np.allclose(values("frame_interval_seconds", made, suite="s"), 0.5)
    assert len(values("frames_per_second", made, suite="s", session="desktop-1")) == 2
    assert len(values("frames_per_second", made, suite="s", trial=0)) == 4


def test_the_order_of_rows_does_not_matter(tables) -> None:
    rows = _frames(np.random.default_rng(1).permutation(np.arange(0, 5.001, 0.02)))
    assert np.allclose(values("frame_interval_seconds", tables(frames=rows), suite="s"), 0.02)


def test_a_freeze_before_the_first_frame_of_the_window_counts(tables) -> None:
    readings = [{"unix_seconds": START + at} for at in (0.0, 10.0)]
    late = tables(frames=_frames(np.arange(3.0, 10.0, 1 / 60)), network=readings)
    assert values("freeze_duration_seconds", late, suite="s").tolist() == pytest.approx([3.0], abs=0.02)
    prompt = tables(frames=_frames(np.arange(0.01, 10.0, 1 / 60)), network=readings)
    assert values("freeze_duration_seconds", prompt, suite="s").tolist() == [0.0]
