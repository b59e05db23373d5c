"""The error of the gaps between frames: what left against what arrived, frame by frame."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vdibench.replay import departures
from vdibench.replay.departures import DepartureLog, FrameTimes, frame_gap_errors, matching


def times(timestamps: list[int], instants: list[float]) -> FrameTimes:
    return FrameTimes(np.array(timestamps, dtype=np.int64), np.array(instants, dtype=np.float64))


@given(
    instants=st.lists(st.floats(0, 1000), min_size=2, max_size=50),
    delay=st.floats(0, 10),
)
def test_a_constant_delay_is_no_error(instants: list[float], delay: float) -> None:
    left = times(list(range(len(instants))), sorted(instants))
    came = times(list(range(len(instants))), [instant + delay for instant in sorted(instants)])
    assert frame_gap_errors(left, came) == pytest.approx(np.zeros(len(instants) - 1), abs=1e-9)


def test_one_late_frame_is_wrong_twice() -> None:
    left = times([10, 20, 30, 40], [0.0, 1.0, 2.0, 3.0])
    came = times([10, 20, 30, 40], [0.5, 1.5, 2.507, 3.5])
    assert frame_gap_errors(left, came) == pytest.approx([0.0, 0.007, 0.007])


def test_what_did_not_arrive_makes_no_pair_and_neither_does_what_did_not_leave() -> None:
    left = times([10, 20, 30, 40, 50], [0.0, 1.0, 2.0, 3.0, 4.0])
    came = times([0, 10, 30, 40, 50, 60], [-1.0, 0.1, 2.1, 3.2, 4.1, 5.0])
    assert frame_gap_errors(left, came) == pytest.approx([0.1, 0.1])
    assert len(frame_gap_errors(left, times([], []))) == 0
    assert len(frame_gap_errors(times([], []), came)) == 0


def test_sessions_are_matched_by_their_time_stamps() -> None:
    here, other = times([1, 2, 3], [0, 1, 2]), times([100, 101], [0, 1])
    assert matching(times([2, 3, 4], [5, 6, 7]), [other, here]) is here
    assert matching(times([7], [0]), [other, here]) is None
    assert matching(times([7], [0]), []) is None


def test_a_log_is_taken_once_and_goes_through_json() -> None:
    log = DepartureLog()
    for number in range(5):
        log.note(2**32 - 1 - number, 1.76e9 + number / 3)
    found = DepartureLog.read(json.loads(json.dumps(log.take())))
    assert found.timestamps.tolist() == [2**32 - 1 - number for number in range(5)]
    assert found.unix_seconds.tolist() == [1.76e9 + number / 3 for number in range(5)]
    assert len(DepartureLog.read(log.take())) == 0


def test_a_log_that_nobody_takes_forgets_the_oldest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(departures, "_MOST", 10)
    log = DepartureLog()
    for number in range(25):
        log.note(number, 0.0)
    assert log.forgotten == 10
    assert DepartureLog.read(log.take()).timestamps.tolist() == list(range(10, 25))
