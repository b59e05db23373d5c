"""What a watch told of a session's start on a cluster lab, shortened to what says something."""

from __future__ import annotations

from typing import Any

from vdibench.clusters.phases import Observation

USER = "vdibench-0a1b2c3d-0"
POD, CLAIM = f"vdi-session-{USER}", f"vdi-home-{USER}"
BEGUN = 1_764_410_000.0
FULL = (
    "0/1 nodes are available: 1 Insufficient nvidia.com/gpu. preemption: 0/1 nodes are available: "
    "1 No preemption victims found for incoming pod."
)

_PLACED = {"type": "PodScheduled", "status": "True"}
_NOT_READY = {"type": "Ready", "status": "False", "reason": "ContainersNotReady"}
_CREATING = {"name": "desktop", "state": {"waiting": {"reason": "ContainerCreating"}}, "ready": False}
_RUNNING = {"name": "desktop", "state": {"running": {"startedAt": "2025-11-29T09:53:24Z"}}, "ready": False}


def pod(*conditions: dict[str, Any], containers: tuple[dict[str, Any], ...] = (), node: str = "") -> dict[str, Any]:
    return {
        "kind": "Pod",
        "metadata": {"name": POD, "uid": "6f4c8d0e-1111-4222-8333-444455556666"},
        "spec": {"nodeName": node} if node else {},
        "status": {"phase": "Pending", "conditions": list(conditions), "containerStatuses": list(containers)},
    }


def claim(phase: str) -> dict[str, Any]:
    return {"kind": "PersistentVolumeClaim", "metadata": {"name": CLAIM}, "status": {"phase": phase}}


def event(reason: str, message: str) -> dict[str, Any]:
    return {
        "kind": "Event",
        "metadata": {"name": f"{POD}.{reason.lower()}"},
        "involvedObject": {"kind": "Pod", "name": POD},
        "reason": reason,
        "message": message,
    }


UNPLACED = pod({"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": FULL})
PLACED = pod(_PLACED, node="real-1")
CREATING = pod(_PLACED, _NOT_READY, containers=(_CREATING,), node="real-1")
RUNNING = pod(_PLACED, _NOT_READY, containers=(_RUNNING,), node="real-1")
READY = pod(_PLACED, {"type": "Ready", "status": "True"}, containers=({**_RUNNING, "ready": True},), node="real-1")
PRESENT = event("Pulled", 'Container image "vdibench.local/desktop:2.1.0" already present on machine')


def seen(after: float, one: dict[str, Any]) -> Observation:
    return Observation(BEGUN + after, one)


# A first session: its home is made by a helper pod, its image is there.
FIRST = [
    seen(0.05, claim("Pending")),
    seen(0.06, pod()),
    seen(2.90, claim("Bound")),
    seen(3.02, PLACED),
    seen(3.05, CREATING),
    seen(3.31, PRESENT),
    seen(3.32, event("Created", "Created container: desktop")),
    seen(3.66, RUNNING),
    seen(5.65, READY),
]
