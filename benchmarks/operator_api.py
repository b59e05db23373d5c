"""A small client of a lab's API server for the operator's benchmark: one pool, as its administrator. Asyncio.

It is what the operator is compared with, so it does nothing that an operator could not do as quickly.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import aiohttp

__all__ = ["NAMESPACE", "ApiServer", "Object", "Seen", "at_once", "opened", "paths"]

Object = dict[str, Any]

NAMESPACE = "vdi-sessions"
_LOOK_SECONDS = 0.05
_CALM_SECONDS = 600.0

paths = {
    "VDISession": f"/apis/vdibench.io/v1alpha1/namespaces/{NAMESPACE}/vdisessions",
    "VDITemplate": f"/apis/vdibench.io/v1alpha1/namespaces/{NAMESPACE}/vditemplates",
    "Pod": f"/api/v1/namespaces/{NAMESPACE}/pods",
    "Service": f"/api/v1/namespaces/{NAMESPACE}/services",
    "Secret": f"/api/v1/namespaces/{NAMESPACE}/secrets",
    "PersistentVolumeClaim": f"/api/v1/namespaces/{NAMESPACE}/persistentvolumeclaims",
    "IngressRoute": f"/apis/traefik.io/v1alpha1/namespaces/{NAMESPACE}/ingressroutes",
    "Middleware": f"/apis/traefik.io/v1alpha1/namespaces/{NAMESPACE}/middlewares",
    "NetworkPolicy": f"/apis/networking.k8s.io/v1/namespaces/{NAMESPACE}/networkpolicies",
    "Event": f"/api/v1/namespaces/{NAMESPACE}/events",
}


class ApiServer:
    """Requests; every answer that is not 2xx is an error."""

    def __init__(self, http: aiohttp.ClientSession) -> None:
        self._http = http

    async def create(self, one: Object) -> Object:
        """By POST."""
        return await self._send("POST", paths[one["kind"]], one, "application/json")

    async def merge_status(self, name: str, status: Object) -> Object:
        """Of a session."""
        path = f"{paths['VDISession']}/{name}/status"
        return await self._send("PATCH", path, {"status": status}, "application/merge-patch+json")

    async def items(self, kind: str, labels: str = "") -> list[Object]:
        """All of a kind."""
        async with self._http.get(paths[kind], params={"labelSelector": labels}) as answer:
            answer.raise_for_status()
            found: list[Object] = (await answer.json())["items"]
            return found

    async def clear(self, kind: str, labels: str = "") -> None:
        """Delete the collection, and return when nothing of it is left."""
        async with self._http.delete(paths[kind], params={"labelSelector": labels}) as answer:
            answer.raise_for_status()
        deadline = time.monotonic() + _CALM_SECONDS
        while await self.items(kind, labels):
            if time.monotonic() > deadline:
                raise TimeoutError(f"objects of kind {kind} do not go")
            await asyncio.sleep(_LOOK_SECONDS)  # the garbage collector is at work; nothing tells when it has done

    async def watch(self, kind: str, tell: Callable[[str, Object, float], None], since: str) -> None:
        """Call ``tell`` with type, object and arrival (Unix seconds) of each event, until cancelled."""
        params = {"watch": "true", "resourceVersion": since, "timeoutSeconds": "3600"}
        timeout = aiohttp.ClientTimeout(total=None)
        async with self._http.get(paths[kind], params=params, timeout=timeout) as answer:
            answer.raise_for_status()
            rest = b""
            async for chunk in answer.content.iter_any():
                now = time.time()
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    event = json.loads(line)
                    tell(event["type"], event["object"], now)

    async def version(self, kind: str) -> str:
        """Where a watch begins."""
        async with self._http.get(paths[kind], params={"limit": "1"}) as answer:
            answer.raise_for_status()
            return str((await answer.json())["metadata"]["resourceVersion"])

    async def _send(self, method: str, path: str, body: Object, content: str) -> Object:
        async with self._http.request(
            method, path, data=json.dumps(body).encode(), headers={"Content-Type": content}
        ) as answer:
            if not answer.ok:
                raise RuntimeError(f"{method} {path}: {answer.status} {await answer.text()}")
            found: Object = await answer.json()
            return found


class Seen:
    """When pods and sessions reached what they were to reach, by watches of this process; Unix seconds."""

    def __init__(self, api: ApiServer) -> None:
        self.pods: dict[str, float] = {}
        self.pods_ready: dict[str, float] = {}
        self.ready: dict[str, float] = {}
        self.streams: dict[str, float] = {}
        self.given_up: dict[str, str] = {}
        self._api = api
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Seen:
        for kind, tell in (("Pod", self._pod), ("VDISession", self._session)):
            since = await self._api.version(kind)
            self._tasks.append(asyncio.create_task(self._api.watch(kind, tell, since)))
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def until(self, holds: Callable[[], bool], seconds: float) -> None:
        """Return when that holds; an ended watch is an error."""
        deadline = time.monotonic() + seconds
        while not holds():
            for task in self._tasks:
                if task.done():
                    task.result()
                    raise RuntimeError("the API server ended a watch: measure again")
            if self.given_up:
                name, why = next(iter(self.given_up.items()))
                raise RuntimeError(f"{len(self.given_up)} starts were given up, of {name}: {why}")
            if time.monotonic() > deadline:
                raise TimeoutError(f"{len(self.ready)} sessions and {len(self.pods_ready)} pods were ready in time")
            await asyncio.sleep(_LOOK_SECONDS)  # instants are taken where events arrive, not here

    def _pod(self, kind: str, one: Object, now: float) -> None:
        session = one["metadata"].get("labels", {}).get("app.kubernetes.io/instance", "")
        if kind != "DELETED":
            self.pods.setdefault(session, now)
            if _holds(one, "Ready"):
                self.pods_ready.setdefault(session, now)

    def _session(self, kind: str, one: Object, now: float) -> None:
        name, status = one["metadata"]["name"], one.get("status") or {}
        if _holds(one, "Ready"):
            self.ready.setdefault(name, now)
            self.streams.setdefault(name, _unix(status["milestones"]["streamReady"]))
        elif failure := status.get("failure"):
            self.given_up[name] = failure["message"]


def _holds(one: Object, kind: str) -> bool:
    conditions = (one.get("status") or {}).get("conditions") or ()
    return any((item["type"], item["status"]) == (kind, "True") for item in conditions)


def _unix(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


async def at_once(work: Iterable[Callable[[], Awaitable[object]]], workers: int) -> None:
    """Do all of it, so many at a time; the first error ends it."""
    waiting = iter(work)

    async def worker() -> None:
        for one in waiting:
            await one()

    async with asyncio.TaskGroup() as group:
        for _ in range(workers):
            group.create_task(worker())


@asynccontextmanager
async def opened(url: str, pki: Path) -> AsyncIterator[ApiServer]:
    """The API server, with the certificates of a lab's administrator."""
    context = ssl.create_default_context(cafile=str(pki / "ca.crt"))
    context.load_cert_chain(pki / "admin.crt", pki / "admin.key")
    connector = aiohttp.TCPConnector(ssl=context, limit=128)
    timeout = aiohttp.ClientTimeout(total=60)
    async with aiohttp.ClientSession(url, connector=connector, timeout=timeout) as http:
        yield ApiServer(http)
