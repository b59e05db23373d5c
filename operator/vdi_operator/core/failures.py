"""What the states of a pod, of its containers and their Events say of a start. Pure.

Sources: the kubelet's `pkg/kubelet/images/types.go` and `pkg/kubelet/container/sync_result.go` (reasons of waiting
containers), `pkg/kubelet/lifecycle/predicate.go` and `pkg/kubelet/cm/admission/errors.go` (reasons of refused pods),
kube-scheduler's fit errors; the idea of unrecoverable ones: DevWorkspace operator, `pkg/library/status/check.go`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from vdi_operator.api.objects import Object
from vdi_operator.api.reasons import Reason
from vdi_operator.api.template import Template
from vdi_operator.core import homes, pods
from vdi_operator.core.instants import unix
from vdi_operator.core.world import NodeFact, World

__all__ = ["MOUNT_TRIES", "SHARED_HOME", "Finding", "Verdict", "draining", "of_gone", "of_pod", "of_refusal"]

# In what the scheduler says of a claim that another pod has (ReadWriteOncePod).
SHARED_HOME = "ReadWriteOncePod"
# And of nodes that were told to take no new pods.
_CORDONED = "node(s) were unschedulable"
# So often a node may try to mount: a Secret that was just made, or a volume that another node lets go, takes a try.
MOUNT_TRIES = 3
# The kubelet has not heard of a Secret yet: on a busy node it may take more tries than that, and none is a fault.
_CATCHING_UP = re.compile(r"failed to sync (secret|configmap) cache")

# An image that is asked for and not had. The kubelet tries again by itself, so the first time is no verdict.
_PULL_FAILED = frozenset({"ErrImagePull", "RegistryUnavailable", "ImageInspectError"})
_NO_IMAGE = frozenset({"ErrImageNeverPull", "InvalidImageName", "SignatureValidationFailed"})
# A registry's answers that another try will not change.
_FINAL_ANSWER = re.compile(
    r"not found|manifest unknown|unauthorized|access denied|authorization failed|no match for platform", re.IGNORECASE
)
# The runtime refused; under load it does so for containers that it makes a second later.
_NOT_MADE = frozenset(
    {"CreateContainerError", "RunContainerError", "PreCreateHookError", "PreStartHookError", "PostStartHookError"}
)
_NOT_STARTED = frozenset({"StartError", "ContainerCannotRun"})
_MISSING_SECRET = re.compile(r'secret "[^"]*" not found')
# Of a node that has no room, and of one that does not answer.
_FULL = re.compile(r"Insufficient |Too many pods")
_LOST = re.compile(r"node\.kubernetes\.io/(?:not-ready|unreachable)")

_REFUSED: Mapping[str, Reason] = {
    "Evicted": Reason.EVICTED,
    "Preempting": Reason.EVICTED,
    "UnexpectedAdmissionError": Reason.GPU_ADMISSION,
    "NodeLost": Reason.NODE_LOST,
    "NodeShutdown": Reason.NODE_LOST,
    "Shutdown": Reason.NODE_LOST,
    "Terminated": Reason.NODE_LOST,
}
# What a pod's DisruptionTarget says of who wants it gone.
_DISRUPTED: Mapping[str, Reason] = {
    "DeletionByTaintManager": Reason.NODE_LOST,
    "DeletionByPodGC": Reason.NODE_LOST,
    "PreemptionByScheduler": Reason.EVICTED,
    "EvictionByEvictionAPI": Reason.DRAINING,
    "TerminationByKubelet": Reason.EVICTED,
}


class Verdict(StrEnum):
    """What follows from a finding."""

    WAIT = "wait"  # it may still come, within the deadline
    QUEUE = "queue"  # it waits for others: no deadline runs
    RETRY = "retry"  # this pod will not serve, another one may
    FAIL = "fail"  # no pod will, before a person has done something


@dataclass(frozen=True, slots=True)
class Finding:
    """Why there is no desktop yet.

    :param message: for people, one line, and the same as long as nothing happens.
    """

    reason: Reason
    message: str
    verdict: Verdict = Verdict.WAIT


def of_pod(pod: Object, template: Template | None, world: World, since_unix_seconds: float) -> Finding | None:
    """What is with a pod that is not being deleted; None: it serves.

    :param since_unix_seconds: of the start; older events of the home are about another one.
    """
    said = pods.sentence(pods.status(pod).get("message"))
    if pods.ended(pod) or pods.status(pod).get("phase") == "Unknown":
        return Finding(_why_ended(pod, template), said or _exit(pod) or "its pod has ended", Verdict.RETRY)
    if pods.ready(pod):
        return None
    placed = pods.node(pod)
    if not placed:
        return _volume(world, since_unix_seconds) or _unplaced(pod, template, world)
    if _node_lost(world.node, placed):
        return Finding(Reason.NODE_LOST, f"its node {placed} does not answer; Kubernetes gives it up after a while")
    return _mount(pod, world.events) or _container(pod, world.events)


def of_gone(pod: Object | None, world: World) -> Finding:
    """Why a pod that a desktop relied on is gone, or going.

    :param pod: as far as it is still there.
    """
    cause = pods.condition(pod, "DisruptionTarget") if pod is not None else {}
    if cause.get("status") == "True" and cause.get("reason") in _DISRUPTED:
        said = pods.sentence(cause.get("message")) or str(cause["reason"])
        return Finding(_DISRUPTED[str(cause["reason"])], said, Verdict.RETRY)
    if _node_lost(world.node, pods.node(pod)):
        return Finding(Reason.NODE_LOST, "its node is lost", Verdict.RETRY)
    if draining(world.node, pods.node(pod)):
        return Finding(Reason.DRAINING, "its pod was deleted while its node is being drained", Verdict.RETRY)
    return Finding(Reason.EVICTED, "somebody deleted its pod", Verdict.RETRY)


def of_refusal(text: str) -> Finding:
    """What the API server's refusal of a pod says."""
    reason = Reason.QUOTA_EXCEEDED if "exceeded quota" in text else Reason.FORBIDDEN
    return Finding(reason, pods.sentence(text), Verdict.RETRY)


