"""The platform's objects, split into the parts of the chart by whose they are. Pure.

The label ``app.kubernetes.io/name`` says from which folder of ``manifests/`` an object is. Each object is in one part,
or left out for a reason that stands here; one of which nothing is known is refused, so nothing is lost in silence.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from vdibench.errors import UsageError

__all__ = ["LEFT_OUT", "PARTS", "left_out", "parts"]

PARTS = ("security", "network", "storage", "observability")

_LABEL = "app.kubernetes.io/name"
# Label -> part, and the kinds that are known of it, in the order in which they are written.
_TAKEN: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "vdi-security": ("security", ("Namespace", "ServiceAccount", "Role", "RoleBinding", "NetworkPolicy")),
    "vdi-network": ("network", ("Middleware", "TLSOption", "TLSStore", "Certificate")),
    "coturn": ("network", ("ConfigMap", "Deployment")),
    "vdi-storage": ("storage", ("StorageClass",)),
    "vdi-observability": ("observability", ("ConfigMap", "PodMonitor", "PrometheusRule", "ServiceMonitor")),
}
_SECRET = "Secret"
_SETTINGS = "vdi-platform-settings"
# What no part has, by label, by name or by kind, and why.
LEFT_OUT: Mapping[str, str] = {
    "traefik": "Traefik itself: a cluster has its own, and the lab's is the lab's alone",
    "prometheus": "Prometheus itself: a cluster has its own, and the lab's is the lab's alone",
    "vdi-gpu": "drivers and slices are of NVIDIA's GPU Operator, which has a chart of its own",
    "vdibench-prober": "the prober's image and password are the site's",
    _SETTINGS: "what it fills in stands in the other objects",
    _SECRET: "no secret is ever in a chart",
}

Object = Mapping[str, Any]


def parts(objects: Iterable[Object], overlay: str) -> dict[str, list[Object]]:
    """Part -> its objects, for all of :data:`PARTS`; a part may have none.

    The order is that of kinds, then of names: the order in which the objects come says nothing.

    :param objects: what kustomize made of the platform's overlay.
    :param overlay: its name, for the message.
    :raises UsageError: an object is of no part and not left out, or is there twice.
    """
    made: dict[str, dict[tuple[str, int, str, str], Object]] = {part: {} for part in PARTS}
    for one in objects:
        if _reason(one):
            continue
        label = _label(one)
        part, kinds = _TAKEN.get(label, ("", ()))
        if one["kind"] not in kinds:
            raise UsageError(
                f"the overlay {overlay} has {_named(one)}, which is of no part of the chart",
                f"label it {_LABEL}: one of {', '.join(_TAKEN)}, or keep it in an overlay of its own",
            )
        place = (label, kinds.index(one["kind"]), one["metadata"].get("namespace", ""), one["metadata"]["name"])
        if place in made[part]:
            raise UsageError(f"the overlay {overlay} has {_named(one)} twice", "leave one of them out")
        made[part][place] = one
    return {part: [found[place] for place in sorted(found)] for part, found in made.items()}


def left_out(objects: Iterable[Object]) -> tuple[tuple[Object, str], ...]:
    """The objects that no part has, each with the reason."""
    return tuple((one, reason) for one in objects if (reason := _reason(one)))


def _reason(one: Object) -> str:
    """Why an object is left out; empty: it is not."""
    if one["kind"] == _SECRET:
        return LEFT_OUT[_SECRET]
    if (one["kind"], one["metadata"]["name"]) == ("ConfigMap", _SETTINGS):
        return LEFT_OUT[_SETTINGS]
    return LEFT_OUT.get(_label(one), "")


def _label(one: Object) -> str:
    return str((one["metadata"].get("labels") or {}).get(_LABEL, ""))


def _named(one: Object) -> str:
    metadata = one["metadata"]
    return f"{one['kind']} {'/'.join(filter(None, (metadata.get('namespace'), metadata['name'])))}"
