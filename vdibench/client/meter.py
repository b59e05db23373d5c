"""Header-only meter of one RTP stream: W3C inbound-rtp counters. Pure.

Loss and jitter follow RFC 3550 appendix A; retransmissions arrive on a stream of their own and are not counted.
"""

from __future__ import annotations

from dataclasses import dataclass

from vdibench.client.assembly import MAX_JUMP
from vdibench.client.rtcp import ReportBlock

__all__ = ["StreamMeter", "StreamReading"]

_MASK16, _HALF = 0xFFFF, 0x8000
_MASK32 = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class StreamReading:
    """Cumulative counters, W3C names in our spelling."""

    packets_received: int
    packets_lost: int
    bytes_received: int
    jitter_seconds: float


class StreamMeter:
    """Counts the packets of one synchronisation source.

    :param clock_rate: RTP clock in hertz (90,000 for video).
    """

    def __init__(self, clock_rate: int) -> None:
        self._clock_rate = clock_rate
        self._ssrc: int | None = None
        self._base = 0
        self._highest = 0
        self._received = 0
        self._bytes = 0
        self._lost_before = 0
        self._received_here = 0
        self._restart_at: int | None = None
        self._jitter = 0.0
        self._last_arrival = 0.0
        self._last_timestamp = -1
        self._reported_expected = 0
        self._reported_received = 0

    def add(self, ssrc: int, sequence: int, timestamp: int, size_bytes: int, arrival_unix_seconds: float) -> None:
        """Count one packet; one that came before is not to be given again."""
        if ssrc != self._ssrc:
            self._begin(sequence)
            self._ssrc = ssrc
        elif self._restarted(sequence):
            self._received_here -= 1
            self._begin((sequence - 1) & _MASK16)
            self._received_here = 1
        step = (sequence - self._highest) & _MASK16
        if step < _HALF:
            self._highest += step
            late = not step and self._received_here > 0
        else:
            late = True
        self._received += 1
        self._received_here += 1
        self._bytes += size_bytes
        # What comes late was counted when its neighbours came.
        if not late:
            self._spread(timestamp, arrival_unix_seconds)

    def add_frame(self, timestamp: int, packets: int, size_bytes: int, arrival_unix_seconds: float) -> None:
        """Count so many packets that follow the last one, the first of them at that instant and a frame's first."""
        self.add_more(packets, size_bytes)
        self._spread(timestamp, arrival_unix_seconds)

    def _spread(self, timestamp: int, arrival_unix_seconds: float) -> None:
        """Packets of one frame share a time stamp and leave paced: only the first of it says anything of the path."""
        if timestamp == self._last_timestamp:
            return
        if self._last_timestamp >= 0:
            ticks = ((timestamp - self._last_timestamp + 0x80000000) & _MASK32) - 0x80000000
            deviation = abs((arrival_unix_seconds - self._last_arrival) - ticks / self._clock_rate)
            self._jitter += (deviation - self._jitter) / 16
        self._last_arrival, self._last_timestamp = arrival_unix_seconds, timestamp

    def _begin(self, sequence: int) -> None:
        """A sender that restarts its stream starts a new sequence: what was lost before stays counted."""
        if self._ssrc is not None:
            self._lost_before += self._lost_here()
        self._base = self._highest = sequence
        self._received_here, self._last_timestamp, self._restart_at = 0, -1, None
        self._reported_expected = self._reported_received = 0

    def _restarted(self, sequence: int) -> bool:
        """Two packets in a row from far behind are a sender that started anew (RFC 3550 appendix A.1)."""
        behind = (self._highest - sequence) & _MASK16
        expected, self._restart_at = self._restart_at, None
        if not MAX_JUMP < behind <= _HALF:
            return False
        if sequence == expected:
            return True
        self._restart_at = (sequence + 1) & _MASK16
        return False

    def add_more(self, packets: int, size_bytes: int) -> None:
        """Count so many more packets of the same frame, in order, ``size_bytes`` together."""
        self._restart_at = None
        self._highest += packets
        self._received += packets
        self._received_here += packets
        self._bytes += size_bytes

    def _lost_here(self) -> int:
        return max(0, self._highest - self._base + 1 - self._received_here)

    def read(self) -> StreamReading:
        """The counters now."""
        lost = self._lost_before + (self._lost_here() if self._ssrc is not None else 0)
        return StreamReading(self._received, lost, self._bytes, self._jitter)

    def report(self, last_report: int, delay: int) -> ReportBlock | None:
        """What a receiver report says of the source, and of the time since the last one; None before a packet.

        :param last_report: middle bits of the source's last sender report; 0 for none.
        :param delay: time since it came, in 1/65536 s.
        """
        if self._ssrc is None:
            return None
        expected = self._highest - self._base + 1
        span = expected - self._reported_expected
        lost = span - (self._received_here - self._reported_received)
        self._reported_expected, self._reported_received = expected, self._received_here
        return ReportBlock(
            ssrc=self._ssrc,
            fraction_lost=min(255, (lost << 8) // span) if span > 0 and lost > 0 else 0,
            cumulative_lost=expected - self._received_here,
            highest_sequence=self._highest,
            jitter=round(self._jitter * self._clock_rate),
            last_report=last_report,
            delay=delay,
        )
