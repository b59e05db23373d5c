"""Traces: the file gives back what went in and refuses anything else; payloads are cut as they were recorded."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vdibench.errors import StoreError, UsageError
from vdibench.replay.payloads import PAYLOAD_BYTES
from vdibench.replay.trace import Provenance, Trace, TraceFrame, load_trace, save_trace

RECORDED = Path(__file__).parents[2] / "data" / "replay" / "text.trace"
PROVENANCE = Provenance(
    source="a test",
    recorded=True,
    server="selkies 2.1.0",
    dialect="selkies-2-webrtc",
    encoder="x264",
    width=640,
    height=360,
    framerate=30,
    bitrate_bps=500_000,
    workload="text",
    marker_id=7,
    recorded_unix_seconds=1_760_000_000.25,
    vdibench="0",
)
UNIT = b"\0\0\0\1\x65" + bytes(range(1, 200))


def frame(number: int, **changes: object) -> TraceFrame:
    made = TraceFrame(number / 30 - 0.005, number / 30, number / 30 + 0.004, 2, number == 0, UNIT)
    return dataclasses.replace(made, **changes)


def trace(count: int = 4) -> Trace:
    return Trace(PROVENANCE, [frame(number) for number in range(count)])


@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from([math.nan, 0.02]),
            st.floats(0.002, 0.5),
            st.floats(0, 0.5),
            st.integers(1, 65_535),
            st.booleans(),
            st.binary(min_size=1, max_size=50),
        ),
        min_size=2,
        max_size=20,
    )
)
def test_file_gives_back_what_went_in(tmp_path_factory: pytest.TempPathFactory, steps: list[Any]) -> None:
    frames, left = [], 0.0
    for number, (captured, gap, spread, packets, key, unit) in enumerate(steps):
        left += gap
        frames.append(TraceFrame(left - captured, left, left + spread, packets, key or not number, unit))
    path = tmp_path_factory.mktemp("trace") / "one.trace"
    save_trace(Trace(PROVENANCE, frames), path)
    found = load_trace(path)
    assert found.provenance == PROVENANCE
    for before, after in zip(frames, found.frames, strict=True):
        assert (after.packets, after.key, after.access_unit) == (before.packets, before.key, before.access_unit)
        assert after.captured == pytest.approx(before.captured, abs=1e-6, nan_ok=True)
        assert (after.first, after.last) == pytest.approx((before.first, before.last), abs=2e-6)


def test_every_damage_is_found_out(tmp_path: Path) -> None:
    path = tmp_path / "one.trace"
    save_trace(trace(), path)
    whole = path.read_bytes()
    for cut in range(0, len(whole), 7):
        path.write_bytes(whole[:cut])
        with pytest.raises(UsageError, match="no trace"):
            load_trace(path)
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        try:
            assert len(load_trace(path).frames) == 4, "a change in the provenance may pass, never one in the video"
        except UsageError:
            continue
        assert whole.index(b"{") < place < whole.index(b"}")


def test_no_file_and_no_room_are_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="vdibench record"):
        load_trace(tmp_path / "none.trace")
    (tmp_path / "file").touch()
    with pytest.raises(StoreError):
        save_trace(trace(), tmp_path / "file" / "one.trace")


@pytest.mark.parametrize(
    "frames",
    [
        [],
        [frame(0)],
        [frame(0, key=False), frame(1)],
        [frame(0), frame(2), frame(1)],
        [frame(0), frame(1, last=0.0)],
        [frame(0), frame(1, captured=-0.005)],
        [frame(0), frame(1, captured=-3.0)],
        [frame(0), frame(1, captured=math.inf)],
    ],
    ids=["none", "one", "no key frame", "backwards", "ends before it begins", "no time", "unborn", "never ending"],
)
def test_what_cannot_be_replayed_is_refused(frames: list[TraceFrame]) -> None:
    with pytest.raises(UsageError):
        Trace(PROVENANCE, frames)


def test_rates_are_those_of_the_capture() -> None:
    found = trace(31)
    assert found.seconds == pytest.approx(31 / 30)
    assert found.frames_per_second == pytest.approx(30)
    assert found.timed
    assert not Trace(PROVENANCE, [frame(0), frame(1, captured=math.nan)]).timed


def test_the_recorded_one_is_a_real_desktop_cut_as_it_was() -> None:
    found = load_trace(RECORDED)
    came = found.provenance
    assert came.recorded
    assert came.server.startswith("selkies 2.")
    assert (came.width, came.height, came.framerate, came.encoder) == (640, 360, 30, "x264")
    assert found.frames[0].key
    assert found.timed
    assert found.frames_per_second == pytest.approx(30, rel=0.1)
    assert max(len(payload) for payloads in found.payloads for payload in payloads) <= PAYLOAD_BYTES
    recorded = sum(frame.packets for frame in found.frames)
    assert sum(map(len, found.payloads)) == pytest.approx(recorded, rel=0.05)
    assert "recorded H.264 640×360@30" in came.describe()


@pytest.mark.parametrize(
    ("key", "value"),
    [("width", "wide"), ("width", 0), ("framerate", -1), ("recorded", "yes"), ("marker_id", None), ("source", 5)],
)
def test_a_provenance_of_another_kind_is_refused(tmp_path: Path, key: str, value: object) -> None:
    path = tmp_path / "one.trace"
    save_trace(trace(), path)
    whole = path.read_bytes()
    begin, end = whole.index(b"{"), whole.index(b"}") + 1
    for document in ({**json.loads(whole[begin:end]), key: value}, [1], "text"):
        text = json.dumps(document).encode()
        path.write_bytes(whole[: begin - 4] + len(text).to_bytes(4, "big") + text + whole[end:])
        with pytest.raises(UsageError, match="no trace of ours"):
            load_trace(path)
