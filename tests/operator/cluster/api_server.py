"""An HTTP server on 127.0.0.1 that answers as an API server does: objects, versions, watches, and faults on demand."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

Object = dict[str, Any]

NAMESPACE = "vdi-sessions"
DEADLINE_SECONDS = 20.0
COLLECTED_SECONDS = 0.1

_DISCOVERY: dict[str, Object] = {
    "/api": {"versions": ["v1"]},
    "/apis": {
        "groups": [
            {
                "name": group,
                "preferredVersion": {"version": version},
                "versions": [{"groupVersion": f"{group}/{version}", "version": version}],
            }
            for group, version in (("vdibench.io", "v1alpha1"), ("apiextensions.k8s.io", "v1"))
        ]
    },
    "/api/v1": {"resources": [("namespaces", "Namespace", False), ("events", "Event", True)]},
    "/apis/vdibench.io/v1alpha1": {
        "resources": [("vdisessions", "VDISession", True), ("vditemplates", "VDITemplate", True)]
    },
    "/apis/apiextensions.k8s.io/v1": {
        "resources": [("customresourcedefinitions", "CustomResourceDefinition", False)],
    },
}


@dataclass
class Fault:
    """An answer that a request gets instead of its own.

    :param path: part of the request's path.
    :param status: 0: the connection is closed without an answer.
    :param times: so often.
    """

    method: str
    path: str
    status: int
    reason: str = ""
    message: str = "as the test wants it"
    headers: dict[str, str] = field(default_factory=dict)
    times: int = 1


@dataclass
class Seen:
    """A request."""

    method: str
    path: str
    query: dict[str, str]
    content_type: str
    authorization: str
    body: Any


@dataclass
class Server:
    """Its state, and what a test does to it."""

    url: str = ""
    objects: dict[tuple[str, str], Object] = field(default_factory=dict)
    seen: list[Seen] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    version: int = 100
    oldest: int = 0
    page: int | None = None
    undiscovered: bool = False
    _removed: set[str] = field(default_factory=set)
    _history: list[tuple[int, str, str, Object]] = field(default_factory=list)
    _watches: list[asyncio.Queue[tuple[str, str, Object] | None]] = field(default_factory=list)

    # What a test does.

    def put(self, plural: str, one: Object) -> Object:
        """As if somebody else had written it."""
        known = self.objects.get((plural, one["metadata"]["name"]))
        made = deepcopy(one)
        metadata = made["metadata"]
        metadata.setdefault("namespace", NAMESPACE)
        metadata["uid"] = known["metadata"]["uid"] if known else metadata.get("uid") or f"uid-{self.version + 1}"
        metadata.setdefault("creationTimestamp", "2026-11-29T12:00:00Z")
        if known is None:
            metadata.setdefault("generation", 1)
        elif known.get("spec") != made.get("spec"):
            metadata["generation"] = known["metadata"].get("generation", 1) + 1
        metadata.setdefault("managedFields", [{"manager": "somebody", "fieldsV1": {"f:spec": {}}}])
        self._change(plural, "MODIFIED" if known else "ADDED", made)
        return made

    def remove(self, plural: str, name: str) -> Object:
        """As if somebody else had deleted it, with what it owns."""
        gone = deepcopy(self.objects.pop((plural, name)))
        self._change(plural, "DELETED", gone)
        uid = gone["metadata"]["uid"]
        self._removed.add(uid)
        for (kind, child), one in list(self.objects.items()):
            if any(owner["uid"] == uid for owner in one["metadata"].get("ownerReferences", ())):
                self.remove(kind, child)
        return gone

    def remove_unheard(self, plural: str, name: str) -> None:
        """Deleted while no watch could tell."""
        self.version += 1
        del self.objects[(plural, name)]

    def cut(self) -> None:
        """End all watches."""
        for watch in list(self._watches):
            watch.put_nowait(None)

    def compact(self) -> None:
        """Forget the history: a watch from before is told 410."""
        self.version += 1
        self.oldest = self.version
        self._history.clear()

    def say(self, kind: str, plural: str, one: Object) -> None:
        """An event of a watch that nothing happened for, such as BOOKMARK or ERROR."""
        for watch in list(self._watches):
            watch.put_nowait((kind, plural, one))

    def watching(self) -> int:
        """Open watches."""
        return len(self._watches)

    def asked(self, method: str, plural: str, *, watch: bool = False) -> list[Seen]:
        """Requests for a kind."""
        return [
            one
            for one in self.seen
            if one.method == method and plural in one.path.split("/") and (one.query.get("watch") == "true") == watch
        ]

    # How it answers.

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Any request."""
        raw = await request.read()
        body = json.loads(raw) if raw else None
        seen = Seen(
            request.method,
            request.path,
            dict(request.query),
            request.content_type,
            request.headers.get("Authorization", ""),
            body,
        )
        self.seen.append(seen)
        for fault in self.faults:
            if fault.method == seen.method and fault.path in seen.path and fault.times > 0:
                fault.times -= 1
                if fault.status == 0:
                    assert request.transport is not None
                    request.transport.close()
                return _status(fault.status or 500, fault.reason, fault.message, fault.headers)
        if self.undiscovered and request.path == "/apis":
            return web.json_response({"groups": []})
        if request.path in _DISCOVERY:
            return web.json_response(_described(_DISCOVERY[request.path]))
        plural, name, below = _parts(request.path)
        if not name:
            if request.method == "POST":
                return self._create(plural, body)
            if request.query.get("watch") == "true":
                return await self._watch(request, plural)
            return self._list(request, plural)
        return self._one(request, plural, name, below, body)

    def _create(self, plural: str, body: Object) -> web.Response:
        metadata = body["metadata"]
        if "generateName" in metadata:
            metadata["name"] = f"{metadata.pop('generateName')}{self.version}"
        if (plural, metadata["name"]) in self.objects:
            return _status(409, "AlreadyExists", f'{plural} "{metadata["name"]}" already exists')
        made = self.put(plural, body)
        if self._removed.intersection(owner["uid"] for owner in metadata.get("ownerReferences", ())):
            # As the garbage collector does with what is made for an owner that has just gone: it is late, not at once.
            asyncio.get_running_loop().call_later(COLLECTED_SECONDS, self._collect, plural, made)
        return web.json_response(made, status=201)

    def _collect(self, plural: str, one: Object) -> None:
        known = self.objects.get((plural, one["metadata"]["name"]))
        if known is not None and known["metadata"]["uid"] == one["metadata"]["uid"]:
            self.remove(plural, one["metadata"]["name"])

    def _list(self, request: web.Request, plural: str) -> web.Response:
        wanted = _selecting(request.query)
        found = [one for (kind, _), one in sorted(self.objects.items()) if kind == plural and wanted(one)]
        metadata: Object = {"resourceVersion": str(self.version)}
        begin = int(request.query.get("continue", "0"))
        if self.page is not None and begin + self.page < len(found):
            metadata["continue"] = str(begin + self.page)
        items = found[begin : begin + self.page] if self.page is not None else found
        bare = [{key: value for key, value in one.items() if key not in ("kind", "apiVersion")} for one in items]
        return web.json_response({"kind": "List", "apiVersion": "v1", "metadata": metadata, "items": bare})

    async def _watch(self, request: web.Request, plural: str) -> web.StreamResponse:
        since, wanted = int(request.query.get("resourceVersion", "0")), _selecting(request.query)
        response = web.StreamResponse()
        response.content_type = "application/json"
        await response.prepare(request)
        if since < self.oldest:
            gone = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"}
            await response.write(_line("ERROR", gone))
            return response
        queue: asyncio.Queue[tuple[str, str, Object] | None] = asyncio.Queue()
        for version, kind, of, one in self._history:
            if version > since:
                queue.put_nowait((kind, of, one))
        self._watches.append(queue)
        try:
            while True:
                event = await queue.get()
                if event is None:
                    return response
                kind, of, one = event
                if of == plural and (kind in ("BOOKMARK", "ERROR") or wanted(one)):
                    await response.write(_line(kind, one))
        finally:
            self._watches.remove(queue)

    def _one(self, request: web.Request, plural: str, name: str, below: str, body: Any) -> web.Response:
        known = self.objects.get((plural, name))
        applied = request.content_type == "application/apply-patch+yaml"
        if known is None and not (request.method == "PATCH" and applied):
            return _status(404, "NotFound", f'{plural} "{name}" not found')
        if request.method == "GET":
            return web.json_response(known)
        if request.method == "DELETE":
            assert known is not None
            uid = ((body or {}).get("preconditions") or {}).get("uid", known["metadata"]["uid"])
            if uid != known["metadata"]["uid"]:
                return _status(409, "Conflict", "the UID in the precondition does not match")
            self.remove(plural, name)
            return _status(200, "", "")
        stated = (body.get("metadata") or {}).get("resourceVersion")
        if known is not None and stated and stated != known["metadata"]["resourceVersion"]:
            return _status(409, "Conflict", "the object has been modified")
        if below == "status":
            body = {"status": body.get("status")}
        changed = _merged(deepcopy(known or {}), body)
        return web.json_response(self.put(plural, changed) if changed != known else known)

    def _change(self, plural: str, kind: str, one: Object) -> None:
        self.version += 1
        one["metadata"]["resourceVersion"] = str(self.version)
        if kind != "DELETED":
            self.objects[(plural, one["metadata"]["name"])] = one
        said = deepcopy(one)
        self._history.append((self.version, kind, plural, said))
        self.say(kind, plural, said)


