"""Payload formats against aiortc's packetisers and depacketisers, and what is broken."""

from __future__ import annotations

import random

import pytest
from aiortc.codecs.h264 import H264Encoder, h264_depayload
from aiortc.codecs.vpx import VpxPayloadDescriptor, vp8_depayload

from vdibench.client.payload import depacketise
from vdibench.client.rtp import RtpError


@pytest.mark.parametrize("seed", range(10))
def test_h264_comes_back_as_it_was(seed: int) -> None:
    """Small units are aggregated, middling ones sent alone, large ones in fragments."""
    chance = random.Random(seed)
    units = [
        bytes([0x60 | chance.choice([1, 5, 6, 7, 8])]) + chance.randbytes(chance.choice([3, 40, 900, 5000]))
        for _ in range(12)
    ]
    payloads = H264Encoder._packetize(iter(units))
    parts = [depacketise("H264", payload) for payload in payloads]
    assert b"".join(part.data for part in parts) == b"".join(b"\x00\x00\x00\x01" + unit for unit in units)
    assert [part.data for part in parts] == [h264_depayload(payload) for payload in payloads]


@pytest.mark.parametrize(
    "payload",
    [b"", b"\x7c", b"\x7c\x85", b"\x78", b"\x78\x00", b"\x78\x00\x00", b"\x78\x00\x05abc", b"\x79abc", b"\x7dabc"],
)
def test_broken_h264(payload: bytes) -> None:
    with pytest.raises(RtpError):
        depacketise("H264", payload)


def test_an_unknown_codec() -> None:
    with pytest.raises(RtpError, match="no payload format for VP9"):
        depacketise("VP9", b"abc")


@pytest.mark.parametrize(
    "extra",
    [
        {},
        {"picture_id": 5},
        {"picture_id": 5000},
        {"tl0picidx": 7},
        {"tid": (1, 0)},
        {"keyidx": 3},
        {"picture_id": 300, "tl0picidx": 1, "tid": (2, 1), "keyidx": 9},
    ],
)
@pytest.mark.parametrize("key", [True, False])
def test_vp8(extra: dict[str, object], key: bool) -> None:
    body = (b"\x10" if key else b"\x11") + b"frame"
    begin = bytes(VpxPayloadDescriptor(partition_start=1, partition_id=0, **extra)) + body
    assert depacketise("VP8", begin) == (vp8_depayload(begin), key, True) == (body, key, True)
    middle = bytes(VpxPayloadDescriptor(partition_start=0, partition_id=0, **extra)) + body
    assert depacketise("VP8", middle) == (body, False, False)
    for cut in range(len(begin) - len(body) + 1):
        with pytest.raises(RtpError):
            depacketise("VP8", begin[:cut])
