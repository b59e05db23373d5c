"""RTCP packets of a receiver: sender reports are read; reports and requests are built. Pure.

Sources: RFC 3550 §6.4, RFC 4585 §6.2.1 (NACK), §6.3.1 (PLI). What is read comes from the network and is checked.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple

from vdibench.client.rtp import RtpError, ntp_to_unix

__all__ = ["ReportBlock", "SenderReport", "key_frame_request", "parse_rtcp", "receiver_report", "resend_request"]

_COMMON = struct.Struct("!BBH")
_SENDER = struct.Struct("!IQIII")
_FEEDBACK = struct.Struct("!BBHII")
_SENDER_REPORT, _RECEIVER_REPORT, _TRANSPORT_FEEDBACK, _PAYLOAD_FEEDBACK = 200, 201, 205, 206
_NACK, _PLI = 1, 1
_MASK16 = 0xFFFF


class SenderReport(NamedTuple):
    """What a sender says of its clock and of what it sent.

    :param ntp: its wall clock, NTP format, 64 bits.
    :param rtp_timestamp: the same instant in its RTP clock.
    """

    ssrc: int
    ntp: int
    rtp_timestamp: int
    packets: int
    octets: int

    @property
    def unix_seconds(self) -> float:
        """Its wall clock."""
        return ntp_to_unix(self.ntp)

    @property
    def middle(self) -> int:
        """The middle 32 bits of the time stamp, for the answer."""
        return (self.ntp >> 16) & 0xFFFFFFFF


class ReportBlock(NamedTuple):
    """What we say of one source; fields as in RFC 3550 §6.4.1."""

    ssrc: int
    fraction_lost: int
    cumulative_lost: int
    highest_sequence: int
    jitter: int
    last_report: int
    delay: int


def parse_rtcp(packet: bytes) -> list[SenderReport]:
    """Read a compound packet; what a receiver has no use for is passed over.

    :raises RtpError: no RTCP, or cut off.
    """
    found: list[SenderReport] = []
    position = 0
    while position < len(packet):
        if position + _COMMON.size > len(packet):
            raise RtpError("RTCP header cut off")
        first, kind, words = _COMMON.unpack_from(packet, position)
        if first & 0xC0 != 0x80:
            raise RtpError("not version 2")
        body, position = position + _COMMON.size, position + 4 * (words + 1)
        if position > len(packet):
            raise RtpError("RTCP packet cut off")
        if kind == _SENDER_REPORT:
            if position - body < _SENDER.size:
                raise RtpError("sender report cut off")
            found.append(SenderReport(*_SENDER.unpack_from(packet, body)))
    return found


def receiver_report(ssrc: int, blocks: Sequence[ReportBlock]) -> bytes:
    """A receiver report of up to 31 sources."""
    body = b"".join(
        struct.pack(
            "!IB3sIIII",
            block.ssrc,
            block.fraction_lost & 0xFF,
            max(-0x800000, min(0x7FFFFF, block.cumulative_lost)).to_bytes(3, "big", signed=True),
            block.highest_sequence & 0xFFFFFFFF,
            block.jitter & 0xFFFFFFFF,
            block.last_report & 0xFFFFFFFF,
            max(0, min(0xFFFFFFFF, block.delay)),
        )
        for block in blocks
    )
    return _COMMON.pack(0x80 | len(blocks), _RECEIVER_REPORT, 1 + len(body) // 4) + struct.pack("!I", ssrc) + body


def resend_request(ssrc: int, media_ssrc: int, sequences: Sequence[int]) -> bytes:
    """A generic NACK for ``sequences``, which stand in the stream's order."""
    entries: list[list[int]] = []
    for sequence in sequences:
        ahead = (sequence - entries[-1][0]) & _MASK16 if entries else 17
        # No entry goes past the end of the range: servers built on aiortc would look for packet 65,536.
        if 1 <= ahead <= 16 and sequence > entries[-1][0]:
            entries[-1][1] |= 1 << (ahead - 1)
        elif ahead:
            entries.append([sequence & _MASK16, 0])
    body = b"".join(struct.pack("!HH", first, mask) for first, mask in entries)
    return _FEEDBACK.pack(0x80 | _NACK, _TRANSPORT_FEEDBACK, 2 + len(entries), ssrc, media_ssrc) + body


def key_frame_request(ssrc: int, media_ssrc: int) -> bytes:
    """A picture loss indication."""
    return _FEEDBACK.pack(0x80 | _PLI, _PAYLOAD_FEEDBACK, 2, ssrc, media_ssrc)
