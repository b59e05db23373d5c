"""Verdicts: no data never passes, whatever the reason why there is none."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from vdibench.metrics import DIALECTS, REGISTRY
from vdibench.records import EXIT_CODES, Check, Outcome
from vdibench.slo import evaluate, load

LAB = {"target": "lab:main", "gpu": False, "dialect": "selkies-2-webrtc", "profile": "smoke", "framerate": 60}
SUITE = "stream_validation"


@dataclass
class Bounds:
    lower: int
    upper: int | None = None


def _objectives(*lines: str):
    return load("schema: 1\nobjectives:\n" + "".join(f"  {line}\n" for line in lines))


GLASS = _objectives("glass_to_glass_seconds: p(95) < 0.050")


def _frames(*latencies: float, **changes):
    return [
        {
            "suite": SUITE,
            "arrival_unix_seconds": 1e9 + number,
            "decoded_unix_seconds": 1e9 + number + latency,
            "marker_unix_seconds": 1e9 + number,
            **changes,
        }
        for number, latency in enumerate(latencies)
    ]


def _judge(objectives, tables, context=LAB, suite=SUITE, **more):
    return evaluate(objectives, suite, tables, context, **more)


def test_no_samples_are_no_data_and_exit_98(tables) -> None:
    verdict = _judge(GLASS, tables())
    assert verdict.outcome is Outcome.NO_DATA
    assert EXIT_CODES[verdict.outcome] == 98
    [result] = verdict.objectives
    assert (result.outcome, result.observed, result.samples, result.bound) == (Outcome.NO_DATA, None, 0, 0.05)


@pytest.mark.parametrize("metric", ["glass_to_glass_seconds: p(95) < 9", "gpu_utilization_ratio: avg > 0"])
@pytest.mark.parametrize("aggregation", ["p(95)", "avg", "min", "max", "count"])
@pytest.mark.parametrize("operator", ["<", "<=", ">", ">="])
def test_no_objective_passes_on_nothing(tables, metric: str, aggregation: str, operator: str) -> None:
    objectives = _objectives(f"{metric.split(':')[0]}: {aggregation} {operator} 0")
    assert _judge(objectives, tables(), {**LAB, "gpu": True}).outcome is Outcome.NO_DATA


def test_nothing_applicable_is_no_data_and_exit_98(tables) -> None:
    objectives = _objectives("glass_to_glass_seconds: [{expect: p(95) < 1, where: {dialect: selkies-2-websocket}}]")
    verdict = _judge(objectives, tables(frames=_frames(0.01)))
    assert verdict.outcome is Outcome.NO_DATA
    assert EXIT_CODES[verdict.outcome] == 98
    [result] = verdict.objectives
    assert result.outcome is Outcome.NOT_APPLICABLE
    assert result.reason == "applies where dialect is selkies-2-websocket, not selkies-2-webrtc"
    assert verdict.reasons == (f"no objective applies to {SUITE} here",)


def test_passing_checks_do_not_stand_in_for_objectives(tables) -> None:
    objectives = _objectives("gpu_utilization_ratio: avg > 0.8")
    verdict = _judge(objectives, tables(frames=_frames(0.01)), checks=[Check("reachable", Outcome.PASS, "yes")])
    assert verdict.outcome is Outcome.NO_DATA


def test_pass_and_fail(tables) -> None:
    passed = _judge(GLASS, tables(frames=_frames(*[0.02] * 19, 0.9)))
    assert passed.outcome is Outcome.PASS
    [result] = passed.objectives
    assert result.observed == pytest.approx(0.02)
    assert (result.samples, result.bound, result.unit) == (20, 0.05, "seconds")
    failed = _judge(GLASS, tables(frames=_frames(*[0.02] * 18, 0.9, 0.9)))
    assert failed.outcome is Outcome.FAIL
    assert EXIT_CODES[failed.outcome] == 99


def test_too_few_samples_are_no_data_even_when_they_are_bad(tables) -> None:
    objectives = _objectives("glass_to_glass_seconds: [{expect: p(95) < 0.05, min_samples: 5}]")
    for latency in (0.01, 9.0):
        verdict = _judge(objectives, tables(frames=_frames(*[latency] * 4)))
        assert verdict.outcome is Outcome.NO_DATA
        assert "4 samples at level 1, 5 needed" in verdict.objectives[0].reason
    assert _judge(objectives, tables(frames=_frames(*[0.01] * 5))).outcome is Outcome.PASS


def test_warm_up_does_not_count(tables) -> None:
    made = tables(frames=_frames(9.0, phase="warmup") + _frames(0.01))
    assert _judge(GLASS, made).outcome is Outcome.PASS


def test_an_invalid_run_outranks_everything_and_still_lists(tables) -> None:
    verdict = _judge(GLASS, tables(frames=_frames(9.0)), invalid_reasons=["the load generator was saturated"])
    assert verdict.outcome is Outcome.INVALID
    assert EXIT_CODES[verdict.outcome] == 97
    assert verdict.reasons == ("the load generator was saturated",)
    assert verdict.objectives[0].outcome is Outcome.FAIL


def test_a_clock_that_is_too_loose_is_no_pass(tables) -> None:
    good, bad = tables(frames=_frames(0.01)), tables(frames=_frames(0.9))
    tight, loose = {**LAB, "clock_bound_seconds": 0.005}, {**LAB, "clock_bound_seconds": 0.0051}
    assert _judge(GLASS, good, tight).outcome is Outcome.PASS
    assert _judge(GLASS, good, loose).outcome is Outcome.NO_DATA
    assert _judge(GLASS, bad, loose).outcome is Outcome.FAIL
    objectives = _objectives("frames_per_second: max < 100", "frame_size_bytes: max < 9")
    assert _judge(objectives, tables(frames=_frames(0, 0, 0)), loose).outcome is Outcome.PASS, "one clock only"


ONE_WAY = [metric for metric in REGISTRY.values() if metric.one_way]


@pytest.mark.parametrize("metric", ONE_WAY, ids=lambda metric: metric.name)
def test_every_one_way_metric_needs_a_clock_ten_times_as_good_as_its_objective(tables, metric) -> None:
    instants = {"capture_unix_seconds": 1e9, "sent_unix_seconds": 1e9}
    frames = [{**_frames(0.01)[0], **instants, "arrival_unix_seconds": 1e9 + 0.01}]
    inputs = [{"sent_unix_seconds": 1e9, "drawn_unix_seconds": 1e9 + 0.01, "photon_unix_seconds": 1e9 + 0.02}]
    made = tables(frames=frames, inputs=[{"suite": SUITE, "kind": "key", **inputs[0]}])
    objectives = _objectives(f"{metric.name}: max < 0.050")
    for bound, outcome in ((0.005, Outcome.PASS), (0.0051, Outcome.NO_DATA)):
        assert _judge(objectives, made, {**LAB, "clock_bound_seconds": bound}).outcome is outcome


def test_which_metrics_have_their_two_ends_on_different_clocks() -> None:
    assert [metric.name for metric in ONE_WAY] == [
        "glass_to_glass_seconds",
        "draw_to_arrival_seconds",
        "capture_to_arrival_seconds",
        "sent_to_arrival_seconds",
        "input_path_seconds",
        "picture_path_seconds",
    ]


def test_clocks_that_were_compared_bound_less_than_the_run_states_and_never_more(tables) -> None:
    def judge(stated: float, *bounds: float, session: str = "desktop-0"):
        clock = [
            {"suite": SUITE, "session": session, "unix_seconds": 1e9, "offset_seconds": 0.0, "bound_seconds": bound}
            for bound in bounds
        ]
        made = tables(frames=_frames(0.01), clock=clock)
        return _judge(GLASS, made, {**LAB, "clock_bound_seconds": stated}).outcome

    assert judge(86400.0) is Outcome.NO_DATA
    assert judge(86400.0, 0.2, 0.004) is Outcome.PASS
    assert judge(86400.0, 0.006) is Outcome.NO_DATA
    assert judge(86400.0, 0.004, session="desktop-1") is Outcome.NO_DATA, "another session's clock"
    assert judge(0.0, 0.2) is Outcome.PASS, "one host has one clock"


def test_a_probe_beside_the_measurement_does_not_spoil_its_clock(tables) -> None:
    known = {"suite": SUITE, "unix_seconds": 1e9, "offset_seconds": 0.0}
    clock = [
        {**known, "session": "desktop-0", "bound_seconds": 0.001},
        {**known, "session": "desktop-0-relay-udp", "bound_seconds": 0.5},
    ]
    probe = [{**_frames(0.01)[0], "session": "desktop-0-relay-udp", "phase": "probe"}]
    made = tables(frames=[*_frames(0.01), *probe], clock=clock)
    assert _judge(GLASS, made, {**LAB, "clock_bound_seconds": 86400.0}).outcome is Outcome.PASS


def test_what_a_dialect_cannot_have_does_not_apply_and_is_never_counted(tables) -> None:
    objectives = _objectives("packets_lost_ratio: max < 0.01", "glass_to_glass_seconds: p(95) < 0.050")
    websocket = {**LAB, "dialect": "selkies-2-websocket"}
    [lost, glass] = _judge(objectives, tables(frames=_frames(0.01)), websocket).objectives
    assert (lost.outcome, glass.outcome) == (Outcome.NOT_APPLICABLE, Outcome.PASS)
    assert lost.reason == "selkies-2-websocket has no packets_lost_ratio: TCP"
    assert [item.applies for item in objectives.applicable(SUITE, websocket)] == [False, True], "before anything ran"
    assert _judge(objectives, tables(frames=_frames(0.01)), websocket).outcome is Outcome.PASS
    assert _judge(objectives, tables(frames=_frames(0.01)), LAB).outcome is Outcome.NO_DATA


@pytest.mark.parametrize("metric", REGISTRY.values(), ids=lambda metric: metric.name)
@pytest.mark.parametrize("dialect", DIALECTS)
def test_nothing_measured_passes_in_no_dialect(tables, metric, dialect: str) -> None:
    expectation = "count >= 0" if metric.table else "knee_lower_bound >= 0"
    objectives = _objectives(f"{metric.name}: [{{expect: {expectation}, suites: gpu_density}}]")
    verdict = _judge(objectives, tables(), {**LAB, "dialect": dialect, "gpu": True}, "gpu_density")
    assert verdict.outcome is Outcome.NO_DATA


def test_what_a_dialect_does_not_tell_is_no_data_with_the_reason(tables) -> None:
    objectives = _objectives("capture_to_arrival_seconds: p(95) < 0.050")
    for dialect, reason in (
        ("selkies-1-webrtc", "its sender reports are wrong"),
        ("selkies-2-websocket", "frames carry no time stamp"),
        ("selkies-2-webrtc", "nothing was measured"),
    ):
        [result] = _judge(objectives, tables(frames=_frames(0.01)), {**LAB, "dialect": dialect}).objectives
        assert result.outcome is Outcome.NO_DATA
        assert reason in result.reason


def test_where_a_gpu_is_missing_its_metrics_do_not_apply_and_where_it_is_not_they_are_no_data(tables) -> None:
    objectives = _objectives("gpu_utilization_ratio: avg > 0.80", "glass_to_glass_seconds: p(95) < 0.050")
    made = tables(frames=_frames(0.01))
    without = _judge(objectives, made)
    assert [result.outcome for result in without.objectives] == [Outcome.NOT_APPLICABLE, Outcome.PASS]
    assert without.outcome is Outcome.PASS
    assert _judge(objectives, made, {**LAB, "gpu": True}).outcome is Outcome.NO_DATA


def test_the_target_is_the_frame_rate_asked_for(tables) -> None:
    objectives = _objectives("frames_per_second: p(5) > 0.9 * target")
    frames = [{"suite": SUITE, "arrival_unix_seconds": 1e9 + number / 55} for number in range(551)]
    made = tables(frames=frames)
    assert _judge(objectives, made).outcome is Outcome.PASS
    assert _judge(objectives, made).objectives[0].bound == 54.0
    assert _judge(objectives, made, {**LAB, "framerate": 62}).outcome is Outcome.FAIL
    unknown = {key: value for key, value in LAB.items() if key != "framerate"}
    assert _judge(objectives, made, unknown).outcome is Outcome.NO_DATA


def test_levels(tables) -> None:
    suite = "latency_under_load"
    made = tables(
        frames=_frames(0.01, suite=suite) + _frames(0.02, suite=suite, level=2) + _frames(0.08, suite=suite, level=4)
    )

    def observed(place: str, knee: Bounds | None = None, suite: str = suite):
        [result] = _judge(
            _objectives(f"glass_to_glass_seconds: max < 9{place}"), made, suite=suite, knee=knee
        ).objectives
        return result.outcome, result.observed

    assert observed("") == (Outcome.PASS, pytest.approx(0.01))
    assert observed(" at level 2") == (Outcome.PASS, pytest.approx(0.02))
    assert observed(" at level 3") == (Outcome.NO_DATA, None)
    assert observed(" at highest") == (Outcome.PASS, pytest.approx(0.08))
    assert observed(" at knee", Bounds(2)) == (Outcome.NOT_APPLICABLE, None), "this suite searches for none"
    assert observed(" at level 2", suite=SUITE) == (Outcome.NOT_APPLICABLE, None), "this suite has no levels"
    assert observed(" at highest", suite=SUITE) == (Outcome.NO_DATA, None)


def test_the_knee(tables) -> None:
    suite, gpu = "gpu_density", {**LAB, "gpu": True}
    rows = [
        {"suite": suite, "resource": "gpu_utilization_ratio", "session": "gpu-0", "value": level / 10, "level": level}
        for level in (1, 8, 9)
    ]
    objectives = _objectives(
        "sessions_per_gpu: knee_lower_bound >= 8 at gpu", "gpu_utilization_ratio: avg >= 0.8 at knee"
    )

    def outcomes(context, knee):
        verdict = _judge(objectives, tables(resources=rows), context, suite, knee=knee)
        return [result.outcome for result in verdict.objectives], verdict.outcome

    assert outcomes(gpu, Bounds(8)) == ([Outcome.PASS] * 2, Outcome.PASS)
    assert outcomes(gpu, Bounds(1, 7)) == ([Outcome.FAIL] * 2, Outcome.FAIL)
    assert outcomes(gpu, Bounds(0, 0)) == ([Outcome.FAIL, Outcome.NO_DATA], Outcome.FAIL)
    assert outcomes(gpu, None) == ([Outcome.NO_DATA] * 2, Outcome.NO_DATA)
    assert outcomes(LAB, Bounds(8)) == ([Outcome.NOT_APPLICABLE] * 2, Outcome.NO_DATA)


@pytest.mark.parametrize(
    ("outcomes", "whole"),
    [
        ([Outcome.PASS, Outcome.PASS], Outcome.PASS),
        ([Outcome.PASS, Outcome.NOT_APPLICABLE], Outcome.PASS),
        ([Outcome.NOT_APPLICABLE], Outcome.NO_DATA),
        ([Outcome.PASS, Outcome.NO_DATA], Outcome.NO_DATA),
        ([Outcome.PASS, Outcome.NO_DATA, Outcome.FAIL], Outcome.FAIL),
        ([], Outcome.NO_DATA),
    ],
)
def test_checks_count_like_objectives(tables, outcomes: list[Outcome], whole: Outcome) -> None:
    checks = [Check(f"c{number}", outcome, "found", remedy="do") for number, outcome in enumerate(outcomes)]
    verdict = _judge(GLASS, tables(), suite="preflight", checks=checks)
    assert verdict.outcome is whole
    assert [(result.metric, result.outcome) for result in verdict.objectives] == [
        (f"check:c{number}", outcome) for number, outcome in enumerate(outcomes)
    ]
    if whole is Outcome.PASS or whole is Outcome.FAIL:
        measured = _judge(GLASS, tables(frames=_frames(0.01)), checks=checks)
        assert measured.outcome is whole


def test_objectives_that_name_other_suites_are_left_out(tables) -> None:
    objectives = _objectives(
        "glass_to_glass_seconds: [{expect: p(95) < 1, suites: latency_under_load}]",
        "input_to_photon_seconds: p(95) < 1",
        "sessions_per_gpu: knee_lower_bound > 1",
    )
    concerned = {
        suite: [item.objective.metric for item in objectives.applicable(suite, LAB)]
        for suite in ("preflight", SUITE, "latency_under_load", "gpu_density", "capacity_report")
    }
    assert concerned == {
        "preflight": [],
        SUITE: ["input_to_photon_seconds"],
        "latency_under_load": ["glass_to_glass_seconds", "input_to_photon_seconds"],
        "gpu_density": ["sessions_per_gpu"],
        "capacity_report": [],
    }


@pytest.mark.parametrize(
    ("where", "applies"),
    [
        ("{target: lab}", True),
        ("{target: url}", False),
        ("{target: [url, lab], profile: smoke}", True),
        ("{profile: [standard, soak]}", False),
        ("{gpu: false}", True),
        ("{gpu: true}", False),
        ("{encoder: h264enc}", False),
    ],
)
def test_where(where: str, applies: bool) -> None:
    objectives = _objectives(f"glass_to_glass_seconds: [{{expect: p(95) < 1, where: {where}}}]")
    [item] = objectives.applicable(SUITE, LAB)
    assert item.applies is applies
    assert bool(item.reason) is not applies
