"""The canned trace is real H.264 in real RTP payloads."""

from __future__ import annotations

import av
import pytest

from vdibench.records import Display
from vdibench.replay.canned import encode
from vdibench.replay.payloads import PAYLOAD_BYTES, payloads
from vdibench.replay.trace import Trace


@pytest.fixture(scope="module")
def trace() -> Trace:
    return encode(Display(320, 180, 30), 2_000_000, 30)


def joined(frame: tuple[bytes, ...]) -> bytes:
    """Put NAL units together again, as RFC 6184 section 5.8 has it."""
    found = b""
    for payload in frame:
        if payload[0] & 0x1F != 28:
            found += b"\0\0\0\1" + payload
            continue
        if payload[1] & 0x80:
            found += b"\0\0\0\1" + bytes([payload[0] & 0xE0 | payload[1] & 0x1F])
        found += payload[2:]
    return found


def test_payloads_hold_every_picture(trace: Trace) -> None:
    codec = av.CodecContext.create("h264", "r")
    pictures = [picture for frame in trace.payloads for picture in codec.decode(av.Packet(joined(frame)))]
    pictures += codec.decode(None)
    assert [(picture.width, picture.height) for picture in pictures] == [(320, 180)] * 30


def test_no_payload_is_larger_than_a_packet_carries(trace: Trace) -> None:
    assert max(len(payload) for frame in trace.payloads for payload in frame) <= PAYLOAD_BYTES
    assert trace.packets_per_second == pytest.approx(sum(map(len, trace.payloads)))


def test_only_the_first_picture_is_a_key_frame(trace: Trace) -> None:
    kinds = [
        {payload[0] & 0x1F if payload[0] & 0x1F != 28 else payload[1] & 0x1F for payload in frame}
        for frame in trace.payloads
    ]
    assert {5, 7, 8} <= kinds[0]
    assert all(5 not in found for found in kinds[1:])


@pytest.mark.parametrize(("size", "fragments"), [(10, 1), (11, 2), (17, 2), (18, 3)])
def test_long_units_are_cut_and_marked(size: int, fragments: int) -> None:
    unit = bytes([0x65, *range(1, size)])
    found = payloads(b"\0\0\0\1" + unit, size=10)
    assert len(found) == fragments
    assert joined(found) == b"\0\0\0\1" + unit
    if fragments > 1:
        assert [bool(payload[1] & 0x80) for payload in found] == [True, *[False] * (fragments - 1)]
        assert [bool(payload[1] & 0x40) for payload in found] == [*[False] * (fragments - 1), True]
