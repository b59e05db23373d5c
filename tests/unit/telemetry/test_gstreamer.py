"""The latency tracer's log, from real pipelines: which stage took what, whatever else stands in the log."""

from __future__ import annotations

import os
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vdibench.errors import TargetUnavailable
from vdibench.store import frame
from vdibench.telemetry.gstreamer import Stage, factory, read_tracer_log, records, rows, stage, tracer_start

DATA = Path(__file__).parents[2] / "data" / "gstreamer-latency"
REAL = DATA / "selkies-1.6.2.log"
COLOUR = DATA / "colour.log"
LINE = (
    "0:01:02.003436467  1124 0x55b628beb400 TRACE             GST_TRACER :0:: element-latency, "
    "element-id=(string)0x55b628bc2f00, element=(string)x264enc0, src=(string)src, time=(guint64)1423667, "
    "ts=(guint64)62003425301;"
)
START = 1.7e9


def _names(found) -> Counter[str]:
    return Counter(row["name"] for row in found)


def test_one_line() -> None:
    [one] = records([LINE])
    assert (one.logged_seconds, one.thread, one.element) == (62.003436467, "0x55b628beb400", "x264enc0")
    assert one.seconds == pytest.approx(0.001423667)
    assert rows([one], START) == [
        {"unix_seconds": START + 62.003436467, "name": name, "value": one.seconds}
        for name in ("element.x264enc_seconds", "encode_seconds")
    ]


def test_a_real_server_s_log_gives_the_video_and_not_the_audio() -> None:
    """Audio went through capsfilter, srtpenc and others 60 times and more; video 19 times, 4 capsfilters a frame."""
    with REAL.open() as log:
        found = rows(records(log), START)
    assert _names(found) == {
        "pipeline_seconds": 19,
        "encode_seconds": 19,
        "element.x264enc_seconds": 19,
        "element.videoconvert_seconds": 19,
        "element.rtph264pay_seconds": 19,
        "element.capsfilter_seconds": 76,
        "element.clocksync_seconds": 36,
        **{
            f"element.{name}_seconds": 18
            for name in ("rtpulpfecenc", "rtpredenc", "rtpfunnel", "rtprtxsend", "rtpsession", "srtpenc", "funnel")
        },
    }
    by_name = {name: [row["value"] for row in found if row["name"] == name] for name in _names(found)}
    assert median(by_name["encode_seconds"]) == pytest.approx(0.00185, abs=1e-5)
    assert median(by_name["pipeline_seconds"]) == pytest.approx(0.00405, abs=1e-5)
    assert all(0 < row["value"] < 0.02 for row in found)
    assert sorted(row["unix_seconds"] for row in found) == [row["unix_seconds"] for row in found]


def test_elements_of_a_frame_add_up_to_no_more_than_its_whole_way() -> None:
    with REAL.open() as log:
        found = rows(records(log), START)
    sums = Counter[str]()
    for row in found:
        sums[row["name"]] += row["value"]
    stages = ("videoconvert", "x264enc", "rtph264pay", "capsfilter")
    assert 0.8 < sum(sums[f"element.{name}_seconds"] for name in stages) / sums["pipeline_seconds"] <= 1


def test_colours_and_other_categories_do_not_matter() -> None:
    with COLOUR.open() as log:
        found = rows(records(log), START)
    frames = _names(found)["pipeline_seconds"]
    assert frames >= 5
    for name in ("encode", "element.x264enc", "element.videoconvert", "element.rtph264pay", "element.capsfilter"):
        assert abs(_names(found)[f"{name}_seconds"] - frames) <= 1


@pytest.mark.parametrize(
    "line",
    [
        "",
        "latency, ",
        "element-latency, element=(string)x264enc0, time=(guint64)1;",
        LINE[:-1],
        LINE.replace("TRACE", "DEBUG"),
        LINE.replace("time=(guint64)1423667, ", ""),
        LINE.replace("1423667", "18446744073709551615"),
        LINE.replace("(guint64)1423667", '(structure)"value\\,\\ type\\;"'),
        LINE.replace("element-latency", "element-reported-latency"),
        LINE.replace("0:01:02.003436467", "0:01:62.003436467"),
    ],
)
def test_what_is_no_whole_record_is_passed_over(line: str) -> None:
    assert list(records([line])) == []


@pytest.mark.parametrize("cut", range(0, len(LINE), 7))
def test_a_line_that_was_cut_takes_nothing_of_the_next(cut: int) -> None:
    other = LINE.replace("x264enc0", "rtph264pay0").replace("1423667", "5000")
    [one] = records([LINE[:cut] + other])
    assert (one.element, one.seconds) == ("rtph264pay0", 5e-6)


