"""Pods that measure from inside a cluster: placed, awaited, and removed with everything of theirs. Blocking I/O.

Each is on one node, has a volume of the homes' class, and is as restricted as a session. All carry the label of their
run; what a run that was killed has left is removed by the next one, and ends by itself meanwhile.
"""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from vdibench.clusters import Cluster
from vdibench.preflight.cluster_context import ClusterContext

__all__ = ["APPLICATION", "FOLDER", "ProbePods", "claim_object", "pod_object", "why_not_running"]

APPLICATION = "vdibench-preflight"
"""``app.kubernetes.io/name`` of everything that is placed."""
FOLDER = "/home/user"
"""Where the volume is in a pod."""

_ENDS = "vdibench.io/ends-unix-seconds"
_LIVES_SECONDS = 900
_POLL_SECONDS = 0.3
_TIMEOUT_SECONDS = 30
# Reasons of a container that does not get better by waiting.
_HOPELESS = {"ErrImageNeverPull", "ImagePullBackOff", "InvalidImageName", "CreateContainerConfigError"}
# By JSON patch: what other patches are called differs between versions of the client.
_DELETE_VOLUME = [{"op": "replace", "path": "/spec/persistentVolumeReclaimPolicy", "value": "Delete"}]


@dataclass(frozen=True, slots=True)
class _Place:
    node: str
    name: str


class ProbePods:
    """One pod a node. A context manager: leaving removes pods and volumes.

    :param nodes: by their label ``kubernetes.io/hostname``.
    :param image: with ``python3`` in it.
    """

    def __init__(self, cluster: Cluster, context: ClusterContext, nodes: Sequence[str], image: str) -> None:
        from kubernetes import client

        self.running: dict[str, str] = {}
        """Node -> its pod."""
        self.failures: dict[str, str] = {}
        """Node -> why it has none."""
        self._core: Any = client.CoreV1Api(cluster.api)
        self._refused: type[Exception] = client.ApiException
        self._context = context
        self._image = image
        self._run = f"preflight-{uuid.uuid4().hex[:8]}"
        self._places = tuple(_Place(node, f"vdibench-{self._run}-{index}") for index, node in enumerate(nodes))

    @property
    def namespace(self) -> str:
        """Where they are: the sessions', so that the same rules hold for them."""
        return self._context.session_namespace

    def __enter__(self) -> Self:
        try:
            self._sweep()
            for place in self._places:
                try:
                    self._place(place)
                except self._refused as error:
                    self.failures[place.node] = _refusal(error)
            self._await()
        except BaseException:  # an interrupt too: nothing that was begun stays
            self._remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._remove()

    def _place(self, place: _Place) -> None:
        ends = int(time.time()) + _LIVES_SECONDS
        claim = claim_object(place.name, self._run, self._context.home_class, ends)
        pod = pod_object(place.name, self._run, place.node, self._image, ends)
        self._core.create_namespaced_persistent_volume_claim(self.namespace, claim, _request_timeout=_TIMEOUT_SECONDS)
        self._core.create_namespaced_pod(self.namespace, pod, _request_timeout=_TIMEOUT_SECONDS)

    def _await(self) -> None:
        deadline = time.monotonic() + self._context.pod_seconds
        waiting = {place.name: place.node for place in self._places if place.node not in self.failures}
        reasons: dict[str, str] = {}
        while waiting and time.monotonic() < deadline:
            for pod in self._pods(f"vdibench.io/run={self._run}"):
                found = pod.metadata.name
                if found not in waiting:
                    continue
                if pod.status.phase == "Running":
                    self.running[waiting.pop(found)] = found
                    continue
                reasons[found], hopeless = why_not_running(pod)
                if hopeless:
                    self.failures[waiting.pop(found)] = reasons[found]
            if waiting:
                time.sleep(_POLL_SECONDS)  # a list is asked a few times; a watch would have to be kept alive
        for name, node in waiting.items():
            reason = reasons.get(name, "it was not seen")
            self.failures[node] = f"not running after {self._context.pod_seconds:g} s: {reason}"

    def _remove(self) -> None:
        for place in self._places:
            self._remove_one(place.name)

    def _sweep(self) -> None:
        """Remove what a run that was killed has left: all whose time is over."""
        now = time.time()
        claims = self._core.list_namespaced_persistent_volume_claim(
            self.namespace, label_selector=f"app.kubernetes.io/name={APPLICATION}", _request_timeout=_TIMEOUT_SECONDS
        ).items
        for one in (*claims, *self._pods(f"app.kubernetes.io/name={APPLICATION}")):
            ends = str((one.metadata.annotations or {}).get(_ENDS, ""))
            if not ends.isdigit() or int(ends) < now:
                self._remove_one(one.metadata.name)

    def _remove_one(self, name: str) -> None:
        """A pod, its claim, and the volume behind it, which the class would keep."""
        with contextlib.suppress(self._refused):  # it has no claim, or we no right to volumes
            claim = self._core.read_namespaced_persistent_volume_claim(
                name, self.namespace, _request_timeout=_TIMEOUT_SECONDS
            )
            if claim.spec.volume_name:
                self._core.patch_persistent_volume(
                    claim.spec.volume_name, _DELETE_VOLUME, _request_timeout=_TIMEOUT_SECONDS
                )
        with contextlib.suppress(self._refused):  # gone already
            self._core.delete_namespaced_pod(
                name, self.namespace, grace_period_seconds=0, _request_timeout=_TIMEOUT_SECONDS
            )
        with contextlib.suppress(self._refused):  # no claim of it
            self._core.delete_namespaced_persistent_volume_claim(
                name, self.namespace, _request_timeout=_TIMEOUT_SECONDS
            )

    def _pods(self, selector: str) -> Iterator[Any]:
        found = self._core.list_namespaced_pod(
            self.namespace, label_selector=selector, _request_timeout=_TIMEOUT_SECONDS
        )
        return iter(found.items)


