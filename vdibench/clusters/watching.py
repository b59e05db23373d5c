"""What happens to a run's objects, as it happens: one thread for each kind that is watched. I/O, and waits."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from vdibench.clusters.api import SESSIONS, Api, path_of
from vdibench.clusters.ownership import RUN_LABEL
from vdibench.clusters.phases import Observation
from vdibench.errors import VdibenchError

__all__ = ["Watcher"]

# A watch is ended by the server so often, and goes on where it was: the thread then sees that it is to end.
_STRETCH_SECONDS = 1
_SILENCE_SECONDS = 10.0
_AGAIN_SECONDS = 0.5
_KINDS = ("Pod", "PersistentVolumeClaim")


class Watcher:
    """Watches the objects of one run, and the events of its namespace; a context manager.

    :param run: whose objects.
    :param kinds: which of them; pods and homes by default.
    """

    def __init__(self, api: Api, run: str, namespace: str = SESSIONS, kinds: Sequence[str] = _KINDS) -> None:
        self._api = api
        self._seen: list[Observation] = []
        self._latest: dict[tuple[str, str], Mapping[str, Any]] = {}
        self._changed = threading.Condition()
        self._ending = threading.Event()
        own = {"labelSelector": f"{RUN_LABEL}={run}"}
        # Events carry no labels: those of others are passed over by whoever asks for a session's.
        watched: list[tuple[str, str, dict[str, str]]] = [(path_of(kind, namespace), kind, own) for kind in kinds]
        watched.append((f"/api/v1/namespaces/{namespace}/events", "Event", {}))
        self._threads = [
            threading.Thread(target=self._watch, args=one, name=f"vdibench-watch-{one[1]}", daemon=True)
            for one in watched
        ]
        self._began = threading.Barrier(len(watched) + 1)

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        self._began.wait()  # what is made from here on is seen
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()
        for thread in self._threads:
            thread.join()

    def end(self) -> None:
        """See nothing more; leaving the block waits for the threads, about a second."""
        self._ending.set()

    @property
    def observations(self) -> list[Observation]:
        """All until now."""
        with self._changed:
            return list(self._seen)

    def latest(self, kind: str, name: str) -> Mapping[str, Any]:
        """An object as it was seen last; empty before."""
        with self._changed:
            return self._latest.get((kind, name), {})

    def pod(self, name: str) -> Mapping[str, Any]:
        """A pod as it was seen last; empty before."""
        return self.latest("Pod", name)

    def wait(self, seen: int, seconds: float) -> int:
        """Return when more than ``seen`` things have happened, or after ``seconds``; returns how many."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._seen) > seen, seconds)
            return len(self._seen)

    def _watch(self, path: str, kind: str, selector: dict[str, str]) -> None:
        version = self._version(path)
        self._began.wait()
        while not self._ending.is_set():
            query = {**selector, "watch": "true", "timeoutSeconds": str(_STRETCH_SECONDS)}
            if version:
                query["resourceVersion"] = version
            due = time.monotonic() + _AGAIN_SECONDS
            try:
                for line in self._api.lines(path, query, silence_seconds=_SILENCE_SECONDS):
                    version = self._take(kind, json.loads(line), time.time()) or version
            except (VdibenchError, ValueError):
                # Whoever waits for pods that never come says so; a watch that broke begins anew.
                version = ""
            self._ending.wait(max(0.0, due - time.monotonic()))  # what is refused at once would be so again

    def _version(self, path: str) -> str:
        try:
            return self._api.version_of(path)
        except VdibenchError:
            return ""

    def _take(self, kind: str, said: Mapping[str, Any], now: float) -> str:
        """Keep what one line says; returns the version that it is of."""
        one = said.get("object", {})
        if said.get("type") == "ERROR":
            raise ValueError(str(one.get("message", "")))  # the version that we had is forgotten
        with self._changed:
            self._seen.append(Observation(now, {"kind": kind, **one}))
            if kind != "Event":
                self._latest[kind, one["metadata"]["name"]] = one
            self._changed.notify_all()
        return str(one.get("metadata", {}).get("resourceVersion", ""))
