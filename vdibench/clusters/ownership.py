"""What a run made on a cluster is the run's own: labelled, counted, and removed with it. Blocking I/O.

Every object carries the label ``vdibench.io/run`` and an annotation that names the process that owns it. A run that was
killed is swept by the next one on the same machine; what belongs to a living process, or to another machine's, is left
alone.
"""

from __future__ import annotations

import copy
import json
import os
import platform
import time
import uuid
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from vdibench.clusters.api import KINDS, SESSIONS, VOLUMES, Api, Object, path_of
from vdibench.clusters.connection import Cluster
from vdibench.clusters.vdisessions import USER_ANNOTATION, USER_LABEL
from vdibench.errors import AuthenticationError, TargetUnavailable, UsageError
from vdibench.store.processes import identity, is_alive

__all__ = [
    "FIELD_MANAGER",
    "OWNER_ANNOTATION",
    "RUN_LABEL",
    "Owner",
    "Swept",
    "announcement",
    "apply",
    "counts",
    "marked",
    "new_run",
    "remove",
    "sweep",
]

RUN_LABEL = "vdibench.io/run"
OWNER_ANNOTATION = "vdibench.io/owner"
FIELD_MANAGER = "vdibench"

_MANAGED_BY = "app.kubernetes.io/managed-by"
_OPTIONAL = ("PodMonitor",)  # its definition comes with an operator that not every cluster has
# Only target operator makes them: who makes pods may have no right to see any, and needs none.
_OPERATED = "VDISession"
_LOOK_SECONDS = 0.25
_PATIENCE_SECONDS, _VOLUME_SECONDS = 90.0, 30.0
_BOOT_ID, _PID_NAMESPACE = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")


@dataclass(frozen=True, slots=True)
class Owner:
    """The process that a run's objects belong to.

    :param place: where its number means something: boot and namespace of processes on Linux, else the host's name.
    :param pid: its number there.
    :param identity: what tells it from a later process with that number.
    """

    place: str
    pid: int
    identity: str

    @classmethod
    def current(cls) -> Self:
        """This process."""
        return cls(_place(), os.getpid(), identity(os.getpid()))

    @classmethod
    def read(cls, text: str) -> Self | None:
        """From an annotation; None where it says nothing that can be understood."""
        try:
            said = json.loads(text)
            return cls(str(said["place"]), int(said["pid"]), str(said["identity"]))
        except (ValueError, KeyError, TypeError):
            return None

    def text(self) -> str:
        """As an annotation."""
        return json.dumps({"place": self.place, "pid": self.pid, "identity": self.identity})

    @property
    def gone(self) -> bool:
        """It has ended, and this process is in a position to know."""
        return self.place == _place() and not is_alive(self.pid, self.identity)


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep found.

    :param removed: runs whose owner was gone.
    :param others: runs that are somebody's, as far as this machine can tell.
    """

    removed: tuple[str, ...]
    others: tuple[str, ...]


def new_run() -> str:
    """An id for a run: short enough to be part of every object's name."""
    return uuid.uuid4().hex[:8]


def marked(one: Object, run: str, owner: Owner) -> Object:
    """The object as one of that run's. Pure."""
    made = copy.deepcopy(one)
    metadata = made.setdefault("metadata", {})
    metadata["labels"] = {**metadata.get("labels", {}), RUN_LABEL: run, _MANAGED_BY: FIELD_MANAGER}
    metadata["annotations"] = {**metadata.get("annotations", {}), OWNER_ANNOTATION: owner.text()}
    return made


def apply(api: Api, objects: Iterable[Object], run: str, owner: Owner) -> list[Object]:
    """Apply objects as the run's own, one after the other; returns them as the cluster has them.

    :raises UsageError: the cluster lacks what the platform's manifests bring.
    :raises TargetUnavailable: one is not taken.
    """
    made = []
    for one in objects:
        kind, metadata = one["kind"], one["metadata"]
        path = path_of(kind, metadata["namespace"], metadata["name"])
        answer = api.apply(path, marked(one, run, owner), manager=FIELD_MANAGER)
        if answer is None and kind not in _OPTIONAL:
            raise UsageError(
                f"the cluster has no namespace {metadata['namespace']}, or does not know {kind}",
                "apply the platform's manifests first (manifests/README.md)",
            )
        if answer is not None:
            made.append(answer)
    return made


