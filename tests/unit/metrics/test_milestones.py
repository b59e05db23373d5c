"""Session starts: one value a start, failures apart, phases in order."""

from __future__ import annotations

import pytest

from vdibench.metrics import attempts, chosen, phases, values


def _steps(*steps, **changes):
    return [{"event": event, "unix_seconds": 1e9 + at, "phase": "warmup", **changes} for event, at in steps]


FIRST = _steps(("started", 0), ("reachable", 0.5), ("connected", 2), ("first_frame", 3), ("left", 20))
FAILED = _steps(("started", 0), ("reachable", 1), session="desktop-1")
AGAIN = _steps(("started", 30), ("first_frame", 31.5), ("left", 40))


def test_each_start_counts_and_failed_ones_are_told(tables) -> None:
    made = tables(milestones=AGAIN + FAILED + FIRST)
    assert values("session_ready_seconds", made, suite="s").tolist() == [3.0, 1.5]
    assert values("session_failure_ratio", made, suite="s").tolist() == [0.0, 0.0, 1.0]
    assert values("session_ready_seconds", made, suite="s", session="desktop-1").tolist() == []
    assert attempts(made["milestones"])["ready_seconds"].isna().tolist() == [False, False, True]


def test_phases_end_with_the_first_frame(tables) -> None:
    made = tables(milestones=FIRST)
    steps = phases(chosen(made["milestones"], suite="s", phase=None))
    assert dict(zip(steps["event"], steps["seconds"], strict=True)) == {
        "reachable": 0.5,
        "connected": 1.5,
        "first_frame": 1.0,
    }
    found = values("session_phase_seconds", made, suite="s")
    assert found["connected"] == 1.5
    assert found.sum() == pytest.approx(3.0)


def test_steps_without_a_start_belong_to_nothing(tables) -> None:
    made = tables(milestones=_steps(("first_frame", 1), ("left", 2)))
    assert values("session_ready_seconds", made, suite="s").tolist() == []
    assert values("session_failure_ratio", made, suite="s").tolist() == []


def test_a_probe_is_no_session(tables) -> None:
    probe = _steps(("started", 50), ("first_frame", 59))
    made = tables(milestones=FIRST + [{**step, "phase": "probe"} for step in probe])
    assert values("session_ready_seconds", made, suite="s").tolist() == [3.0]
    assert len(values("session_phase_seconds", made, suite="s")) == 3
