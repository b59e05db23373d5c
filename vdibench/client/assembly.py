"""Frames from RTP packets, complete on the marker bit. Pure: no I/O, no clock of its own.

Waiting for the next time stamp, as a jitter buffer for playback does, would add a whole frame to every latency
(measured with Selkies: 29–42 ms instead of 21–25 ms at the median). RFC 6184 §5.1 sets the marker bit on the last
packet of an access unit, so a frame is complete when its packets are contiguous up to that bit.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from vdibench.client.nack import MAX_HOLE

__all__ = ["AssembledFrame", "FrameAssembler", "FrameTiming", "MediaPacket"]

_SEQUENCE_MASK = 0xFFFF
_HALF = 0x8000
# A gap older than this is given up: retransmissions take a round trip, and rtx-time in the offer is 125 ms.
GIVE_UP_SECONDS = 0.25
# Bound on memory when the sender runs away from a gap.
MAX_PENDING = 2048
# And on that of a frame which never ends: five megabytes.
MAX_PARTS = 4096
# A sequence number further away than this is no loss and no delay: the sender started anew.
MAX_JUMP = 0x1000
# Selkies answers one request for a key frame a second.
ASK_AGAIN_SECONDS = 1.0


class MediaPacket(NamedTuple):
    """One packet of the video stream, retransmissions already unwrapped.

    :param arrival_unix_seconds: when this host got it.
    :param payload: depayloaded bytes (Annex B), for the decoder; empty where nothing was decrypted.
    :param size_bytes: RTP payload on the wire.
    :param key: belongs to an IDR picture or carries its parameter sets.
    :param opens: can be the first packet of an access unit.
    :param packets: how many packets these are, where several in a row are only counted.
    """

    sequence: int
    timestamp: int
    marker: bool
    arrival_unix_seconds: float
    payload: bytes
    size_bytes: int
    key: bool
    opens: bool
    packets: int = 1


class FrameTiming(NamedTuple):
    """What the desktop says of a frame, on its own wall clock, in Unix seconds; NaN where it says nothing.

    :param capture_unix_seconds: the picture was taken from the screen.
    :param encoded_unix_seconds: the encoder gave it out.
    :param sent_unix_seconds: its last packet left.
    """

    capture_unix_seconds: float = math.nan
    encoded_unix_seconds: float = math.nan
    sent_unix_seconds: float = math.nan


_UNTIMED = FrameTiming()


@dataclass(slots=True)  # not frozen: one is made for each frame, and freezing takes eight times as long
class AssembledFrame:
    """A frame: whole, or what is left of it.

    :param timestamp: RTP time stamp, 90 kHz; over WebSocket the frame's number, 16 bits.
    :param arrival_unix_seconds: arrival of its last packet.
    :param complete: no packet is missing.
    :param decodable: complete, and no frame since the last key frame was lost.
    :param first_arrival_unix_seconds: arrival of its first packet.
    :param codec: FFmpeg's name of the decoder.
    :param stripe: top row of the part of the picture that it shows, in pixels; each stripe is a stream of its own.
    :param rest: top row and data of the frame's other stripes.
    """

    timestamp: int
    arrival_unix_seconds: float
    packets: int
    size_bytes: int
    key: bool
    complete: bool
    decodable: bool
    data: bytes
    first_arrival_unix_seconds: float = math.nan
    codec: str = "h264"
    stripe: int = 0
    timing: FrameTiming = _UNTIMED
    rest: tuple[tuple[int, bytes], ...] = ()


def _untimed(_: int) -> FrameTiming:
    return _UNTIMED


class FrameAssembler:
    """Orders packets, emits frames and says when a key frame must be asked for.

    :param emit: called with each frame in order.
    :param timing: what is known of the frame with an RTP time stamp, asked once, when it is emitted.
    :param codec: FFmpeg's name of the decoder.
    :param headers_only: payloads are not looked at: which frame is a key frame is not known, and only one whose packets
        all have their payload all the same can be decoded.
    """

    def __init__(
        self,
        emit: Callable[[AssembledFrame], None],
        timing: Callable[[int], FrameTiming] = _untimed,
        codec: str = "h264",
        *,
        headers_only: bool = False,
    ) -> None:
        self.codec = codec
        self._emit = emit
        self._timing = timing
        self._headers_only = headers_only
        self._next: int | None = None
        self._pending: dict[int, MediaPacket] = {}
        self._parts: list[MediaPacket] = []
        self._damaged = False
        self._wait_for_key = True
        self._gap_since = math.inf
        self._restart_at: int | None = None
        self._undecodable = False
        self._asked = -math.inf

    def add(self, packet: MediaPacket) -> bool:
        """Take one packet; True when a key frame must be asked for."""
        sequence = packet.sequence
        if sequence == self._next and not self._pending:
            self._next = (sequence + 1) & _SEQUENCE_MASK
            self._restart_at = None
            self._take(packet)
            return self._undecodable and self._ask(packet.arrival_unix_seconds)
        if self._next is None or self._restarted(packet):
            # Joined in the middle of a frame? Then its beginning is missing.
            self._next = sequence
            self._damaged = bool(packet.size_bytes) and not packet.opens
        ahead = (sequence - self._next) & _SEQUENCE_MASK
        if ahead >= _HALF or sequence in self._pending:
            return False  # late or duplicate
        lost_for_good = False
        if not self._pending:
            self._gap_since = packet.arrival_unix_seconds
            lost_for_good = ahead > MAX_HOLE
        self._pending[sequence] = packet
        self._drain()
        while self._pending and (
            packet.arrival_unix_seconds - self._gap_since >= GIVE_UP_SECONDS
            or lost_for_good
            or len(self._pending) >= MAX_PENDING
            or ahead >= MAX_JUMP
        ):
            self._give_up()
        return self._ask(packet.arrival_unix_seconds)

    def follows(self, sequence: int) -> bool:
        """Whether everything up to ``sequence`` is here, nothing waits, and a frame is open."""
        return not self._pending and bool(self._parts) and self._next == (sequence + 1) & _SEQUENCE_MASK

    def add_more(self, packets: int, size_bytes: int, arrival_unix_seconds: float) -> None:
        """Take so many more packets of the open frame, in order and without a payload, after :meth:`follows`."""
        assert self._next is not None
        last = self._parts[-1]
        self._parts.append(
            MediaPacket(self._next, last.timestamp, False, arrival_unix_seconds, b"", size_bytes, False, False, packets)
        )
        self._next = (self._next + packets) & _SEQUENCE_MASK

    @property
    def intact(self) -> bool:
        """Whether nothing waits, no key frame is wanted, and the open frame, if any, has lost nothing."""
        return not (self._pending or self._damaged or self._undecodable)

    def stands(self, sequence: int) -> bool:
        """Whether everything up to ``sequence`` is here and given out, and all is :attr:`intact`."""
        return self.intact and not self._parts and self._next == (sequence + 1) & _SEQUENCE_MASK

    def add_run(
        self,
        timestamp: int,
        packets: int,
        size_bytes: int,
        first_size_bytes: int,
        arrivals: tuple[float, float],
        *,
        begins: bool,
        ends: bool,
        key: bool = False,
    ) -> None:
        """Take so many more packets, in order and without a payload: of the open frame after :meth:`follows`, or, where
        they begin one, after :meth:`stands`; they may end it only where all is :attr:`intact`.

        :param arrivals: of the first and of the last of them.
        """
        assert self._next is not None
        first, last = arrivals
        begin, self._next = self._next, (self._next + packets) & _SEQUENCE_MASK
        self._restart_at = None
        if begins and ends:
            self._emit(
                AssembledFrame(
                    timestamp,
                    last,
                    packets,
                    size_bytes,
                    key,
                    True,
                    False,
                    b"",
                    first,
                    self.codec,
                    timing=self._timing(timestamp),
                )
            )
            return
        if begins and packets > 1:  # a part has one arrival
            self._parts.append(MediaPacket(begin, timestamp, False, first, b"", first_size_bytes, key, False))
            packets, size_bytes = packets - 1, size_bytes - first_size_bytes
        self._parts.append(MediaPacket(begin, timestamp, False, last, b"", size_bytes, key, False, packets))
        if ends:
            self._close(complete=True)

    def _restarted(self, packet: MediaPacket) -> bool:
        """Two packets in a row from far behind are a sender that started anew (RFC 3550 appendix A.1)."""
        behind = ((self._next or 0) - packet.sequence) & _SEQUENCE_MASK
        expected, self._restart_at = self._restart_at, None
        if not MAX_JUMP < behind <= _HALF:
            return False
        if packet.sequence != expected:
            self._restart_at = (packet.sequence + 1) & _SEQUENCE_MASK
            return False
        self._pending.clear()
        if self._parts:
            self._close(complete=False)
        self._wait_for_key = True
        return True

    def _ask(self, now: float) -> bool:
        """Whether a key frame is due: the request, or the picture that answers it, may itself have been lost."""
        if not self._undecodable or now - self._asked < ASK_AGAIN_SECONDS:
            return False
        self._asked = now
        self._undecodable = False
        return True

    def _drain(self) -> None:
        assert self._next is not None
        drained = False
        while (packet := self._pending.pop(self._next, None)) is not None:
            self._next = (self._next + 1) & _SEQUENCE_MASK
            self._take(packet)
            drained = True
        if drained:
            # The gap in front of what still waits is as old as the first packet that showed it.
            self._gap_since = min((packet.arrival_unix_seconds for packet in self._pending.values()), default=math.inf)

    def _take(self, packet: MediaPacket) -> None:
        parts = self._parts
        if not packet.size_bytes and not (packet.marker and parts and parts[0].timestamp == packet.timestamp):
            return  # padding: it only keeps the sequence whole
        if parts and parts[0].timestamp != packet.timestamp:
            # The sender closed a frame without a marker bit. Nothing is missing of it.
            self._close(complete=not self._damaged)
        self._parts.append(packet)
        if packet.marker:
            self._close(complete=not self._damaged)
        elif len(self._parts) >= MAX_PARTS:
            self._close(complete=False)
            self._damaged = True

    def _close(self, *, complete: bool) -> None:
        parts, self._parts = self._parts, []
        key = any(part.key for part in parts)
        self._damaged = False
        if self._headers_only:
            decodable = complete and key and all(part.payload or not part.size_bytes for part in parts)
            self._undecodable = self._undecodable or not complete
        else:
            if not complete:
                self._wait_for_key = True
            elif key:
                self._wait_for_key = False
            decodable = complete and not self._wait_for_key
            self._undecodable = not decodable
        arrivals = [part.arrival_unix_seconds for part in parts]
        timestamp = parts[0].timestamp
        self._emit(
            AssembledFrame(
                timestamp=timestamp,
                arrival_unix_seconds=max(arrivals),
                packets=sum([part.packets for part in parts]),
                size_bytes=sum([part.size_bytes for part in parts]),
                key=key,
                complete=complete,
                decodable=decodable,
                data=b"".join([part.payload for part in parts]) if decodable else b"",
                first_arrival_unix_seconds=min(arrivals),
                codec=self.codec,
                timing=self._timing(timestamp),
            )
        )

    def _give_up(self) -> None:
        """Skip the gap: the frame it tears is reported as damaged."""
        begin = self._next or 0
        first = min(self._pending, key=lambda sequence: (sequence - begin) & _SEQUENCE_MASK)
        opens = self._pending[first].opens
        if self._parts and self._parts[0].timestamp != self._pending[first].timestamp:
            self._close(complete=False)
            # An open frame lacks its marker at least: a single lost packet was that, and nothing of this one.
            opens = opens or (first - begin) & _SEQUENCE_MASK == 1
        self._next = first
        # Otherwise whether the lost packets were the tail of the old frame or the head of this one cannot be told,
        # unless this packet opens an access unit.
        self._damaged = bool(self._parts) or not opens
        self._wait_for_key = self._undecodable = True
        self._drain()
