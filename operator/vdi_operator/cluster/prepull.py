"""Has images fetched beforehand where templates ask for it. Asyncio.

Level-based like a pass: whatever changed, all templates and all DaemonSets are looked at. There are few of both.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging

from vdi_operator.api.template import Template
from vdi_operator.children.kinds import KINDS
from vdi_operator.cluster.caches import Caches
from vdi_operator.cluster.errors import ApiError, Conflict, NotFound
from vdi_operator.cluster.kube import Client
from vdi_operator.core.decision import Change, Verb
from vdi_operator.core.prepull import prepull_changes
from vdi_operator.settings import Settings

__all__ = ["Prepull"]

# Changes come in bursts: a chart's templates, a DaemonSet's own status.
_SETTLE_SECONDS = 0.2
# After what the API server refused.
_RETRY_SECONDS = 30.0

_log = logging.getLogger(__name__)


class Prepull:
    """Makes, changes and deletes DaemonSets.

    :param caches: filled before the first look.
    """

    def __init__(self, settings: Settings, caches: Caches, client: Client) -> None:
        self._settings = settings
        self._caches = caches
        self._client = client
        self._again = asyncio.Event()
        caches.prepull_changed = self._again.set

    async def run(self) -> None:
        """Follow templates for ever."""
        await self._caches.templates.filled.wait()
        await self._caches.daemon_sets.filled.wait()
        while True:
            self._again.clear()
            try:
                refused = await self._look()
            except Exception:  # a fault of what is only for comfort must not end the desktops' operator
                _log.exception("images are not fetched beforehand by a fault of its own")
                refused = True
            with contextlib.suppress(TimeoutError):  # then what was refused is tried again
                async with asyncio.timeout(_RETRY_SECONDS if refused else None):
                    await self._again.wait()
            await asyncio.sleep(_SETTLE_SECONDS)  # the rest of a burst is still coming in

    async def _look(self) -> bool:
        """Make the difference.

        :returns: whether something has to be tried again.
        """
        caches = self._caches
        templates: list[Template] = []
        unreadable: list[str] = []
        for name, _ in list(caches.templates.facts()):
            document = caches.templates.get(name)
            if document is None:
                continue
            try:
                templates.append(Template.of(document))
            except ValueError:
                unreadable.append(str(document["metadata"].get("uid", "")))  # its sessions say what is wrong with it
        there = [one for name, _ in list(caches.daemon_sets.facts()) if (one := caches.daemon_sets.get(name))]
        refused = False
        for change in prepull_changes(templates, unreadable, there, self._settings):
            try:
                await self._make(change)
            except ApiError as error:
                _log.warning("%s %s: %s", change.verb, change.ref.name, error)
                refused = True
        return refused

    async def _make(self, change: Change) -> None:
        kind, name, store = KINDS["DaemonSet"], change.ref.name, self._caches.daemon_sets
        if change.verb is Verb.DELETE:
            with contextlib.suppress(NotFound, Conflict):  # it is gone, or another one by now: the watch tells
                await self._client.delete(kind, name, change.uid)
            store.drop(name, change.uid, quiet=True)
            return
        store.put(await self._client.apply(kind, name, change.body), quiet=True)
