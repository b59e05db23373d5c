"""Which packets of a stream are missing, and when to ask for them (again). Pure: no clock of its own.

A packet is asked for when the one behind it came, then again after a round trip and a half, until it is too old to be
of use. The round trip is learnt from the answers.
"""

from __future__ import annotations

import math

__all__ = ["Retransmissions"]

_MASK = 0xFFFF
_HALF = 0x8000
# As in the assembler: a packet that far away is neither lost nor late, the sender started anew.
MAX_JUMP = 0x1000
# A hole wider than this is no loss to be repaired packet by packet: the link was away, and a key frame is due.
MAX_HOLE = 512
MAX_TRIES = 8
# Frames behind a gap are given up by then.
USEFUL_SECONDS = 0.25
# What comes later than this is not recognised as new any more.
FORGET_SECONDS = 2.0
FIRST_ROUND_TRIP_SECONDS = 0.1
SHORTEST_WAIT_SECONDS = 0.02


class _Missing:
    __slots__ = ("asked", "due", "repaired", "since", "tries")

    def __init__(self, since: float) -> None:
        self.since = since
        self.due = since
        self.asked = math.nan
        self.tries = 0
        self.repaired = False


class Retransmissions:
    """Follows the sequence numbers of one source."""

    def __init__(self) -> None:
        self._next = -1
        self._missing: dict[int, _Missing] = {}
        self._restart_at = -1
        self._round_trip = math.nan
        self.hole = False
        """A packet was found to be missing since :meth:`due` was asked."""

    @property
    def next(self) -> int:
        """Sequence number of the packet that should come next; -1 before the first."""
        return self._next

    @property
    def round_trip_seconds(self) -> float:
        """From asking to the answer, smoothed; NaN before the first answer."""
        return self._round_trip

    def arrived(self, sequence: int, now: float) -> bool:
        """Note a packet as first sent; False when it came before."""
        if sequence == self._next:
            self._next = (sequence + 1) & _MASK
            return True
        if self._next < 0:
            self._next = (sequence + 1) & _MASK
            return True
        ahead = (sequence - self._next) & _MASK
        if ahead < _HALF:
            if ahead <= MAX_HOLE:
                self.hole = True
                for lost in range(ahead):
                    self._missing[(self._next + lost) & _MASK] = _Missing(now)
            else:
                self._missing.clear()
            self._next = (sequence + 1) & _MASK
            self._restart_at = -1
            return True
        if self._missing.pop(sequence, None) is not None:
            return True
        if _MASK + 1 - ahead <= MAX_JUMP:
            return False
        if sequence == self._restart_at:
            self._missing.clear()
            self._next, self._restart_at = (sequence + 1) & _MASK, -1
        else:
            self._restart_at = (sequence + 1) & _MASK
        return True

    def passed(self, packets: int) -> None:
        """Note so many more packets, in order."""
        self._next = (self._next + packets) & _MASK

    def repaired(self, sequence: int, now: float) -> bool:
        """Note a packet that was sent again; False when it was not missing."""
        missing = self._missing.get(sequence)
        if missing is None or missing.repaired:
            return False
        missing.repaired = True
        if missing.tries == 1 and now >= missing.asked:  # later ones may answer any of the questions
            took = now - missing.asked
            self._round_trip = (
                took if math.isnan(self._round_trip) else self._round_trip + (took - self._round_trip) / 8
            )
        return True

    def due(self, now: float) -> list[int]:
        """The packets to ask for now, in order."""
        found = []
        self.hole = False
        wait = FIRST_ROUND_TRIP_SECONDS if math.isnan(self._round_trip) else self._round_trip
        wait = max(SHORTEST_WAIT_SECONDS, 1.5 * wait)
        for sequence, missing in list(self._missing.items()):
            age = now - missing.since
            if age >= FORGET_SECONDS:
                del self._missing[sequence]
            elif missing.repaired or missing.tries >= MAX_TRIES or age >= USEFUL_SECONDS:
                missing.due = math.inf
            elif missing.due <= now:
                missing.tries += 1
                missing.asked, missing.due = now, now + wait
                found.append(sequence)
        return found

    def next_due(self) -> float:
        """When to ask again; infinity when nothing is to be asked for."""
        return min(
            (missing.due for missing in self._missing.values() if not missing.repaired and missing.tries < MAX_TRIES),
            default=math.inf,
        )
