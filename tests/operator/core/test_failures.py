"""What pods, containers and Events say, each as kubelet, scheduler and provisioners write it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from vdi_operator.api.objects import Object
from vdi_operator.api.reasons import Reason
from vdi_operator.api.template import Template
from vdi_operator.core.failures import Finding, Verdict, of_gone, of_pod, of_refusal
from vdi_operator.core.world import NodeFact, World

from .cluster import BEGAN, HOME, NODE, SETTINGS, template

WAIT, QUEUE, RETRY, FAIL = Verdict.WAIT, Verdict.QUEUE, Verdict.RETRY, Verdict.FAIL
TEMPLATE = Template.of(template())
WORLD = World(now=BEGAN, settings=SETTINGS, seen_unix_seconds=BEGAN, node=NodeFact(NODE))


def pod(node: str = NODE, **status: Any) -> Object:
    made: Object = {"metadata": {"name": "vdi-session-cad-7", "uid": "p-1"}, "spec": {}, "status": status}
    if node:
        made["spec"]["nodeName"] = node
    return made


def container(state: Object, last: Object | None = None, **more: Any) -> Object:
    one = {"name": "desktop", "state": state, "restartCount": 0, **more}
    return pod(phase="Pending", containerStatuses=[one if last is None else one | {"lastState": last}])


def waiting(reason: str, message: str = "", last: Object | None = None) -> Object:
    return container({"waiting": {"reason": reason, "message": message}}, last)


def unplaced(message: str) -> Object:
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    return pod(node="", phase="Pending", conditions=[condition])


def event(reason: str, message: str = "", kind: str = "Pod", count: int = 1, at: str = "", **about: str) -> Object:
    named = {"Pod": ("vdi-session-cad-7", "p-1"), "PersistentVolumeClaim": (HOME.name, "h-1")}[kind]
    found: Object = {
        "involvedObject": {"kind": kind, "name": named[0], "uid": named[1], **about},
        "reason": reason,
        "message": message,
        "count": count,
    }
    return found | ({"lastTimestamp": at} if at else {})


def home(phase: str) -> Object:
    return {"metadata": {"name": HOME.name, "uid": "h-1"}, "spec": {}, "status": {"phase": phase}}


OOM = {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}
EXITED = {"terminated": {"exitCode": 1, "reason": "Error", "message": "no display\n"}}
NOT_FOUND = 'failed to resolve reference "r.test/d:9": r.test/d:9: not found'
CORDONED = "0/2 nodes are available: 1 node(s) were unschedulable, 1 node(s) had volume node affinity conflict."
SLICE = "0/2 nodes are available: 1 Insufficient nvidia.com/gpu, 1 node(s) had volume node affinity conflict."
SLICE_NEW = SLICE.replace("had volume node affinity conflict", "didn't match PersistentVolume's node affinity")
CROWDED = CORDONED.replace("0/2", "0/3").replace("available: ", "available: 1 Insufficient nvidia.com/gpu, ")
TIED = (
    "0/2 nodes are available: 1 node(s) had untolerated taint {node.kubernetes.io/unreachable: }, 1 node(s) had volume "
    "node affinity conflict. preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling."
)
FULL = "0/2 nodes are available: 1 Insufficient memory, 1 node(s) had volume node affinity conflict."
CROWDED_CPU = FULL.replace("Insufficient memory", "Insufficient cpu")
MANY_PODS = FULL.replace("Insufficient memory", "Too many pods")
FULL_AND_LOST = TIED.replace("0/2", "0/3").replace("available: 1", "available: 1 Insufficient memory, 1", 1)
FULL_AND_RESERVED = FULL_AND_LOST.replace("node.kubernetes.io/unreachable", "node-role.kubernetes.io/control-plane")
FULL_AND_TAINTED = FULL_AND_LOST.replace("taint {node.kubernetes.io/unreachable: }", "taint(s)")
NO_CPU = (
    "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: 1 Insufficient nvidia.com/gpu."
)

PODS: dict[str, tuple[Object, Reason, Verdict]] = {
    "created": (pod(node="", phase="Pending"), Reason.PENDING, WAIT),
    "no slice": (unplaced("0/9 nodes are available: 9 Insufficient nvidia.com/gpu."), Reason.NO_FREE_SLICE, QUEUE),
    "no slice and no cpu": (
        unplaced("0/1 nodes are available: 1 Insufficient cpu, 1 Insufficient nvidia.com/gpu."),
        Reason.NO_FREE_SLICE,
        QUEUE,
    ),
    "no slice at home": (unplaced(SLICE), Reason.HOME_NODE_FULL, QUEUE),
    "no slice at home, as newer schedulers say it": (unplaced(SLICE_NEW), Reason.HOME_NODE_FULL, QUEUE),
    "another resource": (
        unplaced("0/9 nodes are available: 9 Insufficient nvidia.com/gpu.shared."),
        Reason.UNSCHEDULABLE,
        WAIT,
    ),
    "no cpu": (unplaced(NO_CPU), Reason.UNSCHEDULABLE, WAIT),
    "no such node": (
        unplaced("0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector."),
        Reason.UNSCHEDULABLE,
        WAIT,
    ),
    "no claim": (unplaced('persistentvolumeclaim "vdi-home-alice" not found'), Reason.WAITING_FOR_VOLUME, WAIT),
    "shared home": (
        unplaced(
            "0/1 nodes are available: 1 node has pod using PersistentVolumeClaim with the same name and "
            "ReadWriteOncePod access mode."
        ),
        Reason.HOME_IN_USE,
        WAIT,
    ),
    "prepared": (pod(phase="Pending"), Reason.STARTING, WAIT),
    "creating": (waiting("ContainerCreating"), Reason.STARTING, WAIT),
    "first pull failed": (waiting("ErrImagePull", NOT_FOUND), Reason.IMAGE_UNAVAILABLE, WAIT),
    "no such image": (waiting("ImagePullBackOff", NOT_FOUND), Reason.IMAGE_UNAVAILABLE, FAIL),
    "registry hiccup": (
        waiting("ImagePullBackOff", 'Back-off pulling image "r.test/d:9": dial tcp: i/o timeout'),
        Reason.IMAGE_UNAVAILABLE,
        RETRY,
    ),
    "never pulled": (waiting("ErrImageNeverPull"), Reason.IMAGE_UNAVAILABLE, FAIL),
    "no image name": (waiting("InvalidImageName"), Reason.IMAGE_UNAVAILABLE, FAIL),
    "no key": (
        waiting("CreateContainerConfigError", "couldn't find key password in Secret vdi-sessions/x"),
        Reason.CONTAINER_CONFIG,
        FAIL,
    ),
    "no secret yet": (
        waiting("CreateContainerConfigError", 'secret "vdi-session-auth-cad-7" not found'),
        Reason.CONTAINER_CONFIG,
        WAIT,
    ),
    "not made": (waiting("CreateContainerError", "context deadline exceeded"), Reason.CONTAINER_CONFIG, RETRY),
    "no program": (
        container({"terminated": {"exitCode": 128, "reason": "StartError"}}),
        Reason.CONTAINER_CONFIG,
        RETRY,
    ),
    "crash loop": (waiting("CrashLoopBackOff", "back-off 10s", EXITED), Reason.CRASH_LOOP, RETRY),
    "memory loop": (waiting("CrashLoopBackOff", "back-off 10s", OOM), Reason.OUT_OF_MEMORY, RETRY),
    "ended once": (container(EXITED), Reason.RESTARTING, WAIT),
    "runs again": (container({"running": {}}, EXITED), Reason.RESTARTING, WAIT),
    "runs": (container({"running": {}}), Reason.STARTING, WAIT),
    "out of memory": (
        pod(phase="Failed", containerStatuses=[{"name": "desktop", "state": OOM}]),
        Reason.OUT_OF_MEMORY,
        RETRY,
    ),
    "failed": (
        pod(phase="Failed", containerStatuses=[{"name": "desktop", "state": EXITED}]),
        Reason.CRASH_LOOP,
        RETRY,
    ),
    "succeeded": (pod(phase="Succeeded"), Reason.CRASH_LOOP, RETRY),
    "unknown": (pod(phase="Unknown"), Reason.NODE_LOST, RETRY),
    "evicted": (pod(phase="Failed", reason="Evicted"), Reason.EVICTED, RETRY),
    "shut down": (pod(phase="Failed", reason="Terminated"), Reason.NODE_LOST, RETRY),
    "slice refused": (
        pod(phase="Failed", reason="UnexpectedAdmissionError", message="Pod was rejected: Allocate failed"),
        Reason.GPU_ADMISSION,
        RETRY,
    ),
    "slice taken": (pod(phase="Failed", reason="OutOfnvidia.com/gpu"), Reason.GPU_ADMISSION, RETRY),
    "cpu taken": (pod(phase="Failed", reason="OutOfcpu"), Reason.UNSCHEDULABLE, RETRY),
    "preempted": (
        pod(
            phase="Failed",
            conditions=[{"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler"}],
        ),
        Reason.EVICTED,
        RETRY,
    ),
}


@pytest.mark.parametrize(("one", "why", "verdict"), PODS.values(), ids=PODS.keys())
def test_a_pod(one: Object, why: Reason, verdict: Verdict) -> None:
    found = of_pod(one, TEMPLATE, WORLD, BEGAN)
    assert found is not None
    assert (found.reason, found.verdict) == (why, verdict)
    assert found.message
    assert "\n" not in found.message


def test_a_pod_that_serves_has_nothing() -> None:
    assert (
        of_pod(pod(phase="Running", conditions=[{"type": "Ready", "status": "True"}]), TEMPLATE, WORLD, BEGAN) is None
    )


def test_an_exit_is_told_whole() -> None:
    found = of_pod(waiting("CrashLoopBackOff", "back-off 10s", EXITED), TEMPLATE, WORLD, BEGAN)
    assert found == Finding(Reason.CRASH_LOOP, "desktop ended with exit status 1 (Error): no display", Verdict.RETRY)


HOMES: dict[str, tuple[NodeFact | None, str, Reason]] = {
    "its node does not answer": (NodeFact(NODE, ready=False), TIED, Reason.HOME_NODE_LOST),
    "nobody knows its node": (None, TIED, Reason.HOME_NODE_LOST),
    "its node is well": (NodeFact(NODE), TIED, Reason.UNSCHEDULABLE),
    "its node is full": (None, SLICE, Reason.HOME_NODE_FULL),
    "its node is full and well": (NodeFact(NODE), SLICE, Reason.HOME_NODE_FULL),
    "its node is full and lost": (NodeFact(NODE, ready=False), SLICE, Reason.HOME_NODE_LOST),
    "its node has no memory": (None, FULL, Reason.HOME_NODE_FULL),
    "its node is well and has no memory": (NodeFact(NODE), FULL, Reason.HOME_NODE_FULL),
    "its node is lost and had no memory": (NodeFact(NODE, ready=False), FULL, Reason.HOME_NODE_LOST),
    "its node has no cpu": (None, CROWDED_CPU, Reason.HOME_NODE_FULL),
    "its node has pods enough": (None, MANY_PODS, Reason.HOME_NODE_FULL),
    "a node is full and another lost, nobody knows which": (None, FULL_AND_LOST, Reason.HOME_NODE_LOST),
    "another node is lost, its own is full": (NodeFact(NODE), FULL_AND_LOST, Reason.HOME_NODE_FULL),
    "another node is for others": (None, FULL_AND_RESERVED, Reason.HOME_NODE_FULL),
    "another node is for others, as newer schedulers say it": (None, FULL_AND_TAINTED, Reason.HOME_NODE_FULL),
}


@pytest.mark.parametrize(("node", "message", "why"), HOMES.values(), ids=HOMES.keys())
def test_a_home_that_ties_its_pod(node: NodeFact | None, message: str, why: Reason) -> None:
    found = of_pod(unplaced(message), TEMPLATE, replace(WORLD, node=node, home=home("Bound")), BEGAN)
    assert found is not None
    assert found.reason is why
    assert (found.verdict is QUEUE) == (why is Reason.HOME_NODE_FULL), "who waits for others has no deadline"
    assert "preemption" not in found.message


@pytest.mark.parametrize(("message", "lacks"), [(SLICE, "slice of a GPU"), (FULL, "room"), (MANY_PODS, "room")])
def test_what_a_full_node_lacks_is_said(message: str, lacks: str) -> None:
    found = of_pod(unplaced(message), TEMPLATE, replace(WORLD, home=home("Bound")), BEGAN)
    assert found is not None
    assert found.message.startswith(f"no {lacks} is free on the home's node: wait, or set spec.homePolicy to Fresh")
    assert found.message.endswith(message.rstrip(". "))


def test_a_template_without_a_gpu_has_a_full_node_too() -> None:
    plain = Template.of(template(gpu={"count": 0}))
    found = of_pod(unplaced(FULL), plain, replace(WORLD, node=None, home=home("Bound")), BEGAN)
    assert found is not None
    assert (found.reason, found.verdict) == (Reason.HOME_NODE_FULL, QUEUE)


MOUNT = "MountVolume.SetUp failed for volume"
EVENTS: dict[str, tuple[tuple[Object, ...], Reason, Verdict]] = {
    "pulling": ((event("Pulling"),), Reason.PULLING_IMAGE, WAIT),
    "pulled": ((event("Pulling"), event("Pulled")), Reason.STARTING, WAIT),
    "mount failed twice": ((event("FailedMount", MOUNT, count=2),), Reason.VOLUME_FAILED, WAIT),
    "mount failed thrice": (
        (event("FailedMount", MOUNT, count=2), event("FailedMount", MOUNT)),
        Reason.VOLUME_FAILED,
        FAIL,
    ),
    "the kubelet is catching up": (
        (event("FailedMount", "failed to sync secret cache: timed out waiting for the condition", count=9),),
        Reason.STARTING,
        WAIT,
    ),
    "not attached": ((event("FailedAttachVolume", "Multi-Attach error", count=3),), Reason.VOLUME_FAILED, FAIL),
    "of a former pod": ((event("FailedMount", MOUNT, count=9, uid="p-0"),), Reason.STARTING, WAIT),
}


@pytest.mark.parametrize(("events", "why", "verdict"), EVENTS.values(), ids=EVENTS.keys())
def test_events_of_a_pod(events: tuple[Object, ...], why: Reason, verdict: Verdict) -> None:
    found = of_pod(waiting("ContainerCreating"), TEMPLATE, replace(WORLD, events=events), BEGAN)
    assert found is not None
    assert (found.reason, found.verdict) == (why, verdict)


def test_a_mount_that_failed_before_the_container_ran_is_over() -> None:
    world = replace(WORLD, events=(event("FailedMount", MOUNT, count=9),))
    found = of_pod(container({"running": {}}), TEMPLATE, world, BEGAN)
    assert found is not None
    assert found.reason is Reason.STARTING


PROVISIONED: dict[str, tuple[str, int, str, str, Reason, Verdict]] = {
    "no class": ("Pending", 1, 'storageclass "vdi-home" not found', "08:00:01", Reason.VOLUME_FAILED, FAIL),
    "once": ("Pending", 1, "no space", "08:00:01", Reason.VOLUME_FAILED, WAIT),
    "thrice": ("Pending", 3, "no space", "08:00:01", Reason.VOLUME_FAILED, FAIL),
    "in the second of the start": ("Pending", 3, "no space", "08:00:00", Reason.VOLUME_FAILED, FAIL),
    "before this start": ("Pending", 3, "no space", "07:59:59", Reason.PENDING, WAIT),
    "and then it came": ("Bound", 3, "no space", "08:00:01", Reason.PENDING, WAIT),
    "its volume is lost": ("Lost", 1, "", "07:00:00", Reason.VOLUME_FAILED, FAIL),
}


@pytest.mark.parametrize(
    ("phase", "count", "message", "at", "why", "verdict"), PROVISIONED.values(), ids=PROVISIONED.keys()
)
def test_events_of_a_home(phase: str, count: int, message: str, at: str, why: Reason, verdict: Verdict) -> None:
    told = event("ProvisioningFailed", message, "PersistentVolumeClaim", count, f"2027-01-15T{at}Z")
    world = replace(WORLD, home=home(phase), events=(told,))
    found = of_pod(pod(node="", phase="Pending"), TEMPLATE, world, BEGAN)
    assert found is not None
    assert (found.reason, found.verdict) == (why, verdict)


def test_a_node_that_does_not_answer_is_waited_for() -> None:
    world = replace(WORLD, node=NodeFact(NODE, ready=False))
    found = of_pod(container({"running": {}}), TEMPLATE, world, BEGAN)
    assert found is not None
    assert (found.reason, found.verdict) == (Reason.NODE_LOST, WAIT)
    assert of_pod(container({"running": {}}), TEMPLATE, replace(WORLD, node=None), BEGAN) is not None


GONE: dict[str, tuple[Object | None, bool, Reason]] = {
    "deleted": (None, True, Reason.EVICTED),
    "deleted with its node": (None, False, Reason.NODE_LOST),
    "going": (pod(phase="Running"), True, Reason.EVICTED),
    "tainted": (
        pod(conditions=[{"type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager"}]),
        True,
        Reason.NODE_LOST,
    ),
    "drained": (
        pod(conditions=[{"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}]),
        True,
        Reason.DRAINING,
    ),
}


@pytest.mark.parametrize(("one", "node", "why"), GONE.values(), ids=GONE.keys())
def test_a_pod_that_goes(one: Object | None, node: bool, why: Reason) -> None:
    found = of_gone(one, replace(WORLD, node=NodeFact(NODE, ready=node)))
    assert (found.reason, found.verdict) == (why, RETRY)


def test_refusals() -> None:
    quota = 'pods "x" is forbidden: exceeded quota: desktops, requested: pods=1, used: pods=9, limited: pods=9'
    assert of_refusal(quota) == Finding(Reason.QUOTA_EXCEEDED, quota, RETRY)
    assert of_refusal('pods "x" is forbidden: violates PodSecurity "restricted:latest"').reason is Reason.FORBIDDEN


ALONE = "0/1 nodes are available: 1 node(s) were unschedulable."
SHUT = NodeFact(NODE, schedulable=False)
BOUND = home("Bound")
# What the scheduler says, the home's node where nodes are read, the home -> reason and verdict.
DRAINED: dict[str, tuple[str, NodeFact | None, Object | None, Reason, Verdict]] = {
    "the home's node": (CORDONED, SHUT, BOUND, Reason.DRAINING, QUEUE),
    "the only node": (ALONE, SHUT, BOUND, Reason.DRAINING, QUEUE),
    "by words alone": (CORDONED, None, BOUND, Reason.DRAINING, QUEUE),
    "another node": (CORDONED, NodeFact("elsewhere"), BOUND, Reason.UNSCHEDULABLE, WAIT),
    "a node that is lost": (
        CORDONED,
        NodeFact(NODE, ready=False, schedulable=False),
        BOUND,
        Reason.HOME_NODE_LOST,
        WAIT,
    ),
    "full beside it": (
        "0/2 nodes are available: 1 Insufficient cpu, 1 node(s) were unschedulable.",
        None,
        BOUND,
        Reason.UNSCHEDULABLE,
        WAIT,
    ),
    "the others are full or elsewhere": (CROWDED, SHUT, BOUND, Reason.DRAINING, QUEUE),
    "another node, and the home's is full": (CROWDED, NodeFact(NODE), BOUND, Reason.HOME_NODE_FULL, QUEUE),
    "one of them, and the words do not say which": (CROWDED, None, BOUND, Reason.HOME_NODE_FULL, QUEUE),
    "a user without a home": (ALONE, None, home("Pending"), Reason.UNSCHEDULABLE, WAIT),
}


@pytest.mark.parametrize(("said", "node", "at_home", "why", "verdict"), DRAINED.values(), ids=DRAINED.keys())
def test_a_home_on_a_node_that_is_emptied(
    said: str, node: NodeFact | None, at_home: Object | None, why: Reason, verdict: Verdict
) -> None:
    found = of_pod(unplaced(said), TEMPLATE, replace(WORLD, node=node, home=at_home), BEGAN)
    assert found is not None
    assert (found.reason, found.verdict) == (why, verdict)
    assert said.rstrip(". ") in found.message
    assert ("kubectl uncordon gpu-1" in found.message) == (node is SHUT)


def test_a_pod_that_is_deleted_from_a_node_that_is_emptied() -> None:
    for gone in (None, pod(phase="Running")):
        found = of_gone(gone, replace(WORLD, node=SHUT))
        assert (found.reason, found.verdict) == (Reason.DRAINING, RETRY)