@asynccontextmanager
async def serving() -> AsyncIterator[Server]:
    """A server for a test."""
    server = Server()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield server
    finally:
        server.cut()
        await runner.cleanup()


async def until(condition: Callable[[], object], what: str = "") -> None:
    """Wait for a condition, however long the machine takes for it; a minute's worth of patience is not asked for."""
    loop = asyncio.get_running_loop()
    end = loop.time() + DEADLINE_SECONDS
    while not condition():
        assert loop.time() < end, f"did not happen within {DEADLINE_SECONDS:.0f} s: {what or condition}"
        await asyncio.sleep(0.01)  # conditions are attributes of objects: nothing tells of their change


def pod(name: str, session: str, **spec: Any) -> Object:
    """A session's pod."""
    labels = {"app.kubernetes.io/managed-by": "vdi-operator", "app.kubernetes.io/instance": session}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels}, "spec": spec}


def session(name: str, user: str = "alice", **spec: Any) -> Object:
    """A VDISession."""
    return {
        "apiVersion": "vdibench.io/v1alpha1",
        "kind": "VDISession",
        "metadata": {"name": name},
        "spec": {"user": user, "templateRef": {"name": "cad"}, "operatingMode": "Running", **spec},
    }


def _parts(path: str) -> tuple[str, str, str]:
    """Plural, name and subresource of a path."""
    parts = path.strip("/").split("/")
    parts = parts[2:] if parts[0] == "api" else parts[3:]
    if parts[0] == "namespaces" and len(parts) > 2:
        parts = parts[2:]
    plural, name, below = [*parts, "", ""][:3]
    return plural, name, below


