"""Requests to the API server, for the few things that an operator does. Asyncio, one pool of connections.

Every request ends in bounded time: a try takes at most :data:`REQUEST_SECONDS`, and there are as many as
:data:`RETRY_SECONDS` has pauses, plus one.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import Any

import aiohttp

from vdi_operator.api.objects import Kind, Object
from vdi_operator.cluster import errors
from vdi_operator.cluster.access import Access

__all__ = ["FIELD_MANAGER", "REQUEST_SECONDS", "RETRY_SECONDS", "UNMARKED", "Client", "Counted"]

# What server-side apply knows our fields by.
FIELD_MANAGER = "vdi-operator"
REQUEST_SECONDS = 10.0
# Pauses between tries of a request that got no answer, 429 or 5xx. A server that wants a longer one gets it from the
# queue instead: a worker that sleeps helps nobody.
RETRY_SECONDS = (0.1, 0.3, 1.0, 2.0)
_LONGEST_PAUSE_SECONDS = max(RETRY_SECONDS)
_CONNECT_SECONDS = 3.0
# Objects of one page of a list: decoding one must not hold up the loop for long.
_PAGE = 250
# The API server ends a watch after this long; spread, so that watches do not end together.
_WATCH_SECONDS = (300, 600)
# Bookmarks come about once a minute: a watch that is silent for longer is dead.
_SILENT_SECONDS = 90.0
# The API server has no bookmarks of these: it keeps them in no watch cache. It ends their watches before their silence
# could mean anything; that it answers the next one shows that it is there.
UNMARKED = frozenset({"Event"})
_UNMARKED_WATCH_SECONDS = (45, 75)

# Told of each request: verb, kind, HTTP status (0: no answer).
Counted = Callable[[str, str, int], None]


class Client:
    """An API server, and one namespace of it.

    :param namespace: of every request, but for kinds that have none.
    :param counted: told of each try.
    :param sleep: between tries; a test's does not wait.
    """

    def __init__(
        self,
        access: Access,
        namespace: str,
        *,
        counted: Counted = lambda verb, kind, code: None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._access = access
        self._namespace = namespace
        self._counted = counted
        self._sleep = sleep
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Client:
        self._session = self._access.session()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def get(self, kind: Kind, name: str) -> Object:
        """An object.

        :raises NotFound: there is none.
        :raises ApiError: anything else.
        """
        return await self._request("get", kind, name)

    async def pages(self, kind: Kind, *, labels: str = "", fields: str = "") -> AsyncIterator[tuple[list[Object], str]]:
        """All objects, page by page, each with the resourceVersion of the whole list.

        :param labels, fields: selectors.
        :raises Gone: it took so long that the list has gone stale: begin again.
        """
        params = _selecting(labels, fields) | {"limit": str(_PAGE)}
        while True:
            found = await self._request("list", kind, params=params)
            metadata = found.get("metadata") or {}
            items: list[Object] = found.get("items") or []
            for one in items:
                # A list says once what its items are.
                one.setdefault("apiVersion", kind.api_version)
                one.setdefault("kind", kind.name)
            yield items, str(metadata.get("resourceVersion", ""))
            if not metadata.get("continue"):
                return
            params["continue"] = str(metadata["continue"])

    async def create(self, kind: Kind, body: Object) -> Object:
        """A new object, as it is stored.

        :raises AlreadyExists: there is one; after a lost answer it may be ours.
        """
        return await self._request("create", kind, body=body, params={"fieldManager": FIELD_MANAGER})

    async def apply(self, kind: Kind, name: str, body: Object) -> Object:
        """Server-side apply, forced."""
        params = {"fieldManager": FIELD_MANAGER, "force": "true"}
        return await self._request("apply", kind, name, body=body, params=params)

    async def merge(self, kind: Kind, name: str, body: Object, *, dry: bool = False) -> Object:
        """Merge patch: null takes a field away, lists are replaced.

        :param dry: everything is checked and nothing written.
        """
        params = {"fieldManager": FIELD_MANAGER} | ({"dryRun": "All"} if dry else {})
        return await self._request("patch", kind, name, body=body, params=params)

    async def merge_status(self, kind: Kind, name: str, body: Object) -> Object:
        """Merge patch of the status, and of nothing else."""
        params = {"fieldManager": FIELD_MANAGER}
        return await self._request("patch", kind, name, below="/status", body=body, params=params)

    async def delete(self, kind: Kind, name: str, uid: str) -> Object:
        """Delete an object, if it is still the one with that uid.

        :returns: it, being deleted, or a Status when it is gone already.
        :raises Conflict: another one has its name by now.
        """
        body: Object = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        if uid:
            body["preconditions"] = {"uid": uid}
        return await self._request("delete", kind, name, body=body)

    async def watch(
        self, kind: Kind, since: str, *, labels: str = "", fields: str = "", opened: Callable[[], None] | None = None
    ) -> AsyncGenerator[tuple[str, Object], None]:
        """Events after a resourceVersion, bookmarks among them; ends when the server ends it, which is no fault.

        :param opened: called when the server has agreed.
        :raises Gone: that version is too old.
        :raises Unavailable: the connection broke, or was silent for longer than bookmarks allow.
        """
        what = f"watch {kind.plural}"
        params = _selecting(labels, fields) | {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": since,
            "timeoutSeconds": str(
                random.randint(*(_UNMARKED_WATCH_SECONDS if kind.name in UNMARKED else _WATCH_SECONDS))
            ),
        }
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS, sock_read=_SILENT_SECONDS)
        try:
            async with self._open.get(self._url(kind), params=params, timeout=timeout) as response:
                self._counted("watch", kind.name, response.status)
                if response.status != 200:
                    raise errors.of_answer(what, response.status, await response.read(), response.headers)
                if opened is not None:
                    opened()
                rest = b""
                async for chunk in response.content.iter_any():
                    *lines, rest = (rest + chunk).split(b"\n")
                    for line in lines:
                        if line:
                            yield _event(what, line)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise errors.Unavailable(what, 0, type(error).__name__, str(error)) from error

    @property
    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError("use the client as 'async with Client(...)'")
        return self._session

    def _url(self, kind: Kind, name: str = "") -> str:
        if kind.name == "Node":  # the only kind here that belongs to no namespace
            return f"{self._access.server}/api/v1/nodes" + (f"/{name}" if name else "")
        return self._access.server + kind.path(self._namespace, name)

    async def _request(
        self,
        verb: str,
        kind: Kind,
        name: str = "",
        *,
        below: str = "",
        body: Object | None = None,
        params: dict[str, str] | None = None,
    ) -> Object:
        """One request with its retries.

        :param below: of the object's path, such as ``/status``.
        """
        for pause in (*RETRY_SECONDS, None):
            try:
                return await self._try(verb, kind, name, below, body, params)
            except (errors.Unavailable, errors.TooManyRequests, errors.Unauthorized) as error:
                # 401: between a new token's file and our next look at it; or the server is starting.
                if pause is None or error.retry_after_seconds > _LONGEST_PAUSE_SECONDS:
                    raise
                # Spread, so that what failed together does not come back together.
                await self._sleep(max(pause * random.uniform(0.5, 1.0), error.retry_after_seconds))
        raise AssertionError("unreachable")

    async def _try(
        self, verb: str, kind: Kind, name: str, below: str, body: Object | None, params: dict[str, str] | None
    ) -> Object:
        method, content = _METHODS[verb]
        what = f"{verb} {kind.plural}{below}" + (f" {name}" if name else "")
        timeout = aiohttp.ClientTimeout(total=REQUEST_SECONDS, sock_connect=_CONNECT_SECONDS)
        data = None if body is None else json.dumps(body, separators=(",", ":")).encode()
        headers = {"Content-Type": content} if data is not None else None
        try:
            async with self._open.request(
                method, self._url(kind, name) + below, params=params, data=data, headers=headers, timeout=timeout
            ) as response:
                answer = await response.read()
                code = response.status
                retry = response.headers
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            self._counted(verb, kind.name, 0)
            raise errors.Unavailable(what, 0, type(error).__name__, str(error)) from error
        self._counted(verb, kind.name, code)
        if not 200 <= code < 300:
            raise errors.of_answer(what, code, answer, retry)
        return _document(what, answer)


# Verb -> HTTP method and what a body is.
_METHODS = {
    "get": ("GET", ""),
    "list": ("GET", ""),
    "create": ("POST", "application/json"),
    "apply": ("PATCH", "application/apply-patch+yaml"),  # JSON is YAML
    "patch": ("PATCH", "application/merge-patch+json"),
    "delete": ("DELETE", "application/json"),
}


def _selecting(labels: str, fields: str) -> dict[str, str]:
    params = {"labelSelector": labels, "fieldSelector": fields}
    return {key: value for key, value in params.items() if value}


def _document(what: str, answer: bytes) -> Object:
    try:
        found = json.loads(answer)
    except ValueError as error:
        raise errors.Unavailable(what, 0, "NotJson", f"the answer is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise errors.Unavailable(what, 0, "NotAnObject", "the answer is no object")
    return found


def _event(what: str, line: bytes) -> tuple[str, Object]:
    event: dict[str, Any] = _document(what, line)
    kind, one = str(event.get("type")), event.get("object")
    if not isinstance(one, dict):
        raise errors.Unavailable(what, 0, "NotAnEvent", "an event without an object")
    if kind == "ERROR":
        raise errors.of_status(what, one)
    return kind, one
