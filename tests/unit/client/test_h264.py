"""Payload looks and parameter sets against streams that libx264 made and what libav says of them."""

from __future__ import annotations

import fractions
import time
from typing import Any

import av
import numpy as np
import pytest
from aiortc.codecs.h264 import H264Encoder

from vdibench.client.h264 import find_sps, is_key, opens_access_unit, parse_sps


def encode(
    width: int, height: int, frames: int = 3, pixels: str = "yuv420p", **options: str
) -> tuple[list[bytes], Any]:
    """Encoded pictures, Annex B, and the encoder."""
    codec = av.CodecContext.create("libx264", "w")
    codec.width, codec.height, codec.pix_fmt = width, height, pixels
    codec.framerate, codec.time_base = fractions.Fraction(30, 1), fractions.Fraction(1, 30)
    profile = options.pop("profile", "")
    if profile:
        codec.profile = profile
    codec.options = {"preset": "ultrafast", **options}
    random = np.random.default_rng(0)
    packets = []
    for index in range(frames):
        picture = av.VideoFrame.from_ndarray(
            random.integers(0, 255, (height, width, 3), dtype=np.uint8), format="rgb24"
        )
        frame = picture.reformat(format=pixels)
        frame.pts = index
        packets += [bytes(packet) for packet in codec.encode(frame)]
    packets += [bytes(packet) for packet in codec.encode(None)]
    return packets, codec


def said_by_libav(stream: bytes) -> Any:
    decoder = av.CodecContext.create("h264", "r")
    decoder.decode(av.Packet(stream))
    decoder.decode(None)
    return decoder


def held_back(packets: list[bytes]) -> int:
    """How many pictures libav holds back because of what the stream says about reordering."""
    decoder = av.CodecContext.create("h264", "r")
    decoder.thread_count = 1
    return next(count for count, packet in enumerate(packets) if decoder.decode(av.Packet(packet)))


@pytest.mark.parametrize(
    ("width", "height"), [(16, 16), (640, 360), (1366, 768), (1920, 1080), (1600, 902), (642, 362), (3840, 2160)]
)
def test_size_with_and_without_cropping(width: int, height: int) -> None:
    packets, _ = encode(width, height, frames=1, tune="zerolatency")
    sps = find_sps(packets[0])
    assert sps is not None
    found = parse_sps(sps)
    decoder = said_by_libav(packets[0])
    assert (found.width, found.height) == (decoder.width, decoder.height) == (width, height)


@pytest.mark.parametrize(
    ("name", "pixels", "expected"),
    [
        ("baseline", "yuv420p", "Baseline"),
        ("main", "yuv420p", "Main"),
        ("high", "yuv420p", "High"),
        ("high10", "yuv420p10le", "High 10"),
        ("high422", "yuv422p", "High 4:2:2"),
        ("high444", "yuv444p", "244"),
    ],
)
def test_profiles(name: str, pixels: str, expected: str) -> None:
    options = {"main": {"x264-params": "cabac=1"}, "high": {"x264-params": "cabac=1:8x8dct=1"}}.get(name, {})
    packets, _ = encode(646, 362, frames=2, pixels=pixels, profile=name, tune="zerolatency", **options)
    sps = find_sps(packets[0])
    assert sps is not None
    found = parse_sps(sps)
    assert found.profile == expected
    assert (found.width, found.height) == (646, 362)
    assert sps[1] == {"Baseline": 66, "Main": 77, "High": 100, "High 10": 110, "High 4:2:2": 122, "244": 244}[expected]


@pytest.mark.parametrize(
    ("options", "reorder"),
    [
        ({"tune": "zerolatency"}, 0),
        ({"x264-params": "bframes=0"}, 0),
        ({"x264-params": "bframes=2:b-adapt=0:b-pyramid=none"}, 1),
        ({"x264-params": "bframes=3:b-adapt=0:b-pyramid=normal"}, 2),
    ],
)
def test_reordering(options: dict[str, str], reorder: int) -> None:
    packets, _ = encode(320, 240, frames=12, preset="medium", **options)
    sps = find_sps(packets[0])
    assert sps is not None
    found = parse_sps(sps)
    assert found.reorder_frames == reorder
    assert found.buffered_frames is not None
    assert found.buffered_frames >= reorder
    assert found.reorders is (reorder > 0)
    assert held_back(packets) == reorder


@pytest.mark.parametrize(
    "parameters",
    [
        "nal-hrd=cbr:vbv-maxrate=1000:vbv-bufsize=1000:bitrate=1000",
        "nal-hrd=vbr:vbv-maxrate=2000:vbv-bufsize=1000:bitrate=1000:filler=0",
        "colorprim=bt709:transfer=bt709:colormatrix=bt709:range=on",
        "sar=4/3",
        "sar=1/1:overscan=show:videoformat=ntsc:chromaloc=2",
        "tff=1",
        "cqm=jvt:8x8dct=1",
        "pic-struct=1",
        "force-cfr=1:aud=1",
    ],
)
def test_everything_an_sps_may_carry(parameters: str) -> None:
    """Each puts other fields before the restriction that says how far pictures are reordered."""
    packets, _ = encode(646, 364, frames=6, **{"x264-params": f"bframes=2:b-adapt=0:b-pyramid=normal:{parameters}"})
    sps = find_sps(b"".join(packets))
    assert sps is not None
    found = parse_sps(sps)
    decoder = said_by_libav(b"".join(packets))
    assert (found.width, found.height) == (decoder.width, decoder.height) == (646, 364)
    assert found.reorder_frames == held_back(packets) == 2
    assert found.level == f"{sps[3] // 10}.{sps[3] % 10}"