def claim_object(name: str, run: str, home_class: str, ends_unix_seconds: int) -> dict[str, Any]:
    """A claim as a session's home is one."""
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": _metadata(name, run, ends_unix_seconds),
        "spec": {
            "storageClassName": home_class,
            "accessModes": ["ReadWriteOncePod"],
            "resources": {"requests": {"storage": "256Mi"}},
        },
    }


def pod_object(name: str, run: str, node: str, image: str, ends_unix_seconds: int) -> dict[str, Any]:
    """A pod on that node, under Pod Security ``restricted``. The scheduler places it: a volume waits for its word."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": _metadata(name, run, ends_unix_seconds),
        "spec": {
            "restartPolicy": "Never",
            "activeDeadlineSeconds": _LIVES_SECONDS,
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "nodeSelector": {"kubernetes.io/hostname": node},
            "tolerations": [{"operator": "Exists", "effect": "NoSchedule"}],
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 1000,
                "runAsGroup": 1000,
                "fsGroup": 1000,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": "probe",
                    "image": image,
                    "imagePullPolicy": "IfNotPresent",
                    # It ends by itself, should nobody be left to remove it.
                    "command": ["python3", "-c", f"import time; time.sleep({_LIVES_SECONDS})"],
                    "resources": {
                        "requests": {"cpu": "10m", "memory": "64Mi"},
                        "limits": {"memory": "256Mi"},
                    },
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "readOnlyRootFilesystem": True,
                        "capabilities": {"drop": ["ALL"]},
                    },
                    "volumeMounts": [{"name": "home", "mountPath": FOLDER}],
                }
            ],
            "volumes": [{"name": "home", "persistentVolumeClaim": {"claimName": name}}],
        },
    }


def why_not_running(pod: Any) -> tuple[str, bool]:
    """Why a pod does not run yet, and whether waiting is in vain.

    :param pod: as the client's classes have it.
    """
    status = pod.status
    if status.phase in ("Failed", "Succeeded"):
        return f"it ended: {status.reason or status.phase} {status.message or ''}".strip(), True
    for container in status.container_statuses or ():
        waiting = container.state.waiting if container.state else None
        if waiting is not None:
            return f"{waiting.reason} {waiting.message or ''}".strip(), waiting.reason in _HOPELESS
    for condition in status.conditions or ():
        if condition.type == "PodScheduled" and condition.status == "False":
            return f"{condition.reason}: {condition.message}", False
    return str(status.phase), False


def _metadata(name: str, run: str, ends_unix_seconds: int) -> dict[str, Any]:
    return {
        "name": name,
        "labels": {
            "app.kubernetes.io/name": APPLICATION,
            "app.kubernetes.io/managed-by": "vdibench",
            "vdibench.io/run": run,
        },
        "annotations": {_ENDS: str(ends_unix_seconds)},
    }


def _refusal(error: Exception) -> str:
    """The API server's words where it said any: Pod Security names each field."""
    body = str(getattr(error, "body", "") or "")
    _, found, rest = body.partition('"message":"')
    return rest.partition('","')[0] if found else f"{getattr(error, 'status', '')} {getattr(error, 'reason', error)}"
