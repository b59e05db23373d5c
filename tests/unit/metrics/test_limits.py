"""The limits of every metric: nothing in gives nothing out, identical ends give zero, one sample gives one."""

from __future__ import annotations

import math

import pytest

from vdibench.metrics import REGISTRY, Statistic, values

INSTANTS = ("arrival", "decoded", "marker", "first_arrival", "assembled", "capture", "encoded", "sent")
FRAME = {**{f"{name}_unix_seconds": 1e9 for name in INSTANTS}, "size_bytes": 5}
KEY = {"kind": "key", "sent_unix_seconds": 1e9, "photon_unix_seconds": 1e9, "drawn_unix_seconds": 1e9}
CLICK = {**KEY, "kind": "click"}
READING = {"unix_seconds": 1e9, "jitter_seconds": 0.0, "event_loop_lag_seconds": 0.0}
COUNTERS = {
    **READING,
    "packets_received": 100,
    "packets_lost": 0,
    "bytes_received": 1000,
    "audio_packets_received": 10,
    "audio_packets_lost": 0,
    "socket_drops": 0,
}
SERVER = {"unix_seconds": 1e9, "value": 0.0}
SERVER_NAMES = ("encode", "pipeline", "send", "round_trip", "element.x264enc")
SOUND = {"unix_seconds": 1e9, "packets": 100, "received_seconds": 1.0, "missing_seconds": 0.0}
PICTURE = {"marker_unix_seconds": 1e9, "ssim_ratio": 1.0, "vmaf_score": 100.0}
STAGES = (
    "draw_to_arrival",
    "capture_to_arrival",
    "draw_to_capture",
    "capture_to_encoded",
    "encoded_to_sent",
    "sent_to_arrival",
    "first_to_last_packet",
    "arrival_to_assembled",
    "assembled_to_decoded",
)
LATER = {**COUNTERS, "unix_seconds": 1e9 + 1}


@pytest.mark.parametrize("name", REGISTRY)
def test_no_rows_are_no_values(tables, name: str) -> None:
    found = values(name, tables(), suite="s")
    assert len(found) == 0
    assert found.dtype == float
    for aggregation in ("p(95)", "avg", "min", "max", "count", "rate"):
        assert Statistic.parse(aggregation).of(found) is None


@pytest.mark.parametrize("name", [n for n, m in REGISTRY.items() if m.table and m.table != "milestones"])
def test_warm_up_and_other_suites_do_not_count(tables, name: str) -> None:
    rows = {
        "frames": [{**FRAME, "arrival_unix_seconds": 1e9 + i / 10} for i in range(30)],
        "inputs": [KEY, CLICK],
        "network": [COUNTERS, {**LATER, "packets_received": 200, "audio_packets_received": 20}],
        "server": [SERVER | {"name": f"{name}_seconds"} for name in SERVER_NAMES]
        + [SERVER | {"name": "frames_per_second"}],
        "clock": [{"unix_seconds": 1e9, "offset_seconds": 0.0, "bound_seconds": 0.001}],
        "pictures": [PICTURE],
        "audio": [SOUND],
        "synchronisation": [{"unix_seconds": 1e9, "offset_seconds": 0.0}],
        "resources": [
            {"unix_seconds": 1e9, "resource": resource, "value": 1.0, "session": session}
            for session in ("desktop-0", "client", "gpu-0")
            for resource in (
                "cpu_cores",
                "memory_bytes",
                "gpu_utilization_ratio",
                "gpu_encoder_utilization_ratio",
                "gpu_memory_bytes",
                "gpu_power_watts",
                "gpu_engine_active_ratio",
                "gpu_sm_active_ratio",
                "mig_memory_bytes",
                "mig_engine_active_ratio",
                "mig_sm_active_ratio",
            )
        ],
    }
    assert len(values(name, tables(**rows), suite="s")) > 0
    assert len(values(name, tables(**rows), suite="other")) == 0
    assert len(values(name, tables(**rows), suite="s", level=2)) == 0
    assert len(values(name, tables(**rows), suite="s", trial=1)) == 0
    assert len(values(name, tables(**rows), suite="s", session="desktop-1")) == 0
    warm = {table: [{**row, "phase": "warmup"} for row in each] for table, each in rows.items()}
    assert len(values(name, tables(**warm), suite="s")) == 0


