"""The desktop's clock against ours: what an exchange proves, narrowed by many of them. Pure; Unix seconds.

No exchange tells an offset, but each bounds it, whatever the two directions of the way took: what the desktop stamped
before we received it, and what it stamped after we sent. The estimate is the middle of what all of them leave, and its
bound is half of that. It holds without any belief in symmetric ways; free-running clocks are allowed to drift apart.

Two sources:

- The data channel of both WebRTC dialects (:class:`ChannelClock`). The server sends ``ping`` with its clock's reading,
  and after our ``pong`` says half of the round trip that it saw (2.x to a subscribed controller, 1.6 to everybody).
- The web server of 2.x, for viewers and for the WebSocket dialect, which has no such exchange (:class:`WebClock`). Its
  ``Date`` has whole seconds only, but asked right at the turn of a second it says on which side of it we are.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from vdibench.selkies import ControlMessage

__all__ = ["CHANNEL_SOURCE", "WEB_SOURCE", "ChannelClock", "ClockEstimate", "ClockEstimator", "WebClock"]

CHANNEL_SOURCE, WEB_SOURCE = "data channel", "web server"

# Crystals of computers keep to 50 parts in a million; those of two hosts may err in opposite directions.
DRIFT = 100e-6
_WINDOW_SECONDS = 120.0

_PING_ROUNDING = 0.0005  # the server rounds the reading to milliseconds, and half the round trip to microseconds
_LATENCY_ROUNDING = 1e-6
# A pong later than this may be taken for the answer to the ping after it (1.6 sends two a second).
_LATEST_PONG_SECONDS = 0.4

_REFRESH_SECONDS = 5.0
_FINEST_SECONDS = 0.001
_SOON_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class ClockEstimate:
    """What is known at an instant.

    :param unix_seconds: our clock.
    :param offset_seconds: the desktop's clock minus ours.
    :param bound_seconds: the offset is right to within this.
    """

    unix_seconds: float
    offset_seconds: float
    bound_seconds: float

    def row(self, source: str) -> Mapping[str, float | str]:
        """A row of table ``clock``."""
        return {
            "unix_seconds": self.unix_seconds,
            "offset_seconds": self.offset_seconds,
            "bound_seconds": self.bound_seconds,
            "source": source,
        }


@dataclass(frozen=True, slots=True)
class _Limits:
    unix_seconds: float
    low: float
    high: float

    def at(self, unix_seconds: float) -> tuple[float, float]:
        drift = DRIFT * abs(unix_seconds - self.unix_seconds)
        return self.low - drift, self.high + drift


class ClockEstimator:
    """Intersects what exchanges prove. Each side of the offset comes from the exchange that was best for it."""

    def __init__(self) -> None:
        self.steps = 0
        """How often newer exchanges contradicted older ones: a clock was set."""
        self._limits: deque[_Limits] = deque()

    def observe(self, low: float, high: float, unix_seconds: float) -> ClockEstimate:
        """Take in that the offset was within ``low`` and ``high`` at an instant of our clock.

        :raises ValueError: ``low`` is not below ``high``.
        """
        if not low <= high:
            raise ValueError(f"limits {low} and {high} exclude everything")
        fresh = _Limits(unix_seconds, low, high)
        while self._limits and unix_seconds - self._limits[0].unix_seconds > _WINDOW_SECONDS:
            self._limits.popleft()
        known = self._intersection(unix_seconds)
        if max(known[0], low) > min(known[1], high):
            self.steps += 1
            self._limits.clear()
        # What the new limits are inside of will never be the better one again.
        self._limits = deque(each for each in self._limits if not _inside(fresh, each.at(unix_seconds)))
        self._limits.append(fresh)
        low, high = self._intersection(unix_seconds)
        return ClockEstimate(unix_seconds, (low + high) / 2, (high - low) / 2)

    def estimate(self, unix_seconds: float) -> ClockEstimate | None:
        """What is known at an instant; None before the first exchange."""
        if not self._limits:
            return None
        low, high = self._intersection(unix_seconds)
        return ClockEstimate(unix_seconds, (low + high) / 2, (high - low) / 2)

    def _intersection(self, unix_seconds: float) -> tuple[float, float]:
        limits = [each.at(unix_seconds) for each in self._limits]
        return max((low for low, _ in limits), default=-math.inf), min((high for _, high in limits), default=math.inf)


def _inside(fresh: _Limits, aged: tuple[float, float]) -> bool:
    return aged[0] <= fresh.low and fresh.high <= aged[1]


class ChannelClock:
    """Reads the offset from the control messages of the WebRTC dialects.

    Answer every ``ping`` at once with ``pong``, by the same instant that is given here.
    """

    def __init__(self, estimator: ClockEstimator) -> None:
        self._estimator = estimator
        self._ping: tuple[float, float] | None = None  # the server's reading, our instant

    def take(self, message: ControlMessage, unix_seconds: float) -> ClockEstimate | None:
        """Take a message that was received at ``unix_seconds``; others than those of the exchange are passed over.

        :param unix_seconds: at or after its arrival, and before our ``pong`` leaves: both only widen the bound.
        """
        if message.type == "ping":
            start = _number(message, "start_time")
            self._ping = None if start is None else (start, unix_seconds)
        elif message.type == "latency_measurement" and self._ping is not None:
            half = _number(message, "latency_ms")
            (start, answered), self._ping = self._ping, None
            if half is not None and unix_seconds - answered <= _LATEST_PONG_SECONDS:
                low = start - answered - _PING_ROUNDING
                high = start + half * 2e-3 - answered + _PING_ROUNDING + _LATENCY_ROUNDING
                if low <= high:
                    return self._estimator.observe(low, high, unix_seconds)
        return None


def _number(message: ControlMessage, key: str) -> float | None:
    value = message.data.get(key) if isinstance(message.data, dict) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:  # JSON integers have no end
        return None


class WebClock:
    """Reads the offset from the seconds of a web server's ``Date``, by asking where one second turns into the next."""

    def __init__(self, estimator: ClockEstimator) -> None:
        self._estimator = estimator
        self._round_trip = math.inf

    def answered(self, sent: float, received: float, date: int) -> ClockEstimate:
        """Take a reply.

        :param sent: our clock before the request left.
        :param received: our clock after the reply arrived.
        :param date: the reply's ``Date`` in Unix seconds, taken by the server in between and rounded down.
        """
        self._round_trip = min(self._round_trip, received - sent)
        return self._estimator.observe(date - received, date + 1 - sent, received)

    def next_request(self, unix_seconds: float) -> float:
        """When to ask next, by our clock: when the middle of what is known would be the turn of a second there."""
        known = self._estimator.estimate(unix_seconds)
        if known is None:
            return unix_seconds
        way = self._round_trip / 2
        earliest = unix_seconds + _SOON_SECONDS
        if 2 * known.bound_seconds <= self._round_trip + _FINEST_SECONDS:
            earliest = unix_seconds + _REFRESH_SECONDS
        turn = math.ceil(earliest + known.offset_seconds + way)
        return turn - known.offset_seconds - way
