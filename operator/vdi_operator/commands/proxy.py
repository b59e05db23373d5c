"""A reverse proxy on loopback for one person's browser, behind a link that opens once. Asyncio.

The link sets a cookie, and from then on the cookie is the key. The password is added on the way out: it is never in the
browser, in a URL or among a process' arguments. What other pages of the browser ask for is refused: a site is a host
without its port, so ``SameSite`` alone would let every other server on loopback in.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
import socket
import ssl
import time
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import aiohttp
from aiohttp import hdrs, web
from aiohttp.abc import AbstractResolver, ResolveResult
from multidict import CIMultiDict
from yarl import URL

__all__ = ["Gate", "Proxy", "Upstream"]

_HERE = "127.0.0.1"
_LINK = "/vdi-open/"
# Selkies sends messages of up to 32 MiB.
_LARGEST_MESSAGE = 64 * 1024 * 1024
_CONNECT_SECONDS, _SILENT_SECONDS = 5.0, 60.0
_END_SECONDS = 1.0

_HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
# Ours to say on the way out.
_NOT_OUT = _HOP_BY_HOP | {"host", "authorization", "cookie", "origin", "referer"}
# On the way back: this is another origin, without TLS.
_NOT_BACK = _HOP_BY_HOP | {"strict-transport-security", "www-authenticate"}
_NOT_OF_A_SOCKET = _NOT_OUT | {
    "sec-websocket-accept",
    "sec-websocket-extensions",
    "sec-websocket-key",
    "sec-websocket-protocol",
    "sec-websocket-version",
}
# Codes that a close frame must not hold (RFC 6455 §7.4.1).
_UNSAYABLE = (1004, 1005, 1006, 1015)
_GOING_AWAY = 1001

_WELCOME = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Desktop</title>
<meta http-equiv="refresh" content="0;url=/"><script>location.replace("/")</script></head>
<body><a href="/">Open the desktop</a></body></html>
"""


@dataclass(frozen=True, slots=True)
class Upstream:
    """The desktop's page.

    :param url: without trailing slash.
    :param connect: ``host:port`` to connect to in the place of the URL's own, empty for that; name and certificate
        stay the URL's.
    :param authority: PEM file of the certificate's authority, empty for the system's.
    """

    url: str
    username: str
    password: str = field(repr=False)
    connect: str = ""
    authority: str = ""


