"""What the API server has, as far as watches tell: one store a kind, by name. Asyncio.

Documents are kept as compact bytes without ``managedFields``: a thousand sessions have seven thousand objects, of which
a pass looks at seven. The last few are kept decoded besides: a session that starts has its passes within moments of
each other.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import random
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from vdi_operator.api.objects import Kind, Object
from vdi_operator.cluster.errors import ApiError, Gone, NotFound
from vdi_operator.cluster.kube import UNMARKED, Client

__all__ = ["Entry", "Store", "Watched", "pruned"]

F = TypeVar("F")

# Pauses before a list or watch is tried again.
_RETRY_SECONDS = (0.2, 0.5, 1.0, 2.0)
# And after the server has ended one, spread so that nine watches do not come back together.
_ENDED_SECONDS = (0.05, 0.2)
# Documents that are kept decoded, of each kind.
_DECODED = 128
# Uids of deleted objects, so that a late answer to an own request does not bring one back.
_TOMBSTONES = 4096

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Entry(Generic[F]):
    """A stored object.

    :param version: its resourceVersion: numbers of one etcd, which grow.
    :param facts: what is looked for without decoding it.
    """

    raw: bytes
    version: int
    uid: str
    facts: F


def pruned(one: Object) -> Object:
    """Without what nobody here reads."""
    return {**one, "metadata": {key: value for key, value in one["metadata"].items() if key != "managedFields"}}


class Store(Generic[F]):
    """Objects of one kind.

    :param facts: what a document is looked for by.
    :param changed: told of each difference: name, facts before (None: new), facts after (None: gone).
    :param reduce: what is kept of a document; where that stays the same nothing has changed.
    """

    def __init__(
        self,
        kind: Kind,
        facts: Callable[[Object], F],
        changed: Callable[[str, F | None, F | None], None],
        *,
        reduce: Callable[[Object], Object] = pruned,
    ) -> None:
        self.kind = kind
        self._facts = facts
        self._changed = changed
        self._reduce = reduce
        self._entries: dict[str, Entry[F]] = {}
        self._gone: OrderedDict[str, None] = OrderedDict()
        self._decoded: OrderedDict[str, Object] = OrderedDict()
        self._awaited: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def get(self, name: str) -> Object | None:
        """A copy of an object's document."""
        entry = self._entries.get(name)
        if entry is None:
            return None
        document: Object = json.loads(entry.raw)
        return document

    def shared(self, name: str) -> Object | None:
        """An object's document, which others read, too: nobody may change it."""
        found = self._decoded.get(name)
        if found is not None:
            self._decoded.move_to_end(name)
            return found
        found = self.get(name)
        if found is not None:
            self._keep_decoded(name, found)
        return found

    def entry(self, name: str) -> Entry[F] | None:
        """What is stored of an object."""
        return self._entries.get(name)

    def facts(self) -> Iterator[tuple[str, F]]:
        """Names and facts of all."""
        for name, entry in self._entries.items():
            yield name, entry.facts

    def put(self, one: Object, *, quiet: bool = False) -> bool:
        """Keep a document unless a newer one is there; an echo of what is there changes nothing.

        :param quiet: it is the answer to an own request, nobody needs to hear of it.
        :returns: whether something is different now.
        """
        metadata = one["metadata"]
        name, uid, version = str(metadata["name"]), str(metadata.get("uid", "")), _number(metadata)
        if self.told(one):
            if uid in self._gone:
                return False
        else:
            # It is asked for again and again, so it may come back: gone from a watch is also what lost its label.
            self._gone.pop(uid, None)
        old = self._entries.get(name)
        if old is not None and version <= old.version:
            return False
        kept = self._reduce(one)
        raw = json.dumps(kept, separators=(",", ":"), ensure_ascii=False).encode(errors="surrogatepass")
        if old is not None and old.raw == raw:
            old.version = version
            return False
        facts = self._facts(one)
        self._entries[name] = Entry(raw, version, uid, facts)
        self._keep_decoded(name, kept)
        quiet = quiet or (name in self._awaited and self._expected(old, facts))
        self._note(name, old.facts if old is not None else None, facts, quiet)
        return True

    @contextlib.contextmanager
    def awaiting(self, name: str) -> Iterator[None]:
        """While an own request for an object is under way: a watch that tells of it before the answer wakes nobody.

        Whoever asks looks again: what others changed in the same moment is not told either.
        """
        self._awaited[name] += 1
        try:
            yield
        finally:
            self._awaited[name] -= 1
            if not self._awaited[name]:
                del self._awaited[name]

    def newer(self, one: Object) -> bool:
        """Whether what is there is newer than a document."""
        entry = self._entries.get(str(one["metadata"]["name"]))
        return entry is not None and entry.version > _number(one["metadata"])

    def told(self, one: Object) -> bool:
        """Whether somebody would tell if this document's object were deleted."""
        return True

    async def fetch(self, client: Client, name: str) -> None:
        """Have one as the API server has it now; nobody is woken.

        :raises ApiError: it cannot be read.
        """
        known = self.entry(name)
        try:
            self.put(await client.get(self.kind, name), quiet=True)
        except NotFound:
            if self.entry(name) is known:  # no own request made it meanwhile
                self.drop(name, quiet=True)

    def drop(self, name: str, uid: str = "", *, quiet: bool = False) -> bool:
        """Forget an object that is gone.

        :param uid: only if it is that one; empty: whichever.
        """
        old = self._entries.get(name)
        self._bury(uid or (old.uid if old is not None else ""))
        if old is None or (uid and old.uid != uid):
            return False
        del self._entries[name]
        self._decoded.pop(name, None)
        self._note(name, old.facts, None, quiet)
        return True

    def keep(self, names: Iterable[str], version: int) -> None:
        """After a list: forget what it did not have, unless it is newer than the list."""
        wanted = set(names)
        for name, entry in list(self._entries.items()):
            if name not in wanted and entry.version <= version:
                self.drop(name, entry.uid)

    async def fill(self, client: Client, *, labels: str = "", fields: str = "") -> int:
        """List all, and make the store so.

        :returns: resourceVersion of the list, from which on a watch tells the rest.
        :raises ApiError: it cannot be listed.
        """
        names: set[str] = set()
        version = 0
        async for page, at in client.pages(self.kind, labels=labels, fields=fields):
            version = int(at or 0)
            for one in page:
                names.add(str(one["metadata"]["name"]))
                self.put(one)
        self.keep(names, version)
        return version

    def _note(self, name: str, before: F | None, after: F | None, quiet: bool) -> None:
        """An entry is different now."""
        if not quiet:
            self._changed(name, before, after)

    def _expected(self, before: Entry[F] | None, after: F) -> bool:
        """Whether an own request can have made this of what was there."""
        return True

    def _keep_decoded(self, name: str, one: Object) -> None:
        self._decoded[name] = one
        self._decoded.move_to_end(name)
        while len(self._decoded) > _DECODED:
            self._decoded.popitem(last=False)

    def _bury(self, uid: str) -> None:
        if uid:
            self._gone[uid] = None
            self._gone.move_to_end(uid)
            while len(self._gone) > _TOMBSTONES:
                self._gone.popitem(last=False)


