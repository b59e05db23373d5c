"""The pods of one check on a cluster: made, awaited, and gone at the end. Blocking I/O."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Self

from vdibench.clusters.api import Api, Object, path_of
from vdibench.clusters.ownership import (
    FIELD_MANAGER,
    OWNER_ANNOTATION,
    RUN_LABEL,
    Owner,
    apply,
    marked,
    new_run,
    remove,
    sweep,
)
from vdibench.conformance.pods import namespace
from vdibench.errors import TargetUnavailable, VdibenchError

__all__ = ["Stage"]

_NAMESPACES = "/api/v1/namespaces"
_PREFIX = "vdibench-conformance-"
_LOOK_SECONDS = 0.1
_ACCOUNT_SECONDS, _GONE_SECONDS = 30.0, 90.0
_HOPELESS = (
    "CrashLoopBackOff",
    "CreateContainerConfigError",
    "CreateContainerError",
    "ErrImageNeverPull",
    "ImagePullBackOff",
    "InvalidImageName",
    "RunContainerError",
)


class Stage:
    """A namespace of its own and pods in others; a context manager, which removes all of it.

    What an earlier check left behind, because it was killed, goes first.

    :param homes: namespaces that are there and that pods will be made in.
    :param say: called with a line per step.
    """

    def __init__(self, api: Api, homes: Iterable[str], say: Callable[[str], None]) -> None:
        self.run = new_run()
        self.own = f"{_PREFIX}{self.run}"
        self._api = api
        self._homes = tuple(dict.fromkeys(homes))
        self._say = say
        self._owner = Owner.current()

    def __enter__(self) -> Self:
        self._sweep()
        try:
            path = f"{_NAMESPACES}/{self.own}"
            self._api.apply(path, marked(namespace(self.own), self.run, self._owner), manager=FIELD_MANAGER)
            self._await_account()
        except BaseException:  # an interrupt too: nothing that was begun stays
            self._remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._say("removing the pods")
        try:
            self._remove()
        except VdibenchError:
            # What went wrong before matters more; what is left goes with the next check.
            if error is None:
                raise

    def make(self, objects: Iterable[Object]) -> list[Object]:
        """Create objects as this check's own; returns them as the cluster has them."""
        return apply(self._api, objects, self.run, self._owner)

    def ready(self, pod: Object, *, seconds: float) -> Object:
        """The pod as it is when it is Ready; one with a gate, when its containers are.

        :raises TargetUnavailable: it does not get so in time, or cannot.
        """
        name, home = pod["metadata"]["name"], pod["metadata"]["namespace"]
        wanted = "ContainersReady" if pod["spec"].get("readinessGates") else "Ready"
        deadline = time.monotonic() + seconds
        while True:
            now = self._api.get(path_of("Pod", home, name))
            if now is None:
                raise TargetUnavailable(f"pod {name} in {home} was deleted by somebody else", "try again")
            conditions = {one["type"]: one for one in now.get("status", {}).get("conditions", ())}
            if conditions.get(wanted, {}).get("status") == "True":
                return now
            if reason := _hopeless(now):
                raise TargetUnavailable(
                    f"pod {name} in {home} does not start: {reason}", "name an image that the nodes have or can pull"
                )
            if time.monotonic() > deadline:
                said = next((one["message"] for one in conditions.values() if one.get("message")), "no reason given")
                raise TargetUnavailable(
                    f"pod {name} in {home} is not {wanted} after {seconds:g} s: {said}", "see its events"
                )
            time.sleep(_LOOK_SECONDS)  # a look every tenth costs less than a watch for each of a handful of pods

    def _await_account(self) -> None:
        """The namespace's account comes after the namespace, and pods are refused before."""
        deadline = time.monotonic() + _ACCOUNT_SECONDS
        while self._api.get(f"{_NAMESPACES}/{self.own}/serviceaccounts/default") is None:
            if time.monotonic() > deadline:
                raise TargetUnavailable(
                    f"namespace {self.own} got no default account", "look at the cluster's controller manager"
                )
            time.sleep(_LOOK_SECONDS)  # it comes within some 100 ms

    def _sweep(self) -> None:
        for home in self._homes:
            sweep(self._api, namespace=home)
        for one in self._api.items(_NAMESPACES, {"labelSelector": RUN_LABEL}):
            metadata = one["metadata"]
            owner = Owner.read(metadata.get("annotations", {}).get(OWNER_ANNOTATION, ""))
            if metadata["name"].startswith(_PREFIX) and owner is not None and owner.gone:
                self._api.delete(f"{_NAMESPACES}/{metadata['name']}")

    def _remove(self) -> None:
        """Everything, as far as it goes; the first that does not is raised at the end."""
        first: VdibenchError | None = None
        path = f"{_NAMESPACES}/{self.own}"
        try:
            self._api.delete(path)
        except VdibenchError as error:
            first = error
        for home in self._homes:
            try:
                remove(self._api, self.run, namespace=home)
            except VdibenchError as error:
                first = first or error
        if first is not None:
            raise first
        deadline = time.monotonic() + _GONE_SECONDS
        while self._api.get(path) is not None:
            if time.monotonic() > deadline:
                raise TargetUnavailable(
                    f"namespace {self.own} is still there after {_GONE_SECONDS:g} s", "see what its status says"
                )
            time.sleep(_LOOK_SECONDS)  # a namespace takes seconds to be emptied


def _hopeless(pod: Object) -> str:
    """Why it will not start by itself; empty while it may."""
    status = pod.get("status", {})
    for container in status.get("containerStatuses", ()):
        state = container.get("state", {})
        waiting, ended = state.get("waiting", {}), state.get("terminated")
        if waiting.get("reason") in _HOPELESS:
            return f"{waiting['reason']} {waiting.get('message', '')}".strip()
        if ended is not None:
            return f"its program ended with status {ended.get('exitCode')}"
    if status.get("phase") == "Failed":
        return str(status.get("message") or status.get("reason") or "it failed")
    return ""