def _selecting(query: Any) -> Callable[[Object], bool]:
    labels = dict(pair.split("=", 1) for pair in query.get("labelSelector", "").split(",") if pair)
    fields = dict(pair.split("=", 1) for pair in query.get("fieldSelector", "").split(",") if pair)

    def wanted(one: Object) -> bool:
        has = one["metadata"].get("labels") or {}
        return all(has.get(key) == value for key, value in labels.items()) and all(
            _at(one, path) == value for path, value in fields.items()
        )

    return wanted


def _at(one: Any, path: str) -> Any:
    for key in path.split("."):
        one = (one or {}).get(key)
    return one


def _merged(one: Object, patch: Object) -> Object:
    for key, value in patch.items():
        if value is None:
            one.pop(key, None)
        elif isinstance(value, dict) and isinstance(one.get(key), dict):
            _merged(one[key], value)
        else:
            one[key] = value
    return one


def _line(kind: str, one: Object) -> bytes:
    return json.dumps({"type": kind, "object": one}).encode() + b"\n"


def _status(code: int, reason: str, message: str, headers: dict[str, str] | None = None) -> web.Response:
    status = {"kind": "Status", "apiVersion": "v1", "code": code, "reason": reason, "message": message}
    return web.json_response(status, status=code, headers=headers)


def _described(answer: Object) -> Object:
    resources = [
        {
            "name": plural,
            "singularName": kind.lower(),
            "kind": kind,
            "namespaced": namespaced,
            "verbs": ["get", "list", "watch", "patch"],
        }
        for plural, kind, namespaced in answer.get("resources", ())
    ]
    return {**answer, "resources": resources} if resources else answer