def counts(api: Api, selector: str, namespace: str = SESSIONS) -> dict[str, int]:
    """How many objects of each kind there are, kinds without any left out.

    :param selector: of labels; empty for all.
    """
    query = {"labelSelector": selector} if selector else {}
    found = {kind: len(_may_list(api, path_of(kind, namespace), query)) for kind in KINDS}
    return {kind: number for kind, number in found.items() if number}


def announcement(
    cluster: Cluster, present: Mapping[str, int], planned: Iterable[Object], run: str = "", namespace: str = SESSIONS
) -> tuple[str, ...]:
    """What a person reads before anything is created on a cluster, in lines. Pure.

    :param present: how many objects of each kind are in the namespace.
    :param planned: the objects to be created.
    :param run: whose they will be; empty where that is not known yet.
    """
    server = str(getattr(cluster.api.configuration, "host", ""))
    making = Counter(one["kind"] for one in planned)
    return (
        f"context {cluster.context}: {server}, Kubernetes {cluster.version}",
        f"namespace {namespace} has now: {_listed(present)}",
        f"to be created there, labelled {RUN_LABEL}={run or 'RUN'} and removed at the end: {_listed(making)}",
    )


def remove(
    api: Api, run: str, *, namespace: str = SESSIONS, patience_seconds: float = _PATIENCE_SECONDS
) -> tuple[str, ...]:
    """Delete everything of a run and return when it is gone; what is gone already is no error.

    :return: what could not be removed because this user may not: volumes, which belong to no namespace.
    :raises TargetUnavailable: something is still there after the patience.
    """
    query = {"labelSelector": f"{RUN_LABEL}={run}"}
    claims_path = path_of("PersistentVolumeClaim", namespace)
    users = _users(api, run, namespace)
    _adopt_homes(api, run, users, namespace)
    claims = api.items(claims_path, query)
    volumes, kept = _release_volumes(api, run, claims)
    for kind in KINDS:
        if kind != _OPERATED or users:
            api.delete(path_of(kind, namespace), query)
    _await_gone(api, run, query, namespace, patience_seconds)
    if _adopt_homes(api, run, users, namespace):
        # Its operator was just making one when its session went.
        claims += api.items(claims_path, query)
        more, others = _release_volumes(api, run, claims)
        volumes, kept = volumes | more, kept | others
        api.delete(claims_path, query)
        _await_gone(api, run, query, namespace, patience_seconds)
    late, _ = _release_volumes(api, run, claims)
    _await_volumes(api, sorted(volumes | late))
    return tuple(sorted(kept))


def _await_gone(api: Api, run: str, query: Mapping[str, str], namespace: str, patience_seconds: float) -> None:
    deadline = time.monotonic() + patience_seconds
    while left := counts(api, query["labelSelector"], namespace):
        if time.monotonic() > deadline:
            raise TargetUnavailable(
                f"run {run} still has {_listed(left)} in {namespace} after {patience_seconds:g} s",
                f"see what keeps them: kubectl -n {namespace} describe pods -l {RUN_LABEL}={run}",
            )
        time.sleep(_LOOK_SECONDS)  # pods take seconds to say goodbye, and there are several kinds to look at


def _users(api: Api, run: str, namespace: str) -> dict[str, dict[str, str]]:
    """Whose the run's VDISessions are, each with the annotation that names the run's owner."""
    found = _may_list(api, path_of(_OPERATED, namespace), {"labelSelector": f"{RUN_LABEL}={run}"})
    return {str(one["spec"]["user"]): _owner_of(one) for one in found}


def _adopt_homes(api: Api, run: str, users: Mapping[str, Mapping[str, str]], namespace: str) -> bool:
    """Label what an operator made for the run's users and leaves to them: homes outlive every session.

    :param users: of this run alone, with the owner's annotation; their names hold the run's.
    :return: whether there was any that was not labelled.
    """
    adopted = False
    path = path_of("PersistentVolumeClaim", namespace)
    for claim in api.items(path, {"labelSelector": USER_LABEL}) if users else ():
        metadata = claim["metadata"]
        user = metadata.get("annotations", {}).get(USER_ANNOTATION, "")
        if user in users and run in user and metadata.get("labels", {}).get(RUN_LABEL) != run:
            change = {"metadata": {"labels": {RUN_LABEL: run}, "annotations": dict(users[user])}}
            adopted = api.merge(f"{path}/{metadata['name']}", change) is not None or adopted
    return adopted


