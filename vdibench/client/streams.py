"""What the streams of a peer connection share, and the audio stream, packet by packet. No I/O.

Each stream takes SRTP packets whose header was read, counts them, decrypts as many as its mode wants, follows what is
lost, and hands on what is whole. A source is believed from its first packet that decrypts; from then on one packet in
4,096 is decrypted even where headers are enough, which keeps the roll-over counter of SRTP right (RFC 3711 §3.3.1) and
shows a forged stream for what it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from vdibench.client.meter import StreamMeter
from vdibench.client.nack import Retransmissions
from vdibench.client.rtp import RtpError, RtpHeader, payload_of
from vdibench.client.timing import CaptureClock

__all__ = ["CHECK_EVERY", "AudioStream", "MediaSection", "MediaStream", "Unprotect"]

_MASK = 0xFFFF
CHECK_EVERY = 0x1000
"""One packet in so many is decrypted in any mode."""
_AUDIO_CLOCK = 48_000

Unprotect = Callable[[bytes], bytes | None]
"""Decrypts a packet; None when it does not."""


@dataclass(frozen=True, slots=True)
class MediaSection:
    """What was negotiated for one section of the offer.

    :param ssrc: our own source, which reports and asks.
    :param codecs: names as in SDP by payload type, without retransmission.
    :param retransmissions: the original payload type by that of its retransmissions.
    :param extensions: identifiers of header extensions by their URI.
    """

    ssrc: int
    codecs: dict[int, str] = field(default_factory=dict)
    retransmissions: dict[int, int] = field(default_factory=dict)
    extensions: dict[str, int] = field(default_factory=dict)


class MediaStream:
    """What both kinds share: whom to believe, and how many bytes of a packet are SRTP's."""

    def __init__(self, section: MediaSection, unprotect: Unprotect) -> None:
        self.section = section
        self.codec = ""
        self.ssrc = -1
        self._unprotect = unprotect
        self._payload_type = -1
        self._overhead = 0
        self._checked = 0

    def _adopt(self, packet: bytes, header: RtpHeader) -> bytes | None:
        """Take another source for ours if its packet decrypts; the packet in clear text, or None."""
        clear = self._unprotect(packet)
        if clear is None:
            return None
        self.ssrc = header.ssrc
        self._overhead = len(packet) - len(clear)
        self._checked = header.sequence
        return clear

    def _check(self, packet: bytes, sequence: int) -> bytes | None:
        self._checked = sequence
        return self._unprotect(packet)


class AudioStream(MediaStream):
    """The desktop's sound: counted, and handed on where somebody listens.

    :param listener: called with each payload, its RTP time stamp (48 kHz) and its arrival; None decrypts nothing.
    """

    def __init__(
        self,
        section: MediaSection,
        unprotect: Unprotect,
        listener: Callable[[bytes, int, float], None] | None = None,
    ) -> None:
        super().__init__(section, unprotect)
        self.meter = StreamMeter(_AUDIO_CLOCK)
        self.clock = CaptureClock(_AUDIO_CLOCK)
        self._listener = listener
        self._gaps = Retransmissions()

    def take(self, packet: bytes, header: RtpHeader, arrival: float) -> None:
        """One packet."""
        clear: bytes | None = None
        if header.ssrc != self.ssrc:
            clear = self._adopt(packet, header)
            if clear is None:
                return
            self._gaps = Retransmissions()
        elif self._listener is not None or (header.sequence - self._checked) & _MASK >= CHECK_EVERY:
            clear = self._check(packet, header.sequence)
            if clear is None:
                return
        if not self._gaps.arrived(header.sequence, arrival):
            return
        if header.payload_type != self._payload_type:
            self._payload_type = header.payload_type
            self.codec = self.section.codecs[header.payload_type]
        size = len(packet) - header.begin - self._overhead
        self.meter.add(header.ssrc, header.sequence, header.timestamp, size, arrival)
        if self._listener is not None and clear is not None:
            try:
                payload = payload_of(clear, header)
            except RtpError:
                return
            self._listener(payload, header.timestamp, arrival)