@pytest.mark.parametrize(
    ("name", "rows", "expected"),
    [
        ("glass_to_glass_seconds", {"frames": [FRAME]}, [0.0]),
        ("decode_seconds", {"frames": [FRAME]}, [0.0]),
        ("input_to_photon_seconds", {"inputs": [KEY, CLICK]}, [0.0, 0.0]),
        ("key_to_photon_seconds", {"inputs": [KEY, CLICK]}, [0.0]),
        ("click_to_photon_seconds", {"inputs": [KEY, CLICK]}, [0.0]),
        ("input_path_seconds", {"inputs": [KEY, CLICK]}, [0.0, 0.0]),
        ("picture_path_seconds", {"inputs": [KEY, CLICK]}, [0.0, 0.0]),
        ("input_loss_ratio", {"inputs": [KEY]}, [0.0]),
        *[(f"{stage}_seconds", {"frames": [FRAME]}, [0.0]) for stage in STAGES],
        ("frames_per_second", {"frames": [FRAME]}, []),
        ("frame_interval_seconds", {"frames": [FRAME]}, []),
        ("frame_interval_seconds", {"frames": [FRAME, FRAME]}, [0.0]),
        ("freezes_per_minute", {"frames": [FRAME]}, []),
        ("freeze_duration_seconds", {"frames": [FRAME]}, []),
        ("frame_size_bytes", {"frames": [FRAME]}, [5.0]),
        ("bitrate_bits_per_second", {"network": [COUNTERS]}, []),
        ("bitrate_bits_per_second", {"network": [COUNTERS, LATER]}, [0.0]),
        ("packets_lost_ratio", {"network": [COUNTERS]}, []),
        ("packets_lost_ratio", {"network": [COUNTERS, LATER]}, []),
        ("packets_lost_ratio", {"network": [COUNTERS, {**LATER, "packets_received": 101}]}, [0.0]),
        ("jitter_seconds", {"network": [READING]}, [0.0]),
        ("socket_drops", {"network": [COUNTERS]}, []),
        ("socket_drops", {"network": [COUNTERS, LATER]}, [0.0]),
        ("socket_drops", {"network": [COUNTERS, {**LATER, "socket_drops": 3}]}, [3.0]),
        ("audio_packets_per_second", {"network": [COUNTERS, LATER]}, [0.0]),
        ("audio_packets_lost_ratio", {"network": [COUNTERS, LATER]}, []),
        ("audio_packets_lost_ratio", {"network": [COUNTERS, {**LATER, "audio_packets_received": 11}]}, [0.0]),
        ("audio_packets_lost_ratio", {"network": [COUNTERS, {**LATER, "audio_packets_lost": 11}]}, [1.0]),
        ("audio_to_video_offset_seconds", {"synchronisation": [{"unix_seconds": 1e9, "offset_seconds": 0.0}]}, [0.0]),
        ("audio_missing_ratio", {"audio": [SOUND]}, [0.0]),
        ("audio_missing_ratio", {"audio": [SOUND, {**SOUND, "received_seconds": 0.6, "missing_seconds": 0.4}]}, [0.2]),
        ("ssim_ratio", {"pictures": [PICTURE]}, [1.0]),
        ("vmaf_score", {"pictures": [PICTURE]}, [100.0]),
        ("clock_bound_seconds", {"clock": [{"offset_seconds": 5.0, "bound_seconds": 0.0}]}, [0.0]),
        ("server_encode_seconds", {"server": [SERVER | {"name": "encode_seconds"}]}, [0.0]),
        ("server_encode_seconds", {"server": [SERVER | {"name": "pipeline_seconds"}]}, []),
        ("server_pipeline_seconds", {"server": [SERVER | {"name": "pipeline_seconds"}]}, [0.0]),
        ("server_send_seconds", {"server": [SERVER | {"name": "send_seconds"}]}, [0.0]),
        ("server_round_trip_seconds", {"server": [SERVER | {"name": "round_trip_seconds"}]}, [0.0]),
        ("server_frames_per_second", {"server": [SERVER | {"name": "frames_per_second"}]}, [0.0]),
        ("server_element_seconds", {"server": [SERVER | {"name": "element.x264enc_seconds"}]}, [0.0]),
        ("server_element_seconds", {"server": [SERVER | {"name": "encode_seconds"}]}, []),
        ("event_loop_lag_seconds", {"network": [READING]}, [0.0]),
        ("session_ready_seconds", {"milestones": [{"event": "started", "unix_seconds": 1e9}]}, []),
        ("session_failure_ratio", {"milestones": [{"event": "started", "unix_seconds": 1e9}]}, [1.0]),
        (
            "session_ready_seconds",
            {"milestones": [{"event": e, "unix_seconds": 1e9} for e in ("started", "first_frame")]},
            [0.0],
        ),
        (
            "session_failure_ratio",
            {"milestones": [{"event": e, "unix_seconds": 1e9} for e in ("started", "first_frame")]},
            [0.0],
        ),
        (
            "session_phase_seconds",
            {"milestones": [{"event": e, "unix_seconds": 1e9} for e in ("started", "first_frame")]},
            [0.0],
        ),
    ],
)
def test_one_sample_and_identical_ends(tables, name: str, rows, expected) -> None:
    assert values(name, tables(**rows), suite="s").tolist() == expected


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("glass_to_glass_seconds", {"frames": [{**FRAME, "marker_unix_seconds": None}]}),
        ("glass_to_glass_seconds", {"frames": [{**FRAME, "decoded_unix_seconds": None}]}),
        ("glass_to_glass_seconds", {"frames": [{**FRAME, "marker_repeated": True}]}),
        ("decode_seconds", {"frames": [{**FRAME, "decoded_unix_seconds": None}]}),
        ("input_to_photon_seconds", {"inputs": [{**KEY, "photon_unix_seconds": None}]}),
        ("frame_size_bytes", {"frames": [{**FRAME, "complete": False}]}),
        ("jitter_seconds", {"network": [{**READING, "jitter_seconds": None}]}),
        *[
            (metric, {"network": [COUNTERS | {name: None}, LATER | {"packets_received": 200, name: None}]})
            for metric, name in (
                ("packets_lost_ratio", "packets_lost"),
                ("audio_packets_lost_ratio", "audio_packets_lost"),
                ("socket_drops", "socket_drops"),
            )
        ],
        *[
            (f"{stage}_seconds", {"frames": [FRAME | {f"{stage.partition('_to_')[0]}_unix_seconds": None}]})
            for stage in ("capture_to_encoded", "encoded_to_sent", "sent_to_arrival", "assembled_to_decoded")
        ],
        ("capture_to_arrival_seconds", {"frames": [{**FRAME, "capture_unix_seconds": None}]}),
        ("draw_to_capture_seconds", {"frames": [{**FRAME, "marker_repeated": True}]}),
        ("draw_to_arrival_seconds", {"frames": [{**FRAME, "marker_repeated": True}]}),
        ("draw_to_arrival_seconds", {"frames": [{**FRAME, "complete": False}]}),
        ("input_path_seconds", {"inputs": [{**KEY, "drawn_unix_seconds": None}]}),
        ("picture_path_seconds", {"inputs": [{**KEY, "drawn_unix_seconds": None}]}),
        ("vmaf_score", {"pictures": [{**PICTURE, "vmaf_score": None}]}),
    ],
)
def test_what_was_not_measured_is_no_value_and_not_zero(tables, name: str, rows) -> None:
    assert len(values(name, tables(**rows), suite="s")) == 0


