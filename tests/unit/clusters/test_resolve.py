"""An endpoint that is resolved by hand: connections go there, and everything else says the URL's own name."""

from __future__ import annotations

import ssl
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from aiohttp import web

from vdibench.client import open_http
from vdibench.errors import TargetUnavailable
from vdibench.records import Endpoint

# The certificates of the protocol tests.
sys.path.insert(0, str(Path(__file__).parents[2] / "protocol"))

from certificates import self_signed

HOST = "bob.vdi.test"


async def say_host(request: web.Request) -> web.StreamResponse:
    if request.headers.get("Upgrade", "").lower() == "websocket":
        channel = web.WebSocketResponse()
        await channel.prepare(request)
        await channel.send_str(request.headers["Host"])
        await channel.close()
        return channel
    return web.Response(text=request.headers["Host"])


@pytest.fixture
async def serve() -> AsyncIterator[Callable[..., object]]:
    runners: list[web.AppRunner] = []

    async def start(context: ssl.SSLContext | None = None) -> str:
        application = web.Application()
        application.router.add_get("/{path:.*}", say_host)
        runner = web.AppRunner(application)
        runners.append(runner)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        return f"127.0.0.1:{runner.addresses[0][1]}"

    yield start
    for runner in runners:
        await runner.cleanup()


async def test_the_server_hears_the_urls_own_name(serve) -> None:
    async with open_http(Endpoint(f"http://{HOST}", resolve=await serve())) as http:
        assert (await http.get("/")).body == HOST
        channel = await http.signalling("/ws")
        assert (await channel.receive()).data == HOST
        await channel.close()


async def test_tls_checks_the_urls_own_name(serve, tmp_path: Path) -> None:
    public, private = self_signed(tmp_path, hosts=[HOST], addresses=[])
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(public, private)
    where = await serve(context)
    async with open_http(Endpoint(f"https://{HOST}", ca_file=str(public), resolve=where)) as http:
        assert (await http.get("/")).body == HOST
    async with open_http(Endpoint("https://eve.vdi.test", ca_file=str(public), resolve=where)) as http:
        with pytest.raises(TargetUnavailable, match="no trusted TLS connection"):
            await http.get("/")
