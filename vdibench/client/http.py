"""The HTTP side of a desktop: detection, RTC configuration, the signalling WebSocket. I/O on aiohttp.

Every refusal becomes one of our errors, with its cause and a remedy.
"""

from __future__ import annotations

import asyncio
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp

from vdibench.client.route import Route, connector
from vdibench.errors import AuthenticationError, NotADesktop, TargetUnavailable, UsageError, VdibenchError
from vdibench.records import Endpoint
from vdibench.selkies import (
    HEALTH_PATHS,
    SIGNALLING_PATH,
    Detection,
    Dialect,
    IceServer,
    Probe,
    classify,
    parse_rtc_configuration,
)
from vdibench.selkies.ice_servers import RTC_CONFIGURATION_PATH

__all__ = ["DesktopHttp", "open_http"]

_TIMEOUT = aiohttp.ClientTimeout(total=10, connect=5)
_BODY_LIMIT = 64 * 1024
# A desktop that was just started answers 503 or has no peer yet for a moment.
START_SECONDS = 10.0
_RETRY_SECONDS = 0.2


class DesktopHttp:
    """Requests to one desktop; made by :func:`open_http`."""

    def __init__(self, client: aiohttp.ClientSession, endpoint: Endpoint) -> None:
        self._client = client
        self._endpoint = endpoint
        self._tls: ssl.SSLContext | bool = _tls(endpoint)

    async def get(self, path: str) -> Probe:
        """``GET`` below the desktop's URL.

        :raises TargetUnavailable: nothing answers; the message names the cause.
        """
        try:
            async with self._client.get(self._endpoint.url + path, ssl=self._tls, allow_redirects=False) as reply:
                body = b""
                async for part in reply.content.iter_any():
                    body += part
                    if len(body) >= _BODY_LIMIT:
                        break
                location = reply.headers.get(aiohttp.hdrs.LOCATION, "")
                return Probe(path, reply.status, body[:_BODY_LIMIT].decode(errors="replace"), location)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise _unreachable(self._endpoint, error) from error

    async def detect(self) -> Detection:
        """Say which dialect answers.

        :raises AuthenticationError: the health pages themselves want credentials.
        """
        probes = []
        for path in HEALTH_PATHS:
            probe = await self.get(path)
            probes.append(probe)
            detection = classify(probes)
            if detection.dialect is not None and detection.statement != "Selkies 2.x of unstated mode":
                return detection
        detection = classify(probes)
        if detection.dialect is None and any(probe.status == 401 for probe in probes):
            raise _unauthorised(self._endpoint)
        return detection

    async def detect_or_refuse(self, wanted: Dialect | None = None) -> Detection:
        """Detect, and insist on a desktop; on ``wanted`` where one is named.

        :raises NotADesktop: another dialect, or no desktop at all.
        """
        detection = await self.detect()
        if detection.dialect is not None and wanted in (None, detection.dialect):
            return detection
        remedy = "check the URL; it must be the page of a Selkies desktop"
        if detection.dialect is not None:
            remedy = f"measure it as {detection.dialect}, or start it so that it speaks {wanted}"
        elif detection.starting:
            remedy = "wait until the desktop has started, or look at what stands in front of it (ingress, proxy)"
        elif detection.location:
            remedy = "give the address that it redirects to"
        raise NotADesktop(f"{self._endpoint.url} is {detection.statement}", remedy)

    async def ice_servers(self) -> tuple[IceServer, ...]:
        """The STUN and TURN servers that the desktop hands out."""
        deadline = asyncio.get_running_loop().time() + START_SECONDS
        while (probe := await self.get(RTC_CONFIGURATION_PATH)).status == 503:
            if asyncio.get_running_loop().time() > deadline:
                break
            await asyncio.sleep(_RETRY_SECONDS)
        if probe.status == 401:
            raise _unauthorised(self._endpoint)
        if probe.status != 200:
            return ()
        return parse_rtc_configuration(probe.body)

    async def signalling(self) -> aiohttp.ClientWebSocketResponse:
        """Open the signalling WebSocket, waiting for a desktop that is just starting.

        :raises AuthenticationError: wrong or missing credentials.
        :raises TargetUnavailable: no WebSocket to be had.
        """
        deadline = asyncio.get_running_loop().time() + START_SECONDS
        while True:
            try:
                return await self._client.ws_connect(
                    self._endpoint.url + SIGNALLING_PATH, ssl=self._tls, heartbeat=None, max_msg_size=1 << 20
                )
            except aiohttp.WSServerHandshakeError as error:
                if error.status in (401, 403):
                    raise _unauthorised(self._endpoint) from error
                if error.status != 503 or asyncio.get_running_loop().time() > deadline:
                    raise NotADesktop(
                        f"{self._endpoint.url} refuses signalling (HTTP {error.status})",
                        "check that it is Selkies 2.x in WebRTC mode",
                    ) from error
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                raise _unreachable(self._endpoint, error) from error
            await asyncio.sleep(_RETRY_SECONDS)


