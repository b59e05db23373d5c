"""Where the latency goes: what a dialect tells of a frame's stages, what not and why, and whose word a figure is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from vdibench import report
from vdibench.report import NO_DATA, NOT_APPLICABLE, Evidence
from vdibench.report.stages import frame_way
from vdibench.store import Recording

SUITE = "stream_validation"
START = 1.7e9
PLACE = {"suite": SUITE, "level": 1, "trial": 0, "phase": "steady", "session": "desktop-0"}
POINTS = ("marker", "capture", "encoded", "sent", "arrival", "assembled", "decoded")
MS = 0.001
FINEST = (
    "draw_to_capture_seconds",
    "capture_to_encoded_seconds",
    "encoded_to_sent_seconds",
    "sent_to_arrival_seconds",
    "arrival_to_assembled_seconds",
    "assembled_to_decoded_seconds",
)


def frames(*without: str, dialect: str = "selkies-2-webrtc", count: int = 20) -> dict[str, pd.DataFrame]:
    """Frames whose stages take 1, 2, 4, 8, 16 and 32 ms; the points named are not measured."""
    drawn = START + np.arange(count) / 60
    instants = drawn + np.cumsum([0.0, 1, 2, 4, 8, 16, 32])[:, None] * MS
    columns: dict[str, Any] = {f"{point}_unix_seconds": at for point, at in zip(POINTS, instants, strict=True)}
    for point in without:
        columns[f"{point}_unix_seconds"] = np.nan
    rest = {"rtp_timestamp": -1, "packets": 3, "size_bytes": 9, "key_frame": False, "complete": True}
    table = pd.DataFrame({**columns, **PLACE, **rest, "marker_repeated": False})
    table["first_arrival_unix_seconds"] = np.nan
    return {"frames": table, "facts": pd.DataFrame([{**PLACE, "key": "dialect", "value": dialect}])}


@pytest.mark.parametrize(
    ("without", "told"),
    [
        ((), FINEST),
        (("encoded", "sent"), (FINEST[0], "capture_to_arrival_seconds", *FINEST[4:])),
        (("capture", "encoded", "sent"), ("draw_to_arrival_seconds", *FINEST[4:])),
        (("capture", "encoded", "sent", "assembled"), ("draw_to_arrival_seconds", "decode_seconds")),
        (("marker",), FINEST[1:]),
        (("marker", "encoded"), ("capture_to_arrival_seconds", *FINEST[4:])),
        (("marker", "capture", "encoded", "sent"), FINEST[4:]),
        (("decoded", "assembled", "marker"), FINEST[1:4]),
    ],
)
def test_the_finest_split_that_was_measured_is_told_without_gap_or_overlap(
    without: tuple[str, ...], told: tuple[str, ...]
) -> None:
    parts = frame_way(Evidence.of(frames(*without)), SUITE).parts
    assert tuple(part.metric for part in parts) == told
    known = [point for point in POINTS if point not in without]
    whole = sum(2**number for number in range(POINTS.index(known[0]), POINTS.index(known[-1])))
    assert sum(part.values.median() for part in parts) == pytest.approx(whole * MS, abs=1e-5)


def _stamped(every: int, count: int) -> dict[str, pd.DataFrame]:
    """Frames of which the sender stamped one in ``every``; those took a second longer to be encoded."""
    made = frames(count=count)
    table = made["frames"]
    told = np.arange(count) % every == 0
    table.loc[~told, ["encoded_unix_seconds", "sent_unix_seconds"]] = np.nan
    later = ["encoded", "sent", "arrival", "assembled", "decoded"]
    table.loc[told, [f"{point}_unix_seconds" for point in later]] += 1.0
    return made


def test_stages_are_all_of_the_same_frames() -> None:
    """Medians of unlike frames would tell of a frame that never was."""
    way = frame_way(Evidence.of(_stamped(10, 400)), SUITE)
    assert (way.told, way.frames) == (40, 400)
    assert [part.metric for part in way.parts] == list(FINEST)
    assert {len(part.values) for part in way.parts} == {40}
    assert way.whole is not None
    assert way.whole.values.median() == pytest.approx(sum(part.values.median() for part in way.parts), abs=1e-5)
    chart = report.latency_stages(_stamped(10, 400), SUITE)
    assert chart is not None
    assert "Only the 40 of 400 frames that tell every stage are drawn" in chart.caption
    assert chart.caption.endswith("Over all frames the whole has a median of 63.0 ms.")


def test_a_split_that_too_few_frames_tell_gives_way_to_a_coarser_one() -> None:
    way = frame_way(Evidence.of(_stamped(40, 400)), SUITE)
    assert [part.metric for part in way.parts] == [FINEST[0], "capture_to_arrival_seconds", *FINEST[4:]]
    assert way.told == 400
    few = frame_way(Evidence.of(frames(count=3)), SUITE)
    assert (few.told, [part.metric for part in few.parts]) == (3, list(FINEST)), "all that there are"


@pytest.mark.parametrize(
    ("dialect", "why"),
    [
        ("selkies-1-webrtc", "no data: its sender reports are wrong"),
        ("selkies-2-websocket", "no data: frames carry no time stamp"),
        ("selkies-2-webrtc", "no data: nothing was measured"),
    ],
)
def test_a_chart_names_its_dialect_and_says_what_is_missing_in_it(dialect: str, why: str) -> None:
    chart = report.latency_stages(frames("capture", "encoded", "sent", dialect=dialect), SUITE)
    assert chart is not None
    assert chart.heading.endswith(dialect)
    (axes,) = chart.axes
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels[:4] == ["draw → arrived", "arrived → assembled", "assembled → decoded", "draw → decoded (whole)"]
    assert labels[4:] == ["draw → capture", "capture → encoded", "encoded → sent", "sent → arrived (network)"]
    assert why in [text.get_text() for text in axes.texts]


def test_bars_stand_one_behind_the_other_and_whiskers_end_at_p95() -> None:
    chart = report.latency_stages(frames(), SUITE)
    assert chart is not None
    (axes,) = chart.axes
    bars = [(bar.get_x(), bar.get_width()) for bar in axes.patches]
    expected = [(0, 1), (1, 2), (3, 4), (7, 8), (15, 16), (31, 32), (0, 63)]
    assert bars == [(pytest.approx(left, abs=0.01), pytest.approx(width, abs=0.01)) for left, width in expected]
    ends = [float(line.get_xdata()[-1]) for line in axes.lines if len(line.get_xdata()) == 2]
    assert ends == [pytest.approx(left + width, abs=0.01) for left, width in expected]
    assert "The medians add up to 63.0 ms, that of the whole is 63.0 ms" in chart.caption


def test_the_table_has_a_row_for_every_stage_and_says_why_one_is_empty() -> None:
    table = report.stages_table(frames("capture", "encoded", "sent", dialect="selkies-2-websocket"), SUITE)
    rows = {row["stage"]: row for row in table.to_dict("records")}
    assert len(rows) == len(table) == 11
    assert (rows["draw → arrived"]["p50"], rows["draw → arrived"]["why not"]) == ("15.0 ms", "")
    assert (rows["draw → capture"]["p50"], rows["draw → capture"]["why not"]) == (
        NO_DATA,
        "frames carry no time stamp",
    )
    within = rows["first → last packet (inside the network)"]
    assert (within["p50"], within["why not"]) == (NOT_APPLICABLE, "TCP")
    assert report.stages_table({}, SUITE).empty


def test_an_input_is_split_into_its_two_ways() -> None:
    sent = START + np.arange(9.0)
    rows = {"sent": sent, "drawn": sent + 0.004, "photon": sent + 0.030}
    inputs = pd.DataFrame({**{f"{name}_unix_seconds": at for name, at in rows.items()}, **PLACE, "kind": "key"})
    tables = {**frames(), "inputs": inputs}
    table = report.input_paths_table(tables, SUITE)
    assert table["p50"].tolist() == ["4.00 ms", "26.0 ms", "30.0 ms"]
    chart = report.input_stages(tables, SUITE)
    assert chart is not None
    assert [round(bar.get_width()) for bar in chart.axes[0].patches] == [4, 26, 30]
    older = {**frames(), "inputs": inputs.assign(drawn_unix_seconds=np.nan)}
    assert report.input_paths_table(older, SUITE).empty
    assert report.input_stages(older, SUITE) is None


def _server(*figures: tuple[str, float]) -> pd.DataFrame:
    rows = [{**PLACE, "unix_seconds": START + number, "name": n, "value": v} for number, (n, v) in enumerate(figures)]
    return pd.DataFrame(rows)


def test_the_server_s_word_stands_beside_ours() -> None:
    stated = _server(("encode_seconds", 0.005), ("round_trip_seconds", 0.001), ("frames_per_second", 59.0))
    table = report.server_table({**frames(), "server": stated}, SUITE)
    rows = {row["stated by the server"]: row for row in table.to_dict("records")}
    assert (rows["encoding"]["p50"], rows["encoding"]["measured here"]) == ("5.00 ms", "capture → encoded p50 2.00 ms")
    assert (rows["round trip of its ping"]["p50"], rows["round trip of its ping"]["measured here"]) == ("1.00 ms", "")
    assert rows["frames encoded"]["p50"] == "59.0 /s"
    assert rows["capture → last packet sent"]["p50"] == NO_DATA
    assert report.server_table(frames(), SUITE).empty


def test_elements_are_listed_with_their_stage_the_longest_first() -> None:
    stated = _server(
        ("element.rtph264pay_seconds", 0.0001),
        ("element.x264enc_seconds", 0.004),
        ("element.x264enc_seconds", 0.006),
        ("element.capsfilter_seconds", 0.00001),
        ("encode_seconds", 0.004),
    )
    table = report.elements_table({"server": stated}, SUITE)
    assert table[["stage", "element", "n", "p50"]].to_numpy().tolist() == [
        ["encode", "x264enc", "2", "4.00 ms"],
        ["payload", "rtph264pay", "1", "100 µs"],
        ["", "capsfilter", "1", "10.0 µs"],
    ]


def test_what_tcp_does_not_count_is_not_applicable_and_never_zero() -> None:
    counters = {
        "unix_seconds": START + np.arange(5.0),
        "packets_received": np.arange(5) * 60,
        "bytes_received": np.arange(5) * 60_000,
        "audio_packets_received": np.arange(5) * 50,
    }
    empty = dict.fromkeys(
        ("packets_lost", "jitter_seconds", "nack_count", "pli_count", "audio_packets_lost", "socket_drops"), np.nan
    )
    network = pd.DataFrame({**counters, **empty, "event_loop_lag_seconds": 0.001, **PLACE})
    for dialect, word in (("selkies-2-websocket", NOT_APPLICABLE), ("selkies-2-webrtc", NO_DATA)):
        tables = {**frames(dialect=dialect), "network": network}
        (row,) = report.network_table(tables, SUITE).to_dict("records")
        for column in ("packets lost", "loss", "p50 jitter", "p95 jitter", "NACKs", "PLIs"):
            assert row[column] == word, column
        (audio,) = report.audio_table(tables, SUITE).to_dict("records")
        assert (audio["audio packets, p50"], audio["packets lost"], audio["loss"]) == ("50.0 /s", word, word)
        assert "dropped at the client's socket" not in report.quality_table(tables)["what"].tolist()


def test_packets_that_this_host_dropped_are_part_of_the_quality(
    make: Callable[..., Path], part: Callable[..., object]
) -> None:
    table = report.quality_table(Recording.open(make([part(SUITE, seconds=3)])))
    (row,) = table[table["what"] == "dropped at the client's socket"].to_dict("records")
    assert row["value"] == "0 packets"


def test_the_terminal_says_the_stages_of_one_desktop_in_a_line() -> None:
    assert report.stage_lines(frames("encoded", "sent")) == [
        "stages of stream_validation (selkies-2-webrtc), p50 of 20 frames: draw → capture 1.00 ms · "
        "capture → arrived 14.0 ms · arrived → assembled 16.0 ms · assembled → decoded 32.0 ms · "
        "draw → decoded (whole) 63.0 ms"
    ]
    levels = {name: rows.assign(suite="latency_under_load") for name, rows in frames().items()}
    assert report.stage_lines(levels) == []
    assert report.stage_lines({}) == []