def draining(node: NodeFact | None, name: str = "") -> bool:
    """Whether a node is known to work and to take no new pods.

    :param name: it must be this one, empty: any.
    """
    return node is not None and node.ready and not node.schedulable and name in ("", node.name)


def _node_lost(node: NodeFact | None, name: str = "") -> bool:
    """Whether a node is known not to work.

    A node that is not known may only not have been read yet, so that says nothing.

    :param name: it must be this one, empty: any.
    """
    return node is not None and not node.ready and name in ("", node.name)


def _why_ended(pod: Object, template: Template | None) -> Reason:
    named = str(pods.status(pod).get("reason") or "")
    if named in _REFUSED:
        return _REFUSED[named]
    if named.startswith("OutOf"):
        # The node gave the slice to another pod between the scheduler's choice and this one.
        sliced = template is not None and template.gpu is not None and named == f"OutOf{template.gpu.resource}"
        return Reason.GPU_ADMISSION if sliced else Reason.UNSCHEDULABLE
    if named in ("NodeAffinity", "NodeName", "NodePorts"):
        return Reason.UNSCHEDULABLE
    cause = pods.condition(pod, "DisruptionTarget")
    if cause.get("status") == "True" and cause.get("reason") in _DISRUPTED:
        return _DISRUPTED[str(cause["reason"])]
    if pods.status(pod).get("phase") == "Unknown":
        return Reason.NODE_LOST
    return Reason.OUT_OF_MEMORY if _out_of_memory(pod) else Reason.CRASH_LOOP


def _unplaced(pod: Object, template: Template | None, world: World) -> Finding:
    placed = pods.condition(pod, "PodScheduled")
    said = pods.sentence(placed.get("message"))
    if placed.get("reason") != "Unschedulable":
        return Finding(Reason.PENDING, said or "the scheduler has not seen its pod yet")
    # What an eviction of others would give is no reason why it waits.
    why = said.partition("preemption:")[0].rstrip(". ")
    lacks = template is not None and template.gpu is not None and _insufficient(template.gpu.resource, why)
    drained = _drained(world, why)
    if drained is not None:
        return drained
    tied, full = homes.tied(why), lacks or _full(world.node, why)
    if tied and (_node_lost(world.node) or (world.node is None and not full)):
        return Finding(Reason.HOME_NODE_LOST, f"the home is on a node that takes no pods: {why}")
    if full and tied:
        return _home_node_full(world, why, "slice of a GPU" if lacks else "room")
    if lacks:
        return Finding(Reason.NO_FREE_SLICE, f"no slice of a GPU is free: {why}", Verdict.QUEUE)
    if SHARED_HOME in why:
        return Finding(Reason.HOME_IN_USE, why)
    if "persistentvolumeclaim" in why.lower():
        return Finding(Reason.WAITING_FOR_VOLUME, why)
    return Finding(Reason.UNSCHEDULABLE, why)


