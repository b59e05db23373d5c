"""Real H.264 through the decoder's thread: as many pictures out as in, at once, and what becomes of broken frames."""

from __future__ import annotations

import contextlib
import fractions
import math
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from queue import SimpleQueue
from typing import Any

import av
import numpy as np
import pytest

from vdibench.client.assembly import ASK_AGAIN_SECONDS, AssembledFrame
from vdibench.client.decoder import MAX_BACKLOG, MAX_BACKLOG_BYTES, DecodedFrame, DecoderPool, FrameDecoder


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


ENCODERS = {
    "h264": ("libx264", {"tune": "zerolatency"}),
    "hevc": ("libx265", {"tune": "zerolatency", "x265-params": "log-level=none"}),
    "vp8": ("libvpx", {"deadline": "realtime", "lag-in-frames": "0"}),
    "vp9": ("libvpx-vp9", {"deadline": "realtime", "lag-in-frames": "0", "cpu-used": "8"}),
    "libdav1d": ("libsvtav1", {"preset": "12", "svtav1-params": "pred-struct=1:lookahead=0:keyint=10"}),
    "mjpeg": ("mjpeg", {}),
}


@contextlib.contextmanager
def usual_scheduling() -> Iterator[None]:
    """SVT-AV1 makes its caller a real-time one when root calls: all later tests would inherit that."""
    policy, parameter = os.sched_getscheduler(0), os.sched_getparam(0)
    yield
    os.sched_setscheduler(0, policy, parameter)


