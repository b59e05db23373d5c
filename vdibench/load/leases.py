"""Which user has which desktop: the lowest free one, by index, first come first served. Pure."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Hashable

__all__ = ["Leases"]


class Leases:
    """Desktops ``0`` … ``count - 1``, each with one user at most.

    Users wait in line when none is free; a desktop that is given back goes to the first of them.

    :param count: how many there are.
    """

    def __init__(self, count: int) -> None:
        self._free = list(range(count))
        self._held: dict[int, Hashable] = {}
        self._waiting: deque[tuple[Hashable, Hashable]] = deque()

    @property
    def held(self) -> dict[int, Hashable]:
        """Holder by desktop."""
        return dict(self._held)

    def take(self, holder: Hashable, ticket: Hashable) -> int | None:
        """A desktop for ``holder``; None when it has to wait, under ``ticket``."""
        if not self._free:
            self._waiting.append((holder, ticket))
            return None
        return self._give(holder)

    def _give(self, holder: Hashable) -> int:
        desktop = heapq.heappop(self._free)
        self._held[desktop] = holder
        return desktop

    def give_back(self, desktop: int, holder: Hashable) -> tuple[Hashable, Hashable, int] | None:
        """``holder`` needs ``desktop`` no more; returns who gets it instead: holder, ticket and desktop.

        A desktop that it does not hold stays as it is: a lease ends once.
        """
        if self._held.get(desktop) != holder:
            return None
        del self._held[desktop]
        heapq.heappush(self._free, desktop)
        if not self._waiting:
            return None
        following, ticket = self._waiting.popleft()
        return following, ticket, self._give(following)

    def forget(self, holder: Hashable, ticket: Hashable) -> None:
        """``holder`` waits no more under ``ticket``."""
        self._waiting = deque(entry for entry in self._waiting if entry != (holder, ticket))

    def lost(self, holder: Hashable) -> list[tuple[Hashable, Hashable, int]]:
        """``holder`` is gone: all that it had and waited for ends; returns who gets what instead."""
        self._waiting = deque(entry for entry in self._waiting if entry[0] != holder)
        mine = [desktop for desktop, who in self._held.items() if who == holder]
        return [given for desktop in mine if (given := self.give_back(desktop, holder)) is not None]