class Watched(Store[F]):
    """A store that keeps itself up to date by a list and a watch.

    :param labels, fields: selectors of what is watched.
    """

    def __init__(
        self,
        kind: Kind,
        facts: Callable[[Object], F],
        changed: Callable[[str, F | None, F | None], None],
        *,
        labels: str = "",
        fields: str = "",
        reduce: Callable[[Object], Object] = pruned,
    ) -> None:
        super().__init__(kind, facts, changed, reduce=reduce)
        self.filled = asyncio.Event()
        self._labels = labels
        self._selected = dict(pair.split("=", 1) for pair in labels.split(",") if pair)
        self._fields = fields
        self._since = ""
        self._failures = 0
        self._heard = time.monotonic()

    @property
    def title(self) -> str:
        """For people."""
        return self.kind.plural + (f" ({self._fields})" if self._fields else "")

    def told(self, one: Object) -> bool:
        """A watch is silent about what its selector does not choose, such as what stood in the way of a creation."""
        has = one["metadata"].get("labels") or {}
        return all(has.get(key) == value for key, value in self._selected.items())

    def silent_seconds(self) -> float:
        """Since the API server last said something about this kind: a healthy watch has a bookmark, or is opened anew,
        about once a minute.
        """
        return time.monotonic() - self._heard

    async def run(self, client: Client) -> None:
        """Follow the API server for ever, through cut connections and versions that are too old."""
        while True:
            try:
                if not self._since:
                    self._since = str(await self.fill(client, labels=self._labels, fields=self._fields))
                    self._hear()
                    self.filled.set()
                await self._follow(client)
                pause = random.uniform(*_ENDED_SECONDS)
            except Gone:
                # Without bookmarks that is the ordinary end of a quiet watch.
                level = logging.DEBUG if self.kind.name in UNMARKED else logging.INFO
                _log.log(level, "the watch of %s is too old: it is listed again", self.title)
                self._since, pause = "", random.uniform(*_ENDED_SECONDS)
            except ApiError as error:
                pause = max(
                    _RETRY_SECONDS[min(self._failures, len(_RETRY_SECONDS) - 1)] * random.uniform(0.5, 1.0),
                    min(error.retry_after_seconds, _RETRY_SECONDS[-1]),
                )
                self._failures += 1
                _log.warning("%s cannot be watched, tried again in %.1f s: %s", self.title, pause, error)
            await asyncio.sleep(pause)  # a server that is down, or ends every watch at once, is not asked all the time

    async def _follow(self, client: Client) -> None:
        watch = client.watch(self.kind, self._since, labels=self._labels, fields=self._fields, opened=self._hear)
        async with contextlib.aclosing(watch) as events:
            async for kind, one in events:
                self._hear()
                metadata = one.get("metadata") or {}
                self._since = str(metadata.get("resourceVersion") or self._since)
                if kind in ("ADDED", "MODIFIED"):
                    self.put(one)
                elif kind == "DELETED":
                    self.drop(str(metadata.get("name", "")), str(metadata.get("uid", "")))

    def _hear(self) -> None:
        self._heard = time.monotonic()
        self._failures = 0


def _number(metadata: Object) -> int:
    """Of a resourceVersion; what is none counts as the oldest."""
    try:
        return int(metadata.get("resourceVersion") or 0)
    except ValueError:
        return 0
