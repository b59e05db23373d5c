"""All that is watched beside the sessions, and whose pass each change asks for. Asyncio."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from vdi_operator.api.objects import Object
from vdi_operator.api.template import Template
from vdi_operator.children import names
from vdi_operator.children.kinds import KINDS
from vdi_operator.cluster.desktops import Desktops, PodFacts
from vdi_operator.cluster.kube import Client
from vdi_operator.cluster.queue import WorkQueue
from vdi_operator.cluster.secrets import Secrets
from vdi_operator.cluster.sessions import Sessions
from vdi_operator.cluster.stores import Store, Watched
from vdi_operator.core.world import NodeFact
from vdi_operator.settings import Settings

__all__ = ["GPU_LABEL", "RELAY_LABEL", "Caches", "NodeFacts", "TemplateFacts", "last_seen"]

# What an administrator marks coturn's nodes with.
RELAY_LABEL = "vdibench.io/turn"
# What NVIDIA's feature discovery marks nodes with: GPUs, not slices of them.
GPU_LABEL = "nvidia.com/gpu.count"
_MANAGED = f"app.kubernetes.io/managed-by={names.MANAGER}"
# Homes also: those that an administrator made by hand are as good.
_PLATFORM = "app.kubernetes.io/part-of=vdi-platform"
# What is known of an object: its newest events.
_EVENTS = 20
# Of what is well, Events say little that the object's own status does not say a moment later; these alone are read.
_READ = frozenset({"Pulling", "Pulled"})
_NORMAL_EVENT_SECONDS = 1.0
# Steps of a start come in bursts: a pod is placed, initialised and started within moments, while its claim is bound.
_STEP_SECONDS = 0.05
# Sessions that have passes at the same time: a crowd.
_CROWD = 8
# Passes of all sessions at once, when a relay's address changes, are spread over this long.
_ALL_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """A node, at which addresses a TURN server is there, and its GPUs as far as pods can get them.

    :param gpus: None: nothing says that it has any.
    """

    fact: NodeFact
    relays: tuple[str, ...]
    gpus: int | None = None


@dataclass(frozen=True, slots=True)
class TemplateFacts:
    """What counting needs of a template.

    :param per_gpu: sessions on one GPU, 0: nobody counts.
    """

    per_gpu: int
    priority_class: str


class Caches:
    """The stores, and the queue that they wake.

    :param queue: of sessions' names.
    """

    def __init__(self, settings: Settings, queue: WorkQueue) -> None:
        self._queue = queue
        # Told of each change that may let somebody in, and of each session that has changed; whoever counts sets them.
        self.gpus_changed: Callable[[], None] = _nobody
        # Told of each change that places may be kept warm for, or taken by.
        self.warm_changed: Callable[[], None] = _nobody
        self.session_changed: Callable[[str], None] = _nobody_of
        # Told of each change after which other images may have to be fetched beforehand.
        self.prepull_changed: Callable[[], None] = _nobody
        self.sessions = Sessions(self._session_changed)
        self.secrets = Secrets(self._wake, crowded=lambda: queue.load() > _CROWD)
        self.pods = Desktops(self._pod_changed, self._home_freed, labels=_MANAGED)
        self.services = self._children("Service")
        self.routes = self._children("IngressRoute")
        self.logins = self._children("Middleware")
        self.policies = self._children("NetworkPolicy")
        self.homes = Watched(KINDS["PersistentVolumeClaim"], _nothing, self._home_changed, labels=_PLATFORM)
        self.templates = Watched(KINDS["VDITemplate"], _template, self._template_changed)
        self.daemon_sets = Watched(
            KINDS["DaemonSet"], _nothing, self._daemon_set_changed, labels=_MANAGED, reduce=_slim_daemon_set
        )
        # Names of the nodes whose GPUs no pod can get at present.
        self.shut: set[str] = set()
        self.nodes = Watched(KINDS["Node"], _node, self._node_changed, reduce=_slim_node)
        self._events = {
            kind: Watched(
                KINDS["Event"],
                _event,
                self._event_changed,
                fields=f"involvedObject.kind={kind}",
                reduce=_slim_event,
            )
            for kind in ("Pod", "PersistentVolumeClaim")
        }
        # Kind and name of an object -> names of its events, in the order in which they came.
        self._about: dict[tuple[str, str], dict[str, None]] = {}
        # What passes wait for. Not DaemonSets: they are for comfort, and an older Role has no right on them.
        self.watched: tuple[Watched[Any], ...] = (
            self.pods,
            self.services,
            self.routes,
            self.logins,
            self.policies,
            self.homes,
            self.templates,
            *self._events.values(),
            *((self.nodes,) if settings.read_nodes else ()),
        )

    def of_kind(self) -> Mapping[str, Store[Any]]:
        """Where answers to own requests go, by kind."""
        stores: tuple[Store[Any], ...] = (
            *(self.pods, self.services, self.routes, self.logins, self.policies),
            *(self.homes, self.secrets, self.sessions),
        )
        return {store.kind.name: store for store in stores}

    async def run(self, client: Client) -> None:
        """Follow the API server for ever."""
        async with asyncio.TaskGroup() as group:
            for store in (*self.watched, self.daemon_sets):
                group.create_task(store.run(client), name=f"watch {store.title}")
            group.create_task(self.secrets.turns(client), name="look at secrets")

    async def filled(self) -> None:
        """Wait until all that passes need was listed once."""
        for store in self.watched:
            await store.filled.wait()

    def missing(self) -> list[str]:
        """Titles of kinds that were not listed yet."""
        return [store.title for store in self.watched if not store.filled.is_set()]

    def events(self, kind: str, name: str, uid: str) -> list[Object]:
        """What is known to have happened to an object, oldest first."""
        store = self._events[kind]
        found = [store.shared(event) for event in self._about.get((kind, name), ())]
        ours = [one for one in found if one is not None and one["involvedObject"].get("uid", uid) == uid]
        return sorted(ours, key=last_seen)[-_EVENTS:]

    def relays(self) -> tuple[str, ...]:
        """Addresses of the nodes that are marked as coturn's, in order."""
        return tuple(sorted({address for _, facts in self.nodes.facts() for address in facts.relays}))

    def gpus(self) -> int | None:
        """GPUs of all nodes that take pods, None: no node says that it has any."""
        known = [facts.gpus for _, facts in self.nodes.facts() if facts.gpus is not None]
        return sum(known) if known else None

    def per_gpu(self, template: str) -> int | None:
        """Sessions of a template on one GPU, 0: nobody counts; None: there is no such template, or none to be read."""
        entry = self.templates.entry(template)
        return entry.facts.per_gpu if entry is not None and entry.facts is not None else None

    def priority_class(self, template: str) -> str:
        """Of a template's pods, empty: it says none, or cannot be read."""
        entry = self.templates.entry(template)
        return entry.facts.priority_class if entry is not None and entry.facts is not None else ""

    def _children(self, kind: str) -> Watched[str]:
        return Watched(KINDS[kind], _session, self._child_changed, labels=_MANAGED)

    def _wake(self, session: str, after: float = 0.0) -> None:
        if session:
            self._queue.wake(session, after)

    def _session_changed(self, name: str, urgent: bool) -> None:
        self.session_changed(name)
        self._queue.wake(name, urgent=urgent)

    def _child_changed(self, name: str, before: str | None, after: str | None) -> None:
        for session in {before or "", after or ""}:
            self._wake(session)

    def _pod_changed(self, name: str, before: PodFacts | None, after: PodFacts | None) -> None:
        self.warm_changed()
        pause = _STEP_SECONDS if _is_step(before, after) else 0.0
        for session in {facts.session for facts in (before, after) if facts is not None}:
            self._wake(session, pause)

    def _home_freed(self, session: str, home: str) -> None:
        # Those who waited for one that is deleted were told when it was.
        if session in self.sessions:
            for other in self.sessions.of_home(home) - {session}:
                self._wake(other)

    def _home_changed(self, name: str, before: str | None, after: str | None) -> None:
        for session in self.sessions.of_home(name):
            self._wake(session, 0.0 if after is None else _STEP_SECONDS)

    def _template_changed(self, name: str, before: TemplateFacts | None, after: TemplateFacts | None) -> None:
        self.prepull_changed()
        for session in self.sessions.of_template(name):
            self._wake(session)
        self.warm_changed()
        if before != after:
            self.gpus_changed()

    def _daemon_set_changed(self, name: str, before: str | None, after: str | None) -> None:
        self.prepull_changed()

    def _event_changed(
        self, name: str, before: tuple[str, str, str] | None, after: tuple[str, str, str] | None
    ) -> None:
        if after is None:
            if before is not None:
                known = self._about.get(before[:2], {})
                known.pop(name, None)
                if not known:
                    self._about.pop(before[:2], None)
            return
        kind, about, importance = after
        self._about.setdefault((kind, about), {})[name] = None
        if not importance:
            return
        pause = 0.0 if importance == "Warning" else _NORMAL_EVENT_SECONDS
        if kind == "Pod":
            pod = self.pods.entry(about)
            self._wake(pod.facts.session if pod is not None else "", pause)
        else:
            for session in self.sessions.of_home(about):
                self._wake(session, pause)

    def _node_changed(self, name: str, before: NodeFacts | None, after: NodeFacts | None) -> None:
        if after is not None and after.gpus == 0:
            self.shut.add(name)
        else:
            self.shut.discard(name)
        for _, pod in self.pods.facts():
            if pod.node == name:
                self._wake(pod.session)
        if (before.relays if before is not None else ()) != (after.relays if after is not None else ()):
            for session, _ in self.sessions.facts():
                self._wake(session, random.uniform(0.0, _ALL_SECONDS))
        if (before.gpus if before is not None else None) != (after.gpus if after is not None else None):
            self.gpus_changed()
            self.warm_changed()


