"""Binary messages of the WebSocket dialect: recorded, made, and every way of being cut short."""

from __future__ import annotations

import gzip
import struct
import tracemalloc
from itertools import pairwise, product
from typing import Any

import pytest

from vdibench.errors import ProtocolViolation
from vdibench.selkies.websocket_frames import (
    AudioPacket,
    CompressedText,
    UnknownMessage,
    VideoChunk,
    parse_binary,
)

RED = b"\x01\x02" + struct.pack(">III", 960, 0xE0 << 24 | 960 << 10 | 3, 0xE0 << 24 | 480 << 10 | 2) + b"\x60aaabbcccc"
JPEG = b"\xff\xd8\xff\xe0\x00\x04ab\xff\xff\xc2\x00\x0b\x08\x01\x68\x05\x00\x01\x01\x11\x00\xff\xd9"


def binaries(recorded: list[dict[str, Any]], kind: int) -> list[bytes]:
    found = [bytes.fromhex(frame["binary"]) for frame in recorded if "binary" in frame]
    return [message for message in found if message[0] == kind]


def test_recorded_video(recorded_websocket: dict[str, list[dict[str, Any]]]) -> None:
    chunks = [parse_binary(message) for message in binaries(recorded_websocket["controller"], 4)]
    assert all(isinstance(chunk, VideoChunk) and chunk.codec == "h264" for chunk in chunks)
    told = [(chunk.key, chunk.frame_id, chunk.reference) for chunk in chunks if isinstance(chunk, VideoChunk)]
    assert told[:3] == [(True, 0, 0), (False, 1, 0), (False, 2, 1)]
    assert [identifier for key, identifier, _ in told if key] == [0, 143, 0]
    first = chunks[0]
    assert isinstance(first, VideoChunk)
    assert (first.top, first.width, first.height) == (0, 1280, 720)
    assert first.data.startswith(b"\x00\x00\x00\x01")


def test_recorded_stripes(recorded_websocket: dict[str, list[dict[str, Any]]]) -> None:
    chunks = [parse_binary(message) for message in binaries(recorded_websocket["striped"], 4)]
    told = [(chunk.frame_id, chunk.top, chunk.height) for chunk in chunks if isinstance(chunk, VideoChunk)]
    assert told[:4] == [(0, 0, 360), (0, 360, 360), (1, 0, 360), (1, 360, 360)]


def test_recorded_jpeg(recorded_websocket: dict[str, list[dict[str, Any]]]) -> None:
    chunks = [parse_binary(message) for message in binaries(recorded_websocket["jpeg"], 3)]
    for chunk, (identifier, top) in zip(chunks, product((0, 1), (0, 360)), strict=True):
        assert isinstance(chunk, VideoChunk)
        assert (chunk.codec, chunk.key, chunk.frame_id, chunk.top) == ("mjpeg", True, identifier, top)
        assert (chunk.width, chunk.height) == (1280, 360)


def test_recorded_sound(recorded_websocket: dict[str, list[dict[str, Any]]]) -> None:
    messages = binaries(recorded_websocket["controller"], 1)
    packets = [parse_binary(message) for message in messages]
    assert [message[1] for message in messages] == [0, 1, 2, 2, 2, 2]
    assert all(isinstance(packet, AudioPacket) for packet in packets)
    told = [(packet.timestamp, len(packet.redundant)) for packet in packets if isinstance(packet, AudioPacket)]
    assert told == [(None, 0), (480, 1), (960, 2), (1440, 2), (1920, 2), (2400, 2)]
    # What came alone comes again beside the next ones.
    for earlier, later in pairwise(packets):
        assert isinstance(earlier, AudioPacket)
        assert isinstance(later, AudioPacket)
        assert later.redundant[-1] == earlier.data


@pytest.mark.parametrize(("number", "name"), [(1, "h264"), (2, "vp8"), (3, "vp9"), (4, "libdav1d"), (5, "hevc")])
def test_each_codec_and_flag(number: int, name: str) -> None:
    for key, long_term in product((0, 1), (0, 8)):
        header = struct.pack(">BBHHHHH", 4, number << 4 | key | long_term, 65_535, 540, 1920, 541, 65_534)
        assert parse_binary(header + b"data") == VideoChunk(
            name, bool(key), bool(long_term), 65_535, 540, 1920, 541, 65_534, b"data"
        )


def test_sound() -> None:
    assert parse_binary(b"\x01\x00opus") == AudioPacket(b"opus")
    assert parse_binary(b"\x01\x80opus") == AudioPacket(b"opus", quiet=True)
    assert parse_binary(RED) == AudioPacket(b"cccc", False, 960, (b"aaa", b"bb"))


def test_jpeg_sizes() -> None:
    chunk = parse_binary(b"\x03\x00\x00\x07\x01\x68" + JPEG)
    assert chunk == VideoChunk("mjpeg", True, False, 7, 360, 1280, 360, 7, JPEG)


def test_text() -> None:
    assert parse_binary(b"\x05" + gzip.compress("MODE wébsockets".encode())) == CompressedText("MODE wébsockets")


@pytest.mark.parametrize("kind", sorted({*range(256)} - {1, 3, 4, 5}))
def test_unknown_kinds(kind: int) -> None:
    assert parse_binary(bytes([kind])) == UnknownMessage(kind)


def test_every_cut_is_a_violation_or_shorter_data() -> None:
    video = struct.pack(">BBHHHHH", 4, 0x11, 1, 0, 2, 2, 1) + b"d"
    text = b"\x05" + gzip.compress(b"text")
    for message, least in ((video, 13), (RED, 15 + 5), (b"\x03\x00\x00\x07\x00\x00" + JPEG, 24), (text, len(text))):
        for length in range(len(message)):
            if length < least:
                with pytest.raises(ProtocolViolation) as caught:
                    parse_binary(message[:length])
                assert caught.value.remedy
            else:
                parse_binary(message[:length])


@pytest.mark.parametrize("number", [0, *range(6, 16)])
def test_unknown_codecs(number: int) -> None:
    with pytest.raises(ProtocolViolation, match=f"number {number}"):
        parse_binary(struct.pack(">BBHHHHH", 4, number << 4, 1, 0, 2, 2, 1) + b"d")


@pytest.mark.parametrize(
    "message",
    [
        RED[:6] + b"\x60" + RED[7:],  # the last block where the first of two stands
        RED[:14] + b"\xe0" + RED[15:],  # no last block
        b"\x01\x7f" + bytes(600),
        b"\x03\x00\x00\x07\x00\x00" + b"\xff\xd8" + b"\xff\xd0" * 40_000,
        b"\x03\x00\x00\x07\x00\x00" + b"\xff\xd8" + b"\xff" * 100_000,
        b"\x03\x00\x00\x07\x00\x00" + b"\xff\xd8\xff\xe0\xff\xff" + bytes(100),
        b"\x05" + gzip.compress(b"\xff\xfe", mtime=0),
        b"\x05" + gzip.compress(b"a", mtime=0) + gzip.compress(b"b", mtime=0),
    ],
)
def test_garbage(message: bytes) -> None:
    with pytest.raises(ProtocolViolation) as caught:
        parse_binary(message)
    assert len(str(caught.value)) < 200


def test_a_bomb_costs_no_more_than_the_limit() -> None:
    bomb = b"\x05" + gzip.compress(bytes(64 * 1024 * 1024))
    tracemalloc.start()
    with pytest.raises(ProtocolViolation, match="more than 8388608 bytes"):
        parse_binary(bomb)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 32 * 1024 * 1024
