"""The fault proxy before a server that records what reaches it: what passes, what goes wrong, and what is counted."""

from __future__ import annotations

import asyncio
import gzip
import json
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from vdibench.lab.certificates import AUTHORITY, CERTIFICATE, KEY, write_certificates
from vdibench.lab.cluster.faults import Asked, Fault, FaultKind, FaultProxy, asked, refusal

PODS = "/api/v1/namespaces/vdi-sessions/pods"
POD = f"{PODS}/vdi-session-alice"
STATUS = "/apis/vdibench.io/v1alpha1/namespaces/vdi-sessions/vdisessions/alice/status"
PACKED = gzip.compress(b'{"kind":"PodList"}')
DEADLINE_SECONDS = 20.0


class Upstream:
    """Where the API server would be."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, dict[str, str], bytes]] = []
        self.watches: list[asyncio.Queue[bytes]] = []
        self.left = 0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.seen.append((request.method, request.raw_path, headers, await request.read()))
        if "watch" in request.query:
            return await self._watch(request)
        if request.path == PODS:
            packed = {"Content-Encoding": "gzip", "Content-Type": "application/json", "Audit-Id": "1"}
            return web.Response(body=PACKED, headers=packed)
        return web.Response(status=418, reason="As It Is", body=b"\x00\xff", headers={"Warning": '299 - "old"'})

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        events: asyncio.Queue[bytes] = asyncio.Queue()
        reply = web.StreamResponse(headers={"Content-Type": "application/json"})
        await reply.prepare(request)
        self.watches.append(events)
        try:
            while event := await events.get():
                await reply.write(event)
        finally:
            self.left += 1
        return reply


@asynccontextmanager
async def serving(upstream: Upstream) -> AsyncIterator[str]:
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", upstream.answer)
    runner = web.AppRunner(application, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    made = Upstream()
    async with serving(made) as url:
        made.url = url  # type: ignore[attr-defined]  # known once it listens
        yield made


@pytest.fixture
def proxy(upstream: Any) -> Iterator[FaultProxy]:
    with FaultProxy(upstream.url, seed=1).serving() as made:
        yield made


@pytest.fixture
async def client(proxy: FaultProxy) -> AsyncIterator[aiohttp.ClientSession]:
    timeout = aiohttp.ClientTimeout(total=DEADLINE_SECONDS)
    async with aiohttp.ClientSession(proxy.url, auto_decompress=False, timeout=timeout) as made:
        yield made


async def until(holds: Any, what: str) -> None:
    loop = asyncio.get_running_loop()
    end = loop.time() + DEADLINE_SECONDS
    while not holds():
        assert loop.time() < end, f"{what} did not come"
        await asyncio.sleep(0.01)  # another thread is at work, which tells nobody


@pytest.mark.parametrize(
    ("method", "path", "query", "content", "found"),
    [
        ("GET", PODS, {}, "", Asked("list", "pods")),
        ("GET", PODS, {"watch": "true"}, "", Asked("watch", "pods")),
        ("GET", POD, {}, "", Asked("get", "pods")),
        ("GET", f"{POD}/log", {}, "", Asked("get", "pods/log")),
        ("POST", PODS, {}, "application/json", Asked("create", "pods")),
        ("PUT", POD, {}, "application/json", Asked("update", "pods")),
        ("DELETE", POD, {}, "", Asked("delete", "pods")),
        ("PATCH", STATUS, {}, "application/merge-patch+json", Asked("patch", "vdisessions/status")),
        ("PATCH", POD, {}, "application/apply-patch+yaml", Asked("apply", "pods")),
        ("GET", "/api/v1/nodes", {"watch": "1"}, "", Asked("watch", "nodes")),
        ("GET", "/api/v1/namespaces/vdi-sessions", {}, "", Asked("get", "namespaces")),
        ("GET", "/apis/vdibench.io/v1alpha1", {}, "", Asked("get", "")),
        ("GET", "/readyz", {}, "", Asked("get", "")),
    ],
)
def test_what_is_asked_for(method: str, path: str, query: dict[str, str], content: str, found: Asked) -> None:
    assert asked(method, path, query, content) == found


def test_whom_a_fault_concerns() -> None:
    create, watch, read = Asked("create", "pods"), Asked("watch", "pods"), Asked("list", "pods")
    every = {kind: [Fault(kind).concerns(one) for one in (create, watch, read)] for kind in FaultKind}
    answers = {kind: [True, True, True] for kind in FaultKind}
    watches = {kind: [False, True, False] for kind in (FaultKind.CUT, FaultKind.TEAR, FaultKind.GONE)}
    others = {FaultKind.CONFLICT: [True, False, False], FaultKind.LOSE: [True, False, True]}
    assert every == answers | watches | others
    narrow = Fault(FaultKind.ERROR, verbs=frozenset({"create"}), resources=frozenset({"pods"}))
    assert [narrow.concerns(one) for one in (create, watch, Asked("create", "services"))] == [True, False, False]


def test_a_refusal_is_a_status_as_the_api_server_writes_it() -> None:
    code, headers, body = refusal(Fault(FaultKind.THROTTLE, seconds=1.2), Asked("create", "pods"))
    status = json.loads(body)
    assert (code, headers["Retry-After"], status["details"]) == (429, "2", {"retryAfterSeconds": 2})
    assert (status["kind"], status["reason"], status["code"]) == ("Status", "TooManyRequests", 429)


async def test_all_passes_byte_for_byte(upstream: Upstream, client: aiohttp.ClientSession, proxy: FaultProxy) -> None:
    path = f"{POD}?fieldManager=vdi%2Doperator&force=true"
    body = b'{"metadata": {"name": "\xc3\xa4"}}'
    sent = {"Authorization": "Bearer secret", "Content-Type": "application/apply-patch+yaml", "User-Agent": "it/1"}
    async with client.patch(URL(path, encoded=True), data=body, headers=sent) as answer:
        assert (answer.status, answer.reason, await answer.read()) == (418, "As It Is", b"\x00\xff")
        assert answer.headers["Warning"] == '299 - "old"'
    ((method, raw, headers, read),) = upstream.seen
    assert (method, raw, read) == ("PATCH", path, body)
    assert {name: headers[name.lower()] for name in sent} == sent

    async with client.get(PODS, headers={"Accept-Encoding": "gzip"}) as answer:
        assert answer.headers["Content-Encoding"] == "gzip"
        assert answer.headers["Audit-Id"] == "1"
        assert await answer.read() == PACKED
    assert proxy.counts() == {("passed", "apply", "pods"): 1, ("passed", "list", "pods"): 1}


async def test_a_watch_passes_as_it_comes(upstream: Upstream, client: aiohttp.ClientSession) -> None:
    async with client.get(f"{PODS}?watch=true") as answer:
        await until(lambda: upstream.watches, "the watch")
        for number in range(3):
            event = b'{"type":"ADDED","object":{"n":%d}}\n' % number
            upstream.watches[0].put_nowait(event)
            assert await answer.content.readline() == event, "before there is another one"
        upstream.watches[0].put_nowait(b"")
        assert await answer.content.read() == b"", "its end, too"


async def test_a_client_that_goes_takes_its_watch_along(upstream: Upstream, client: aiohttp.ClientSession) -> None:
    answer = await client.get(f"{PODS}?watch=true")
    await until(lambda: upstream.watches, "the watch")
    answer.close()
    await until(lambda: upstream.left == 1, "the end of the watch at the server")


@pytest.mark.parametrize(
    ("kind", "code"),
    [(FaultKind.CONFLICT, 409), (FaultKind.THROTTLE, 429), (FaultKind.ERROR, 500), (FaultKind.UNAVAILABLE, 503)],
)
async def test_an_answer_in_the_place_of_the_servers(
    upstream: Upstream, client: aiohttp.ClientSession, proxy: FaultProxy, kind: FaultKind, code: int
) -> None:
    proxy.set(Fault(kind))
    async with client.post(PODS, json={}) as answer:
        assert (answer.status, (await answer.json())["code"]) == (code, code)
    assert upstream.seen == []
    proxy.set()
    async with client.post(PODS, json={}) as answer:
        assert answer.status == 200
    assert proxy.counts() == {(kind, "create", "pods"): 1, ("passed", "create", "pods"): 1}
    assert (proxy.total(kind), proxy.total("passed")) == (1, 1)


@pytest.mark.parametrize(("kind", "reached"), [(FaultKind.DROP, 0), (FaultKind.LOSE, 1)])
async def test_a_connection_that_ends_without_a_word(
    upstream: Upstream, client: aiohttp.ClientSession, proxy: FaultProxy, kind: FaultKind, reached: int
) -> None:
    proxy.set(Fault(kind))
    with pytest.raises(aiohttp.ClientConnectionError):
        await client.post(PODS, json={})
    assert len(upstream.seen) == reached
    assert proxy.total(kind) == 1


async def test_slow_is_the_same_answer_later(
    upstream: Upstream, client: aiohttp.ClientSession, proxy: FaultProxy
) -> None:
    proxy.set(Fault(FaultKind.SLOW, seconds=30.0))
    waiting = asyncio.create_task(client.get(PODS))
    await until(lambda: proxy.total(FaultKind.SLOW), "the request")
    assert upstream.seen == []
    waiting.cancel()
    proxy.set(Fault(FaultKind.SLOW, seconds=0.01))
    async with client.get(PODS) as answer:
        assert await answer.read() == PACKED


async def test_a_share_of_requests_and_the_same_ones_for_a_seed(upstream: Any) -> None:
    async def refused() -> list[int]:
        with FaultProxy(upstream.url, seed=7).serving() as made:
            made.set(Fault(FaultKind.ERROR, share=0.3, verbs=frozenset({"list"})))
            async with aiohttp.ClientSession(made.url) as http:
                found = []
                for number in range(100):
                    async with http.get(PODS) as answer:
                        found += [number] if answer.status == 500 else []
                    async with http.post(PODS, json={}) as answer:
                        assert answer.status == 200
                return found

    first = await refused()
    assert 15 <= len(first) <= 45
    assert await refused() == first


async def test_watches_are_cut_in_three_ways(
    upstream: Upstream, client: aiohttp.ClientSession, proxy: FaultProxy
) -> None:
    event = b'{"type":"ADDED","object":{}}\n'
    for number, kind in enumerate((FaultKind.CUT, FaultKind.GONE, FaultKind.TEAR)):
        async with client.get(f"{PODS}?watch=true") as answer:
            await until(lambda n=number: len(upstream.watches) > n, "the watch")
            # An event of which a part has come is not cut in two but where the connection breaks.
            upstream.watches[number].put_nowait(event + event[:9])
            assert await answer.content.readexactly(len(event) + 9) == event + event[:9]
            assert proxy.cut(kind) == 1
            if kind is FaultKind.TEAR:
                with pytest.raises(aiohttp.ClientPayloadError):
                    await answer.content.read()
                continue
            upstream.watches[number].put_nowait(event[9:])
            rest = await answer.content.read()
            assert rest.startswith(event[9:])
            told = [json.loads(line) for line in rest[len(event) - 9 :].splitlines()]
            assert [(one["type"], one["object"]["code"]) for one in told] == (
                [("ERROR", 410)] if kind is FaultKind.GONE else []
            )
        assert proxy.total(kind) == 1
    await until(lambda: upstream.left == 3, "no watch stays open at the server")


async def test_watches_that_open_under_a_fault_are_cut_by_themselves(
    upstream: Upstream, client: aiohttp.ClientSession, proxy: FaultProxy
) -> None:
    proxy.set(Fault(FaultKind.CUT, seconds=0.05))
    async with client.get(f"{PODS}?watch=true") as answer:
        assert await answer.content.read() == b""
    assert proxy.counts() == {("cut", "watch", "pods"): 1}


async def test_only_watches_can_be_cut(proxy: FaultProxy) -> None:
    with pytest.raises(ValueError, match="error does not end a watch"):
        proxy.cut(FaultKind.ERROR)


async def test_a_server_that_is_away_is_seen_as_such() -> None:
    with FaultProxy("http://127.0.0.1:9").serving() as made:
        async with aiohttp.ClientSession(made.url) as http:
            with pytest.raises(aiohttp.ClientConnectionError):
                await http.post(PODS, json={})
        assert made.counts() == {("unreachable", "create", "pods"): 1}


async def test_tls_as_a_kubeconfig_wants_it(upstream: Any, tmp_path: Path) -> None:
    write_certificates(tmp_path)
    own = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    own.load_cert_chain(tmp_path / CERTIFICATE, tmp_path / KEY)
    with FaultProxy(upstream.url, tls=own).serving() as made:
        assert made.url.startswith("https://")
        known = ssl.create_default_context(cafile=str(tmp_path / AUTHORITY))
        connector = aiohttp.TCPConnector(ssl=known)
        async with aiohttp.ClientSession(made.url, connector=connector) as http, http.get(PODS) as answer:
            assert answer.status == 200