def _nobody() -> None:
    """Nobody listens."""


def _nobody_of(session: str) -> None:
    """Nobody listens."""


def _nothing(one: Object) -> str:
    return ""


def _session(one: Object) -> str:
    return str((one["metadata"].get("labels") or {}).get(names.INSTANCE_LABEL, ""))


def _is_step(before: PodFacts | None, after: PodFacts | None) -> bool:
    """Whether a pod is only a step nearer: nobody waits for this pass, and another change is about to come."""
    if before is None or after is None or before.session != after.session:
        return False
    ways = [(facts.serves, facts.ended, facts.going) for facts in (before, after)]
    return ways[0] == ways[1] and not after.ended


def _template(one: Object) -> TemplateFacts | None:
    try:
        template = Template.of(one)
    except ValueError:
        return None  # its sessions say what is wrong with it
    per_gpu = (template.sessions_per_gpu or 0) if template.gpu is not None else 0
    return TemplateFacts(per_gpu, template.priority_class)


def _event(one: Object) -> tuple[str, str, str]:
    about = one.get("involvedObject") or {}
    importance = str(one.get("type", ""))
    if importance == "Normal" and one.get("reason") not in _READ:
        importance = ""
    return str(about.get("kind", "")), str(about.get("name", "")), importance


def _slim_event(one: Object) -> Object:
    wanted = (
        *("apiVersion", "kind", "involvedObject", "type", "reason", "message", "count", "series"),
        *("firstTimestamp", "lastTimestamp", "eventTime"),
    )
    kept = {key: one[key] for key in wanted if one.get(key) is not None}
    metadata = {key: one["metadata"].get(key) for key in ("name", "namespace", "uid", "creationTimestamp")}
    return {**kept, "involvedObject": one.get("involvedObject") or {}, "metadata": metadata}


