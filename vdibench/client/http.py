"""The HTTP side of a desktop: detection, RTC configuration, the signalling WebSocket. I/O on aiohttp.

Every refusal becomes one of our errors, with its cause and a remedy.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import aiohttp

from vdibench.client.refusals import forbidden, not_wanted, unauthorised, unreachable
from vdibench.client.route import Route, connector
from vdibench.errors import NotADesktop, UsageError, VdibenchError
from vdibench.records import Endpoint
from vdibench.selkies import (
    HEALTH_PATHS,
    SIGNALLING_PATH,
    SLOW_PATHS,
    Detection,
    Dialect,
    IceServer,
    Probe,
    classify,
    next_path,
    parse_rtc_configuration,
    token_cookies,
    token_protocols,
)
from vdibench.selkies.detection import HEALTH_PATH, STATUS_PATH
from vdibench.selkies.ice_servers import RTC_CONFIGURATION_PATH

__all__ = ["DesktopHttp", "open_http"]

_TIMEOUT = aiohttp.ClientTimeout(total=10, connect=5)
# 1.6 sleeps up to 4 s at a time between answers, and a proxy in front of it may ask twice.
_SLOW_TIMEOUT = aiohttp.ClientTimeout(total=15, connect=5)
_BODY_LIMIT = 64 * 1024
# A desktop that was just started answers 503 or has no peer yet for a moment.
START_SECONDS = 10.0
_RETRY_SECONDS = 0.2
# How long one question about the dialect may take before the next ones are put beside it.
PATIENCE_SECONDS = 0.5


class DesktopHttp:
    """Requests to one desktop; made by :func:`open_http`."""

    def __init__(self, client: aiohttp.ClientSession, endpoint: Endpoint) -> None:
        self._client = client
        self._endpoint = endpoint
        self._tls: ssl.SSLContext | bool = _tls(endpoint)
        self._secure = False
        # A proxy may hide either.
        self._telling = STATUS_PATH

    async def get(self, path: str) -> Probe:
        """``GET`` below the desktop's URL; redirects are told, not followed.

        :raises TargetUnavailable: nothing answers; the message names the cause.
        """
        return await self._get(self._endpoint.url, path)

    async def _get(self, base: str, path: str) -> Probe:
        timeout = _SLOW_TIMEOUT if path in SLOW_PATHS else _TIMEOUT
        cookies = token_cookies(self._endpoint.token)
        try:
            async with self._client.get(
                base + path, ssl=self._tls, allow_redirects=False, timeout=timeout, cookies=cookies
            ) as reply:
                body = await _body(reply)
                location = reply.headers.get(aiohttp.hdrs.LOCATION, "")
                challenge = reply.headers.get(aiohttp.hdrs.WWW_AUTHENTICATE, "")
                text = body.decode(errors="replace")
                return Probe(path, reply.status, text, location, challenge)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise unreachable(self._endpoint, error) from error

    async def date(self) -> tuple[float, float, int] | None:
        """What time the desktop's own web server has.

        :return: our clock before the request and after the reply, its clock in whole Unix seconds in between; None
            where something that stands in front of it may have stated another time.
        :raises TargetUnavailable: nothing answers.
        """
        sent, received, reply = await self._told()
        if reply.status == 404 and self._telling == STATUS_PATH:
            self._telling = HEALTH_PATH
            sent, received, reply = await self._told()
        headers = reply.headers
        if reply.status != 200 or "aiohttp/" not in headers.get(aiohttp.hdrs.SERVER, "") or aiohttp.hdrs.AGE in headers:
            return None
        try:
            date = parsedate_to_datetime(headers.get(aiohttp.hdrs.DATE, "")).timestamp()
        except (ValueError, OverflowError):
            return None
        return sent, received, int(date)

    async def _told(self) -> tuple[float, float, aiohttp.ClientResponse]:
        """A reply that has the time, and our clock before its request and after it."""
        try:
            sent = time.time()
            async with self._client.get(
                self._endpoint.url + self._telling, ssl=self._tls, allow_redirects=False
            ) as reply:
                received = time.time()
                await _body(reply)  # the next question needs no connection of its own then
                return sent, received, reply
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise unreachable(self._endpoint, error) from error

    async def detect(self) -> Detection:
        """Say which dialect answers.

        :raises AuthenticationError: what would tell it wants credentials.
        """
        probes = await self._ask(self._endpoint.url)
        detection = classify(probes)
        self._secure = detection.secure
        if detection.dialect is None:
            for probe in probes:
                if probe.status == 401:
                    raise unauthorised(self._endpoint, token=probe.wants_token)
                if probe.status == 403:
                    raise forbidden(self._endpoint)
        return detection

    async def _ask(self, base: str) -> list[Probe]:
        """One after the other; all at once where the first keeps us waiting, since 1.6 sleeps before each."""
        asked: dict[str, asyncio.Task[Probe]] = {}
        probes: list[Probe] = []

        def ask(path: str) -> asyncio.Task[Probe]:
            if path not in asked:
                asked[path] = asyncio.get_running_loop().create_task(self._get(base, path))
            return asked[path]

        try:
            while (path := next_path(probes)) is not None:
                if not (await asyncio.wait({ask(path)}, timeout=PATIENCE_SECONDS))[0]:
                    for other in HEALTH_PATHS:
                        ask(other)
                probes.append(await asked[path])
        finally:
            for task in asked.values():
                task.cancel()
            await asyncio.gather(*asked.values(), return_exceptions=True)
        return probes

    async def detect_or_refuse(self, wanted: Dialect | None = None) -> Detection:
        """Detect, and insist on a desktop that we can use; on ``wanted`` where one is named.

        :raises NotADesktop: another dialect, or no desktop at all.
        :raises AuthenticationError: it wants a session token, and there is none.
        """
        detection = await self.detect()
        if detection.dialect is None:
            raise not_wanted(self._endpoint, detection, wanted, await self._elsewhere())
        if wanted not in (None, detection.dialect):
            raise not_wanted(self._endpoint, detection, wanted)
        if detection.secure and not self._endpoint.token:
            raise unauthorised(self._endpoint, token=True)
        return detection

    async def _elsewhere(self) -> str:
        """The root of the host when a desktop answers there, and not below the path that we were given."""
        parts = urlsplit(self._endpoint.url)
        root = f"{parts.scheme}://{parts.netloc}"
        if root == self._endpoint.url:
            return ""
        with suppress(VdibenchError):  # a guess; what answers at the path given is told already
            if classify(await self._ask(root)).dialect is not None:
                return root
        return ""

    async def ice_servers(self, path: str = RTC_CONFIGURATION_PATH) -> tuple[IceServer, ...]:
        """The STUN and TURN servers that the desktop hands out.

        :param path: where it does so.
        :raises AuthenticationError: wrong or missing password or token.
        """
        deadline = time.monotonic() + START_SECONDS
        while (probe := await self.get(path)).status == 503:
            if time.monotonic() > deadline:
                break
            await asyncio.sleep(_RETRY_SECONDS)  # 503: the desktop still starts
        if probe.status == 401:
            raise unauthorised(self._endpoint, token=probe.wants_token or self._secure)
        if probe.status == 403:
            raise forbidden(self._endpoint)
        if probe.status != 200:
            return ()
        return parse_rtc_configuration(probe.body)

    async def signalling(self, path: str = SIGNALLING_PATH) -> aiohttp.ClientWebSocketResponse:
        """Open a signalling WebSocket; a session token goes into its HELLO, not along with this."""
        return await self.websocket(path)

    async def websocket(
        self, path: str, *, max_message_bytes: int = 1 << 20, with_token: bool = False
    ) -> aiohttp.ClientWebSocketResponse:
        """Open a WebSocket below the desktop's URL, waiting for a desktop that is just starting.

        :param max_message_bytes: larger messages end it.
        :param with_token: offer the session token, where there is one, as a subprotocol.
        :raises AuthenticationError: wrong or missing password or token.
        :raises TargetUnavailable: no WebSocket to be had.
        """
        deadline = time.monotonic() + START_SECONDS
        protocols = token_protocols(self._endpoint.token) if with_token else ()
        while True:
            try:
                return await self._client.ws_connect(
                    self._endpoint.url + path,
                    ssl=self._tls,
                    heartbeat=None,
                    max_msg_size=max_message_bytes,
                    protocols=protocols,
                )
            except aiohttp.WSServerHandshakeError as error:
                if error.status == 401:
                    # The stream's socket refuses a missing token without naming a scheme.
                    challenge = error.headers.get(aiohttp.hdrs.WWW_AUTHENTICATE, "") if error.headers else ""
                    token = self._secure and not challenge.lower().startswith("basic")
                    raise unauthorised(self._endpoint, token=token) from error
                if error.status == 403:
                    raise forbidden(self._endpoint) from error
                if error.status != 503 or time.monotonic() > deadline:
                    raise NotADesktop(
                        f"{self._endpoint.url} refuses a WebSocket at {path} (HTTP {error.status})",
                        "check its mode, and that what stands in front of it passes WebSockets on",
                    ) from error
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                raise unreachable(self._endpoint, error) from error
            await asyncio.sleep(_RETRY_SECONDS)  # 503: the desktop still starts


@asynccontextmanager
async def open_http(endpoint: Endpoint, route: Route | None = None) -> AsyncIterator[DesktopHttp]:
    """Open a client for ``endpoint``; Basic credentials go out unasked, as both Selkies generations want it.

    :param route: the way of every connection; None for the direct one. Neither the Host header nor TLS notices.
    """
    headers = {}
    if (credentials := endpoint.credentials) is not None:
        token = b64encode(f"{credentials.user}:{credentials.password}".encode()).decode()
        headers[aiohttp.hdrs.AUTHORIZATION] = f"Basic {token}"
    way = connector(route, endpoint.resolve)
    async with aiohttp.ClientSession(headers=headers, timeout=_TIMEOUT, connector=way) as client:
        yield DesktopHttp(client, endpoint)


async def _body(reply: aiohttp.ClientResponse) -> bytes:
    """As much of it as we care for; the connection is closed instead of reading on."""
    body = b""
    async for part in reply.content.iter_any():
        body += part
        if len(body) >= _BODY_LIMIT:
            reply.close()
            break
    return body[:_BODY_LIMIT]


def _tls(endpoint: Endpoint) -> ssl.SSLContext | bool:
    if endpoint.insecure:
        return False
    if not endpoint.ca_file:
        return True
    try:
        return ssl.create_default_context(cafile=endpoint.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(f"cannot read the CA file {endpoint.ca_file}: {error}", "give a PEM file") from error
