"""A desktop as the proxy meets it: a password, files, redirects, uploads and a WebSocket. In a thread of its own."""

from __future__ import annotations

import asyncio
import base64
import ssl
import threading
from dataclasses import dataclass, field

from aiohttp import WSMsgType, web

USER, PASSWORD = "user", "nobody-guesses-this"


@dataclass
class Asked:
    """A request."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Desktop:
    """The server; a context manager."""

    tls: ssl.SSLContext | None = None
    password: str = PASSWORD
    asked: list[Asked] = field(default_factory=list)
    closed: list[int | None] = field(default_factory=list)
    port: int = 0

    def __enter__(self) -> Desktop:
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="desktop")
        self._thread.start()
        assert self._ready.wait(20)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(20)
        assert not self._thread.is_alive()

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._take)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=self.tls).start()
        self.port = runner.addresses[0][1]
        self._ready.set()
        try:
            await self._stop.wait()
        finally:
            await runner.cleanup()

    async def _take(self, request: web.Request) -> web.StreamResponse:
        upgrade = request.headers.get("Upgrade", "").lower() == "websocket"
        body = b"" if upgrade else await request.read()
        self.asked.append(Asked(request.method, request.raw_path, dict(request.headers), body))
        login = base64.b64encode(f"{USER}:{self.password}".encode()).decode()
        if request.headers.get("Authorization") != f"Basic {login}":
            return web.Response(status=401, headers={"WWW-Authenticate": 'Basic realm="desktop"'})
        if upgrade:
            return await self._talk(request)
        if request.path == "/moved":
            return web.Response(status=302, headers={"Location": f"http://{request.headers['Host']}/elsewhere?x=1"})
        if request.path == "/packed":
            reply = web.Response(text="packed " * 100)
            reply.enable_compression()
            return reply
        headers = {"Strict-Transport-Security": "max-age=1", "X-Own": "kept"}
        return web.Response(text=f"page {request.path}", headers=headers)

    async def _talk(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(protocols=("selkies",))
        await socket.prepare(request)
        async for message in socket:
            if message.type is WSMsgType.TEXT and message.data == "end":
                await socket.close(code=4000, message=b"stopped")
            elif message.type is WSMsgType.TEXT:
                await socket.send_str(f"{request.raw_path} {message.data}")
            elif message.type is WSMsgType.BINARY:
                await socket.send_bytes(message.data[::-1])
        self.closed.append(socket.close_code)
        return socket
