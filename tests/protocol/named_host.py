"""Web servers that say which host they were asked as, over HTTP and over a WebSocket."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web


async def _say_host(request: web.Request) -> web.StreamResponse:
    if request.headers.get("Upgrade", "").lower() == "websocket":
        channel = web.WebSocketResponse()
        await channel.prepare(request)
        await channel.send_str(request.headers["Host"])
        await channel.close()
        return channel
    return web.Response(text=request.headers["Host"])


@asynccontextmanager
async def host_servers() -> AsyncIterator[Callable[..., Awaitable[int]]]:
    """Starts servers on free ports of loopback, with TLS where a context is given; gives their ports."""
    runners: list[web.AppRunner] = []

    async def start(context: ssl.SSLContext | None = None) -> int:
        application = web.Application()
        application.router.add_get("/{path:.*}", _say_host)
        runner = web.AppRunner(application)
        runners.append(runner)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        return int(runner.addresses[0][1])

    yield start
    for runner in runners:
        await runner.cleanup()