def sweep(api: Api, *, namespace: str = SESSIONS) -> Swept:
    """Remove the runs whose owner has ended without removing them."""
    owners: dict[str, list[Owner | None]] = {}
    for path in (*(path_of(kind, namespace) for kind in KINDS), VOLUMES):
        for one in _may_list(api, path, {"labelSelector": RUN_LABEL}):
            metadata = one["metadata"]
            owner = Owner.read(metadata.get("annotations", {}).get(OWNER_ANNOTATION, ""))
            owners.setdefault(metadata["labels"][RUN_LABEL], []).append(owner)
    removed: list[str] = []
    others: list[str] = []
    for run, found in sorted(owners.items()):
        if all(owner is not None and owner.gone for owner in found):
            remove(api, run, namespace=namespace)
            removed.append(run)
        else:
            others.append(run)
    return Swept(tuple(removed), tuple(others))


def _may_list(api: Api, path: str, query: Mapping[str, str]) -> list[Object]:
    """What is there; nothing of what many users may not see: volumes, which are of no namespace, and VDISessions."""
    try:
        return api.items(path, query)
    except AuthenticationError:
        if path != VOLUMES and not path.endswith("/vdisessions"):
            raise
        return []


def _release_volumes(api: Api, run: str, claims: Sequence[Object]) -> tuple[set[str], set[str]]:
    """Have the volumes of the run's homes deleted with them: their class keeps users' homes, and these are none.

    :param claims: the run's, also those that are gone by now: a volume may come later than its claim goes.
    :return: names of the volumes; those that this user may not change.
    """
    owners = {claim["metadata"]["uid"]: _owner_of(claim) for claim in claims}
    named: set[str] = set()
    kept: set[str] = set()
    try:
        volumes = api.items(VOLUMES)
    except AuthenticationError:
        return named, {f"PersistentVolume {claim['spec']['volumeName']}" for claim in claims if _bound(claim)}
    for volume in volumes:
        # Only what is bound to a claim of this very run, and what was labelled as such before.
        claim = volume["spec"].get("claimRef", {}).get("uid", "")
        name, labels = volume["metadata"]["name"], volume["metadata"].get("labels", {})
        if claim not in owners and labels.get(RUN_LABEL) != run:
            continue
        metadata = {"labels": {RUN_LABEL: run}, "annotations": owners.get(claim, {})}
        change: Object = {"metadata": metadata, "spec": {"persistentVolumeReclaimPolicy": "Delete"}}
        try:
            api.merge(f"{VOLUMES}/{name}", change)
            named.add(name)
        except AuthenticationError:
            kept.add(f"PersistentVolume {name}")
    return named, kept


def _bound(claim: Object) -> bool:
    return bool(claim["spec"].get("volumeName"))


def _owner_of(one: Object) -> dict[str, str]:
    said = one["metadata"].get("annotations", {}).get(OWNER_ANNOTATION)
    return {OWNER_ANNOTATION: said} if said else {}


def _await_volumes(api: Api, names: Iterable[str]) -> None:
    """Return when they are gone; those that nobody provides any more are deleted, as far as the API has them."""
    deadline = time.monotonic() + _VOLUME_SECONDS
    left = list(names)
    while left := [name for name in left if api.get(f"{VOLUMES}/{name}") is not None]:
        if time.monotonic() > deadline:
            for name in left:
                api.delete(f"{VOLUMES}/{name}")
            return
        time.sleep(_LOOK_SECONDS)  # the provisioner removes the folder on the node first, in a pod of its own


def _place() -> str:
    """Two containers of one machine have one boot and different processes of the same number."""
    try:
        return f"{_BOOT_ID.read_text().strip()}/{_PID_NAMESPACE.readlink()}"
    except OSError:
        return platform.node()


def _listed(numbers: Mapping[str, int]) -> str:
    return ", ".join(f"{number} {kind}" for kind, number in sorted(numbers.items())) or "nothing"
