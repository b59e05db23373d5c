"""What everybody asks of a pod's document. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vdi_operator.api.objects import Object

__all__ = ["condition", "containers", "ended", "going", "node", "ready", "running", "sentence", "status", "uid"]

# Of a message in a status or an event; some schedulers write one clause a node.
_LONGEST = 1024


def uid(pod: Object | None) -> str:
    """Of any object, empty: there is none."""
    return str(pod["metadata"].get("uid", "")) if pod else ""


def status(pod: Object) -> Mapping[str, Any]:
    """Its status, empty where it has none yet."""
    found: Mapping[str, Any] = pod.get("status") or {}
    return found


def going(pod: Object | None) -> bool:
    """Whether any object is being deleted."""
    return bool(pod and pod["metadata"].get("deletionTimestamp"))


def ended(pod: Object) -> bool:
    """Whether all its containers ended for good; such a pod never runs again."""
    return status(pod).get("phase") in ("Failed", "Succeeded")


def node(pod: Object | None) -> str:
    """Where it was put, empty: nowhere yet."""
    return str((pod.get("spec") or {}).get("nodeName") or "") if pod else ""


def condition(pod: Object, kind: str) -> Mapping[str, Any]:
    """One of its conditions, empty where it has none of that type."""
    for one in status(pod).get("conditions") or ():
        if one.get("type") == kind:
            return dict(one)
    return {}


def ready(pod: Object | None) -> bool:
    """Whether its readiness probes pass and it stays."""
    return bool(pod and not going(pod) and not ended(pod) and condition(pod, "Ready").get("status") == "True")


def containers(pod: Object) -> list[Mapping[str, Any]]:
    """States of its containers, as far as its node told."""
    found = status(pod)
    return [*(found.get("initContainerStatuses") or ()), *(found.get("containerStatuses") or ())]


def running(pod: Object | None) -> bool:
    """Whether all its own containers run."""
    own = (status(pod).get("containerStatuses") or ()) if pod else ()
    return bool(own) and all("running" in (one.get("state") or {}) for one in own)


def sentence(text: object) -> str:
    """One line of a message, without the full stop and not endless."""
    return " ".join(str(text or "").split())[:_LONGEST].rstrip(". ")
