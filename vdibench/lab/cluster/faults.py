"""A proxy before an API server that makes it answer as on a bad night. Asyncio, in a thread of its own; loopback only.

A real server on a real port: a kubeconfig points at it, and what it has no fault for passes byte for byte, watches as
they come. Whoever asks is known by the token, which passes; a client certificate ends here, and what the proxy itself
has one for is in its ``trust``. Connections that become something else (exec, port-forward) do not pass.
"""

from __future__ import annotations

import asyncio
import json
import math
import random
import ssl
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

__all__ = ["PASSED", "UNREACHABLE", "Asked", "Fault", "FaultKind", "FaultProxy", "asked", "refusal"]

PASSED, UNREACHABLE = "passed", "unreachable"
"""What is counted of requests without a fault: answered by the API server, or not reached."""

_WRITES = frozenset({"create", "update", "patch", "apply", "delete"})
_CONNECT_SECONDS, _STARTING_SECONDS = 5.0, 20.0
# Of one connection, and so for nobody behind it (RFC 9110, 7.6.1).
_OWN = frozenset(
    {
        *("connection", "host", "keep-alive", "proxy-authenticate", "proxy-authorization"),
        *("te", "trailer", "transfer-encoding", "upgrade"),
    }
)
_UNSAID = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")
_TORN = b'{"type":"MODIFIED","object":{"kind":'


class FaultKind(StrEnum):
    """What can go wrong, and what a request or a watch then sees."""

    CONFLICT = "conflict"  # 409 to a write
    THROTTLE = "throttle"  # 429 with Retry-After
    ERROR = "error"  # 500
    UNAVAILABLE = "unavailable"  # 503
    SLOW = "slow"  # the answer of the API server, later
    DROP = "drop"  # the connection ends, and the API server has heard of nothing
    LOSE = "lose"  # the connection ends, and the API server has done it
    CUT = "cut"  # a watch ends between two events, as when its time is over
    TEAR = "tear"  # a watch's connection ends in the middle of an event
    GONE = "gone"  # a watch is told that its version is too old (410), and ends


_ANSWERS: Mapping[FaultKind, tuple[int, str, str]] = {
    FaultKind.CONFLICT: (409, "Conflict", "the object has been modified; please apply your changes to the latest one"),
    FaultKind.THROTTLE: (429, "TooManyRequests", "too many requests, please try again later"),
    FaultKind.ERROR: (500, "InternalError", "an error on the server has prevented the request from succeeding"),
    FaultKind.UNAVAILABLE: (503, "ServiceUnavailable", "the server is currently unable to handle the request"),
}
_OF_WATCHES = frozenset({FaultKind.CUT, FaultKind.TEAR, FaultKind.GONE})


class Asked(NamedTuple):
    """A request as RBAC has it, but for server-side apply, which is a verb of its own here.

    :param resource: plural, with what is below an object: ``vdisessions/status``; empty: none.
    """

    verb: str
    resource: str


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that goes wrong with a share of requests.

    :param share: 0 to 1, of the requests that it is for.
    :param seconds: THROTTLE: Retry-After; SLOW: how much later; watches: the longest that one lives.
    :param verbs: empty: all that it can happen to.
    :param resources: as in :class:`Asked`; empty: all.
    """

    kind: FaultKind
    share: float = 1.0
    seconds: float = 1.0
    verbs: frozenset[str] = frozenset()
    resources: frozenset[str] = frozenset()

    def concerns(self, one: Asked) -> bool:
        """Whether it can happen to such a request."""
        if self.kind in _OF_WATCHES:
            possible = one.verb == "watch"
        elif self.kind is FaultKind.CONFLICT:
            possible = one.verb in _WRITES
        else:
            # Of a watch there is no answer that could be lost.
            possible = self.kind is not FaultKind.LOSE or one.verb != "watch"
        return (
            possible
            and (not self.verbs or one.verb in self.verbs)
            and (not self.resources or one.resource in self.resources)
        )


def asked(method: str, path: str, query: Mapping[str, str], content_type: str = "") -> Asked:
    """What a request asks for. Pure."""
    words = path.strip("/").split("/")
    rest = words[2:] if words[0] == "api" else words[3:] if words[0] == "apis" else []
    if len(rest) > 2 and rest[0] == "namespaces":
        rest = rest[2:]
    resource = "/".join(rest[:1] + rest[2:])
    if method == "GET":
        if query.get("watch") in ("true", "1"):
            return Asked("watch", resource)
        return Asked("get" if len(rest) > 1 or not rest else "list", resource)
    if method == "PATCH":
        return Asked("apply" if content_type.startswith("application/apply-patch") else "patch", resource)
    return Asked({"POST": "create", "PUT": "update", "DELETE": "delete"}.get(method, method.lower()), resource)


def refusal(fault: Fault, one: Asked) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of an answer that the API server could have given. Pure."""
    code, reason, message = _ANSWERS[fault.kind]
    status: dict[str, Any] = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": code}
    status |= {"reason": reason, "message": f"{one.verb} {one.resource}: {message}"}
    headers = {"Content-Type": "application/json"}
    if fault.kind is FaultKind.THROTTLE:
        seconds = max(1, math.ceil(fault.seconds))
        status["details"] = {"retryAfterSeconds": seconds}
        headers["Retry-After"] = str(seconds)
    return code, headers, json.dumps(status).encode() + b"\n"