@given(st.text())
def test_any_text_is_survived(text: str) -> None:
    assert len(list(records([text, LINE + text, text + " " + LINE]))) >= 1


@pytest.mark.parametrize("prefix", ["2024-05-01T10:00:00.123456789Z ", "2024-05-01T12:00:00.123456+02:00 stderr F "])
def test_a_container_s_time_stamps_need_no_start(tmp_path: Path, prefix: str) -> None:
    """As ``kubectl logs --timestamps`` and a node's log files have them."""
    log = tmp_path / "pod.log"
    log.write_text(f"{prefix}something else\n{prefix}{LINE}\n")
    instant = datetime(2024, 5, 1, 10, 0, 0, 123456, UTC).timestamp()
    found = read_tracer_log(log, instant - 1, instant + 1)
    assert [row["unix_seconds"] for row in found] == [pytest.approx(instant, abs=1e-5)] * 2
    assert read_tracer_log(log, instant + 1, instant + 2) == []


def test_the_start_follows_from_the_file_s_last_change(tmp_path: Path) -> None:
    log = tmp_path / "tracer.log"
    log.write_text(f"{LINE}\n0:02:00.500000000  1124 0x55b628beb400 INFO  other :0:: words\n0:02:01.2")
    os.utime(log, (START, START))
    assert tracer_start(log) == pytest.approx(START - 120.5, abs=1e-6)
    [element, encode] = read_tracer_log(log, START - 60, START)
    assert element["unix_seconds"] == encode["unix_seconds"] == pytest.approx(START - 120.5 + 62.003436467, abs=1e-6)
    assert read_tracer_log(log, START - 58, START) == []
    assert len(read_tracer_log(log, START + 62, START + 63, started_unix_seconds=START)) == 2


def test_rows_are_rows_of_the_table_server(tmp_path: Path) -> None:
    place = {"suite": "stream_validation", "level": 1, "trial": 0, "phase": "steady", "session": "desktop-0"}
    found = read_tracer_log(REAL, 0, START, started_unix_seconds=0)
    assert len(frame("server", [{**place, **row} for row in found])) == len(found) == 333


def test_what_cannot_be_read_is_told_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(TargetUnavailable, match=r"cannot read the tracer's log .*No such file.*GST_DEBUG_FILE"):
        read_tracer_log(tmp_path / "none.log", 0, 1)
    other = tmp_path / "other.log"
    other.write_text("INFO:main:starting\n")
    with pytest.raises(TargetUnavailable, match=r"holds no record.*GST_TRACERS"):
        read_tracer_log(other, 0, 1)


@pytest.mark.parametrize(
    ("element", "kind", "where"),
    [
        ("x264enc", "x264enc", Stage.ENCODE),
        ("nvh264enc0", "nvh264enc", Stage.ENCODE),
        ("vah264lpenc0", "vah264lpenc", Stage.ENCODE),
        ("nvcudah264enc1", "nvcudah264enc", Stage.ENCODE),
        ("svtav1enc0", "svtav1enc", Stage.ENCODE),
        ("openh264enc", "openh264enc", Stage.ENCODE),
        ("vp9enc2", "vp9enc", Stage.ENCODE),
        ("opusenc", "opusenc", Stage.OTHER),
        ("rtpredenc0", "rtpredenc", Stage.SEND),
        ("srtpenc1", "srtpenc", Stage.SEND),
        ("rtph265pay0", "rtph265pay", Stage.PAYLOAD),
        ("rtpav1pay0", "rtpav1pay", Stage.PAYLOAD),
        ("rtpopuspay0", "rtpopuspay", Stage.OTHER),
        ("videoconvert0", "videoconvert", Stage.CONVERT),
        ("cudaupload0", "cudaupload", Stage.CONVERT),
        ("cudaconvert0", "cudaconvert", Stage.CONVERT),
        ("vapostproc0", "vapostproc", Stage.CONVERT),
        ("ximagesrc0", "ximagesrc", Stage.SOURCE),
        ("clocksync_0", "clocksync", Stage.SEND),
        ("x11", "x11", Stage.OTHER),
        ("capsfilter12", "capsfilter", Stage.OTHER),
    ],
)
def test_kinds_and_stages(element: str, kind: str, where: Stage) -> None:
    assert factory(element) == kind
    assert stage(element) is where


def test_a_date_that_cannot_be_is_passed_over() -> None:
    assert list(records([f"2024-02-30T10:61:00.000000000Z {LINE}", LINE])) == list(records([LINE]))