def last_seen(one: Object) -> str:
    """When an event last happened: as all of a cluster's times are UTC in one format, their texts sort as they do."""
    series = one.get("series") or {}
    times = (series.get("lastObservedTime"), one.get("lastTimestamp"), one.get("eventTime"))
    return str(next((time for time in times if time), one["metadata"].get("creationTimestamp") or ""))


def _slim_daemon_set(one: Object) -> Object:
    # Without its spec and what its pods do: the annotation says what it was made as.
    kept = ("name", "uid", "annotations", "ownerReferences", "deletionTimestamp")
    return {"metadata": {key: one["metadata"][key] for key in kept if key in one["metadata"]}}


def _slim_node(one: Object) -> Object:
    # Without its heartbeats: what stays the same wakes nobody.
    facts = _node(one)
    fact = facts.fact
    return {
        "metadata": {"name": fact.name},
        "ready": fact.ready,
        "schedulable": fact.schedulable,
        "relays": list(facts.relays),
        "gpus": facts.gpus,
    }


def _node(one: Object) -> NodeFacts:
    metadata, status = one["metadata"], one.get("status") or {}
    ready = any(
        condition.get("type") == "Ready" and condition.get("status") == "True"
        for condition in status.get("conditions") or ()
    )
    schedulable = not (one.get("spec") or {}).get("unschedulable", False)
    relays: tuple[str, ...] = ()
    if (metadata.get("labels") or {}).get(RELAY_LABEL) == "true":
        found = (item for item in status.get("addresses") or () if item.get("type") == "InternalIP")
        relays = tuple(str(item["address"]) for item in found)
    return NodeFacts(
        NodeFact(str(metadata["name"]), ready, schedulable), relays, _gpus(metadata, takes=ready and schedulable)
    )


def _gpus(metadata: Object, *, takes: bool) -> int | None:
    text = str((metadata.get("labels") or {}).get(GPU_LABEL, ""))
    if not text.isdecimal():
        return None
    return int(text) if takes else 0