@asynccontextmanager
async def open_http(endpoint: Endpoint, route: Route | None = None) -> AsyncIterator[DesktopHttp]:
    """Open a client for ``endpoint``; Basic credentials go out unasked, as both Selkies generations want it.

    :param route: the way of every connection; None for the direct one. Neither the Host header nor TLS notices.
    """
    headers = {}
    if (credentials := endpoint.credentials) is not None:
        token = b64encode(f"{credentials.user}:{credentials.password}".encode()).decode()
        headers[aiohttp.hdrs.AUTHORIZATION] = f"Basic {token}"
    async with aiohttp.ClientSession(headers=headers, timeout=_TIMEOUT, connector=connector(route)) as client:
        yield DesktopHttp(client, endpoint)


def _tls(endpoint: Endpoint) -> ssl.SSLContext | bool:
    if endpoint.insecure:
        return False
    if not endpoint.ca_file:
        return True
    try:
        return ssl.create_default_context(cafile=endpoint.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(f"cannot read the CA file {endpoint.ca_file}: {error}", "give a PEM file") from error


def _unauthorised(endpoint: Endpoint) -> AuthenticationError:
    if endpoint.credentials is None:
        return AuthenticationError(
            f"{endpoint.url} wants a user and a password",
            "give --user and set VDIBENCH_PASSWORD or --password-file",
        )
    return AuthenticationError(
        f"{endpoint.url} refused user {endpoint.credentials.user!r} and the password given",
        "check --user and VDIBENCH_PASSWORD or --password-file",
    )


def _unreachable(endpoint: Endpoint, error: BaseException) -> VdibenchError:
    url = endpoint.url
    if isinstance(error, aiohttp.InvalidURL | aiohttp.NonHttpUrlClientError):
        return UsageError(f"{url!r} is not a URL", "give one such as https://desktop.example.com")
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientConnectorSSLError):
        return TargetUnavailable(
            f"no trusted TLS connection to {url}: {error.os_error if hasattr(error, 'os_error') else error}",
            "give --ca-file for an own authority, or --insecure to accept any certificate",
        )
    if isinstance(error, TimeoutError):
        return TargetUnavailable(f"nothing answers at {url}: timed out", "check address, route and firewall")
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return TargetUnavailable(f"the host of {url} has no address", "check the name and the DNS")
    if isinstance(error, aiohttp.ClientConnectorError):
        reason = error.os_error.strerror or str(error.os_error)
        if isinstance(error.os_error, ConnectionRefusedError):
            reason = "connection refused"
        return TargetUnavailable(f"nothing answers at {url}: {reason}", "check that the desktop runs, and its port")
    if isinstance(error, aiohttp.ClientResponseError | aiohttp.ServerDisconnectedError):
        return NotADesktop(f"{url} does not speak HTTP as a desktop does: {error}", "check the URL")
    return TargetUnavailable(f"the connection to {url} broke: {error}", "check the desktop's log")
