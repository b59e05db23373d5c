"""Who waits, and in which order places are given: by priority, fairly by user, and nobody for ever. Pure.

1. Higher priorities first.
2. Among equals a user's n-th session stands behind everybody's (n-1)-th. What a user has counts as before what the user
   waits for.
3. Then whoever has waited longer. Whoever gets a place goes behind all who wait by then with what else it waits for, so
   that nobody comes again and again before somebody who waits for a first one.
4. Age breaks in. The oldest is next, whatever its priority and user, once as many places as users wait have gone to
   younger ones since the oldest last had one; as many as :data:`LEAST` in any case, and no more than :data:`MOST`.

So a flood of one user's sessions delays another user's first one by one place at most, as long as no more than
:data:`MOST` users wait; and somebody with ``n`` older ones has a place after ``(n + 1) * (MOST + 1)`` others at most,
whoever comes.

A position is found in a sorted list, and only who moves is moved in it: no pass sorts.
"""

from __future__ import annotations

import bisect
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["LEAST", "MOST", "TOLD_RATE", "Claim", "Line"]

# Places that go to younger ones before the oldest has one.
LEAST, MOST = 8, 256
# Of those who wait, how many are told where they stand a second: each costs a pass and a status.
TOLD_RATE = 50.0

# So many are moved one by one; of more all are sorted, which Python does in one go through two sorted parts.
_FEW = 64

# Minus priority; how many of its user's are before it; since when it waits; whether that is since its user last had a
# place, and so behind those who came at that time; its name.
_Key = tuple[int, int, float, bool, str]


@dataclass(frozen=True, slots=True, order=True)
class Claim:
    """A session that wants a place. They sort by age.

    :param priority: higher ones are first.
    """

    created_unix_seconds: float
    name: str
    template: str
    user: str = ""
    priority: int = 0


