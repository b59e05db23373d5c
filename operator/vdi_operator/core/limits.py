"""How many sessions a user, or the whole namespace, may have a desktop of at once. Pure.

Who has one keeps it, whatever is decided later. Sessions count from when they are let in, also while they wait for a
GPU; suspended, idle, expired and failed ones do not.
"""

from __future__ import annotations

import bisect
import heapq

from vdi_operator.api.reasons import Reason
from vdi_operator.core.decision import Blocked, Queue
from vdi_operator.core.line import Claim
from vdi_operator.core.world import LimitFact

__all__ = ["Allowance", "refusal"]

# Named in a message; of more it says how many.
_NAMED = 3

# Minus priority, when it was created, its name.
_Key = tuple[int, float, str]


def refusal(user: str, limit: LimitFact | None) -> Blocked | None:
    """Why a session has to wait for others to end, None: it does not.

    :param user: whose it is.
    """
    if limit is None or limit.reason is None:
        return None
    counted = f"{limit.taken} of {limit.most} sessions that run or wait for a GPU"
    stands = f"position {limit.position} of {limit.waiting}"
    if limit.reason is Reason.USER_LIMIT_REACHED:
        more = limit.taken - len(limit.names)
        named = ", ".join(limit.names) + (f" and {more} more" if more > 0 else "")
        said = f"{user} has {counted} ({named}); {stands}: suspend or delete one of them"
    else:
        said = f"the namespace has {counted}; {stands}: it is let in when others are suspended, are deleted or end"
    return Blocked(limit.reason, said, queue=Queue(limit.position, limit.waiting))


class Allowance:
    """Who of each user's sessions may have a desktop, and who waits: by priority, then the older one, then by name."""

    def __init__(self) -> None:
        self._holders: dict[str, set[str]] = {}
        self._lines: dict[str, list[_Key]] = {}
        # Whoever holds, and whoever waits -> its user.
        self._held: dict[str, str] = {}
        self._waiting: dict[str, tuple[str, _Key]] = {}

    def holds(self, name: str) -> bool:
        """Whether a session may have a desktop."""
        return name in self._held

    def waits(self, name: str) -> bool:
        """Whether a session waits for another one of its user's."""
        return name in self._waiting

    def waiting(self) -> int:
        """How many wait, of all users."""
        return len(self._waiting)

    def line(self, user: str) -> list[str]:
        """Who of a user's waits, in the order in which they may have a desktop."""
        return [key[-1] for key in self._lines.get(user, ())]

    def next(self, user: str, most: int) -> list[str]:
        """Who of a user's may have one now."""
        return self.line(user)[: self._free(user, most)]

    def look(self, claim: Claim, most: int) -> LimitFact:
        """How a session stands, whether or not it waits. Nothing is written down."""
        if claim.name in self._held:
            return LimitFact()
        line, key, free = self._lines.get(claim.user, []), _key(claim), self._free(claim.user, most)
        # What stands there by its name is this one's, or was a former session's.
        known = self._waiting.get(claim.name)
        there = known is not None and known[0] == claim.user
        place = bisect.bisect_left(line, key) - (there and known is not None and known[1] < key)
        if place < free:
            return LimitFact()
        holders = self._holders.get(claim.user, set())
        return LimitFact(
            Reason.USER_LIMIT_REACHED,
            most=most,
            # Those before it who may have one are as good as in: their passes are on their way.
            taken=len(holders) + free,
            position=place + 1 - free,
            waiting=len(line) + (not there) - free,
            names=tuple(heapq.nsmallest(_NAMED, holders)),
        )

    def hold(self, claim: Claim) -> None:
        """A session may have a desktop from now on."""
        self._unwait(claim.name)
        if self._held.get(claim.name) != claim.user:
            self._release(claim.name)
            self._held[claim.name] = claim.user
            self._holders.setdefault(claim.user, set()).add(claim.name)

    def wait(self, claim: Claim) -> str:
        """A session waits from now on.

        :returns: whose others may have a desktop instead, empty: nobody's.
        """
        freed, entry = self._release(claim.name), (claim.user, _key(claim))
        if self._waiting.get(claim.name) != entry:
            self._unwait(claim.name)
            self._waiting[claim.name] = entry
            bisect.insort(self._lines.setdefault(claim.user, []), entry[1])
        return freed

    def rename(self, name: str, other: str) -> None:
        """What a session has, if anything, is another one's from now on."""
        user = self._held.pop(name, None)
        if user is not None:
            self._held[other] = user
            self._holders[user].remove(name)
            self._holders[user].add(other)

    def leave(self, name: str) -> str:
        """A session has no desktop and wants none.

        :returns: whose others may have one instead, empty: nobody's.
        """
        released, left = self._release(name), self._unwait(name)
        return released or left

    def _free(self, user: str, most: int) -> int:
        return max(0, most - len(self._holders.get(user, ())))

    def _release(self, name: str) -> str:
        user = self._held.pop(name, None)
        if user is None:
            return ""
        self._holders[user].discard(name)
        if not self._holders[user]:
            del self._holders[user]
        return user

    def _unwait(self, name: str) -> str:
        entry = self._waiting.pop(name, None)
        if entry is None:
            return ""
        user, key = entry
        line = self._lines[user]
        del line[bisect.bisect_left(line, key)]
        if not line:
            del self._lines[user]
        return user


def _key(claim: Claim) -> _Key:
    return -claim.priority, claim.created_unix_seconds, claim.name