def test_a_stream_that_leaves_reordering_open() -> None:
    """Without a restriction in the VUI nobody knows, unless the picture order says so by itself."""
    for order_type, expected in ((0, None), (2, False)):
        found = parse_sps(written_sps(order_type))
        assert found.reorder_frames is None
        assert found.reorders is expected
        assert (found.width, found.height) == (32, 48)


def written_sps(order_type: int) -> bytes:
    """A minimal Baseline SPS without VUI, written bit by bit."""

    def code(value: int) -> str:
        digits = f"{value + 1:b}"
        return "0" * (len(digits) - 1) + digits

    order = code(order_type) + (code(0) if order_type == 0 else "")
    body = code(0) + code(0) + order + code(1) + "0" + code(1) + code(2) + "1" + "0" + "0" + "0" + "1"
    body += "0" * (-len(body) % 8)
    return bytes([0x67, 66, 0, 30]) + int(body, 2).to_bytes(len(body) // 8, "big")


def test_every_truncation_is_refused() -> None:
    packets, _ = encode(1366, 768, frames=1, tune="zerolatency")
    sps = find_sps(packets[0])
    assert sps is not None
    for length in range(1, len(sps) - 1):
        with pytest.raises(ValueError, match=r"ends early|Exp-Golomb"):
            parse_sps(sps[:length])


def test_garbage_is_refused_or_read_in_bounded_time() -> None:
    random = np.random.default_rng(3)
    for _ in range(2000):
        data = b"\x67" + random.bytes(int(random.integers(0, 60)))
        try:
            parse_sps(data)
        except ValueError:
            continue


@pytest.mark.parametrize("start", [b"\x00\x00\x01", b"\x00\x00\x00\x01"])
def test_where_the_sps_is(start: bytes) -> None:
    assert find_sps(start + b"\x09\x10" + start + b"\x67abc" + start + b"\x68d") == b"\x67abc"
    assert find_sps(start + b"\x67abc") == b"\x67abc"
    assert find_sps(start + b"\x65abc") is None
    assert find_sps(start) is None
    assert find_sps(b"") is None


def test_payloads_of_a_real_stream() -> None:
    """The first payload of a picture opens it, the rest of a slice does not; those of an IDR picture are key."""
    packets, _ = encode(640, 360, frames=4, tune="zerolatency", **{"x264-params": "slices=1:keyint=2:scenecut=0"})
    for index, packet in enumerate(packets):
        payloads = H264Encoder._packetize(H264Encoder._split_bitstream(packet))
        assert len(payloads) > 3
        assert opens_access_unit(payloads[0])
        rest_of_slice = [payload for payload in payloads if payload[0] & 0x1F == 28 and not payload[1] & 0x80]
        assert len(rest_of_slice) >= len(payloads) - 3
        assert not any(opens_access_unit(payload) for payload in rest_of_slice)
        assert all(is_key(payload) for payload in payloads) == (index % 2 == 0)
        assert any(is_key(payload) for payload in payloads) == (index % 2 == 0)


def test_slices_of_one_picture_in_one_packet() -> None:
    """Small slices travel together (STAP-A): the first of the picture opens it, the others do not."""
    first, second = b"\x41\x9a\x00", b"\x41\x40\x00"

    def together(*units: bytes) -> bytes:
        return b"\x18" + b"".join(len(unit).to_bytes(2, "big") + unit for unit in units)

    assert opens_access_unit(together(first, second))
    assert not opens_access_unit(together(second, second))
    assert opens_access_unit(together(b"\x67\x42", b"\x68\xce", b"\x65\x88"))
    assert is_key(together(b"\x67\x42", b"\x68\xce"))
    assert not is_key(together(first, second))


@pytest.mark.parametrize("payload", [b"", b"\x18", b"\x1c", b"\x18\xff", b"\x18\xff\xff", b"\x1c\x85", b"\x00\x00"])
def test_broken_payloads_are_nothing(payload: bytes) -> None:
    assert is_key(payload) in (False, True)
    assert opens_access_unit(payload) is False


def test_a_huge_parameter_set_is_refused_at_once() -> None:
    """Order type 1 with a million offsets of one bit each: read whole, it would take minutes."""
    before = "010000100000000000011110"  # Baseline, no constraints, level 3.0
    bits = before + "1" + "1" + "010" + "0" + "1" + "1" + f"{1 << 20:041b}"
    head = int(bits.ljust(-(-len(bits) // 8) * 8, "1"), 2).to_bytes(-(-len(bits) // 8), "big")
    began = time.process_time()
    with pytest.raises(ValueError, match="ends early"):
        parse_sps(b"\x67" + head + b"\xff" * 1_000_000)
    assert time.process_time() - began < 1