def encoded(name: str, count: int, size: tuple[int, int] = (320, 240)) -> list[tuple[bytes, bool]]:
    encoder, options = ENCODERS[name]
    codec = av.CodecContext.create(encoder, "w")
    codec.width, codec.height = size
    codec.pix_fmt = "yuvj420p" if name == "mjpeg" else "yuv420p"
    codec.framerate, codec.time_base = fractions.Fraction(30, 1), fractions.Fraction(1, 30)
    codec.options = options
    random = np.random.default_rng(1)
    found = []
    with usual_scheduling():
        for index in range(count):
            planes = random.integers(16, 235, (size[1] * 3 // 2, size[0]), dtype=np.uint8)
            frame = av.VideoFrame.from_ndarray(planes, format="yuv420p").reformat(format=codec.pix_fmt)
            frame.pts = index
            found += codec.encode(frame)
        found += codec.encode(None)
    return [(bytes(packet), packet.is_keyframe) for packet in found]


@pytest.mark.parametrize("name", ENCODERS)
def test_every_codec_gives_a_frame_out_at_once(name: str, bench: Bench) -> None:
    stream = encoded(name, 8)
    assert len(stream) == 8
    for index, (data, key) in enumerate(stream):
        frame = bench.decode(replace(assembled(data, key, index), codec=name))
        assert (frame.width, frame.height) == (320, 240)
    assert bench.asked == []


def test_stripes_are_streams_of_their_own(bench: Bench) -> None:
    """Each stripe refers to itself only, and one that breaks leaves the others alone."""
    stripes = {top: pictures(6, (320, 64 + top)) for top in (0, 64, 128)}
    for index in range(6):
        for top, stream in stripes.items():
            data, key = stream[index]
            broken = (index, top) == (2, 64)
            source = replace(assembled(b"\x00\x00\x00\x01\x41nonsense" if broken else data, key, index), stripe=top)
            frame = bench.decode(source)
            refused = top == 64 and index >= 2
            assert math.isnan(frame.decoded_unix_seconds) == refused, (index, top)
            assert frame.height == (0 if refused else 64 + top)


def test_a_codec_that_is_none(bench: Bench) -> None:
    frame = bench.decode(replace(assembled(b"data", True, 0), codec="nonsense"))
    assert math.isnan(frame.decoded_unix_seconds)
    assert len(bench.asked) == 1


def test_a_picture_too_large_is_refused(bench: Bench) -> None:
    (data, _), *_ = encoded("mjpeg", 1, (64, 64))
    begin = data.index(b"\xff\xc0") + 5
    huge = data[:begin] + (16_000).to_bytes(2, "big") * 2 + data[begin + 4 :]
    frame = bench.decode(replace(assembled(huge, True, 0), codec="mjpeg"))
    assert math.isnan(frame.decoded_unix_seconds)


def test_a_backlog_is_bounded() -> None:
    """A decoder that is held up keeps what it can take, and needs a key frame after what it could not."""
    go, delivered = threading.Event(), []

    def deliver(frame: DecodedFrame) -> None:
        go.wait(10)
        delivered.append(frame)

    decoder = FrameDecoder(deliver, lambda: None, lambda error: None)
    stream = pictures(10)
    for index in range(MAX_BACKLOG + 20):
        data, key = stream[index % 10]
        decoder.add(assembled(data, key, index))
    go.set()
    decoder.close(20)
    assert len(delivered) == MAX_BACKLOG + 20
    decoded = [not math.isnan(frame.decoded_unix_seconds) for frame in delivered]
    assert decoded[: MAX_BACKLOG - 1] == [True] * (MAX_BACKLOG - 1)
    assert not any(decoded[MAX_BACKLOG + 1 :])
    assert sum(len(frame.source.data) > 0 for frame in delivered) <= MAX_BACKLOG + 1


def test_many_sessions_share_few_threads() -> None:
    before = threading.active_count()
    queues: list[SimpleQueue[DecodedFrame]] = [SimpleQueue() for _ in range(10)]
    shares = [DecoderPool.share(queue.put, lambda error: None) for queue in queues]
    assert threading.active_count() == before + DecoderPool.SIZE
    keys = {size: pictures(1, size)[0] for size in ((320, 240), (640, 368))}
    for round_ in range(3):
        for index, share in enumerate(shares):
            data, _ = keys[(320, 240) if index % 2 else (640, 368)]
            share.add(assembled(data, True, round_))
    for index, queue in enumerate(queues):
        frames = [queue.get(timeout=5) for _ in range(3)]
        assert [frame.source.timestamp for frame in frames] == [0, 3000, 6000]
        assert {(frame.width, frame.height) for frame in frames} == {(320, 240) if index % 2 else (640, 368)}
        assert all(frame.queued_unix_seconds <= frame.decoded_unix_seconds for frame in frames)
    for share in shares:
        share.close()
        share.close()
    assert threading.active_count() == before


def test_a_share_that_closes_has_delivered() -> None:
    delivered: list[DecodedFrame] = []
    share = DecoderPool.share(delivered.append, lambda error: None)
    other = DecoderPool.share(delivered.append, lambda error: None)
    for index in range(5):
        share.add(assembled(pictures(1)[0][0], True, index))
    share.close()
    assert len(delivered) == 5
    other.close()


def test_a_session_that_fails_does_not_fail_the_others() -> None:
    failures: list[Exception] = []
    delivered: SimpleQueue[DecodedFrame] = SimpleQueue()

    def full(frame: DecodedFrame) -> None:
        raise OSError("full")

    shares = [DecoderPool.share(full, failures.append) for _ in range(DecoderPool.SIZE)]
    shares += [DecoderPool.share(delivered.put, failures.append) for _ in range(DecoderPool.SIZE)]
    data, key = pictures(1)[0]
    for share in shares:
        share.add(assembled(data, key, 0))
    for _ in range(DecoderPool.SIZE):
        assert delivered.get(timeout=5).width == 320
    for share in shares:
        share.close()
    assert [str(error) for error in failures] == ["full"] * DecoderPool.SIZE


def held_up() -> tuple[FrameDecoder, threading.Event, list[DecodedFrame]]:
    """A decoder whose receiver keeps the first frame until it is let go."""
    go: threading.Event = threading.Event()
    delivered: list[DecodedFrame] = []

    def deliver(frame: DecodedFrame) -> None:
        delivered.append(frame)
        go.wait(10)

    return FrameDecoder(deliver, lambda: None, lambda error: None), go, delivered


def test_a_backlog_is_bounded_in_bytes() -> None:
    """What there is no room for waits without its data, stripes and all."""
    decoder, go, delivered = held_up()
    data = bytes(MAX_BACKLOG_BYTES // 8)  # one object, however often it waits
    for index in range(12):
        decoder.add(replace(assembled(data, True, index), codec="nonsense", rest=((64, data), (128, data))))
    go.set()
    decoder.close(20)
    kept = [bool(frame.source.data) for frame in delivered]
    assert 2 <= sum(kept) <= 3
    assert len(kept) == 12
    for frame, whole in zip(delivered, kept, strict=True):
        assert [(top, bool(rest)) for top, rest in frame.source.rest] == [(64, whole), (128, whole)]


def test_what_was_decoded_makes_room_again(bench: Bench) -> None:
    data = bytes(MAX_BACKLOG_BYTES // 2 + 1)
    for index in range(3):
        assert bench.decode(replace(assembled(data, True, index), codec="nonsense")).source.data


def test_nothing_is_delivered_after_a_close_that_gave_up() -> None:
    decoder, go, delivered = held_up()
    for index, (data, key) in enumerate(pictures(5)):
        decoder.add(assembled(data, key, index))
    decoder.close(0.1)
    before = len(delivered)
    go.set()
    decoder._thread.join(5)
    assert not decoder._thread.is_alive()
    assert len(delivered) == before <= 1


def test_a_share_delivers_nothing_after_a_close_that_gave_up() -> None:
    go: threading.Event = threading.Event()
    delivered: list[DecodedFrame] = []

    def deliver(frame: DecodedFrame) -> None:
        delivered.append(frame)
        go.wait(10)

    share = DecoderPool.share(deliver, lambda error: None)
    (data, _), *_ = pictures(1)
    for index in range(3):
        share.add(assembled(data, True, index))
    share.close(0.1)
    before = len(delivered)
    go.set()
    share._worker._thread.join(5)
    assert not share._worker._thread.is_alive()
    assert len(delivered) == before <= 1


def test_a_stripe_without_a_picture_leaves_the_frame_without_one(bench: Bench) -> None:
    """A decoder that keeps its first picture back is no error; the stripes below must not hide it."""
    whole = pictures(1)[0][0]
    sets_only = whole[: whole.index(b"\x00\x00\x01\x65")]
    for middle, seen in ((whole, True), (sets_only, False)):
        frame = bench.decode(replace(assembled(whole, True, 0), rest=((240, middle), (480, whole))))
        assert math.isnan(frame.decoded_unix_seconds) != seen
