"""A pass: what is and what ought to be of one session, and the difference made. Asyncio.

Level-based: whatever woke a pass, it looks at everything. It never waits for a desktop, only for the API server.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import replace

from vdi_operator.api.objects import Object
from vdi_operator.api.reasons import ConditionType
from vdi_operator.api.session import Session
from vdi_operator.api.template import Template
from vdi_operator.children import names
from vdi_operator.children.dialects import LOGIN
from vdi_operator.children.secrets import password
from vdi_operator.cluster.caches import Caches
from vdi_operator.cluster.checks import Asked, Checker
from vdi_operator.cluster.errors import ApiError, Conflict, NotFound
from vdi_operator.cluster.execution import Outdated, Refused, difference, execute
from vdi_operator.cluster.kube import Client
from vdi_operator.cluster.metrics import Metrics
from vdi_operator.cluster.notices import tell
from vdi_operator.cluster.queue import WorkQueue
from vdi_operator.cluster.slots import Slots
from vdi_operator.cluster.surroundings import Memory, Surroundings
from vdi_operator.core.decision import Change, Decision
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
_OUTDATED_SECONDS = 0.1
# Between two writes of one session's status, unless it became ready or ceased to be: what happens in between is decided
# at its time and written with the next.
_STATUS_SECONDS = 0.2
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
        self.slots = Slots(settings, caches, queue)
        self.checker = Checker(settings, self._checked, clock=surroundings.clock)
        self.succeeded = time.monotonic()

    async def pass_(self, name: str) -> None:
        """One pass of a session. Raises nothing but cancellation: what fails is tried again, soon, then less soon."""
        began = time.perf_counter()
        try:
            await self._pass(name)
        except Outdated as outdated:
            _log.info("looked at again: %s", outdated, extra={"session": name})
            self._queue.wake(name, _OUTDATED_SECONDS)
        except ApiError as error:
            self._failed(name, began, error.retry_after_seconds)
            _log.warning("a pass failed: %s", error, extra={"session": name})
            return
        except Exception:  # whatever a single session triggers must not end the others
            self._failed(name, began, 0.0)
            _log.exception("a pass failed by a fault of its own", extra={"session": name})
            return
        self._failures.pop(name, None)
        self.succeeded = time.monotonic()
        self._metrics.passed(time.perf_counter() - began, self._surroundings.clock())

    async def _pass(self, name: str) -> None:
        document = self._caches.sessions.get(name)
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
        world = self.slots.ask(session, template, world)
        # With a template at hand a fault is the session's own.
        decision = desired(session, template, world, fault=fault if template is None else invalid)
        self.slots.settle(session, decision, world)
        wanted = changes(decision, world)
        if wanted:
            await self._change(name, memory, wanted)
        else:
            memory.busy = 0
            if memory.refusal:  # somebody else has repaired it; what was just decided does not know that
                memory.refusal = memory.refused = ""
                self._queue.wake(name, _SHORTEST_SECONDS)
        memory.status = decision.status
        self._count(session, decision)
        unwritten: Outdated | ApiError | None = None
        if memory.busy != 1:  # else the next pass, which comes at once, knows more
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
        try:
            await execute(wanted, self._client, self._caches.of_kind())
        except Refused as refused:
            _log.warning("%s", refused, extra={"session": name})
            memory.refusal, memory.refused = refused.message, refused.kind
        else:
            memory.refusal = memory.refused = ""
        memory.busy += 1
        # Something that is never as it is wanted must not keep a worker busy.
        self._queue.wake(name, _BUSY_SECONDS[min(memory.busy, len(_BUSY_SECONDS)) - 1])

    async def _publish(self, document: Object, memory: Memory) -> None:
        """Store the status where it is another one than the stored; at once, or with what comes a little later.

        :raises Outdated: the session is not any more as this pass knew it.
        """
        stored, status, name = document.get("status") or {}, memory.status or {}, document["metadata"]["name"]
        patch = difference(stored, status)
        if not patch:
            memory.status = None
            return
        since = time.monotonic() - memory.written
        if _ready(stored) == _ready(status) and since < _STATUS_SECONDS:
            self._queue.wake(name, max(_SHORTEST_SECONDS, _STATUS_SECONDS - since))
            return
        sessions, metadata = self._caches.sessions, document["metadata"]
        body = {"metadata": {"resourceVersion": metadata["resourceVersion"]}, "status": patch}
        try:
            sessions.put(await self._client.merge_status(sessions.kind, name, body), quiet=True)
        except Conflict as error:
            await sessions.look(self._client, name)
            raise Outdated(str(error)) from error
        except NotFound:
            sessions.drop(name, metadata["uid"])
        memory.status, memory.written = None, time.monotonic()

    def _template(self, name: str) -> tuple[Template | None, str]:
        """A template, or what is wrong with it."""
        document = self._caches.templates.get(name)
        if document is None:
            return None, ""
        try:
            return Template.of(document), ""
        except ValueError as error:
            return None, str(error)

    def _count(self, session: Session, decision: Decision) -> None:
        """For the metrics: a start that is over now, a failure that has come now."""
        total = decision.status.get("readyInSeconds")
        if total is not None and session.status.get("readyInSeconds") is None:
            self._metrics.started(decision.status.get("phases") or {}, total)
            _log.info("ready", extra={"session": session.name, "seconds": total})
        if decision.failure is not None:
            self._metrics.failed(decision.failure)

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

    def _checked(self, session: str, uid: str, result: CheckResult) -> None:
        self._surroundings.checked(session, uid, result)
        self._queue.wake(session, urgent=True)

    def _forget(self, name: str) -> None:
        self._surroundings.forget(name)
        self.checker.forget(name)
        self.slots.forget(name)
        self._queue.forget(name)
        self._failures.pop(name, None)

    def _failed(self, name: str, began: float, retry_after_seconds: float) -> None:
        failures = self._failures.get(name, 0)
        self._failures[name] = failures + 1
        if failures + 1 >= _PATIENCE:
            self.slots.give_way(name)
        self._metrics.erred(time.perf_counter() - began)
        pause = RETRY_SECONDS[min(failures, len(RETRY_SECONDS) - 1)]
        self._queue.wake(name, max(pause, retry_after_seconds))


def _ready(status: Object) -> str:
    for condition in status.get("conditions") or ():
        if condition.get("type") == ConditionType.READY:
            return str(condition.get("status"))
    return ""


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