class Line:
    """Those who wait, by names, and how many places each user has.

    :ivar templates: how many wait for a place for each of them.
    """

    def __init__(self) -> None:
        self._claims: dict[str, Claim] = {}
        self._keys: dict[str, _Key] = {}
        self._fair: list[_Key] = []
        self._aged: list[tuple[float, str]] = []
        # What each user waits for, in the order in which that user gets it.
        self._own: dict[str, list[tuple[int, float, str]]] = {}
        self._has: Counter[str] = Counter()
        self.templates: Counter[str] = Counter()
        # When the youngest was created that waited when a user last had a place.
        self._served: dict[str, float] = {}
        # Places that went to younger ones since the oldest had one, and how many may.
        self._passed = 0
        self._round = LEAST

    def __len__(self) -> int:
        return len(self._claims)

    def __contains__(self, name: str) -> bool:
        return name in self._claims

    def get(self, name: str) -> Claim | None:
        """What somebody waits for."""
        return self._claims.get(name)

    def add(self, claim: Claim) -> None:
        """Somebody waits, who did not."""
        self._claims[claim.name] = claim
        self.templates[claim.template] += 1
        bisect.insort(self._aged, (claim.created_unix_seconds, claim.name))
        own = self._own.setdefault(claim.user, [])
        mine = (-claim.priority, claim.created_unix_seconds, claim.name)
        bisect.insort(own, mine)
        self._round = max(self._round, min(len(self._own), MOST))
        self._renumber(claim.user, bisect.bisect_left(own, mine))

    def remove(self, name: str) -> bool:
        """Somebody waits no more, and has no place.

        :returns: whether it did.
        """
        claim = self._claims.get(name)
        if claim is None:
            return False
        index = self._drop(claim)
        if not self._claims:
            self._served.clear()
        self._renumber(claim.user, index)
        return True

    def take(self, claim: Claim) -> bool:
        """Somebody has a place from now on, and does not wait.

        :returns: whether others than before may be next: it is the oldest's turn now, or more of that user's wait.
        """
        known = self._claims.get(claim.name)
        if known is not None:
            index = self._drop(known)
            if known.user != claim.user:
                self._renumber(known.user, index)
        self._has[claim.user] += 1
        if self._aged:
            self._served[claim.user] = max(self._aged[-1][0], self._served.get(claim.user, self._aged[-1][0]))
        else:
            self._served.clear()
        self._renumber(claim.user)
        return self._count(claim) or claim.user in self._own

    def give_back(self, user: str) -> None:
        """One of a user's places is free again."""
        self._has[user] -= 1
        if not self._has[user]:
            del self._has[user]
        self._renumber(user)

    def order(self) -> Iterator[Claim]:
        """All of them as places are given, while nothing changes."""
        given: set[str] = set()
        fair = (key[-1] for key in self._fair)
        aged = (name for _, name in self._aged)
        oldest, passed, most = next(aged, None), self._passed, self._round
        while oldest is not None:
            name = oldest if passed >= most else next(one for one in fair if one not in given)
            given.add(name)
            yield self._claims[name]
            if name == oldest:
                passed, most = 0, self._users()
            else:
                passed += 1
            while oldest is not None and oldest in given:
                oldest = next(aged, None)

    def before(self, name: str, other: str) -> bool:
        """Whether one stands before another one."""
        return self._standing(name) < self._standing(other)

    def index(self, name: str) -> int:
        """How many stand before somebody who waits."""
        place = bisect.bisect_left(self._fair, self._keys[name])
        due = self._due()
        if due is None:
            return place
        return 0 if due == name else place + (self._keys[due] > self._keys[name])

    def names(self) -> list[str]:
        """All of them as they stand; the oldest first where it is that one's turn."""
        found, due = [key[-1] for key in self._fair], self._due()
        return found if due is None else [due, *(name for name in found if name != due)]

    def _standing(self, name: str) -> tuple[bool, _Key]:
        return name != self._due(), self._keys[name]

    def _due(self) -> str | None:
        """The oldest, where it is next."""
        return self._aged[0][1] if self._aged and self._passed >= self._round else None

    def _users(self) -> int:
        return max(LEAST, min(len(self._own), MOST))

    def _count(self, claim: Claim) -> bool:
        """Somebody has got a place: was it the oldest of those who waited?"""
        if not self._aged or (claim.created_unix_seconds, claim.name) < self._aged[0]:
            self._passed, self._round = 0, self._users()
            return False
        self._passed += 1
        return self._passed == self._round

    def _drop(self, claim: Claim) -> int:
        """Forget somebody, without moving the user's others.

        :returns: how many of the user's were before it.
        """
        del self._claims[claim.name]
        self.templates[claim.template] -= 1
        if not self.templates[claim.template]:
            del self.templates[claim.template]
        del self._fair[bisect.bisect_left(self._fair, self._keys.pop(claim.name))]
        del self._aged[bisect.bisect_left(self._aged, (claim.created_unix_seconds, claim.name))]
        own = self._own[claim.user]
        index = bisect.bisect_left(own, (-claim.priority, claim.created_unix_seconds, claim.name))
        del own[index]
        if not own:
            del self._own[claim.user]
        return index

    def _renumber(self, user: str, first: int = 0) -> None:
        """Move those of a user's, from one on, who have another number now."""
        own, has, served = self._own.get(user, []), self._has[user], self._served.get(user)
        moved: list[_Key] = []
        for index in range(first, len(own)):
            priority, created, name = own[index]
            behind = served is not None and created <= served
            since = served if behind and served is not None else created
            key = (priority, has + index, since, behind, name)
            if self._keys.get(name) != key:
                moved.append(key)
        if len(moved) > _FEW:
            names = {key[-1] for key in moved}
            self._fair = [key for key in self._fair if key[-1] not in names]
            self._fair += moved
            self._fair.sort()
        else:
            for key in moved:
                known = self._keys.get(key[-1])
                if known is not None:
                    del self._fair[bisect.bisect_left(self._fair, known)]
                bisect.insort(self._fair, key)
        self._keys.update((key[-1], key) for key in moved)
