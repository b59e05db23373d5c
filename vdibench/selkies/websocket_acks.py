"""When the owner of a display acknowledges frames in ``selkies-2-websocket``. Sans-I/O; seconds of any one clock.

The desktop steers its rate by acknowledgements and holds frames back when they stop; it treats a client that never
sends one as not steering at all. A viewer's would be read as the owner's picture standing still, so it sends none.
"""

from __future__ import annotations

import math

from vdibench.selkies.control import frame_acknowledgement

__all__ = ["ACK_SECONDS", "REPEAT_SECONDS", "AckClock"]

ACK_SECONDS = 0.05
# An unchanged id, repeated, says that the client lives although the picture stands still.
REPEAT_SECONDS = 1.0


class AckClock:
    """Says what to acknowledge; ask it every :data:`ACK_SECONDS`."""

    def __init__(self) -> None:
        self._newest: tuple[int, float] | None = None
        self._sent: tuple[int, float] | None = None
        self._sent_at = -math.inf

    def saw(self, frame_id: int, arrival_seconds: float) -> None:
        """Take the id of the newest frame."""
        if self._newest is None or self._newest[0] != frame_id:
            self._newest = (frame_id, arrival_seconds)

    def reset(self) -> None:
        """The desktop starts its numbers anew: an id from before would be taken for a later one."""
        self._newest = self._sent = None

    def due(self, now_seconds: float) -> str | None:
        """The verb to send now, or None."""
        if self._newest is None:
            return None
        if self._newest == self._sent and now_seconds - self._sent_at < REPEAT_SECONDS:
            return None
        self._sent, self._sent_at = self._newest, now_seconds
        frame_id, arrival = self._newest
        return frame_acknowledgement(frame_id, max(0.0, now_seconds - arrival))
