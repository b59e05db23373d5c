"""The placeholders of all templates: made, renewed, counted, and taken away for sessions. Asyncio.

A loop of its own beside the passes, level-based as they are: whatever wakes it, it compares what ought to be with what
is. It follows its pods by a label that no session's pod has. All it does is POST and DELETE, with the rights that the
operator has for desktops.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass

from vdi_operator.api.objects import Object
from vdi_operator.api.template import Template
from vdi_operator.children import names
from vdi_operator.children.kinds import KINDS
from vdi_operator.cluster.caches import Caches
from vdi_operator.cluster.errors import ApiError, Conflict, Forbidden, Invalid, NotFound
from vdi_operator.cluster.kube import Client
from vdi_operator.cluster.metrics import Metrics
from vdi_operator.cluster.slots import Slots
from vdi_operator.cluster.stores import Watched
from vdi_operator.core import homes
from vdi_operator.core.placeholders import Placeholder, chosen, plan
from vdi_operator.settings import Settings

__all__ = ["Placeholders"]

# After a change, so that what comes together is looked at together.
_SETTLE_SECONDS = 0.2
# Looked at anyway: the ledger moves without a pod's moving.
_LOOK_SECONDS = 10.0
# From when one was taken, preempted or lost until places are filled again: the desktop that came starts meanwhile, and
# needs the node's cores.
_REFILL_SECONDS = 5.0
# What nodes refuse is made after as long, then after twice as long each time, at most so many times.
_LONGEST_TIMES = 64
# After the API server refused something, such as without the priority class.
_REFUSED_SECONDS = 10.0
# For how long a session that took one takes no other: its pod may be refused and made again.
_TAKEN_SECONDS = 30.0
# For how long a pod waits for its placeholder's end; after that the scheduler takes it.
_TAKE_SECONDS = 2.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Refused:
    """A template whose placeholders end before one of them was ready.

    :param made_as: what they were made as: another one is tried at once.
    :param times: how many pauses.
    :param until: monotonic seconds; what ends before belongs to the same try.
    """

    made_as: str
    times: int
    until: float


class Placeholders:
    """Keeps them as they ought to be.

    :param slots: the ledger, in which they hold nothing.
    :param clock: Unix seconds.
    """

    def __init__(
        self,
        settings: Settings,
        client: Client,
        caches: Caches,
        slots: Slots,
        metrics: Metrics,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._client = client
        self._caches = caches
        self._slots = slots
        self._metrics = metrics
        self._clock = clock
        self.store = Watched(
            KINDS["Pod"],
            Placeholder.of,
            self._changed,
            labels=f"app.kubernetes.io/managed-by={names.PLACEHOLDERS}",
            reduce=_slim,
        )
        # Name -> version of the stored template, and the template, None: it cannot be read.
        self._read: dict[str, tuple[int, Template | None]] = {}
        self._taken: set[str] = set()
        # Session -> when it took one.
        self._claims: dict[str, float] = {}
        self._refill = float("-inf")
        # By template.
        self._refused: dict[str, _Refused] = {}
        self._told = ""
        self._event = asyncio.Event()
        caches.warm_changed = self._event.set

    def counts(self) -> Mapping[tuple[str, str], int]:
        """For the metrics: template and state -> how many. Wanted is what the template asks for."""
        found: Counter[tuple[str, str]] = Counter()
        for template in self._templates():
            if template.warm_slots:
                found[template.name, "wanted"] = template.warm_slots
                for state in ("ready", "pending"):
                    found[template.name, state] = 0
        for one in self._there():
            found[one.template, "ready" if one.ready else "pending"] += 1
        return found

    async def run(self) -> None:
        """Keep them for ever. Everything else was listed: else it would seem that all is free."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.store.run(self._client), name="watch placeholders")
            group.create_task(self._keep(), name="keep placeholders")

    async def claim(self, session: str, template: Template | None, home: Object | None) -> None:
        """Take one away for a session whose pod is about to be made.

        The scheduler would do so by itself, but only once it has tried the pod in vain. Where this fails, it does.
        """
        if template is None or not template.warm_slots:
            return
        now = time.monotonic()
        self._claims = {name: at for name, at in self._claims.items() if now - at < _TAKEN_SECONDS}
        if session in self._claims:
            return
        self._claims[session] = now
        one = chosen(self._there(), template.name, homes.node(home))
        self._metrics.claimed(warm=one is not None)
        if one is None:
            return
        self._put_off()
        try:
            async with asyncio.timeout(_TAKE_SECONDS):
                await self._delete(one)
        except (ApiError, TimeoutError) as error:
            said = str(error) or f"no answer in {_TAKE_SECONDS:g} s"
            _log.warning("a placeholder could not be taken: %s", said, extra={"session": session})

    async def _keep(self) -> None:
        await self.store.filled.wait()
        while True:
            try:
                again = await self._level()
            except ApiError as error:
                self._tell(f"placeholders are not as they ought to be: {error}")
                again = max(_REFUSED_SECONDS, error.retry_after_seconds)
            except Exception:  # a fault of what is only for comfort must not end the desktops' operator
                _log.exception("placeholders are not looked after by a fault of its own")
                again = _REFUSED_SECONDS
            with contextlib.suppress(TimeoutError):  # then it is time anyway
                async with asyncio.timeout(min(again, _LOOK_SECONDS)):
                    await self._event.wait()
            await asyncio.sleep(_SETTLE_SECONDS)  # for what comes with the change that woke it
            self._event.clear()

    async def _level(self) -> float:
        """One look, and what follows from it; gives seconds until the next."""
        templates = self._templates()
        warm = [one.name for one in templates if one.warm_slots]
        if not warm and not len(self.store):
            return _LOOK_SECONDS
        if warm and not self._settings.placeholder_priority_class:
            self._tell(f"{', '.join(warm)}: warmSlots wants settings.placeholderPriorityClass, which is not set")
        found = plan(templates, self._settings, self._slots.free(), self._clock(), self._there())
        for one in found.delete:
            if one.ended:
                self._put_off()
            await self._delete(one)
        left = self._refill - time.monotonic()
        if found.create and left > 0:
            return left
        create = [body for body in found.create if not self._refuses(body)]
        await self._create(create)
        if create:
            self._told = ""
        return _LOOK_SECONDS if found.again_seconds is None else found.again_seconds

    async def _create(self, bodies: Iterable[Object]) -> None:
        """Make them; what is refused of one template keeps those of the others from nothing.

        :raises ApiError: the first refusal.
        """
        refused: dict[str, ApiError] = {}
        for body in bodies:
            template = body["metadata"]["labels"][names.TEMPLATE_LABEL]
            if template in refused:
                continue
            try:
                # The plan may be a second old by now: a session that came meanwhile takes its place from it.
                self.store.put(await self._client.create(self.store.kind, body), quiet=True)
            except (Forbidden, Invalid) as error:
                refused[template] = error
        if refused:
            raise next(iter(refused.values()))

    async def _delete(self, one: Placeholder) -> None:
        """Gone when this returns, as it has no time to end in."""
        self._taken.add(one.uid)
        try:
            await self._client.delete(self.store.kind, one.name, one.uid)
        except (NotFound, Conflict):  # somebody was faster
            pass
        finally:
            self._taken.discard(one.uid)
        self.store.drop(one.name, one.uid, quiet=True)

    def _there(self) -> Iterator[Placeholder]:
        """All that nobody has taken."""
        return (one for _, one in self.store.facts() if one.uid not in self._taken)

    def _templates(self) -> list[Template]:
        """Those that can be read, decoded only when they have changed."""
        before, self._read = self._read, {}
        for name, _ in self._caches.templates.facts():
            entry = self._caches.templates.entry(name)
            known = before.get(name)
            if entry is None:
                continue
            if known is None or known[0] != entry.version:
                known = entry.version, _template(self._caches.templates.get(name))
            self._read[name] = known
        return [template for _, template in self._read.values() if template is not None]

    def _changed(self, name: str, before: Placeholder | None, after: Placeholder | None) -> None:
        if after is None:
            self._put_off()
        elif after.ready and not (before is not None and before.ready):
            self._refused.pop(after.template, None)
        elif after.ended and not (before is not None and before.ended):
            self._refuse(after)
        self._event.set()

    def _refuse(self, one: Placeholder) -> None:
        """A node did not take it, or did not keep it: the next ones come later and later, until one is ready."""
        now, known = time.monotonic(), self._refused.get(one.template)
        if known is None or known.made_as != one.made_as:
            times = 1
        elif now < known.until:
            return
        else:
            times = min(2 * known.times, _LONGEST_TIMES)
        self._refused[one.template] = _Refused(one.made_as, times, now + times * _REFILL_SECONDS)

    def _refuses(self, body: Object) -> bool:
        """Whether nodes have refused such a one, so that it is to wait."""
        metadata = body["metadata"]
        known = self._refused.get(metadata["labels"][names.TEMPLATE_LABEL])
        if known is None or known.made_as != metadata["annotations"][names.PLACEHOLDER_ANNOTATION]:
            return False
        return time.monotonic() < known.until

    def _put_off(self) -> None:
        """Not filled again at once; a time that was set before stays, else a busy morning would never fill them."""
        now = time.monotonic()
        if self._refill <= now:
            self._refill = now + _REFILL_SECONDS
        self._event.set()

    def _tell(self, said: str) -> None:
        """Once, and again after it was well."""
        if said != self._told:
            self._told = said
            _log.warning("%s", said)


def _template(document: Object | None) -> Template | None:
    if document is None:
        return None
    try:
        return Template.of(document)
    except ValueError:
        return None  # its sessions say what is wrong with it


def _slim(one: Object) -> Object:
    # What stays the same wakes nobody.
    return {"metadata": {"name": one["metadata"]["name"]}, **asdict(Placeholder.of(one))}
