"""RTP packets: header, header extensions, retransmissions. Pure; everything comes from the network and is checked.

Sources: RFC 3550 §5.1, RFC 8285 (extensions, one- and two-byte form), RFC 4588 (RTX); the extensions' own pages at
webrtc.googlesource.com (abs-send-time, abs-capture-time, video-timing).
"""

from __future__ import annotations

import struct
from typing import NamedTuple

__all__ = [
    "ABS_CAPTURE_TIME",
    "ABS_SEND_TIME",
    "VIDEO_TIMING",
    "RtpError",
    "RtpHeader",
    "VideoTiming",
    "absolute_send_seconds",
    "capture_unix_seconds",
    "extension",
    "is_rtcp",
    "ntp_to_unix",
    "parse_header",
    "payload_of",
    "video_timing",
]

ABS_SEND_TIME = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time"
ABS_CAPTURE_TIME = "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time"
VIDEO_TIMING = "http://www.webrtc.org/experiments/rtp-hdrext/video-timing"

_FIXED = struct.Struct("!BBHII")
_EXTENSION = struct.Struct("!HH")
_TIMING = struct.Struct("!B6H")
_NTP_EPOCH = 2_208_988_800
_new = tuple.__new__
_ONE_BYTE, _TWO_BYTE = 0xBEDE, 0x1000


class RtpError(ValueError):
    """What arrived is no RTP."""


class RtpHeader(NamedTuple):
    """Header of one packet.

    :param begin: offset of the payload.
    :param extension: offset of the extensions' elements; 0 when there are none.
    :param profile: ``defined by profile`` of the extensions.
    :param padded: the payload ends with padding.
    """

    payload_type: int
    marker: bool
    sequence: int
    timestamp: int
    ssrc: int
    begin: int
    extension: int
    profile: int
    padded: bool


class VideoTiming(NamedTuple):
    """When a frame passed the stages of its sender, in seconds after its capture."""

    encode_started: float
    encoded: float
    packetised: float
    sent: float


def is_rtcp(packet: bytes) -> bool:
    """Whether a packet that is multiplexed with RTP is RTCP (RFC 5761 §4)."""
    return len(packet) > 1 and 192 <= packet[1] <= 223


def parse_header(packet: bytes) -> RtpHeader:
    """Read the header; it is in clear text in SRTP too.

    :raises RtpError: no RTP, or cut off.
    """
    size = len(packet)
    if size < 12:
        raise RtpError("shorter than an RTP header")
    first, second, sequence, timestamp, ssrc = _FIXED.unpack_from(packet)
    if first & 0xC0 != 0x80:
        raise RtpError("not version 2")
    begin = 12 + 4 * (first & 0x0F)
    extension = profile = 0
    if first & 0x10:
        if begin + 4 > size:
            raise RtpError("header extension cut off")
        profile, words = _EXTENSION.unpack_from(packet, begin)
        extension = begin + 4
        begin = extension + 4 * words
    if begin > size:
        raise RtpError("header cut off")
    # Past the named constructor: this runs for each packet.
    return _new(
        RtpHeader,
        (
            second & 0x7F,
            second >= 0x80,
            sequence,
            timestamp,
            ssrc,
            begin,
            extension,
            profile,
            first & 0x20 != 0,
        ),
    )


def payload_of(packet: bytes, header: RtpHeader) -> bytes:
    """The payload of a packet in clear text, without padding.

    :raises RtpError: the padding does not fit.
    """
    end = len(packet)
    if header.padded:
        padding = packet[-1] if end > header.begin else 0
        end -= padding
        if not padding or end < header.begin:
            raise RtpError("padding longer than the payload")
    return packet[header.begin : end]


def extension(packet: bytes, header: RtpHeader, identifier: int) -> bytes | None:
    """The value of one header extension; None when it is not there, or the elements before it are broken."""
    position, end = header.extension, header.begin
    if not position or not identifier:
        return None
    one_byte = header.profile == _ONE_BYTE
    if not one_byte and header.profile & 0xFFF0 != _TWO_BYTE:
        return None
    while position < end:
        here = packet[position]
        if here == 0:
            position += 1
            continue
        if one_byte:
            found, size = here >> 4, (here & 0x0F) + 1
            position += 1
            if found == 15:
                return None  # RFC 8285 §4.2: processing ends here
        else:
            if position + 1 >= end:
                return None
            found, size = here, packet[position + 1]
            position += 2
        if position + size > end:
            return None
        if found == identifier:
            return packet[position : position + size]
        position += size
    return None


def ntp_to_unix(value: int) -> float:
    """An NTP time stamp of 64 bits as Unix seconds."""
    return (value >> 32) - _NTP_EPOCH + (value & 0xFFFFFFFF) / 2**32


def capture_unix_seconds(value: bytes) -> float | None:
    """The capture instant in an abs-capture-time value; None when it is broken."""
    return ntp_to_unix(int.from_bytes(value[:8], "big")) if len(value) >= 8 else None


def video_timing(value: bytes) -> VideoTiming | None:
    """The stages in a video-timing value, which are whole milliseconds; None when it is broken or marked invalid."""
    if len(value) != _TIMING.size:
        return None
    flags, started, encoded, packetised, sent, _, _ = _TIMING.unpack(value)
    if flags == 0xFF:
        return None
    return VideoTiming(started / 1000, encoded / 1000, packetised / 1000, sent / 1000)


def absolute_send_seconds(value: bytes, near_unix_seconds: float) -> float | None:
    """The sending instant in an abs-send-time value, which wraps at 64 s, nearest to a Unix instant.

    The sender may use any clock: only one that runs on NTP time gives Unix seconds.
    """
    if len(value) != 3:
        return None
    seconds = int.from_bytes(value, "big") / 2**18
    return near_unix_seconds + (seconds - (near_unix_seconds + _NTP_EPOCH) + 32) % 64 - 32
