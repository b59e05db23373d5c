"""Tables say what the samples say: text with units, absent said, nothing invented."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from vdibench import report
from vdibench.clusters import phases
from vdibench.records import Check, ObjectiveResult, Outcome, SuiteVerdict
from vdibench.records.gpus import ScrapedGpu
from vdibench.report import NO_DATA, NOT_APPLICABLE, Evidence
from vdibench.store import Recording

SUITE = "stream_validation"
CLIENT_STEPS = [
    "reachable",
    "signalled",
    "offered",
    "ice_connected",
    "connected",
    "channel_open",
    "first_packet",
    "first_frame",
]
CHARTS = {
    name
    for name, value in vars(report).items()
    if getattr(value, "__annotations__", {}).get("return") == "Chart | None"
}


def frames(latencies: list[float]) -> dict[str, pd.DataFrame]:
    """Tables with one frame a latency, 10 ms apart."""
    count = len(latencies)
    drawn = 1000 + 0.01 * np.arange(count)
    table = pd.DataFrame(
        {
            "suite": [SUITE] * count,
            "level": 1,
            "trial": 0,
            "phase": "steady",
            "session": "desktop-0",
            "arrival_unix_seconds": drawn + np.array(latencies) - 0.001,
            "rtp_timestamp": np.arange(count),
            "packets": 1,
            "size_bytes": 100,
            "key_frame": False,
            "complete": True,
            "decoded_unix_seconds": drawn + np.array(latencies),
            "marker_unix_seconds": drawn,
            "marker_repeated": False,
        }
    )
    return {"frames": table}


def test_latency_is_that_of_the_raw_frames() -> None:
    (row,) = report.latency_table(frames([0.001 * n for n in range(1, 1001)]), SUITE).to_dict("records")
    assert row["n"] == "1,000 frames"
    assert (row["p50"], row["p95"], row["p99"], row["max"]) == ("500 ms", "950 ms", "990 ms", "1.00 s")
    low, high = (float(part.split()[0]) for part in row["p95 bounds (95 %)"].split("…"))
    assert 930 < low < 950 < high < 970


def test_bounds_that_few_samples_cannot_give_are_open() -> None:
    (row,) = report.latency_table(frames([0.02] * 5), SUITE).to_dict("records")
    assert row["p95 bounds (95 %)"].endswith("… open")


def test_every_statistic_of_nothing_is_missing() -> None:
    for table in (
        report.latency_table({}, SUITE),
        report.input_table({}, SUITE),
        report.levels_table({}, SUITE),
        report.pacing_table({}, SUITE),
        report.density_table({}),
        report.ready_table({}, SUITE),
        report.unready_table({}, SUITE),
        report.network_table({}, SUITE),
        report.resources_table({}, SUITE),
        report.quality_table({}),
        report.facts_table({}),
        report.checks_table({}, SUITE),
    ):
        assert table.empty
        assert len(table.columns) >= 2


def test_all_cells_are_text(full: Path) -> None:
    recording = Recording.open(full)
    evidence = Evidence.of(recording)
    for table in (
        report.measured_table(evidence),
        report.objectives_table(recording.verdict),
        report.reasons_table(recording.verdict),
        report.verdict_table(recording.verdict),
        report.latency_table(evidence, evidence.suites),
        report.input_table(evidence, evidence.suites),
        report.levels_table(evidence, "latency_under_load"),
        report.pacing_table(evidence, evidence.suites),
        report.density_table(evidence),
        report.ready_table(evidence, evidence.suites),
        report.network_table(evidence, evidence.suites),
        report.resources_table(evidence, evidence.suites),
        report.quality_table(evidence),
        report.parameters_table(recording.run),
        report.phases_table(recording.run),
        report.versions_table(recording.run),
        report.facts_table(evidence),
    ):
        assert not table.empty
        for cell in table.to_numpy().ravel():
            assert isinstance(cell, str)
            assert "nan" not in cell.lower().split()
            assert "None" not in cell


def test_suites_stand_in_the_order_of_the_house(full: Path) -> None:
    assert Evidence.of(Recording.open(full)).suites == [
        "preflight",
        "stream_validation",
        "latency_under_load",
        "gpu_density",
    ]


def test_knee_and_every_level_tried(full: Path) -> None:
    evidence = Evidence.of(Recording.open(full))
    found = evidence.knee("gpu_density")
    assert found is not None
    assert (found.lower, found.upper) == (4, 7)
    assert report.knee_text(found) == "knee: 4 … 7"
    table = report.density_table(evidence)
    assert table["sessions"].tolist() == ["1", "2", "4", "8"]
    assert table["level"].tolist() == ["good", "good", "good", "bad"]
    assert table["good sessions, by trial"].tolist()[:2] == ["1 of 1, 1 of 1", "2 of 2, 2 of 2"]
    assert report.knee_text(None) == "knee: no data, no level was decided"


def test_levels_are_listed_without_objectives_to_be_good_by(
    make: Callable[..., Path], part: Callable[..., object]
) -> None:
    for text in ("", "objectives: {unheard_of_seconds: p(95) < 1}\nschema: 1\n"):
        evidence = Evidence.of(Recording.open(make([part("gpu_density", seconds=3)], objectives=text)))
        (row,) = report.density_table(evidence).to_dict("records")
        assert row["good sessions, by trial"] == NO_DATA
        assert row["p95 glass to glass"] != NO_DATA
        assert report.density_curve(evidence) is None


@pytest.mark.parametrize(("gpu", "word"), [(False, NOT_APPLICABLE), (True, NO_DATA)])
def test_absent_gpu_is_never_zero(
    make: Callable[..., Path], part: Callable[..., object], used: Callable[..., pd.DataFrame], gpu: bool, word: str
) -> None:
    one = part(SUITE, seconds=4)
    context = {"target": "lab", "gpu": gpu}
    recording = Recording.open(make([one], resource_rows=used(one, ["desktop-0"]), context=context))
    table = report.resources_table(recording, SUITE)
    (row,) = table[table["of"] == "GPU"].to_dict("records")
    assert (row["mean"], row["p95"], row["max"]) == (word, word, word)
    assert "one desktop" in set(table["of"])
    assert "measuring side" in set(table["of"])
    assert "whole host" in set(table["of"])
    gpu_row = dict(report.measured_table(recording).to_numpy().tolist())["GPU"]
    assert ("no GPU in this profile" in gpu_row) is not gpu


def test_gpus_that_were_scraped_are_named_and_their_figures_have_units(
    make: Callable[..., Path], part: Callable[..., object]
) -> None:
    place = {"suite": SUITE, "level": 1, "trial": 0, "phase": "steady", "unix_seconds": 1.76e9}
    figures = [
        ("gpu-0", "gpu_power_watts", 58.2),
        ("gpu-0", "gpu_engine_active_ratio", 0.25),
        ("gpu-0", "gpu_sm_active_ratio", 0.125),
        ("gpu-0/1", "mig_memory_bytes", 3.0 * 2**30),
        ("gpu-0/1", "mig_engine_active_ratio", 0.5),
        ("gpu-0/1", "mig_sm_active_ratio", 0.75),
    ]
    rows = pd.DataFrame([{**place, "session": of, "resource": what, "value": value} for of, what, value in figures])
    gpus = (
        ScrapedGpu("gpu-0", "GPU-1 NVIDIA A30 on n", "NVIDIA A30", 24.0 * 2**30),
        ScrapedGpu("gpu-0/1", "GPU-1 NVIDIA A30, MIG 1g.6gb on n", "NVIDIA A30", 6.0 * 2**30),
    )
    facts = {"telemetry.gpus.source": "DCGM"} | {key: value for gpu in gpus for key, value in gpu.facts().items()}
    context = {"target": "manifests", "gpu": True}
    one = part(SUITE, seconds=4)
    recording = Recording.open(make([one], resource_rows=rows, facts=facts, context=context))
    table = report.resources_table(recording, SUITE)
    read = table[table["readings"] == "1"]
    assert read[["of", "resource", "mean"]].to_numpy().tolist() == [
        ["GPU", "GPU graphics engine active", "25.0 %"],
        ["GPU", "GPU power", "58.2 W"],
        ["GPU", "GPU multiprocessors (SM) active", "12.5 %"],
        ["MIG instance", "MIG instance graphics engine active", "50.0 %"],
        ["MIG instance", "MIG instance memory", "3.00 GiB"],
        ["MIG instance", "MIG instance multiprocessors (SM) active", "75.0 %"],
    ]
    told = dict(report.measured_table(recording).to_numpy().tolist())["GPU"]
    assert told == "1 × NVIDIA A30 (24.0 GiB), read by way of Prometheus"


@pytest.mark.parametrize(
    ("facts", "text"),
    [
        ({}, NO_DATA),
        ({"stream.encoder": "x264enc"}, "x264enc (hardware or software: no data)"),
        ({"stream.encoder": "nvh264enc", "stream.hardware": "True"}, "nvh264enc (hardware)"),
        ({"stream.encoder": "x264enc", "stream.hardware": "false"}, "x264enc (software)"),
    ],
)
def test_encoder_in_use_and_whether_it_is_hardware(make: Callable[..., Path], facts: dict[str, str], text: str) -> None:
    table = report.measured_table(Recording.open(make(facts=facts)))
    assert dict(table.to_numpy().tolist())["encoder in use"] == text


def test_check_made_again_replaces_the_earlier_answer(make: Callable[..., Path]) -> None:
    checks = [
        Check("reachable", Outcome.FAIL, "no answer", "GET /", "start the desktop"),
        Check("audio", Outcome.PASS, "50 packets/s"),
        Check("reachable", Outcome.PASS, "HTTP 200"),
    ]
    table = report.checks_table(Recording.open(make(checks=checks)), SUITE)
    assert table["check"].tolist() == ["reachable", "audio"]
    assert table["outcome"].tolist() == ["PASS", "PASS"]


def test_session_that_was_never_ready_is_counted(make: Callable[..., Path], part: Callable[..., object]) -> None:
    tables = dict(Recording.open(make([part(SUITE, seconds=3)])).tables)
    steps = tables["milestones"]
    lost = steps[steps["event"].isin(["started", "reachable", "signalled"])].assign(session="desktop-1")
    tables["milestones"] = pd.concat([steps, lost])
    table = report.ready_table(tables, SUITE)
    assert table.loc[table["step"] == "never ready", "n"].tolist() == ["1 of 2 starts"]
    assert table.loc[table["step"].str.startswith("whole"), "n"].tolist() == ["1"]
    chart = report.session_ready_phases(tables, SUITE)
    assert chart is not None
    assert "never ready" in [text.get_text() for text in chart.axes[0].texts]


def test_starts_of_pods_stand_by_themselves(on_pods: Path) -> None:
    table = report.ready_table(Recording.open(on_pods), SUITE).set_index("step")
    pods = table[table.index.str.endswith(", new pod")]
    assert [step.removesuffix(", new pod") for step in pods.index] == [
        *phases.STEPS[:-1],
        *CLIENT_STEPS,
        "failed",
        "whole, started → first frame",
        "never ready",
    ]
    assert pods.loc["admitted, new pod", "n"] == "9"
    assert pods.loc["whole, started → first frame, new pod", "n"] == "8"
    assert pods.loc["never ready, new pod", "n"] == "1 of 9 starts"
    # What the client took for its own start is not mixed with 5 to 13 s of pods.
    assert table.loc["whole, started → first frame", "n"] == "1"
    assert "never ready" not in table.index
    assert not table.index.str.contains("-1").any()


def test_a_ninth_session_that_stays_pending_says_why(on_pods: Path, pending: str) -> None:
    (row,) = report.unready_table(Recording.open(on_pods), [SUITE]).to_dict("records")
    assert row == {
        "suite": SUITE,
        "session": "desktop-8",
        "start": "new pod",
        "came to": "admitted",
        "why": pending,
    }


def test_a_start_that_nobody_explained_is_no_data(make: Callable[..., Path], part: Callable[..., object]) -> None:
    tables = dict(Recording.open(make([part(SUITE, seconds=3)])).tables)
    tables["milestones"] = tables["milestones"][tables["milestones"]["event"].isin(["started", "reachable"])]
    (row,) = report.unready_table(tables, SUITE).to_dict("records")
    assert (row["start"], row["came to"], row["why"]) == ("1 session, trial 0", "reachable", "no data")
    place = {"suite": SUITE, "level": 1, "trial": 0, "phase": "warmup", "session": "desktop-0"}
    tables["facts"] = pd.DataFrame([{**place, "key": "failure.level-1.trial-0", "value": "no relay: look at coturn"}])
    (row,) = report.unready_table(tables, SUITE).to_dict("records")
    assert row["why"] == "no relay: look at coturn"
    # A probe's end is not the session's.
    tables["facts"]["phase"] = "probe"
    assert report.unready_table(tables, SUITE)["why"].tolist() == ["no data"]


def test_restarted_session_is_two_starts(make: Callable[..., Path], part: Callable[..., object]) -> None:
    tables = dict(Recording.open(make([part(SUITE, seconds=3)])).tables)
    steps = tables["milestones"]
    again = steps.assign(unix_seconds=steps["unix_seconds"] + 30)
    tables["milestones"] = pd.concat([steps[steps["event"].isin(["started", "reachable"])], again])
    first, second = Evidence.of(tables).starts(SUITE)
    assert first.ready_seconds is None
    assert [event for event, _ in first.steps] == ["reachable"]
    assert second.ready_seconds == pytest.approx(second.seconds)


def test_rows_without_an_instant_are_left_out_and_said() -> None:
    tables = frames([0.02, 0.03, 0.04])
    tables["frames"].loc[1, "arrival_unix_seconds"] = float("nan")
    evidence = Evidence.of(tables)
    assert evidence.damage() == ["1 rows of frames say no instant and were left out"]
    assert len(evidence.tables["frames"]) == 2


def test_counters_that_begin_anew_do_not_count_backwards(
    make: Callable[..., Path], part: Callable[..., object]
) -> None:
    tables = dict(Recording.open(make([part(SUITE, seconds=10)])).tables)
    rows = tables["network"]
    again = rows.assign(unix_seconds=rows["unix_seconds"] + 20)
    (once,) = report.network_table(tables, SUITE).to_dict("records")
    tables["network"] = pd.concat([rows, again])
    (twice,) = report.network_table(tables, SUITE).to_dict("records")
    assert once["packets lost"] == "1 of 9,601"
    assert twice["packets lost"] == "2 of 19,202"
    assert once["loss"] == twice["loss"] == "0.0104 %"


def test_warm_up_is_told_and_not_counted(make: Callable[..., Path], part: Callable[..., object]) -> None:
    recording = Recording.open(make([part(SUITE, seconds=4, warmup_seconds=2)]))
    steady = int((recording.table("frames")["phase"] == "steady").sum())
    table = report.quality_table(recording)
    (row,) = table[table["what"] == "frames counted"].to_dict("records")
    assert row["value"] == f"{steady} of {len(recording.table('frames'))}"
    (latency,) = report.latency_table(recording, SUITE).to_dict("records")
    assert latency["n"] == f"{steady} frames"


def test_command_makes_such_a_run_again(make: Callable[..., Path]) -> None:
    def told(**run: object) -> str:
        return report.command(Recording.open(make(**run)).run)

    assert told() == "vdibench run --target lab --profile smoke"
    assert told(suite="gpu_density") == "vdibench run gpu_density --target lab --profile smoke"
    url = "url:http://127.0.0.1:8080/a b"
    assert told(target=url) == f"vdibench run --target '{url}' --profile smoke"
    recorded = "vdibench run stream_validation -p steady_seconds 5"
    assert told(context={"command": recorded}) == recorded


def test_verdict_table_of_one_suite_keeps_reasons() -> None:
    result = ObjectiveResult(
        "glass_to_glass_seconds", "p(95) < 0.05", Outcome.NO_DATA, None, 0, 0.05, "seconds", "no frame"
    )
    suite = SuiteVerdict(SUITE, Outcome.INVALID, (result,), ("the load generator was saturated",))
    rows = report.verdict_table(suite).to_dict("records")
    assert [row["outcome"] for row in rows] == ["NO DATA", "INVALID"]
    assert rows[0]["observed"] == NO_DATA
    assert rows[0]["expectation"] == "p(95) < 50 ms"
    assert rows[1]["reason"] == "the load generator was saturated"


def test_reference_page_names_every_figure_and_table() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "reference" / "report.md").read_text()
    named = set(re.findall(r"`(\w+)`", page))
    offered = {
        name
        for name in report.__all__
        if name.islower() and (name.endswith("_table") or name in CHARTS) and name != "runs_table"
    }
    assert len(offered) >= 25
    assert offered <= named
    assert {name for name in named if name.endswith("_table")} <= set(report.__all__)
    code = re.findall(r"```python\n(.*?)```", page, re.S)
    for block in code:
        compile(block, "report.md", "exec")


@pytest.mark.parametrize(
    ("bound", "words"),
    [
        (0.0, "no offset"),
        (0.0004, "agree within 400 µs"),
        (86_400.0, "were not compared"),
        (None, "no data"),
        ("odd", "no data"),
    ],
)
def test_clock_is_told(make: Callable[..., Path], bound: object, words: str) -> None:
    table = report.measured_table(Recording.open(make(context={"clock_bound_seconds": bound})))
    assert words in dict(table.to_numpy().tolist())["clock"]


def test_frame_rate_asked_for_is_the_suites_own(make: Callable[..., Path]) -> None:
    parameters = {SUITE: {"framerate": 30}, "gpu_density": {}}
    evidence = Evidence.of(Recording.open(make(parameters=parameters, context={"framerate": 60})))
    assert evidence.framerate(SUITE) == 30
    assert evidence.framerate("gpu_density") == 60
    assert Evidence.of({}).framerate(SUITE) is None


def test_unchecked_certificates_are_said_aloud(make: Callable[..., Path]) -> None:
    for insecure in (True, False):
        table = report.measured_table(Recording.open(make(parameters={SUITE: {"insecure": insecure}})))
        assert ("certificates" in set(table[""])) is insecure


def test_failed_sessions_are_part_of_the_quality(make: Callable[..., Path], part: Callable[..., object]) -> None:
    recording = Recording.open(make([part(SUITE, seconds=3)], facts={"failure": "the stream ended"}))
    table = report.quality_table(recording)
    (row,) = table[table["what"] == "sessions that failed"].to_dict("records")
    assert (row["value"], row["note"]) == ("1", "the stream ended")


def test_path_leaves_out_ports(make: Callable[..., Path]) -> None:
    pairs = {"ice.pair": "host 192.0.2.2:50339 → host [2001:db8::1]:40875"}
    table = report.measured_table(Recording.open(make(facts=pairs)))
    path = dict(table.to_numpy().tolist())["path"]
    assert path == "host 192.0.2.2 → host [2001:db8::1] (1 connection)"
