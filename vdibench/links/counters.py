"""What a link did: exact counts and real hold times. Pure; seconds and bytes.

:class:`Tally` counts inside the relay, :class:`DirectionCounters` and :class:`LinkCounters` are what the relay says.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

__all__ = ["DirectionCounters", "HoldTimes", "LinkCounters", "Tally", "media_payload_type"]

_RESOLUTION_SECONDS = 1e-5
_QUANTILES = {"p50_seconds": 0.50, "p95_seconds": 0.95, "p99_seconds": 0.99}


def media_payload_type(datagram: bytes) -> int | None:
    """The payload type of an RTP packet; None for anything else that shares its port (RFC 7983, RFC 5761)."""
    if len(datagram) < 12 or not 128 <= datagram[0] <= 191 or 192 <= datagram[1] <= 223:
        return None
    return datagram[1] & 0x7F


@dataclass(frozen=True, slots=True)
class HoldTimes:
    """How long packets were really held, from the kernel's time stamp to the send call; NaN without packets.

    Of packets that came in since the figures of the link were last set, and to 10 µs.
    """

    count: int = 0
    p50_seconds: float = math.nan
    p95_seconds: float = math.nan
    p99_seconds: float = math.nan
    max_seconds: float = math.nan


@dataclass(frozen=True, slots=True)
class DirectionCounters:
    """One direction since the link was opened.

    :param dropped: packets by reason: ``loss``, ``queue``, ``cut``; ``socket`` where a socket's buffer overflowed,
        which is this machine's doing and not the link's.
    :param media_passed: RTP packets that passed, by payload type.
    :param media_dropped: RTP packets that were dropped, by payload type; without ``socket``, whose were never seen.
    :param stream_bytes: bytes of TCP that passed.
    :param hold: real hold times of datagrams.
    :param late: how much later than due they were let go.
    """

    packets: int = 0
    bytes: int = 0
    passed: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    media_passed: dict[int, int] = field(default_factory=dict)
    media_dropped: dict[int, int] = field(default_factory=dict)
    stream_bytes: int = 0
    hold: HoldTimes = field(default_factory=HoldTimes)
    late: HoldTimes = field(default_factory=HoldTimes)

    @property
    def media_lost(self) -> int:
        """RTP packets dropped, of all payload types."""
        return sum(self.media_dropped.values())


@dataclass(frozen=True, slots=True)
class LinkCounters:
    """Both directions; down is desktop to client."""

    down: DirectionCounters
    up: DirectionCounters

    @classmethod
    def read(cls, document: dict[str, Any]) -> LinkCounters:
        """From what :meth:`Tally.document` wrote, as JSON has it."""
        return cls(_direction(document["down"]), _direction(document["up"]))


def _direction(values: dict[str, Any]) -> DirectionCounters:
    by_type = {key: {int(kind): n for kind, n in values[key].items()} for key in ("media_passed", "media_dropped")}
    times = {key: HoldTimes(**values[key]) for key in ("hold", "late")}
    return DirectionCounters(**{**values, **by_type, **times})


class Tally:
    """Counts one direction; ``socket`` drops are set by whoever reads the sockets."""

    def __init__(self) -> None:
        self.packets = self.bytes = self.passed = self.stream_bytes = 0
        self.dropped: Counter[str] = Counter({"loss": 0, "queue": 0, "cut": 0, "socket": 0})
        self._media: dict[bool, Counter[int]] = {True: Counter(), False: Counter()}
        self._hold: Counter[int] = Counter()
        self._late: Counter[int] = Counter()

    def arrived(self, size: int) -> None:
        """A datagram of ``size`` payload bytes came in."""
        self.packets += 1
        self.bytes += size

    def drop(self, reason: str, datagram: bytes) -> None:
        """It goes no further."""
        self.dropped[reason] += 1
        self._count_media(datagram, passed=False)

    def let_go(self, datagram: bytes) -> None:
        """It was sent on."""
        self.passed += 1
        self._count_media(datagram, passed=True)

    def _count_media(self, datagram: bytes, *, passed: bool) -> None:
        payload_type = media_payload_type(datagram)
        if payload_type is not None:
            self._media[passed][payload_type] += 1

    def timed(self, hold: float, late: float) -> None:
        """It was held for so long, and so much too long, seconds."""
        self._hold[round(hold / _RESOLUTION_SECONDS)] += 1
        self._late[round(late / _RESOLUTION_SECONDS)] += 1

    def forget_times(self) -> None:
        """Begin hold times anew; counts go on."""
        self._hold.clear()
        self._late.clear()

    def document(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "packets": self.packets,
            "bytes": self.bytes,
            "passed": self.passed,
            "dropped": dict(self.dropped),
            "media_passed": dict(self._media[True]),
            "media_dropped": dict(self._media[False]),
            "stream_bytes": self.stream_bytes,
            "hold": _times(self._hold),
            "late": _times(self._late),
        }


def _times(histogram: Counter[int]) -> dict[str, float]:
    total = histogram.total()
    if not total:
        return {"count": 0}
    values: dict[str, float] = {"count": total, "max_seconds": max(histogram) * _RESOLUTION_SECONDS}
    wanted = list(_QUANTILES.items())
    seen = 0
    for step in sorted(histogram):
        seen += histogram[step]
        while wanted and seen >= wanted[0][1] * total:
            values[wanted.pop(0)[0]] = step * _RESOLUTION_SECONDS
    return values
