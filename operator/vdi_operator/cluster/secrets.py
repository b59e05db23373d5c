"""Secrets, which the operator's role may get but neither list nor watch: a list is every user's password at once.

Each is read once when a pass needs it, then kept, and looked at again by turns: what somebody deletes or changes is
found without a watch. Asyncio.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable

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

_log = logging.getLogger(__name__)


class Secrets(Store[str]):
    """The Secrets of sessions, by name.

    :param wake: has a pass of a session whose Secret is different now.
    """

    def __init__(self, wake: Callable[[str], None]) -> None:
        super().__init__(KINDS["Secret"], _session, self._tell)
        self._wake = wake
        # Asked for, and there was none: whoever makes one hears of it if that was wrong.
        self._absent: set[str] = set()

    async def read(self, client: Client, name: str) -> Object | None:
        """A Secret, from the API server where it is not known.

        :raises ApiError: it cannot be read.
        """
        if name not in self and name not in self._absent:
            await self.look(client, name, quiet=True)
        return self.get(name)

    def suppose_absent(self, wanted: Iterable[str]) -> None:
        """Do not ask for these: their session is new."""
        self._absent.update(name for name in wanted if name not in self)

    async def look(self, client: Client, name: str, *, quiet: bool = False) -> None:
        """Have what the API server has now.

        :raises ApiError: it cannot be read.
        """
        known = self.entry(name)
        try:
            self.put(await client.get(self.kind, name), quiet=quiet)
        except NotFound:
            if self.entry(name) is known:  # no own request made it meanwhile
                self._absent.add(name)
                if known is not None:
                    self.drop(name, known.uid, quiet=quiet)

    def forget(self, wanted: Iterable[str]) -> None:
        """Keep these no longer: their session is gone."""
        for name in wanted:
            self.drop(name, quiet=True)
            self._absent.discard(name)

    async def turns(self, client: Client) -> None:
        """Look at all that are known, over and over."""
        while True:
            by_session: dict[str, list[str]] = {}
            for name, session in self.facts():
                by_session.setdefault(session, []).append(name)
            # The pace is the point of this loop: it bounds what looking costs the API server.
            pause = max(1.0 / SESSIONS_PER_SECOND, _ROUND_SECONDS / max(1, len(by_session)))
            for wanted in by_session.values():
                await self._turn(client, [name for name in wanted if name in self])
                await asyncio.sleep(pause)
            if not by_session:
                await asyncio.sleep(pause)

    async def _turn(self, client: Client, wanted: Iterable[str]) -> None:
        for name in wanted:
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
