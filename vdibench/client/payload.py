"""RTP payloads of video to what a decoder takes. Pure; everything comes from the network and is checked.

Sources: RFC 6184 (H.264, packetization modes 0 and 1), RFC 7741 (VP8).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from vdibench.client.h264 import is_key, opens_access_unit
from vdibench.client.rtp import RtpError

__all__ = ["DECODERS", "PayloadPart", "depacketise"]

_START = b"\x00\x00\x00\x01"
_STAP_A, _FU_A = 24, 28

DECODERS = {"H264": "h264", "VP8": "vp8"}
"""Codec names as in SDP, and FFmpeg's names of their decoders."""


class PayloadPart(NamedTuple):
    """What one packet holds.

    :param data: bytes for the decoder.
    :param key: belongs to a key frame, as far as this packet shows.
    :param opens: can be the first packet of a frame.
    """

    data: bytes
    key: bool
    opens: bool


def depacketise(codec: str, payload: bytes) -> PayloadPart:
    """Take the payload format off one payload.

    :param codec: name as in SDP.
    :raises RtpError: broken, or a codec that is not known here.
    """
    form = _FORMATS.get(codec)
    if form is None:
        raise RtpError(f"no payload format for {codec or 'an unknown codec'}")
    return form(payload)


def _h264(payload: bytes) -> PayloadPart:
    kind = payload[0] & 0x1F if payload else 0
    if 1 <= kind <= 23:
        data = _START + payload
    elif kind == _FU_A:
        if len(payload) < 3:
            raise RtpError("H.264 fragment cut off")
        second = payload[1]
        data = payload[2:]
        if second & 0x80:
            data = _START + bytes(((payload[0] & 0xE0) | (second & 0x1F),)) + data
    elif kind == _STAP_A:
        data = _aggregated(payload)
    else:
        raise RtpError(f"H.264 packet of type {kind}")
    return PayloadPart(data, is_key(payload), opens_access_unit(payload))


def _aggregated(payload: bytes) -> bytes:
    parts, position = [], 1
    while position < len(payload):
        begin = position + 2
        position = begin + int.from_bytes(payload[position:begin], "big")
        if position > len(payload) or position == begin:
            raise RtpError("H.264 aggregate cut off")
        parts += [_START, payload[begin:position]]
    if not parts:
        raise RtpError("empty H.264 aggregate")
    return b"".join(parts)


def _vp8(payload: bytes) -> PayloadPart:
    position = 1
    if not payload:
        raise RtpError("empty VP8 payload")
    first = payload[0]
    if first & 0x80:
        extended = payload[1] if len(payload) > 1 else 0
        position += 1
        if extended & 0x80:
            long_picture = len(payload) > position and payload[position] & 0x80
            position += 2 if long_picture else 1
        position += bool(extended & 0x40) + bool(extended & 0x30)
    if position >= len(payload):
        raise RtpError("VP8 descriptor cut off")
    opens = bool(first & 0x10) and not first & 0x07
    return PayloadPart(payload[position:], opens and not payload[position] & 0x01, opens)


_FORMATS: dict[str, Callable[[bytes], PayloadPart]] = {"H264": _h264, "VP8": _vp8}