class Gate:
    """One link and the cookie that it is good for.

    :param seconds: so long the link opens.
    :param clock: monotonic seconds.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.path = _LINK + secrets.token_urlsafe(32)
        self.opened = asyncio.Event()
        self._cookie = secrets.token_urlsafe(32)
        self._clock = clock
        self._until = clock() + seconds

    def redeem(self, path: str) -> str | None:
        """The cookie's value for the link's path, the first time and in time; None otherwise."""
        if not _same(path, self.path) or self.opened.is_set() or self._clock() > self._until:
            return None
        self.opened.set()
        return self._cookie

    def admits(self, value: str) -> bool:
        """Whether a cookie has that value and the link was used."""
        return self.opened.is_set() and _same(value, self._cookie)


class Proxy:
    """Serves on a free port of loopback; an async context manager.

    :param upstream: where requests go.
    """

    def __init__(self, upstream: Upstream, gate: Gate) -> None:
        self._upstream = upstream
        self._gate = gate
        self._origin = "{0.scheme}://{0.netloc}".format(urlsplit(upstream.url))
        login = b64encode(f"{upstream.username}:{upstream.password}".encode()).decode()
        self._authorisation = f"Basic {login}"
        self._runner: web.AppRunner | None = None
        self._client: aiohttp.ClientSession | None = None
        self._port = 0

    @property
    def link(self) -> str:
        """What opens the desktop, once."""
        return f"http://{_HERE}:{self._port}{self._gate.path}"

    async def __aenter__(self) -> Self:
        """Serve.

        :raises OSError: the authority cannot be read, or there is no port.
        """
        tls = ssl.create_default_context(cafile=self._upstream.authority or None)
        resolver = _Elsewhere(self._upstream.connect) if self._upstream.connect else None
        self._client = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=tls, resolver=resolver, limit=0),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS, sock_read=_SILENT_SECONDS),
        )
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._take)
        # No log of requests: the link is one.
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=_END_SECONDS)
        try:
            await self._runner.setup()
            await web.TCPSite(self._runner, _HERE, 0).start()
        except BaseException:  # a cancellation too closes what was opened
            await self.close()
            raise
        self._port = int(self._runner.addresses[0][1])
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Serve no more, and cut what is open."""
        if self._runner is not None:
            await self._runner.cleanup()
        if self._client is not None:
            await self._client.close()

    # who may

    async def _take(self, request: web.Request) -> web.StreamResponse:
        if request.host != f"{_HERE}:{self._port}":
            return _said(403, f"this is served at {_HERE}:{self._port} alone")
        if request.path.startswith(_LINK):
            return self._welcome(request)
        if not self._gate.admits(request.cookies.get(self._cookie_name, "")):
            return _said(403, "open this desktop by the link that vdi-operator open has printed")
        if not self._own(request):
            return _said(403, "another page asks for this desktop: open it in a tab of its own")
        if request.headers.get(hdrs.UPGRADE, "").lower() == "websocket":
            return await self._tunnel(request)
        return await self._forward(request)

    def _welcome(self, request: web.Request) -> web.Response:
        """Trade the link for the cookie.

        With a page and not a redirect: a browser that came from elsewhere would not send a strict cookie along one.
        """
        if request.method != hdrs.METH_GET or "prefetch" in request.headers.get("Sec-Purpose", ""):
            return _said(405, "this link opens in a browser")
        value = self._gate.redeem(request.path)
        if value is None:
            return _said(410, "this link was used already, or its time is over: run vdi-operator open again")
        response = web.Response(text=_WELCOME, content_type="text/html", headers=_CLOSED)
        response.set_cookie(self._cookie_name, value, httponly=True, samesite="Strict", path="/")
        return response

    @property
    def _cookie_name(self) -> str:
        # Cookies do not tell ports apart: two open desktops have one each.
        return f"vdi-open-{self._port}"

    def _own(self, request: web.Request) -> bool:
        """Whether our own page asks, or the user typed the address."""
        origin = request.headers.get(hdrs.ORIGIN)
        if origin is not None:
            return origin == f"http://{_HERE}:{self._port}"
        return request.headers.get("Sec-Fetch-Site", "none") in ("same-origin", "none")

    # on the way

    @property
    def _open(self) -> aiohttp.ClientSession:
        if self._client is None:
            raise RuntimeError("use the proxy as 'async with Proxy(...)'")
        return self._client

    def _there(self, request: web.Request) -> URL:
        return URL(self._upstream.url + request.rel_url.raw_path_qs, encoded=True)

    def _headers(self, request: web.Request, without: frozenset[str]) -> CIMultiDict[str]:
        named = {name.strip().lower() for name in request.headers.get(hdrs.CONNECTION, "").split(",")}
        made = CIMultiDict(
            (name, value) for name, value in request.headers.items() if name.lower() not in without | named
        )
        others = {name: value for name, value in request.cookies.items() if name != self._cookie_name}
        if others:
            made[hdrs.COOKIE] = "; ".join(f"{name}={value}" for name, value in others.items())
        if hdrs.ORIGIN in request.headers:
            made[hdrs.ORIGIN] = self._origin  # Selkies refuses a foreign one
        made[hdrs.AUTHORIZATION] = self._authorisation
        return made

    async def _forward(self, request: web.Request) -> web.StreamResponse:
        response: web.StreamResponse | None = None
        try:
            async with self._open.request(
                request.method,
                self._there(request),
                headers=self._headers(request, _NOT_OUT),
                data=request.content if request.can_read_body else None,
                allow_redirects=False,
            ) as reply:
                if reply.status == 401:
                    return _said(502, "the desktop refuses the password of its Secret: suspend and resume the session")
                response = web.StreamResponse(status=reply.status, reason=reply.reason, headers=self._back(reply))
                await response.prepare(request)
                async for chunk in reply.content.iter_any():
                    await response.write(chunk)
                await response.write_eof()
                return response
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            if response is not None:
                raise  # half of an answer is told as such: the connection breaks
            return _said(502, f"the desktop does not answer ({error or type(error).__name__})")

    def _back(self, reply: aiohttp.ClientResponse) -> CIMultiDict[str]:
        made = CIMultiDict((name, value) for name, value in reply.headers.items() if name.lower() not in _NOT_BACK)
        location = made.get(hdrs.LOCATION, "")
        if location.startswith(f"{self._origin}/"):
            made[hdrs.LOCATION] = location.removeprefix(self._origin)
        return made

    async def _tunnel(self, request: web.Request) -> web.StreamResponse:
        offered = [word.strip() for word in request.headers.get(hdrs.SEC_WEBSOCKET_PROTOCOL, "").split(",")]
        try:
            there = await self._open.ws_connect(
                self._there(request),
                protocols=[word for word in offered if word],
                headers=self._headers(request, _NOT_OF_A_SOCKET),
                autoping=False,
                max_msg_size=_LARGEST_MESSAGE,
            )
        except aiohttp.WSServerHandshakeError as error:
            return _said(502 if error.status == 401 else error.status, "the desktop refuses this WebSocket")
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            return _said(502, f"the desktop does not answer ({error or type(error).__name__})")
        here = web.WebSocketResponse(
            protocols=[there.protocol] if there.protocol else (),
            autoping=False,
            max_msg_size=_LARGEST_MESSAGE,
            compress=False,
        )
        try:
            await here.prepare(request)
            await _both_ways(here, there)
        finally:
            await there.close()
        return here


