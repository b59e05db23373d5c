"""The pods that probes run in, and what they need: objects for the API. Pure; reads the stand-in's own file.

They carry the labels that policies choose by, and no label of one real user's: no Service leads a user to them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vdibench.conformance.edges import SESSION_PORT, Source, StandIn

__all__ = [
    "OPENING_SECONDS",
    "PROBE_FILE",
    "STAND_IN_FILE",
    "Platform",
    "Sort",
    "labels",
    "namespace",
    "node_pod",
    "service",
    "stand_in",
]

Object = dict[str, Any]

PROBE_FILE = Path(__file__).with_name("probe.py")
STAND_IN_FILE = Path(__file__).with_name("standin.py")
# How long a new session watches whether it is open: policies come within a second.
OPENING_SECONDS = 5.0

_NAME = "app.kubernetes.io/name"
_INSTANCE = "app.kubernetes.io/instance"
_USER = 1000
# Nothing ever sets it: the pod runs and is never Ready, so that no Service sends it a user's request.
_NEVER = "vdibench.io/never-served"


@dataclass(frozen=True, slots=True)
class Platform:
    """The namespaces that ``manifests/`` make, where a site calls them otherwise."""

    sessions: str = "vdi-sessions"
    turn: str = "vdi-turn"
    traefik: str = "traefik"
    monitoring: str = "monitoring"
    operator: str = "vdi-operator"

    def home(self, source: Source, own: str) -> str:
        """The namespace of a source.

        :param own: the namespace that is made for this check.
        """
        return {
            Source.SESSION: self.sessions,
            Source.TRAEFIK: self.traefik,
            Source.MONITORING: self.monitoring,
            Source.OPERATOR: self.operator,
        }.get(source, own)


@dataclass(frozen=True, slots=True)
class Sort:
    """What all pods of one check have in common.

    :param image: with ``python3``, 3.9 or later.
    :param node: the node to run on; empty for any.
    :param selector: labels of nodes to run on.
    """

    image: str
    node: str = ""
    selector: Mapping[str, str] = field(default_factory=dict)


def labels(source: Source, name: str) -> dict[str, str]:
    """The labels of a source's pod, by which policies know it."""
    known = {
        Source.SESSION: "vdi-session",
        Source.TRAEFIK: "traefik",
        Source.OPERATOR: "vdi-operator",
        # A policy that chose by the pod's label alone, of whatever namespace, would let this one in.
        Source.OUTSIDER: "traefik",
    }
    return {_NAME: known.get(source, "vdibench-conformance"), _INSTANCE: name}


def namespace(name: str) -> Object:
    """A namespace of nobody's, without policies."""
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": name,
            # One pod in it is on its node's network, which every other level forbids.
            "labels": {"pod-security.kubernetes.io/enforce": "privileged"},
        },
    }


def stand_in(
    source: Source,
    name: str,
    home: str,
    token: str,
    sort: Sort,
    *,
    avoids: StandIn | None = None,
) -> Object:
    """A pod that answers as a session does, and in which probes run.

    :param home: its namespace.
    :param avoids: a stand-in that it must not reach; it watches for how long it does.
    """
    words = [str(SESSION_PORT), token]
    if avoids is not None:
        words += [avoids.address, str(SESSION_PORT), avoids.token, f"{OPENING_SECONDS:g}"]
    container = _container(sort, STAND_IN_FILE.read_text(encoding="utf-8"), words)
    container["ports"] = [{"name": "http", "containerPort": SESSION_PORT}]
    container["readinessProbe"] = {"httpGet": {"path": "/api/health", "port": "http"}, "periodSeconds": 1}
    pod = _pod(source, name, home, sort, container)
    if source in (Source.TRAEFIK, Source.OPERATOR):
        pod["spec"]["readinessGates"] = [{"conditionType": _NEVER}]
    return pod


def node_pod(name: str, home: str, sort: Sort) -> Object:
    """A pod on its node's network, which listens at nothing."""
    container = _container(sort, "import signal\nwhile True:\n    signal.pause()\n", [])
    pod = _pod(Source.NODE, name, home, sort, container)
    pod["spec"]["hostNetwork"] = True
    return pod


def service(name: str, home: str, instance: str) -> Object:
    """The Service of one session's stand-in."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": home, "labels": labels(Source.SESSION, instance)},
        "spec": {
            "selector": labels(Source.SESSION, instance),
            "ports": [{"name": "http", "port": SESSION_PORT, "targetPort": "http"}],
        },
    }


def _container(sort: Sort, program: str, words: list[str]) -> Object:
    return {
        "name": "probe",
        "image": sort.image,
        # What a node has already is enough: a desktop's image is large, and a lab has no registry.
        "imagePullPolicy": "IfNotPresent",
        "command": ["python3", "-I", "-c", program, *words],
        "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "256Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }


def _pod(source: Source, name: str, home: str, sort: Sort, container: Object) -> Object:
    spec: Object = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 1,
        "nodeSelector": dict(sort.selector),
        # Where desktops run is what counts, and such nodes often keep everything else away.
        "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}],
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "runAsGroup": _USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
    }
    if sort.node:
        # By the name: the label of a node's host may differ from it.
        term = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [sort.node]}]}
        wanted = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
        spec["affinity"] = {"nodeAffinity": wanted}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": home, "labels": labels(source, name)},
        "spec": spec,
    }
