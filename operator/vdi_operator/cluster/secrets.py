"""Secrets, which the operator's role may get but neither list nor watch: a list is every user's password at once.

Each is read once when a pass needs it, then kept, and looked at again by turns: what somebody deletes or changes is
found without a watch. Asyncio.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable

from vdi_operator.api.objects import Object
from vdi_operator.children import names
from vdi_operator.children.kinds import KINDS
from vdi_operator.cluster.errors import ApiError, NotFound
from vdi_operator.cluster.kube import Client
from vdi_operator.cluster.stores import Store

__all__ = ["SESSIONS_PER_SECOND", "Secrets"]

# Sessions whose Secrets are looked at in a second: those of 100 sessions within 4 s, at two small requests a session.
SESSIONS_PER_SECOND = 25.0
# A round takes at least this long: a few sessions are not looked at all the time.
_ROUND_SECONDS = 4.0
# Sessions at the same time: what keeps the pace where an answer takes longer than the pause to the next session.
_AT_ONCE = 8
# While sessions start, their requests go first: looks come this many times more slowly.
_YIELDING = 4
# Of a delay so much is caught up by haste; what the API server was slower for longer is not its debt.
_LATE_SECONDS = 1.0

_log = logging.getLogger(__name__)


class Secrets(Store[str]):
    """The Secrets of sessions, by name.

    :param wake: has a pass of a session whose Secret is different now.
    :param clock: monotonic seconds.
    :param sleep: until the next session's turn; a test's does not wait.
    :param crowded: whether many sessions have passes.
    """

    def __init__(
        self,
        wake: Callable[[str], None],
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        crowded: Callable[[], bool] = lambda: False,
    ) -> None:
        super().__init__(KINDS["Secret"], _session, self._tell)
        self._wake = wake
        self._clock = clock
        self._sleep = sleep
        self._crowded = crowded
        # Asked for, and there was none: whoever makes one hears of it if that was wrong.
        self._absent: set[str] = set()

    async def read(self, client: Client, name: str) -> Object | None:
        """A Secret, from the API server where it is not known; nobody may change it.

        :raises ApiError: it cannot be read.
        """
        if name not in self and name not in self._absent:
            await self.look(client, name, quiet=True)
        return self.shared(name)

    def suppose_absent(self, wanted: Iterable[str]) -> None:
        """Do not ask for these: their session is new."""
        self._absent.update(name for name in wanted if name not in self)

    async def look(self, client: Client, name: str, *, quiet: bool = False) -> None:
        """Have what the API server has now.

        :raises ApiError: it cannot be read.
        """
        known = self.entry(name)
        try:
            found = await client.get(self.kind, name)
            if known is None or name in self:  # else an own request has deleted it meanwhile
                self.put(found, quiet=quiet)
        except NotFound:
            if self.entry(name) is known:  # no own request made it meanwhile
                self._absent.add(name)
                if known is not None:
                    self.drop(name, known.uid, quiet=quiet)

    def told(self, one: Object) -> bool:
        """Nobody tells of Secrets: one that was forgotten may be there, such as that of a deleted session whose name is
        another's now and which the garbage collector has not reached yet.
        """
        return False

    def forget(self, wanted: Iterable[str]) -> None:
        """Keep these no longer: their session is gone."""
        for name in wanted:
            self.drop(name, quiet=True)
            self._absent.discard(name)

    async def turns(self, client: Client) -> None:
        """Look at all that are known, over and over.

        Each session has its turn at a time that the requests of those before it do not put off.
        """
        room, turning, due = asyncio.Semaphore(_AT_ONCE), set[str](), self._clock()

        async def turn(session: str, wanted: Iterable[str]) -> None:
            try:
                await self._turn(client, wanted)
            finally:
                turning.discard(session)
                room.release()

        async with asyncio.TaskGroup() as group:
            while True:
                by_session: dict[str, list[str]] = {}
                for name, session in self.facts():
                    by_session.setdefault(session, []).append(name)
                # The pace is the point of this loop: it bounds what looking costs the API server.
                pause = max(1.0 / SESSIONS_PER_SECOND, _ROUND_SECONDS / max(1, len(by_session)))
                for session, wanted in by_session.items():
                    if session not in turning:  # one that gets no answer keeps no other waiting
                        await room.acquire()
                        turning.add(session)
                        group.create_task(turn(session, wanted))
                    due = await self._next(due + (_YIELDING * pause if self._crowded() else pause))
                if not by_session:
                    due = await self._next(due + pause)

    async def _next(self, due: float) -> float:
        """Wait until then.

        :returns: since when the next turn counts.
        """
        now = self._clock()
        await self._sleep(max(0.0, due - now))  # of nothing, too: it lets the turn begin
        return max(due, now - _LATE_SECONDS)

    async def _turn(self, client: Client, wanted: Iterable[str]) -> None:
        for name in wanted:
            if name not in self:
                continue
            try:
                await self.look(client, name)
            except ApiError as error:
                _log.warning("a Secret cannot be looked at: %s", error)

    def _note(self, name: str, before: str | None, after: str | None, quiet: bool) -> None:
        if after is None:
            self._absent.add(name)
        else:
            self._absent.discard(name)
        super()._note(name, before, after, quiet)

    def _tell(self, name: str, before: str | None, after: str | None) -> None:
        self._wake(after or before or "")


def _session(one: Object) -> str:
    return str((one["metadata"].get("labels") or {}).get(names.INSTANCE_LABEL, ""))
