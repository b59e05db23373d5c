"""What a desktop says of its frames' instants, on its own wall clock. Pure.

The capture instant of a frame is its RTP time stamp, carried over to wall time by the newest pair of the two: from an
abs-capture-time extension, which is bound to its frame and believed at once, or from an RTCP sender report, which is
believed when two of them in a row agree with the RTP clock. Debian's GStreamer 1.22.0 runs the clock in its reports at
twice the rate; nothing is said on such a basis.
"""

from __future__ import annotations

import math
from typing import TypeVar

from vdibench.client.assembly import FrameTiming
from vdibench.client.rtcp import SenderReport
from vdibench.client.rtp import VideoTiming, absolute_send_seconds

__all__ = ["CaptureClock", "FrameClock"]

T = TypeVar("T")
_UNTIMED = FrameTiming()

_MASK32 = 0xFFFFFFFF
_SHORTEST_STEP_SECONDS = 0.2
_RATE_TOLERANCE = 0.02
# An anchor older than this says nothing: clocks drift, and half the range of the time stamps is 6.6 hours.
_STALE_SECONDS = 60.0
# abs-send-time is Unix time only by some senders' habit; the sender's own stages show whether it is.
_SENT_TOLERANCE_SECONDS = 0.005
_KEPT = 64


class CaptureClock:
    """Carries RTP time stamps over to the desktop's wall clock.

    :param rate: RTP clock in hertz.
    """

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._anchor: tuple[int, float] | None = None
        self._report: tuple[int, float] | None = None
        self.report_rate = math.nan
        """RTP clock of the last two sender reports, in hertz; NaN before."""

    def captured(self, timestamp: int, unix_seconds: float) -> None:
        """A frame's own word."""
        self._anchor = (timestamp, unix_seconds)

    def report(self, report: SenderReport) -> None:
        """A sender report."""
        here = (report.rtp_timestamp, report.unix_seconds)
        if self._report is None:
            self._report = here
            return
        elapsed = here[1] - self._report[1]
        if 0 <= elapsed < _SHORTEST_STEP_SECONDS:
            return
        ticks = _ticks(here[0], self._report[0])
        self._report = here
        if elapsed < 0:  # its clock was set back: begin anew
            self._anchor = None
            return
        self.report_rate = ticks / elapsed
        if abs(self.report_rate / self._rate - 1) <= _RATE_TOLERANCE:
            self._anchor = here

    def unix_seconds(self, timestamp: int) -> float:
        """The instant on the desktop's clock; NaN when nothing says it."""
        if self._anchor is None:
            return math.nan
        seconds = _ticks(timestamp, self._anchor[0]) / self._rate
        return self._anchor[1] + seconds if abs(seconds) < _STALE_SECONDS else math.nan


class FrameClock:
    """Collects what the packets of frames say, and gives it out with the frame.

    :param rate: RTP clock in hertz.
    """

    def __init__(self, rate: int) -> None:
        self.capture = CaptureClock(rate)
        self._timings: dict[int, VideoTiming] = {}
        self._sent: dict[int, bytes] = {}
        self._send_time_is_unix = False

    def timed(self, timestamp: int, timing: VideoTiming) -> None:
        """The stages of a frame, as its last packet says."""
        _keep(self._timings, timestamp, timing)

    def sent(self, timestamp: int, value: bytes) -> None:
        """The abs-send-time of a frame's last packet."""
        _keep(self._sent, timestamp, value)

    def frame(self, timestamp: int) -> FrameTiming:
        """Everything that is known of a frame."""
        timing, value = self._timings.pop(timestamp, None), self._sent.pop(timestamp, None)
        captured = self.capture.unix_seconds(timestamp)
        if math.isnan(captured):
            return _UNTIMED
        encoded = sent = math.nan
        if timing is not None:
            # Zero is "not stated": no encoder is done in the instant of the capture.
            encoded = captured + timing.encoded if timing.encoded else math.nan
            sent = captured + timing.sent if timing.sent else math.nan
        finer = None if value is None else absolute_send_seconds(value, captured)
        if finer is not None:
            if not math.isnan(sent):
                self._send_time_is_unix = abs(finer - sent) <= _SENT_TOLERANCE_SECONDS
            if self._send_time_is_unix:
                sent = finer
        return FrameTiming(captured, encoded, sent)


def _ticks(timestamp: int, base: int) -> int:
    return ((timestamp - base + 0x80000000) & _MASK32) - 0x80000000


def _keep(kept: dict[int, T], timestamp: int, value: T) -> None:
    kept[timestamp] = value
    if len(kept) > _KEPT:  # of frames that never came together
        del kept[next(iter(kept))]
