"""A pass: what is and what ought to be of one session, and the difference made. Asyncio.

Level-based: whatever woke a pass, it looks at everything. It never waits for a desktop, only for the API server.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from vdi_operator.api.objects import Object
from vdi_operator.api.reasons import ConditionType, Reason
from vdi_operator.api.session import Session
from vdi_operator.api.template import Template
from vdi_operator.children import names
from vdi_operator.children.dialects import LOGIN
from vdi_operator.children.secrets import password
from vdi_operator.cluster.activity import Activity, Followed
from vdi_operator.cluster.caches import Caches
from vdi_operator.cluster.checks import Asked, Checker
from vdi_operator.cluster.errors import ApiError, Conflict, NotFound
from vdi_operator.cluster.execution import Outdated, Refused, difference, execute
from vdi_operator.cluster.kube import Client
from vdi_operator.cluster.metrics import Metrics
from vdi_operator.cluster.notices import tell
from vdi_operator.cluster.placeholders import Placeholders
from vdi_operator.cluster.queue import WorkQueue
from vdi_operator.cluster.slots import Slots
from vdi_operator.cluster.stores import Entry
from vdi_operator.cluster.surroundings import Memory, Surroundings
from vdi_operator.core.decision import Change, Decision, Follow, Verb
from vdi_operator.core.desired import desired
from vdi_operator.core.instants import unix
from vdi_operator.core.plan import changes
from vdi_operator.core.world import CheckResult, World
from vdi_operator.settings import Settings

__all__ = ["RETRY_SECONDS", "Controller"]

# After a pass that failed.
RETRY_SECONDS = (0.5, 1.0, 2.0)
# Between passes in a row that all find something to change, or are refused it.
_BUSY_SECONDS = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0)
# After passes in a row that found something else than they knew: at first a watch is a moment behind, and what goes on
# is nothing that haste mends.
_OUTDATED_SECONDS = (0.1, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
# After a pass that only created, where no watch tells of more before.
_MADE_SECONDS = 1.0
# Between two writes of one session's status while it only takes steps: what happens in between is decided at its time
# and written with the next, so that a quick start has one status, its last. A crowd's steps come so many a second.
_STATUS_SECONDS = 1.0
_STATUS_RATE = 4.0
# Of its steps that were written, so many make the next one wait longer.
_STEPS_COUNTED = 4
_STEPS = frozenset({Reason.PENDING, Reason.WAITING_FOR_VOLUME, Reason.PULLING_IMAGE, Reason.STARTING, Reason.CHECKING})
# What another process could not find again.
_LASTING = ("attempts", "failure")
_SHORTEST_SECONDS = 0.05
# Between looks at what is in a child's place and in no watch.
_STRANGER_SECONDS = 2.0
# Passes of a session that may fail in a row before those behind it need not wait for it any more.
_PATIENCE = 3

_log = logging.getLogger(__name__)


class Controller:
    """Does passes.

    :param queue: which passes are next; a pass puts its session there again when time alone will change something.
    """

    def __init__(
        self,
        settings: Settings,
        client: Client,
        caches: Caches,
        surroundings: Surroundings,
        queue: WorkQueue,
        metrics: Metrics,
    ) -> None:
        self._settings = settings
        self._client = client
        self._caches = caches
        self._surroundings = surroundings
        self._queue = queue
        self._metrics = metrics
        self._failures: dict[str, int] = {}
        self._outdated: dict[str, int] = {}
        # Sessions whose status is decided and not written.
        self._unwritten: set[str] = set()
        # Templates as they were read, each with the document that it was read from.
        self._templates: dict[str, tuple[Entry[Any], Template | None, str]] = {}
        self.slots = Slots(settings, caches, queue)
        self.placeholders = Placeholders(settings, client, caches, self.slots, metrics, clock=surroundings.clock)
        self.checker = Checker(settings, self._checked, clock=surroundings.clock)
        self.activity = Activity(
            settings, metrics.looked, due=lambda name: queue.wake(name, urgent=True), clock=surroundings.clock
        )
        self.succeeded = time.monotonic()

    async def pass_(self, name: str) -> None:
        """One pass of a session. Raises nothing but cancellation: what fails is tried again, soon, then less soon."""
        began = time.perf_counter()
        try:
            await self._pass(name)
        except Outdated as outdated:
            _log.info("looked at again: %s", outdated, extra={"session": name})
            again = self._outdated.get(name, 0)
            self._outdated[name] = again + 1
            self._queue.wake(name, _OUTDATED_SECONDS[min(again, len(_OUTDATED_SECONDS) - 1)])
        except ApiError as error:
            self._failed(name, began, error.retry_after_seconds)
            _log.warning("a pass failed: %s", error, extra={"session": name})
            return
        except Exception:  # whatever a single session triggers must not end the others
            self._failed(name, began, 0.0)
            _log.exception("a pass failed by a fault of its own", extra={"session": name})
            return
        else:
            self._outdated.pop(name, None)
        self._failures.pop(name, None)
        self.succeeded = time.monotonic()
        self._metrics.passed(time.perf_counter() - began, self._surroundings.clock())

    async def _pass(self, name: str) -> None:
        document = self._caches.sessions.shared(name)
        if document is None:
            self._forget(name)
            return
        invalid = ""
        try:
            session = Session.of(document)
        except ValueError as error:
            session, invalid = _readable(document), str(error)
        memory = self._surroundings.memory(session)
        if memory.status is not None:
            session = replace(session, status=memory.status)
        world = await self._surroundings.look(session, memory)
        template, fault = self._template(session.template)
        # Nothing is awaited from here until it is settled: of two passes each would give away the last place.
        world = replace(self.slots.ask(session, template, world), activity=self.activity.fact(name))
        # With a template at hand a fault is the session's own.
        decision = desired(session, template, world, fault=fault if template is None else invalid)
        self.slots.settle(session, decision, world)
        entered = _condition(decision.status, ConditionType.ADMITTED).get("status") == "True"
        self._caches.sessions.admit(name, session.uid, admitted=entered)
        wanted = changes(decision, world)
        if wanted:
            if any(one.verb is Verb.CREATE and one.ref.kind == "Pod" for one in wanted):
                await self.placeholders.claim(name, template, world.home)
            await self._change(name, memory, wanted)
        else:
            memory.busy = 0
            if memory.refusal:  # somebody else has repaired it; what was just decided does not know that
                memory.refusal = memory.refused = ""
                self._queue.wake(name, _SHORTEST_SECONDS)
        # Only now: a stop that fails is decided again by what looks have shown.
        self._follow(session, template, world, decision.follow)
        memory.status = decision.status | self._made(wanted)
        self._count(session, decision)
        unwritten: Outdated | ApiError | None = None
        if memory.busy != 1:  # else the next pass, which comes soon, knows more
            try:
                await self._publish(document, memory)
            except (Outdated, ApiError) as error:
                unwritten = error  # it is kept and written by another pass, which will not say again what follows
        if decision.look_again_seconds is not None:
            self._queue.wake(name, max(_SHORTEST_SECONDS, decision.look_again_seconds))
        if memory.strangers:
            self._queue.wake(name, _STRANGER_SECONDS)
        await tell(self._client, session, decision.notices, memory.told, world.now)
        # A result that came during this pass is not in what it decided, and has a pass of its own.
        if decision.check is not None and template is not None and memory.check is world.check:
            self._ask(session, template, world, decision.check.pod_uid)
        if unwritten is not None:
            raise unwritten

    async def _change(self, name: str, memory: Memory, wanted: Sequence[Change]) -> None:
        """Make changes, and have the next pass see what came of them: the echo of an own change wakes nobody."""
        moved = True
        try:
            moved = await execute(wanted, self._client, self._caches.of_kind())
        except Refused as refused:
            _log.warning("%s", refused, extra={"session": name})
            memory.refusal, memory.refused = refused.message, refused.kind
        else:
            memory.refusal = memory.refused = ""
        memory.busy += 1
        if memory.busy == 1 and not moved and all(change.verb is Verb.CREATE for change in wanted):
            self._queue.wake(name, _MADE_SECONDS)
            return
        # Something that is never as it is wanted must not keep a worker busy.
        self._queue.wake(name, _BUSY_SECONDS[min(memory.busy, len(_BUSY_SECONDS)) - 1])

    def _made(self, wanted: Sequence[Change]) -> Object:
        """What the status says of a pod that this pass has made: should it be gone by the next one, it was there."""
        pods = [change.ref.name for change in wanted if change.ref.kind == "Pod" and change.verb is Verb.CREATE]
        found = [entry.uid for entry in map(self._caches.pods.entry, pods) if entry is not None]
        return {"podUID": found[0]} if found else {}

    async def _publish(self, document: Object, memory: Memory) -> None:
        """Store the status where it is another one than the stored; at once, or with what comes a little later.

        :raises Outdated: the session is not any more as this pass knew it.
        """
        stored, status, name = document.get("status") or {}, memory.status or {}, document["metadata"]["name"]
        patch = difference(stored, status)
        if not patch:
            memory.status = None
            self._unwritten.discard(name)
            return
        since, waits = time.monotonic() - memory.written, "queue" in status
        if waits:
            # A position is no step, and has a pace of its own: the ledger tells so many a second.
            self._unwritten.discard(name)
            pause = _STATUS_SECONDS
        else:
            self._unwritten.add(name)
            # The longer a start takes, the less often it is asked how far it is.
            pause = max(_STATUS_SECONDS, len(self._unwritten) / _STATUS_RATE) * (1 + 2 * memory.steps)
        presses = _presses(stored, status)
        if since < pause and not presses:
            self._queue.wake(name, max(_SHORTEST_SECONDS, pause - since))
            return
        sessions, metadata = self._caches.sessions, document["metadata"]
        body = {"metadata": {"resourceVersion": metadata["resourceVersion"]}, "status": patch}
        try:
            with sessions.awaiting(name):
                answer = await self._client.merge_status(sessions.kind, name, body)
                sessions.put(answer, quiet=True)
            if sessions.newer(answer):  # of which nobody was told while this was awaited
                self._queue.wake(name)
        except Conflict as error:
            await sessions.look(self._client, name)
            raise Outdated(str(error)) from error
        except NotFound:
            sessions.drop(name, metadata["uid"])
        memory.status, memory.written = None, time.monotonic()
        memory.steps = 0 if presses or waits else min(memory.steps + 1, _STEPS_COUNTED)
        self._unwritten.discard(name)

    def _template(self, name: str) -> tuple[Template | None, str]:
        """A template, or what is wrong with it."""
        entry = self._caches.templates.entry(name)
        document = self._caches.templates.shared(name)
        if entry is None or document is None:
            self._templates.pop(name, None)
            return None, ""
        known = self._templates.get(name)
        if known is None or known[0] is not entry:
            try:
                known = (entry, Template.of(document), "")
            except ValueError as error:
                known = (entry, None, str(error))
            self._templates[name] = known
        return known[1], known[2]

    def _count(self, session: Session, decision: Decision) -> None:
        """For the metrics: a start that is over now, a failure that has come now."""
        total = decision.status.get("readyInSeconds")
        if total is not None and session.status.get("readyInSeconds") is None:
            self._metrics.started(decision.status.get("phases") or {}, total)
            _log.info("ready", extra={"session": session.name, "seconds": total})
        if decision.failure is not None:
            self._metrics.failed(decision.failure)
        if any(notice.reason == Reason.IDLE for notice in decision.notices):
            self._metrics.idled()

    def _ask(self, session: Session, template: Template, world: World, pod_uid: str) -> None:
        known = password(world.auth)
        if not self._settings.checker_url or known is None:
            return
        self.checker.ask(
            Asked(
                session=session.name,
                session_uid=session.uid,
                pod_uid=pod_uid,
                url=names.url(session, self._settings),
                username=LOGIN,
                password=known,
                dialect=template.dialect.value,
                width=template.display.width,
                height=template.display.height,
                framerate=template.display.framerate,
                bitrate=template.display.bitrate,
            )
        )

    def _follow(self, session: Session, template: Template | None, world: World, wanted: Follow | None) -> None:
        """Have its desktop looked at for clients from now on, or not any more."""
        address, known = str((world.pod or {}).get("status", {}).get("podIP") or ""), password(world.auth)
        timeout = template.idle_timeout_seconds if template is not None else None
        if wanted is None or template is None or timeout is None or known is None or not address:
            self.activity.forget(session.name)
            return
        begin = wanted.after_unix_seconds
        self.activity.follow(Followed(session.name, wanted.pod_uid, address, template.dialect, begin, known, timeout))

    def _checked(self, session: str, uid: str, result: CheckResult) -> None:
        self._surroundings.checked(session, uid, result)
        self._queue.wake(session, urgent=True)

    def _forget(self, name: str) -> None:
        self._surroundings.forget(name)
        self.checker.forget(name)
        self.activity.forget(name)
        self.slots.forget(name)
        self._queue.forget(name)
        self._unwritten.discard(name)
        self._failures.pop(name, None)
        self._outdated.pop(name, None)

    def _failed(self, name: str, began: float, retry_after_seconds: float) -> None:
        failures = self._failures.get(name, 0)
        self._failures[name] = failures + 1
        if failures + 1 >= _PATIENCE:
            self.slots.give_way(name)
        self._metrics.erred(time.perf_counter() - began)
        pause = RETRY_SECONDS[min(failures, len(RETRY_SECONDS) - 1)]
        self._queue.wake(name, max(pause, retry_after_seconds))


def _presses(stored: Object, status: Object) -> bool:
    """Whether a status cannot wait: it began or ceased to be Ready, or says what is no mere step of a start."""
    before, after = _condition(stored, ConditionType.READY), _condition(status, ConditionType.READY)
    if (before.get("status") == "True") != (after.get("status") == "True"):
        return True
    if after.get("reason") not in _STEPS and after.get("reason") != before.get("reason"):
        return True
    return any(stored.get(key) != status.get(key) for key in _LASTING)


def _condition(status: Object, kind: ConditionType) -> Object:
    found: list[Object] = [one for one in status.get("conditions") or () if one.get("type") == kind]
    return found[0] if found else {}


def _readable(document: Object) -> Session:
    """What can be read of a session that an older or laxer schema let in; nothing is made from it."""
    metadata, spec = document["metadata"], document.get("spec") or {}
    reference = spec.get("templateRef")
    return Session(
        namespace=str(metadata.get("namespace", "")),
        name=str(metadata["name"]),
        uid=str(metadata.get("uid", "")),
        generation=int(metadata.get("generation") or 0),
        user=str(spec.get("user") or ""),
        template=str(reference.get("name") or "") if isinstance(reference, dict) else "",
        created_unix_seconds=unix(metadata.get("creationTimestamp")) or 0.0,
        deleting="deletionTimestamp" in metadata,
        resource_version=str(metadata.get("resourceVersion", "")),
        status=dict(document.get("status") or {}),
    )
