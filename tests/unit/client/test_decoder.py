"""Real H.264 through the decoder's thread: as many pictures out as in, at once, and what becomes of broken frames."""

from __future__ import annotations

import fractions
import math
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any

import av
import numpy as np
import pytest

from vdibench.client.assembly import ASK_AGAIN_SECONDS, AssembledFrame
from vdibench.client.decoder import DecodedFrame, FrameDecoder


def pictures(count: int, size: tuple[int, int] = (320, 240), **options: str) -> list[tuple[bytes, bool]]:
    """Encoded pictures and whether each is a key frame."""
    codec = av.CodecContext.create("libx264", "w")
    codec.width, codec.height, codec.pix_fmt = *size, "yuv420p"
    codec.framerate, codec.time_base = fractions.Fraction(30, 1), fractions.Fraction(1, 30)
    codec.options = {"preset": "ultrafast", "tune": "zerolatency", "x264-params": "keyint=10:scenecut=0", **options}
    random = np.random.default_rng(0)
    found = []
    for index in range(count):
        planes = random.integers(16, 235, (size[1] * 3 // 2, size[0]), dtype=np.uint8)
        frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
        frame.pts = index
        found += [(bytes(packet), packet.is_keyframe) for packet in codec.encode(frame)]
    return found


def assembled(data: bytes, key: bool, index: int, *, decodable: bool = True) -> AssembledFrame:
    return AssembledFrame(index * 3000, index / 30, 1, len(data), key, decodable, decodable, data if decodable else b"")


@dataclass
class Bench:
    """A decoder and what it delivered."""

    delivered: SimpleQueue[DecodedFrame] = field(default_factory=SimpleQueue)
    asked: list[float] = field(default_factory=list)
    failures: list[Exception] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.decoder = FrameDecoder(self.delivered.put, lambda: self.asked.append(time.time()), self.failures.append)

    def decode(self, frame: AssembledFrame) -> DecodedFrame:
        """Hand in one frame and wait for it, before the next is handed in."""
        self.decoder.add(frame)
        return self.delivered.get(timeout=5)


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.decoder.close()


def test_each_frame_comes_out_before_the_next_goes_in(bench: Bench) -> None:
    for index, (data, key) in enumerate(pictures(30)):
        before = time.time()
        source = assembled(data, key, index)
        frame = bench.decode(source)
        assert frame.source is source
        assert before <= frame.decoded_unix_seconds <= time.time()
        assert (frame.width, frame.height) == (320, 240)
        assert frame.marker is None
    assert bench.asked == []
    assert bench.decoder.backlog == 0


def test_a_size_that_changes(bench: Bench) -> None:
    stream = [*pictures(3), *pictures(3, (640, 368)), *pictures(3)]
    sizes = [bench.decode(assembled(data, key, i)).width for i, (data, key) in enumerate(stream)]
    assert sizes == [320] * 3 + [640] * 3 + [320] * 3


def test_what_is_not_decodable_is_delivered_in_its_turn(bench: Bench) -> None:
    for index, (data, key) in enumerate(pictures(6)):
        frame = bench.decode(assembled(data, key, index, decodable=index != 3))
        assert math.isnan(frame.decoded_unix_seconds) == (index == 3)


@pytest.mark.parametrize("damage", ["garbage", "zeros", "cut", "flipped"])
def test_a_refused_frame_costs_all_up_to_the_next_key_frame(damage: str, bench: Bench) -> None:
    random = np.random.default_rng(5)
    for index, (data, key) in enumerate(pictures(22)):
        assert key == (index % 10 == 0)
        if index == 4:
            data = {
                "garbage": b"\x00\x00\x00\x01\x65" + random.bytes(500),
                "zeros": bytes(300),
                "cut": data[: len(data) // 2],
                "flipped": data[:200] + bytes(byte ^ 0xFF for byte in data[200:260]) + data[260:],
            }[damage]
        frame = bench.decode(assembled(data, key, index))
        assert math.isnan(frame.decoded_unix_seconds) == (4 <= index < 10), index
    assert len(bench.asked) == 1


def test_the_request_is_repeated_while_no_key_frame_comes(bench: Bench) -> None:
    ((first, _), *rest) = pictures(1 + int(ASK_AGAIN_SECONDS * 30) * 3, **{"x264-params": "keyint=1000:scenecut=0"})
    bench.decode(assembled(first, True, 0))
    for index, (data, key) in enumerate(rest, start=1):
        assert not key
        bench.decode(assembled(data if index > 1 else b"\x00\x00\x01\x65broken", key, index))
    assert len(bench.asked) == 3


def test_closing_decodes_what_waits() -> None:
    bench = Bench()
    stream = pictures(20)
    for index, (data, key) in enumerate(stream):
        bench.decoder.add(assembled(data, key, index))
    bench.decoder.close()
    assert bench.delivered.qsize() == 20
    assert "vdibench-decoder" not in {thread.name for thread in threading.enumerate()}


def test_a_receiver_that_raises_is_reported_once() -> None:
    failures: list[Exception] = []

    def refuse(frame: Any) -> None:
        raise OSError("no space left")

    decoder = FrameDecoder(refuse, lambda: None, failures.append)
    for index, (data, key) in enumerate(pictures(3)):
        decoder.add(assembled(data, key, index))
    decoder.close()
    assert [str(failure) for failure in failures] == ["no space left"]
