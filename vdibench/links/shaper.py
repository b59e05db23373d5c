"""One direction of a link: which packet is dropped, when another is let go. Pure: time comes in, nothing goes out.

A packet waits for the rate in a queue that drops its newest, is then under way for delay and jitter, and is let go
unless the direction is frozen (all is held, then let go in order) or cut (all is lost). Parts of a byte stream, which
TCP would send again, are neither lost nor dropped: a cut holds them as a freeze does.

The same seed and the same arrivals give the same fate to every packet. Times are seconds of any one clock.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from itertools import count
from random import Random
from typing import Generic, TypeVar

from vdibench.links.profiles import Direction

__all__ = ["Drop", "Release", "Shaper"]

Item = TypeVar("Item")

_Window = tuple[float, float]
# Shorter than that the jitter does not turn: a packet in between sees a straight line.
_SHORTEST_TURN_SECONDS = 0.001
_ROUNDING_SECONDS = 1e-9
# Its multiples spread most evenly over [0, 1) and keep step with no rhythm of the traffic, so that each kind of packet
# loses its share; a loss every so many packets would meet the same kind again and again.
_GOLDEN = (math.sqrt(5) - 1) / 2


class Drop(StrEnum):
    """Why a packet did not pass."""

    LOSS = "loss"
    QUEUE = "queue"
    CUT = "cut"


@dataclass(frozen=True, slots=True)
class Release(Generic[Item]):
    """A packet whose time has come.

    :param arrived: when it came in.
    :param due: when it was to go out; later than planned at arrival where a freeze held it.
    :param drop: CUT where it was under way when the link was cut; None where it passes.
    :param current: it came in under the present figures, not those before a change.
    """

    item: Item
    size: int
    arrived: float
    due: float
    drop: Drop | None
    current: bool


@dataclass(slots=True)
class _Held(Generic[Item]):
    item: Item
    size: int
    arrived: float
    generation: int


class Shaper(Generic[Item]):
    """Holds the packets of one direction; see the module."""

    def __init__(self, direction: Direction, seed: int = 0) -> None:
        self._random = Random(seed)
        self._direction = direction
        self._generation = 0
        self._order = count()
        self._packets: list[tuple[float, int, _Held[Item]]] = []
        self._streams: list[tuple[float, int, _Held[Item]]] = []
        self._frozen: list[_Window] = []
        self._cut: list[_Window] = []
        self._bad = False
        self._spread = 0.0  # in [0, 1), where losses come evenly
        self._sent_until = -math.inf
        self._frozen_until = self._cut_until = -math.inf
        self._last_due = -math.inf
        self._turn: tuple[float, float, float, float] = (-math.inf, 0.0, -math.inf, 0.0)

    @property
    def direction(self) -> Direction:
        """The present figures."""
        return self._direction

    def change(self, direction: Direction) -> None:
        """Other figures from the next packet on; those under way keep the old ones, and still none overtakes."""
        self._direction = direction
        self._generation += 1
        self._turn = (-math.inf, 0.0, -math.inf, 0.0)

    def freeze(self, start: float, seconds: float) -> None:
        """Let nothing go from ``start`` on for so long."""
        self._frozen.append((start, start + seconds))

    def cut(self, start: float, seconds: float = math.inf) -> None:
        """Lose what comes in or would go out from ``start`` on for so long."""
        self._cut.append((start, start + seconds))

    def restore(self, now: float) -> None:
        """End every freeze and cut, begun or not."""
        self._frozen = [(start, min(end, now)) for start, end in self._frozen if start < now]
        self._cut = [(start, min(end, now)) for start, end in self._cut if start < now]
        self._frozen_until = self._cut_until = -math.inf

    def push(self, now: float, size: int, item: Item) -> Drop | None:
        """Take a packet of ``size`` bytes that came in at ``now``; says why, where it goes no further."""
        if _open_from(now, self._cut) != now:
            return Drop.CUT
        if self._loses():
            return Drop.LOSS
        direction = self._direction
        if direction.rate_bps is not None and self._sent_until - now > direction.queue_seconds + _ROUNDING_SECONDS:
            return Drop.QUEUE
        self._hold(self._packets, now, size, item)
        return None

    def push_stream(self, now: float, size: int, item: Item) -> None:
        """Take a part of a byte stream."""
        self._hold(self._streams, now, size, item)

    def _hold(self, heap: list[tuple[float, int, _Held[Item]]], now: float, size: int, item: Item) -> None:
        direction = self._direction
        departure = now
        if direction.rate_bps is not None:
            departure = self._sent_until = max(now, self._sent_until) + size * 8 / direction.rate_bps
        due = departure + direction.delay_seconds
        if direction.reorder:
            due += self._random.uniform(0.0, direction.jitter_seconds)
        else:
            due = self._last_due = max(self._last_due, due + self._jitter(departure))
        heapq.heappush(heap, (due, next(self._order), _Held(item, size, now, self._generation)))

    def pop(self, now: float) -> list[Release[Item]]:
        """What goes out, or is lost under way, by ``now``; in order."""
        self._forget(now)
        # What was due just before a window, but is asked for only inside it, waits as well.
        if (opens := _open_from(now, self._frozen)) != now:
            self._frozen_until = opens
            return []
        gone: list[Release[Item]] = []
        if cut := (opens := _open_from(now, self._cut)) != now:
            self._cut_until = opens
        for heap, reliable in ((self._packets, False), (self._streams, True)):
            if reliable and cut:
                continue
            while heap and heap[0][0] <= now:
                planned, _, held = heapq.heappop(heap)
                due = self._opens(planned, reliable=reliable)
                drop = Drop.CUT if cut else None
                gone.append(Release(held.item, held.size, held.arrived, due, drop, held.generation == self._generation))
        return gone

    def due(self) -> float | None:
        """When to :meth:`pop` next; None while nothing is held, or nothing will ever go."""
        times = []
        if self._packets:
            times.append(self._opens(self._packets[0][0], reliable=False))
        if self._streams:
            times.append(self._opens(self._streams[0][0], reliable=True))
        earliest = min(times, default=math.inf)
        return None if earliest == math.inf else earliest

    @property
    def held(self) -> int:
        """Packets and parts that are under way."""
        return len(self._packets) + len(self._streams)

    def _opens(self, planned: float, *, reliable: bool) -> float:
        if reliable:
            return _open_from(max(planned, self._frozen_until, self._cut_until), [*self._frozen, *self._cut])
        return _open_from(max(planned, self._frozen_until), self._frozen)

    def _loses(self) -> bool:
        """Gilbert's model: in the bad state all is lost, in the good one nothing."""
        if self._direction.loss_ratio <= 0.0:
            self._bad = False
            return False
        if self._direction.even:
            self._spread = (self._spread + _GOLDEN) % 1.0
            return self._spread < self._direction.loss_ratio
        draw = self._random.random()
        self._bad = draw >= self._direction.loss_ends if self._bad else draw < self._direction.loss_begins
        return self._bad

    def _jitter(self, at: float) -> float:
        """A line through random points that never falls faster than time goes, so that none overtakes."""
        most = self._direction.jitter_seconds
        if most <= 0.0:
            return 0.0
        length = max(most, _SHORTEST_TURN_SECONDS)
        start, first, end, last = self._turn
        while at >= end:
            if at >= end + length:  # nothing came for a while: begin anew
                start, first = at, self._random.uniform(0.0, most)
            else:
                start, first = end, last
            end, last = start + length, self._random.uniform(0.0, most)
        self._turn = (start, first, end, last)
        return first + (last - first) * (at - start) / length

    def _forget(self, now: float) -> None:
        """Drop windows that no packet can meet any more."""
        oldest = min((heap[0][0] for heap in (self._packets, self._streams) if heap), default=now)
        oldest = min(oldest, now)
        if self._frozen:
            self._frozen = [window for window in self._frozen if window[1] > oldest]
        if self._cut:
            self._cut = [window for window in self._cut if window[1] > oldest]


def _open_from(at: float, windows: Iterable[_Window]) -> float:
    """The first instant from ``at`` on that lies in no window."""
    for start, end in sorted(windows):
        if start <= at < end:
            at = end
    return at