def _drained(world: World, why: str) -> Finding | None:
    """Whether a pod waits because the node that it could go to takes none at present.

    Where nodes are not read the scheduler does not say which one that is. A user who has a home had a node for it, so
    what else a template may ask for in vain is not the reason.
    """
    if _CORDONED not in why:
        return None
    node = world.node
    if node is not None and draining(node):
        where = f"the home's node {node.name} is being drained and no other takes it"
        said = f"{where}: it starts when that one takes pods again (kubectl uncordon {node.name}): {why}"
        return Finding(Reason.DRAINING, said, Verdict.QUEUE)
    bound = ((world.home or {}).get("status") or {}).get("phase") == "Bound"
    if node is None and bound and "Insufficient" not in why:
        said = f"a node that could take it is being drained: it starts when one takes pods again: {why}"
        return Finding(Reason.DRAINING, said, Verdict.QUEUE)
    return None


def _full(node: NodeFact | None, why: str) -> bool:
    """Whether the home's node has no room left, as far as words tell.

    :param node: the home's, None: it is not known, so that a node that does not answer may be it.
    """
    return _FULL.search(why) is not None and (node is not None or _LOST.search(why) is None)


def _home_node_full(world: World, why: str, lacks: str) -> Finding:
    """Nodes that the home is not on have room, and its own has none.

    :param lacks: what it has not.
    """
    at, line = homes.node(world.home), world.home_line
    where = f"the home's node {at}" if at else "the home's node"
    stands = f" (position {line.position} of {line.waiting} that wait for it)" if line is not None else ""
    fresh = "Fresh for a temporary home (empty at first, then on the node where it was made)"
    other = "Wait to go back to the own home" if homes.is_fresh(world.home) else fresh
    said = f"no {lacks} is free on {where}{stands}: wait, or set spec.homePolicy to {other}; none is deleted"
    return Finding(Reason.HOME_NODE_FULL, f"{said}. {why}", Verdict.QUEUE)


def _insufficient(resource: str, why: str) -> bool:
    """Whether a node lacks this resource, and not one whose name begins alike."""
    return re.search(rf"Insufficient {re.escape(resource)}(?=,|\s|\.\s|$)", why) is not None


def _volume(world: World, since_unix_seconds: float) -> Finding | None:
    """What events say of a home that is not bound."""
    home = world.home
    phase = (home.get("status") or {}).get("phase") if home is not None else ""
    if home is None or phase == "Bound":
        return None
    if phase == "Lost":
        return Finding(Reason.VOLUME_FAILED, f"{home['metadata']['name']} has lost its volume", Verdict.FAIL)
    # Stamps are whole seconds.
    told = [
        one
        for one in _about(world.events, home)
        if one.get("reason") == "ProvisioningFailed" and _last(one, since_unix_seconds) >= int(since_unix_seconds)
    ]
    if not told:
        return None
    said = pods.sentence(told[-1].get("message"))
    hopeless = _times(told) >= MOUNT_TRIES or "not found" in said
    return Finding(Reason.VOLUME_FAILED, said, Verdict.FAIL if hopeless else Verdict.WAIT)


def _mount(pod: Object, events: Iterable[Object]) -> Finding | None:
    told = [
        one
        for one in _about(events, pod)
        if one.get("reason") in ("FailedMount", "FailedAttachVolume")
        and not _CATCHING_UP.search(one.get("message") or "")
    ]
    if not told or any(_begun(one) for one in pods.containers(pod)):
        return None
    verdict = Verdict.FAIL if _times(told) >= MOUNT_TRIES else Verdict.WAIT
    return Finding(Reason.VOLUME_FAILED, pods.sentence(told[-1].get("message")), verdict)


