"""VDISessions and a VDITemplate as an operator on a cluster lab had them, shortened to what says something."""

from __future__ import annotations

from typing import Any

USER = "vdibench-0a1b2c3d-0"


def condition(kind: str, status: str, reason: str, message: str = "") -> dict[str, Any]:
    return {"type": kind, "status": status, "reason": reason, "message": message}


def session(*conditions: dict[str, Any], **status: Any) -> dict[str, Any]:
    return {
        "apiVersion": "vdibench.io/v1alpha1",
        "kind": "VDISession",
        "metadata": {"name": USER, "namespace": "vdi-sessions", "uid": "u"},
        "spec": {"user": USER, "templateRef": {"name": "desktop"}, "operatingMode": "Running"},
        "status": {"conditions": list(conditions), **status},
    }


TEMPLATE = {
    "metadata": {"name": "desktop"},
    "spec": {
        "image": "vdibench.local/desktop:2.1.0",
        "dialect": "selkies-2-websocket",
        "encoder": "",
        "display": {"width": 1280, "height": 720, "framerate": 30, "bitrate": 4_000_000},
        "gpu": {"count": 1},
    },
}

_NO_SLICE = "0/1 nodes are available: 1 Insufficient nvidia.com/gpu."
WAITING = session(
    condition("Admitted", "True", "Accepted"),
    condition("HomeBound", "True", "Bound"),
    condition("Scheduled", "False", "NoFreeSlice", _NO_SLICE),
    condition("StreamReady", "False", "Pending", "there is nothing to look at yet"),
    condition("HardwareEncoding", "Unknown", "Pending", "no frame was seen yet"),
    condition("TemplateDrifted", "False", "Pending", "there is no pod yet"),
    condition("Ready", "False", "NoFreeSlice", _NO_SLICE),
    phases={"accepted": 0.2, "homeBound": 0.1},
)
CHECKING = session(
    condition("Scheduled", "True", "Assigned"),
    condition("Ready", "False", "Checking", "the checker looks"),
)
FAILED = session(
    condition("Scheduled", "True", "Assigned"),
    condition("Ready", "False", "StreamFailed", "no frame on the users' route:\n  it sends no video."),
)
READY = session(
    condition("Scheduled", "True", "Assigned"),
    condition("HardwareEncoding", "False", "SoftwareAsWanted", "x264"),
    condition("Ready", "True", "Published", f"https://{USER}.vdi.test:30443/"),
    url=f"https://{USER}.vdi.test:30443/",
    credentialsSecretRef={"name": f"vdi-session-auth-{USER}"},
    readyInSeconds=3.75,
    phases={
        "accepted": 0.5,
        "homeBound": 0.25,
        "scheduled": 0,
        "containerStarted": 0.75,
        "podReady": 1,
        "routed": 0.25,
        "streamReady": 0.5,
        "published": 0.5,
    },
)
