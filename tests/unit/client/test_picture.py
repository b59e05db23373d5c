"""What each mode makes of the same frames: rows, the first frame, the size, what is decoded and by whom."""

from __future__ import annotations

import asyncio
import fractions
import math
import threading
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import av
import numpy as np
import pytest

from vdibench.client import FrameRecord
from vdibench.client.assembly import AssembledFrame, FrameTiming
from vdibench.client.mode import Mode
from vdibench.client.picture import PictureStream


def key_frame(width: int = 320, height: int = 240) -> bytes:
    codec = av.CodecContext.create("libx264", "w")
    codec.width, codec.height, codec.pix_fmt = width, height, "yuv420p"
    codec.framerate, codec.time_base = fractions.Fraction(30, 1), fractions.Fraction(1, 30)
    codec.options = {"preset": "ultrafast", "tune": "zerolatency"}
    frame = av.VideoFrame.from_ndarray(np.full((height * 3 // 2, width), 99, dtype=np.uint8), format="yuv420p")
    return b"".join(bytes(packet) for packet in codec.encode(frame))


def assembled(index: int, data: bytes, *, key: bool = True, complete: bool = True, **rest: Any) -> AssembledFrame:
    return AssembledFrame(
        timestamp=index * 1500,
        arrival_unix_seconds=1000.0 + index,
        packets=3,
        size_bytes=100,
        key=key,
        complete=complete,
        decodable=complete and bool(data),
        data=data,
        first_arrival_unix_seconds=999.5 + index,
        timing=FrameTiming(1.0, 2.0, 3.0),
        **rest,
    )


class Sink:
    """Keeps what it gets."""

    def __init__(self) -> None:
        self.frames: list[FrameRecord] = []
        self.facts: dict[str, str] = {}
        self.milestones: dict[str, float] = {}

    def frame(self, session: str, record: FrameRecord) -> None:
        self.frames.append(record)

    def fact(self, session: str, key: str, value: str) -> None:
        self.facts[key] = value

    def milestone(self, session: str, event: str, unix_seconds: float) -> None:
        self.milestones[event] = unix_seconds


@pytest.fixture
async def stream() -> AsyncIterator[Callable[..., tuple[PictureStream, Sink]]]:
    made: list[PictureStream] = []

    def make(mode: Mode, sink: Any = None, failures: list[Exception] | None = None) -> tuple[PictureStream, Any]:
        sink = sink or Sink()
        fail = (failures if failures is not None else []).append
        made.append(PictureStream("d", None, sink, lambda: None, lambda *_: None, fail, mode))
        return made[-1], sink

    yield make
    for one in made:
        await one.close()


async def test_headers_only(stream: Any) -> None:
    pictures, sink = stream(Mode.METER)
    before = threading.active_count()
    pictures.add(assembled(0, b"", key=False, complete=False))
    assert not pictures.first_frame.is_set()
    pictures.add(assembled(1, b"", key=False))
    assert threading.active_count() == before
    assert pictures.first_frame.is_set()
    assert sink.milestones == {"first_frame": 1001.0}
    assert sink.facts == {"first_frame.kind": "arrived"}
    assert [frame.complete for frame in sink.frames] == [False, True]
    row = sink.frames[1]
    assert (row.arrival_unix_seconds, row.first_arrival_unix_seconds) == (1001.0, 1000.5)
    assert (row.capture_unix_seconds, row.encoded_unix_seconds, row.sent_unix_seconds) == (1.0, 2.0, 3.0)
    assert math.isnan(row.assembled_unix_seconds)
    assert math.isnan(row.decoded_unix_seconds)
    assert pictures.last_arrival <= asyncio.get_running_loop().time()


async def test_assembled_and_not_decoded(stream: Any) -> None:
    pictures, sink = stream(Mode.DEPACKETISE)
    before = time.time()
    pictures.add(assembled(0, key_frame()))
    assert before <= sink.frames[0].assembled_unix_seconds == sink.milestones["first_frame"] <= time.time()
    assert math.isnan(sink.frames[0].decoded_unix_seconds)
    assert sink.facts["first_frame.kind"] == "assembled"
    assert sink.facts["sps.size"] == "320×240"
    assert "picture.size" not in sink.facts


async def test_sampled_decodes_key_frames_now_and_then(stream: Any) -> None:
    pictures, sink = stream(Mode.SAMPLED)
    key = key_frame()
    for index in range(4):
        pictures.add(assembled(4 * index, key))
        for more in range(3):
            pictures.add(assembled(4 * index + more + 1, b"", key=False))
    await asyncio.wait_for(pictures.first_frame.wait(), 5)
    await pictures.close()
    assert len(sink.frames) == 16
    decoded = [frame for frame in sink.frames if not math.isnan(frame.decoded_unix_seconds)]
    assert [frame.rtp_timestamp for frame in decoded] == [0], "the others came too soon"
    assert sink.facts["first_frame.kind"] == "decoded"
    assert sink.facts["picture.size"] == "320×240"
    assert sink.facts["sampling"] == "one key frame asked for and decoded every 0.7 to 1.3 s"
    assert sink.milestones["first_frame"] == decoded[0].decoded_unix_seconds


async def test_decode_decodes_all(stream: Any) -> None:
    pictures, sink = stream(Mode.DECODE)
    key = key_frame()
    for index in range(5):
        pictures.add(assembled(index, key))
    pictures.add(assembled(5, b"", complete=False))
    await pictures.close()
    assert [math.isnan(frame.decoded_unix_seconds) for frame in sink.frames] == [False] * 5 + [True]
    assert all(frame.assembled_unix_seconds <= frame.decoded_unix_seconds for frame in sink.frames[:5])


async def test_a_picture_of_stripes_is_as_high_as_its_lowest(stream: Any) -> None:
    pictures, _ = stream(Mode.DECODE)
    stripes = [(0, key_frame(320, 64)), (64, key_frame(320, 64)), (128, key_frame(320, 32))]
    for index, (top, data) in enumerate(stripes):
        pictures.add(assembled(index, data, stripe=top))
    async with asyncio.timeout(5):
        while pictures.size != (320, 160):  # noqa: ASYNC110  # a thread decodes
            await asyncio.sleep(0.01)  # a poll, with a deadline above
    pictures.add(assembled(3, key_frame(640, 96)))
    async with asyncio.timeout(5):
        while pictures.size != (640, 96):  # noqa: ASYNC110  # a thread decodes
            await asyncio.sleep(0.01)  # a poll, with a deadline above


@pytest.mark.parametrize("mode", [Mode.METER, Mode.DEPACKETISE])
async def test_a_sink_that_refuses_is_told_of_once(mode: Mode, stream: Any) -> None:
    class Full(Sink):
        def frame(self, session: str, record: FrameRecord) -> None:
            raise OSError("full")

    failures: list[Exception] = []
    pictures, _ = stream(mode, Full(), failures)
    for index in range(3):
        pictures.add(assembled(index, b"data"))
    assert [str(error) for error in failures] == ["full"]


async def test_parameter_sets_that_cannot_be_read_are_not_tried_for_ever(stream: Any) -> None:
    pictures, sink = stream(Mode.DEPACKETISE)
    for index in range(20):
        sink.facts.pop("sps.error", None)
        pictures.add(assembled(index, b"\x00\x00\x00\x01\x67\x42\x00"))
        assert ("sps.error" in sink.facts) == (index < 8), index
    pictures.add(assembled(20, key_frame()))
    assert pictures.sps is None
