"""When a cost is not to be trusted, and floors that measured nothing or less than was planned."""

from __future__ import annotations

import contextlib
import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from vdibench.client import Mode
from vdibench.errors import VdibenchError
from vdibench.records import Cost, Display
from vdibench.replay.canned import encode
from vdibench.replay.playback import Playback
from vdibench.replay.trace import Trace
from vdibench.selftest import QUICK, cost, course, floors
from vdibench.selftest.feed import packets_within
from vdibench.selftest.floors import settled
from vdibench.selftest.many import ManyFindings, poor_picture
from vdibench.selftest.plan import CostStep, with_engine

STEP = CostStep(Mode.METER, 10)
ROW = Cost("meter", 10, 900.0, 0.005, 200.0, 3e6, "canned", 1, 0.002, 600, 0)
SAID = {"cpu_seconds": 0.2, "seconds": 2.0, "count": 18_000, "planned": 18_000}


def doubt(step: CostStep = STEP, received: float = 1.0, of_nominal: float = 1.0, **changes: Any) -> str:
    return cost.doubt_of(step, dataclasses.replace(ROW, **changes), received, of_nominal)


def test_a_quiet_machine_gives_no_doubt() -> None:
    assert doubt() == ""


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"socket_drops": 3}, "threw 3 packets away"),
        ({"of_nominal": 0.89}, "this machine is full"),
        ({"received": 0.97}, "of what was sent"),
        ({"cpu_ratio_per_session": 0.07}, "of a core"),
        ({"loop_lag_p99_seconds": 0.0051}, "event loop was 5.10 ms late"),
        ({"loop_lag_p99_seconds": None}, "event loop was no data late"),
    ],
)
def test_each_gate_is_a_doubt(changes: Any, why: str) -> None:
    assert why in doubt(**changes)
    assert doubt(**changes).startswith("10 × meter: ")


def test_decoding_may_take_what_it_takes_but_no_late_loop() -> None:
    step = CostStep(Mode.DECODE, 10)
    assert doubt(step, cpu_ratio_per_session=0.12, received=0.9) == ""
    assert "event loop" in doubt(step, loop_lag_p99_seconds=0.02)


def test_a_floor_that_read_nothing_is_an_error_and_no_cost_of_nothing() -> None:
    with pytest.raises(VdibenchError, match="floor recvmmsg: nothing came"):
        settled("recvmmsg", 10, SAID | {"count": 0})
    with pytest.raises(VdibenchError, match="floor decode: nothing came"):
        settled("decode", 1, {"cpu_seconds": 0.1, "seconds": 0.0, "count": 0, "planned": 0})


def test_a_floor_of_less_than_was_planned_is_doubtful() -> None:
    assert settled("recvmmsg", 10, SAID)[1] == ""
    assert settled("recvmmsg", 10, SAID | {"count": 16_300})[1] == ""
    cores, why = settled("recvmmsg", 10, SAID | {"count": 16_000})
    assert cores == pytest.approx(0.01)
    assert "floor recvmmsg: only 88.9 %" in why


def test_floors_that_fail_are_missing_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(what: str, *_: Any, **__: Any) -> tuple[float, str]:
        if what == "receive":
            raise VdibenchError("floor receive: nothing came", "try again")
        return 0.04, "floor decode: doubtful"

    monkeypatch.setattr(floors, "measure_one_floor", fail)
    found = floors.measure_floors(1.0, trace=None, bitrate_bps=1e6)
    assert found.cores == {"decode": 0.04}
    assert found.doubts == ("floor decode: doubtful",)
    assert len(found.missing) == 1
    assert "floor receive was not measured: floor receive: nothing came" in found.missing[0]


@pytest.fixture(scope="module")
def trace() -> Trace:
    return encode(Display(320, 180, 30), 1_000_000, 15)


@pytest.mark.parametrize("seconds", [0.2, 0.5, 0.8, 2.0])
def test_what_is_planned_is_what_a_playback_gives(trace: Trace, seconds: float) -> None:
    playback, sent, now = Playback(trace, 0.0), 0, 0.0
    while now < seconds:
        while (part := playback.take(now)) is not None:
            sent += part.end - part.begin
        now += 0.0005
    largest = max(map(len, trace.payloads))
    assert packets_within(trace, seconds) == pytest.approx(sent, abs=largest)


def test_a_picture_that_was_recorded_slowly_is_doubtful(trace: Trace) -> None:
    (why,) = poor_picture(trace)
    assert "of 60 frames a second" in why
    assert "of 11 Mbit/s" in why


def test_the_course_hands_on_what_is_doubtful_and_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    many = ManyFindings(cost=(ROW,), doubts=("slow",), missing=("floor recvmmsg",))
    monkeypatch.setattr(course, "cached_trace", lambda wanted, say: Path("some.trace"))
    monkeypatch.setattr(
        course, "ReplayServer", lambda trace, log: contextlib.nullcontext(SimpleNamespace(bitrate_bps=1))
    )
    monkeypatch.setattr(course, "measure_cost", lambda steps, seconds, source, say: ((ROW,), ("lag",)))
    monkeypatch.setattr(course, "measure_many", lambda plan, source, trace, say: many)
    found = floors.FloorFindings({"decode": 0.1}, ("few",), ("floor receive",))
    monkeypatch.setattr(course, "measure_floors", lambda seconds, trace, bitrate_bps: found)
    plan = dataclasses.replace(with_engine(QUICK), dialects=(), floor_seconds=1.0)
    result = course.run_selftest(plan, lambda line: None)
    assert {"lag", "slow", "few"} <= set(result.invalid)
    assert result.missing == ("floor recvmmsg", "floor receive")
    assert result.cost == (ROW, ROW)
    assert result.floor == {"decode": 0.1}


def test_no_trace_is_told(tmp_path: Path) -> None:
    with pytest.raises(VdibenchError):
        floors.measure_one_floor("receive", 0.2, 1, trace=tmp_path / "none.trace")