# What the link's page says of itself.
_CLOSED: Mapping[str, str] = {
    hdrs.CACHE_CONTROL: "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
}


class _Elsewhere(AbstractResolver):
    """One address for every name."""

    def __init__(self, address: str) -> None:
        parts = urlsplit(f"//{address}")
        self._host, self._port = parts.hostname or "", parts.port or 443
        self._resolver = aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Where that is; TLS goes on asking for ``host``."""
        found = await self._resolver.resolve(self._host, self._port, socket.AF_UNSPEC)
        return [
            ResolveResult(
                hostname=host,
                host=one["host"],
                port=one["port"],
                family=one["family"],
                proto=one["proto"],
                flags=one["flags"],
            )
            for one in found
        ]

    async def close(self) -> None:
        """End the resolver."""
        await self._resolver.close()


async def _both_ways(here: web.WebSocketResponse, there: aiohttp.ClientWebSocketResponse) -> None:
    """Carry messages until one side closes; the other is closed with the same words."""
    out = asyncio.create_task(_pump(here, there))
    back = asyncio.create_task(_pump(there, here))
    try:
        await asyncio.wait({out, back}, return_when=asyncio.FIRST_COMPLETED)
        ended, other = (back, here) if back.done() else (out, there)
        code, text = ended.result()
        await other.close(code=code, message=text)
    finally:
        for task in (out, back):
            task.cancel()
        await asyncio.gather(out, back, return_exceptions=True)


async def _pump(
    source: web.WebSocketResponse | aiohttp.ClientWebSocketResponse,
    sink: web.WebSocketResponse | aiohttp.ClientWebSocketResponse,
) -> tuple[int, bytes]:
    """Carry one way; returns the close code and its text."""
    while True:
        message = await source.receive()
        try:
            if message.type is aiohttp.WSMsgType.TEXT:
                await sink.send_str(message.data)
            elif message.type is aiohttp.WSMsgType.BINARY:
                await sink.send_bytes(message.data)
            elif message.type is aiohttp.WSMsgType.PING:
                await sink.ping(message.data)
            elif message.type is aiohttp.WSMsgType.PONG:
                await sink.pong(message.data)
            elif message.type is aiohttp.WSMsgType.CLOSE:
                code = _GOING_AWAY if message.data in _UNSAYABLE else int(message.data)
                return code, str(message.extra or "").encode()
            else:  # it broke, or this side ended it
                return _GOING_AWAY, b""
        except ConnectionError:
            return _GOING_AWAY, b""  # the sink is gone: its own pump knows why


def _said(status: int, sentence: str) -> web.Response:
    return web.Response(status=status, text=f"{sentence}\n", headers={hdrs.CACHE_CONTROL: "no-store"})


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode())