def _too_old() -> bytes:
    status: dict[str, Any] = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
    status |= {"message": "too old resource version", "reason": "Expired", "code": 410}
    return json.dumps({"type": "ERROR", "object": status}).encode() + b"\n"


@dataclass(eq=False, slots=True)
class _Watch:
    """One that is open; ``end`` is how it shall end, once that is known."""

    asked: Asked
    end: asyncio.Future[FaultKind]

    def cut(self, kind: FaultKind) -> None:
        if not self.end.done():
            self.end.set_result(kind)


class _ClientGone(Exception):
    """Whoever asked does not listen any more."""


class FaultProxy:
    """Use as ``with FaultProxy(url, trust=...).serving() as proxy``; all of it may be called from any thread.

    :param upstream: the API server, as ``https://host:port``.
    :param trust: what it is known by, and a certificate for those who come without a token; None: plain HTTP.
    :param tls: what the proxy shows itself; None: plain HTTP.
    :param seed: of the shares: the same requests in the same order have the same faults.
    """

    def __init__(
        self, upstream: str, *, trust: ssl.SSLContext | None = None, tls: ssl.SSLContext | None = None, seed: int = 0
    ) -> None:
        self._upstream = upstream.rstrip("/")
        self._trust = trust
        self._tls = tls
        self._random = random.Random(seed)
        self._faults: tuple[Fault, ...] = ()
        self._counts: Counter[tuple[str, str, str]] = Counter()
        self._lock = threading.Lock()
        self._watches: set[_Watch] = set()
        self._begun = threading.Event()
        self._failed: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="fault proxy", daemon=True)
        self._loop: asyncio.AbstractEventLoop
        self._end: asyncio.Event
        self._http: aiohttp.ClientSession
        self.url = ""
        """Where it is, once it serves."""

    @contextmanager
    def serving(self) -> Iterator[FaultProxy]:
        """While it answers.

        :raises OSError: it cannot listen.
        """
        self._thread.start()
        if not self._begun.wait(_STARTING_SECONDS) or self._failed is not None:
            raise OSError(f"the fault proxy does not start: {self._failed}") from self._failed
        try:
            yield self
        finally:
            self._loop.call_soon_threadsafe(self._end.set)
            self._thread.join()

    def set(self, *faults: Fault) -> None:
        """These from now on, in the place of those before; none heals. The first that is drawn for a request counts."""
        self._faults = faults

    def cut(self, kind: FaultKind) -> int:
        """End every watch that is open, and say how many there were.

        :param kind: CUT, TEAR or GONE.
        """
        if kind not in _OF_WATCHES:
            raise ValueError(f"{kind} does not end a watch")

        async def all_of_them() -> int:
            for watch in self._watches:
                watch.cut(kind)
            return len(self._watches)

        return asyncio.run_coroutine_threadsafe(all_of_them(), self._loop).result()

    def counts(self) -> dict[tuple[str, str, str], int]:
        """Fault, verb and resource -> how often; what had none is ``passed``, or ``unreachable``."""
        with self._lock:
            return dict(self._counts)

    def total(self, what: str) -> int:
        """How often there was a fault, whatever was asked."""
        return sum(count for (kind, _, _), count in self.counts().items() if kind == what)

    # its thread

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # an exception of a thread is nobody's: told by serving()
            self._failed = error
        finally:
            self._begun.set()

    async def _serve(self) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        connector = aiohttp.TCPConnector(ssl=self._trust if self._trust is not None else True, limit=0)
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS)
        async with aiohttp.ClientSession(
            connector=connector, timeout=timeout, auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()
        ) as self._http:
            application = web.Application(client_max_size=0)
            application.router.add_route("*", "/{path:.*}", self._answer)
            # A watch whose client has gone shall not stay open at the API server.
            runner = web.AppRunner(application, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
            await runner.setup()
            try:
                await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=self._tls).start()
                self.url = f"{'https' if self._tls else 'http'}://127.0.0.1:{runner.addresses[0][1]}"
                self._begun.set()
                await self._end.wait()
            finally:
                await runner.cleanup()

    def _count(self, what: str, one: Asked) -> None:
        with self._lock:
            self._counts[what, one.verb, one.resource] += 1

    def _drawn(self, one: Asked) -> Fault | None:
        for fault in self._faults:
            if fault.concerns(one) and self._random.random() < fault.share:
                return fault
        return None

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        one = asked(request.method, request.path, request.query, request.content_type)
        fault = self._drawn(one)
        if fault is None:
            return await self._pass(request, one)
        if fault.kind in _OF_WATCHES:
            return await self._pass(request, one, fault)
        self._count(fault.kind, one)
        if fault.kind in _ANSWERS:
            code, headers, body = refusal(fault, one)
            return web.Response(status=code, headers=headers, body=body)
        if fault.kind is FaultKind.SLOW:
            await asyncio.sleep(fault.seconds)  # which is the fault
        elif fault.kind is FaultKind.DROP:
            return _hung_up(request)
        return await self._pass(request, one, fault)

    async def _pass(self, request: web.Request, one: Asked, fault: Fault | None = None) -> web.StreamResponse:
        headers = CIMultiDict((name, value) for name, value in request.headers.items() if name.lower() not in _OWN)
        body = await request.read() if request.can_read_body else None
        try:
            async with self._http.request(
                request.method,
                URL(self._upstream + request.raw_path, encoded=True),
                headers=headers,
                data=body,
                allow_redirects=False,
                skip_auto_headers=_UNSAID,
            ) as answer:
                if fault is None:
                    self._count(PASSED, one)
                elif fault.kind is FaultKind.LOSE:
                    await answer.read()
                    return _hung_up(request)
                kept = CIMultiDict((key, value) for key, value in answer.headers.items() if key.lower() not in _OWN)
                reply = web.StreamResponse(status=answer.status, reason=answer.reason, headers=kept)
                try:
                    await reply.prepare(request)
                    if one.verb == "watch" and answer.status == 200:
                        await self._follow(request, answer, reply, one, fault)
                    else:
                        await _copy(answer, reply)
                except ConnectionResetError as error:
                    # Of ours: those of the way to the API server are ClientErrors of their reading.
                    raise _ClientGone from error
                return reply
        except _ClientGone:
            return _hung_up(request)
        except (aiohttp.ClientError, TimeoutError, OSError):
            # What a client without a proxy would see.
            self._count(UNREACHABLE, one)
            return _hung_up(request)

    async def _follow(
        self,
        request: web.Request,
        answer: aiohttp.ClientResponse,
        reply: web.StreamResponse,
        one: Asked,
        fault: Fault | None,
    ) -> None:
        """Pass a watch's events as they come, until it ends or is ended."""
        watch = _Watch(one, self._loop.create_future())
        self._watches.add(watch)
        timer = None
        if fault is not None and fault.kind in _OF_WATCHES:
            timer = self._loop.call_later(self._random.uniform(0.0, fault.seconds), watch.cut, fault.kind)
        reading: asyncio.Task[bytes] | None = None
        whole = True
        try:
            # Between events, unless it is to be torn.
            while not watch.end.done() or not (whole or watch.end.result() is FaultKind.TEAR):
                reading = reading or asyncio.create_task(_read(answer))
                waited: set[asyncio.Future[Any]] = {reading} if watch.end.done() else {reading, watch.end}
                await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
                if reading.done():
                    chunk, reading = reading.result(), None
                    if not chunk:
                        await reply.write_eof()
                        return
                    await reply.write(chunk)
                    whole = chunk.endswith(b"\n")
            await self._end_watch(request, reply, watch.end.result(), one)
        finally:
            self._watches.discard(watch)
            if timer is not None:
                timer.cancel()
            if reading is not None:
                reading.cancel()

    async def _end_watch(self, request: web.Request, reply: web.StreamResponse, kind: FaultKind, one: Asked) -> None:
        self._count(kind, one)
        if kind is FaultKind.GONE:
            await reply.write(_too_old())
        elif kind is FaultKind.TEAR:
            await reply.write(_TORN)
            _hung_up(request)
            return
        await reply.write_eof()


async def _read(answer: aiohttp.ClientResponse) -> bytes:
    """What has come; empty: the end."""
    return await answer.content.readany()


async def _copy(answer: aiohttp.ClientResponse, reply: web.StreamResponse) -> None:
    while chunk := await _read(answer):
        await reply.write(chunk)
    await reply.write_eof()


def _hung_up(request: web.Request) -> web.Response:
    """The end of a connection without a word; the answer is for aiohttp alone and reaches nobody."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()
