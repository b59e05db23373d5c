"""A server that plays the API server, and a client of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from vdi_operator.cluster.access import Access
from vdi_operator.cluster.kube import Client

from .api_server import NAMESPACE, Server, serving
from .standin import Standin


class Paused:
    """Stands in for sleeping between tries."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


@pytest.fixture
async def api() -> AsyncIterator[Server]:
    async with serving() as server:
        yield server


@pytest.fixture
def paused() -> Paused:
    return Paused()


@pytest.fixture
def counts() -> Counter[tuple[str, str, int]]:
    return Counter()


@pytest.fixture
async def client(api: Server, paused: Paused, counts: Counter[tuple[str, str, int]]) -> AsyncIterator[Client]:
    def counted(verb: str, kind: str, code: int) -> None:
        counts[(verb, kind, code)] += 1

    async with Client(Access(api.url), NAMESPACE, counted=counted, sleep=paused) as found:
        yield found


@pytest.fixture
def standin() -> Standin:
    return Standin()


@pytest.fixture
async def url(standin: Standin) -> AsyncIterator[str]:
    app = web.Application()
    app.add_routes([web.post("/v1/checks", standin.answer)])
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()
