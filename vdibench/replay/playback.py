"""One session's course through a trace: what is due now, and what its time stamps are. Pure; any one monotonic clock.

The capture clock leads: a jump to the beginning (for a client that asks for a key frame, or at the end of the trace)
goes on in the capture rhythm, and each frame leaves as long after its capture as it did when it was recorded.
"""

from __future__ import annotations

from typing import NamedTuple

from vdibench.replay.trace import Trace

__all__ = ["CLOCK_RATE", "Due", "Playback"]

CLOCK_RATE = 90_000
"""RTP clock of video, in hertz."""

# Behind by more than this, what is late is skipped: a burst to catch up would measure itself.
SKIP_SECONDS = 0.25
_MASK32 = 0xFFFFFFFF


class Due(NamedTuple):
    """Packets of one frame that are due.

    :param frame: its place in the trace.
    :param begin: of its payloads, ``end`` behind the last one that is due.
    :param timestamp: RTP time stamp.
    :param ends: the frame ends with them.
    """

    frame: int
    begin: int
    end: int
    timestamp: int
    ends: bool


class Playback:
    """Where a session is in the trace.

    :param began: instant at which it begins, in seconds.
    :param phase: share of a frame's interval by which it begins later, 0 to 1.
    :param timestamp: RTP time stamp of the first frame.
    :param whole: frames leave in one piece, when their last packet did.
    :ivar due: the next instant at which :meth:`take` has something.
    :ivar late: seconds by which what was taken last was late.
    :ivar frames: that left until now.
    """

    def __init__(
        self, trace: Trace, began: float, *, phase: float = 0.0, timestamp: int = 0, whole: bool = False
    ) -> None:
        self._whole = whole
        self._counts = [1 if whole else len(frame) for frame in trace.payloads]
        self._captures = trace.captures
        self._firsts = [frame.last if whole else frame.first for frame in trace.frames]
        self._steps = [
            0.0 if count < 2 else (frame.last - frame.first) / (count - 1)
            for frame, count in zip(trace.frames, self._counts, strict=True)
        ]
        self._seconds = trace.seconds
        self._interval = trace.seconds / len(trace.frames)
        # Capture instants of this pass are ``base`` plus those of the trace.
        self._base = began + phase * self._interval - self._firsts[0]
        self._origin = self._base + self._captures[0]
        self._timestamp = self._stamp = timestamp
        self._frame = self._packet = 0
        self._restart = False
        self.late = 0.0
        self.frames = 0
        self.due = self._base + self._firsts[0]

    def restart(self) -> None:
        """Go on with the first frame when the one in hand has left."""
        self._restart = True

    def timestamp_at(self, instant: float) -> int:
        """What the RTP clock says at an instant: time stamps are those of the capture."""
        return (self._timestamp + round((instant - self._origin) * CLOCK_RATE)) & _MASK32

    def take(self, now: float) -> Due | None:
        """What is due of the frame in hand; None when nothing is."""
        if now < self.due:
            return None
        self.late = now - self.due
        if self.late > SKIP_SECONDS:
            # Time stamps follow: the client sees a gap, not a burst.
            self._base += self.late
            self.due = now
        number, begin = self._frame, self._packet
        count, step = self._counts[number], self._steps[number]
        start = self._base + self._firsts[number]
        end = count if step <= 0.0 else min(count, max(begin, int((now - start) / step)) + 1)
        if not begin:
            self._stamp = self.timestamp_at(self._base + self._captures[number])
        if end < count:
            self._packet = end
            self.due = start + end * step
            return Due(number, begin, end, self._stamp, False)
        self._next(start + (count - 1) * step)
        return Due(number, begin, count, self._stamp, True)

    def _next(self, last_due: float) -> None:
        self.frames += 1
        following = self._frame + 1
        if self._restart:
            # The frame after this one would have been taken an interval later: the first of the trace is.
            self._base += self._captures[self._frame] + self._interval - self._captures[0]
            following = 0
        elif following == len(self._counts):
            self._base += self._seconds
            following = 0
        self._restart = False
        self._frame, self._packet = following, 0
        # One frame after the other, also where a jump leaves less room than the frame before took.
        self.due = max(last_due, self._base + self._firsts[following])