def _container(pod: Object, events: Iterable[Object]) -> Finding:
    for one in pods.containers(pod):
        state = one.get("state") or {}
        if "waiting" in state:
            return _waiting(pod, state["waiting"], events)
        if "terminated" in state:
            if state["terminated"].get("reason") in _NOT_STARTED:
                return Finding(Reason.CONTAINER_CONFIG, _exit(pod), Verdict.RETRY)
            return Finding(Reason.RESTARTING, _exit(pod))
    before = _exit(pod)
    if before:
        return Finding(Reason.RESTARTING, f"it runs again: {before}")
    if pods.running(pod):
        return Finding(Reason.STARTING, "the desktop runs and does not answer its readiness probe yet")
    return Finding(Reason.STARTING, "its node prepares it")


def _waiting(pod: Object, waiting: Mapping[str, Any], events: Iterable[Object]) -> Finding:
    named, said = str(waiting.get("reason") or ""), pods.sentence(waiting.get("message"))
    text = ": ".join(filter(None, (named, said)))
    if named in _NO_IMAGE:
        return Finding(Reason.IMAGE_UNAVAILABLE, text, Verdict.FAIL)
    if named in _PULL_FAILED:
        return Finding(Reason.IMAGE_UNAVAILABLE, text)
    if named == "ImagePullBackOff":
        final = _FINAL_ANSWER.search(" ".join([said, *(str(one.get("message")) for one in _failed(pod, events))]))
        return Finding(Reason.IMAGE_UNAVAILABLE, text, Verdict.FAIL if final else Verdict.RETRY)
    if named == "CreateContainerConfigError":
        # A Secret that somebody deleted is made again in this very pass.
        waits = _MISSING_SECRET.search(said)
        return Finding(Reason.CONTAINER_CONFIG, text, Verdict.WAIT if waits else Verdict.FAIL)
    if named in _NOT_MADE:
        return Finding(Reason.CONTAINER_CONFIG, text, Verdict.RETRY)
    if named == "CrashLoopBackOff":
        reason = Reason.OUT_OF_MEMORY if _out_of_memory(pod) else Reason.CRASH_LOOP
        return Finding(reason, _exit(pod) or text, Verdict.RETRY)
    told = {str(one.get("reason")) for one in _about(events, pod)}
    if "Pulling" in told and "Pulled" not in told:
        return Finding(Reason.PULLING_IMAGE, "its node fetches the image")
    if named in ("", "ContainerCreating", "PodInitializing"):
        return Finding(Reason.STARTING, "its node prepares it")
    return Finding(Reason.STARTING, text)


def _ends(pod: Object) -> list[tuple[str, Mapping[str, Any]]]:
    """Name of each container that ended, with how it did last."""
    found = []
    for one in pods.containers(pod):
        end = (one.get("state") or {}).get("terminated") or (one.get("lastState") or {}).get("terminated")
        if end:
            found.append((str(one.get("name", "container")), end))
    return found


def _exit(pod: Object) -> str:
    """How the first of its containers ended, empty: none did."""
    for name, end in _ends(pod):
        said = pods.sentence(end.get("message"))
        named = str(end.get("reason") or "Ended")
        return f"{name} ended with exit status {end.get('exitCode', '?')} ({named})" + (f": {said}" if said else "")
    return ""


def _out_of_memory(pod: Object) -> bool:
    return any(end.get("reason") == "OOMKilled" for _, end in _ends(pod))


def _begun(container: Mapping[str, Any]) -> bool:
    """Whether it ever ran: then its volumes were mounted."""
    return "running" in (container.get("state") or {}) or bool(container.get("restartCount"))


def _failed(pod: Object, events: Iterable[Object]) -> list[Object]:
    return [one for one in _about(events, pod) if one.get("reason") == "Failed"]


def _about(events: Iterable[Object], one: Object) -> list[Object]:
    """Events about one object; not about another one that had its name before."""
    name, uid = one["metadata"]["name"], pods.uid(one)
    found = []
    for event in events:
        about = event.get("involvedObject") or event.get("regarding") or {}
        if about.get("name") == name and about.get("uid", uid) == uid:
            found.append(event)
    return found


def _times(events: Iterable[Object]) -> int:
    """How often it happened: the API counts what repeats in one event."""
    return sum(int((one.get("series") or {}).get("count") or one.get("count") or 1) for one in events)


def _last(event: Object, default: float) -> float:
    stamps = ((event.get("series") or {}).get("lastObservedTime"), event.get("lastTimestamp"), event.get("eventTime"))
    return next((found for found in map(unix, stamps) if found is not None), default)