def test_an_input_that_nobody_saw_is_lost(tables) -> None:
    rows = [KEY, KEY, KEY, {**KEY, "photon_unix_seconds": None}]
    assert values("input_loss_ratio", tables(inputs=rows), suite="s").mean() == 0.25


def test_resources_are_told_apart_by_whose_they_are(tables) -> None:
    rows = [
        {"unix_seconds": 1e9, "resource": resource, "value": value, "session": session}
        for session, resource, value in (
            ("desktop-0", "cpu_cores", 1.0),
            ("desktop-1", "cpu_cores", 2.0),
            ("client", "cpu_cores", 4.0),
            ("host", "cpu_cores", 8.0),
            ("gpu-0", "gpu_utilization_ratio", 0.5),
            ("gpu-0", "gpu_memory_bytes", 7.0),
            ("gpu-0", "gpu_power_watts", 58.0),
            ("gpu-0/1", "mig_memory_bytes", 3.0),
            ("desktop-0", "memory_bytes", 9.0),
            ("client", "memory_bytes", 10.0),
        )
    ]
    made = tables(resources=rows)
    expected = {
        "desktop_cpu_cores": [1.0, 2.0],
        "client_cpu_cores": [4.0],
        "gpu_utilization_ratio": [0.5],
        "gpu_memory_bytes": [7.0],
        "gpu_encoder_utilization_ratio": [],
        "gpu_power_watts": [58.0],
        "mig_memory_bytes": [3.0],
        "desktop_memory_bytes": [9.0],
        "client_memory_bytes": [10.0],
    }
    assert {name: values(name, made, suite="s").tolist() for name in expected} == expected


def test_latencies_are_indexed_by_their_end(tables) -> None:
    found = values("glass_to_glass_seconds", tables(frames=[{**FRAME, "decoded_unix_seconds": 1e9 + 0.5}]), suite="s")
    assert found.index.tolist() == [1e9 + 0.5]
    assert math.isclose(found.iloc[0], 0.5)
