"""Header-only meter of one RTP stream: W3C inbound-rtp counters. Pure.

Loss and jitter follow RFC 3550 appendix A; retransmissions arrive on a stream of their own and are not counted.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["StreamMeter", "StreamReading"]

_MASK16 = 0xFFFF
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
        self._jitter = 0.0
        self._last: tuple[float, int] | None = None

    def add(self, ssrc: int, sequence: int, timestamp: int, size_bytes: int, arrival_unix_seconds: float) -> None:
        """Count one packet."""
        if ssrc != self._ssrc:
            # A sender that restarts its stream starts a new sequence: what was lost before stays counted.
            if self._ssrc is not None:
                self._lost_before += self._lost_here()
            self._ssrc, self._base, self._highest = ssrc, sequence, sequence
            self._received_here, self._last = 0, None
        step = (sequence - self._highest) & _MASK16
        if 0 < step < 0x8000:
            self._highest += step
        elif self._received_here:
            step = -1  # late or duplicate
        self._received += 1
        self._received_here += 1
        self._bytes += size_bytes
        if step < 0:
            return
        if self._last is not None and timestamp != self._last[1]:
            # Packets of one frame share a time stamp and leave paced: only the first of a frame says anything
            # about the path. What comes late was counted when its neighbours came.
            ticks = ((timestamp - self._last[1] + 0x80000000) & _MASK32) - 0x80000000
            deviation = abs((arrival_unix_seconds - self._last[0]) - ticks / self._clock_rate)
            self._jitter += (deviation - self._jitter) / 16
        if self._last is None or timestamp != self._last[1]:
            self._last = (arrival_unix_seconds, timestamp)

    def _lost_here(self) -> int:
        return max(0, self._highest - self._base + 1 - self._received_here)

    def read(self) -> StreamReading:
        """The counters now."""
        lost = self._lost_before + (self._lost_here() if self._ssrc is not None else 0)
        return StreamReading(self._received, lost, self._bytes, self._jitter)
