"""Changes made, in order. Asyncio.

What the API server answers goes into the stores at once: the next pass sees what this one did, and the watch's echo of
it wakes nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from vdi_operator.api.objects import Object
from vdi_operator.children.kinds import KINDS
from vdi_operator.cluster.errors import AlreadyExists, Conflict, Forbidden, Invalid, NotFound
from vdi_operator.cluster.kube import Client
from vdi_operator.cluster.stores import Store
from vdi_operator.core.decision import Change, Verb

__all__ = ["Outdated", "Refused", "difference", "execute"]


class Outdated(Exception):
    """The stores were behind the API server; they are not any more, as far as this shows: look again."""


class Refused(Exception):
    """An object must not be created or repaired: a quota, Pod Security, a webhook, no right, or it would be invalid.

    :param message: as the API server has it.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(f"{kind} refused: {message}")
        self.kind = kind
        self.message = message


async def execute(changes: Sequence[Change], client: Client, stores: Mapping[str, Store[Any]]) -> bool:
    """Make them. Creations that follow each other are made at the same time, but a pod's only after all before it.

    :param stores: by kind, for what comes back.
    :returns: whether something that was made is another one already, of which nobody was told.
    :raises Outdated, Refused, ApiError: the first that went wrong; what comes after it was not begun.
    """
    moved = False
    for together, some in groupby(changes, key=_together):
        if not together:
            for change in some:
                moved = await _make(change, client, stores) or moved
            continue
        # All of them end before the first error counts: none may go on behind the back of the next pass.
        results = await asyncio.gather(*(_make(change, client, stores) for change in some), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
            moved = result or moved
    return moved


def _together(change: Change) -> bool:
    return change.verb is Verb.CREATE and change.ref.kind != "Pod"


async def _make(change: Change, client: Client, stores: Mapping[str, Store[Any]]) -> bool:
    kind, name, store = KINDS[change.ref.kind], change.ref.name, stores[change.ref.kind]
    try:
        if change.verb is Verb.CREATE:
            with store.awaiting(name):
                made = await client.create(kind, change.body)
                store.put(made, quiet=True)
            return store.newer(made)
        if change.verb is Verb.APPLY:
            store.put(await client.apply(kind, name, change.body), quiet=True)
        elif change.verb is Verb.MERGE:
            store.put(await client.merge(kind, name, change.body), quiet=True)
        else:
            left = await client.delete(kind, name, change.uid)
            if left.get("kind") == kind.name and _goes(left.get("metadata") or {}):
                store.put(left, quiet=True)
            else:
                store.drop(name, change.uid, quiet=True)
    except AlreadyExists as error:
        # Made by an earlier try whose answer was lost, by a process before this one, or by somebody without our labels.
        await store.fetch(client, name)
        raise Outdated(str(error)) from error
    except Conflict as error:
        await store.fetch(client, name)
        raise Outdated(str(error)) from error
    except NotFound as error:
        if change.verb is Verb.DELETE:
            store.drop(name, change.uid, quiet=True)
            return False
        if change.verb is not Verb.MERGE:
            raise  # the namespace or the kind itself
        store.drop(name, quiet=True)
        raise Outdated(str(error)) from error
    except (Forbidden, Invalid) as error:
        if change.verb is Verb.DELETE:
            raise
        if change.verb is Verb.APPLY:
            await store.fetch(client, name)
            if name not in store:  # an apply creates what is gone, and of a pod it has only the metadata
                raise Outdated(str(error)) from error
        raise Refused(kind.name, error.message) from error
    return False


def _goes(metadata: Object) -> bool:
    """Whether what a deletion answers is still there and goes in its own time.

    An object that goes has the time of its deletion, and either a finalizer or a grace that is not over.
    """
    if "deletionTimestamp" not in metadata:
        return False
    return bool(metadata.get("finalizers")) or metadata.get("deletionGracePeriodSeconds") != 0


def difference(stored: Object, wanted: Object) -> Object:
    """The merge patch that makes one document the other: null for what goes, lists whole. Empty: they are the same."""
    patch: Object = {key: None for key in stored if key not in wanted}
    for key, value in wanted.items():
        before = stored.get(key)
        if isinstance(value, dict) and isinstance(before, dict):
            inner = difference(before, value)
            if inner:
                patch[key] = inner
        elif key not in stored or before != value:
            patch[key] = value
    return patch
