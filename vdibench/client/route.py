"""The way of one session's packets, where it is not the direct one. :class:`Route` is the contract.

``vdibench.links`` has the ways there are: a user-space relay, and a network namespace. They fulfil the protocol
without importing it, since they stand below the client.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from typing import Any, Protocol
from weakref import WeakSet

import aiohttp
from aiohttp.abc import ResolveResult

from vdibench.client.stamped import StampedSocket

__all__ = ["Route", "connector"]


class Route(Protocol):
    """Where a session's packets go instead of straight to the desktop."""

    @property
    def hides_client(self) -> bool:
        """Our own candidates must not be told: the desktop has to learn us through the route alone."""

    async def tcp(self, host: str, port: int) -> tuple[str, int]:
        """Where HTTP and WebSocket go instead of ``host:port``; always the same answer for the same question."""

    async def udp(self, host: str, port: int) -> tuple[str, int]:
        """Where media goes instead of the desktop's candidate ``host:port``; the same answer for the same question."""

    def addresses(self) -> list[str] | None:
        """Host addresses to gather candidates on; None for those of the machine."""

    def socket(self, family: int, kind: int) -> socket.socket:
        """A fresh socket that starts the route, non-blocking and neither bound nor connected."""


_GOODBYE_SECONDS, _LOOK_SECONDS = 1.0, 0.005


class _Connector(aiohttp.TCPConnector):
    """Makes sockets that know when they were read, and is closed when all of them are."""

    def __init__(self, make: Callable[[int, int, int], StampedSocket]) -> None:
        super().__init__(socket_factory=lambda info: self._keep(make(info[0], info[1], info[2])))
        self._made: WeakSet[StampedSocket] = WeakSet()

    def _keep(self, made: StampedSocket) -> StampedSocket:
        self._made.add(made)
        return made

    async def close(self, **named: Any) -> None:
        """Close every connection.

        A WebSocket over TLS that was closed before is out of aiohttp's sight while it waits for the server's goodbye;
        nothing tells when that came, so it is looked for, and not for long.
        """
        await super().close(**named)
        deadline = time.monotonic() + _GOODBYE_SECONDS
        while any(made.fileno() >= 0 for made in self._made) and time.monotonic() < deadline:  # noqa: ASYNC110  # see above
            await asyncio.sleep(_LOOK_SECONDS)  # nothing tells, see above


class _DirectedConnector(_Connector):
    """Connects where it is told to; the Host header, the name asked for by TLS and its check stay the URL's.

    One private method of aiohttp's connector is replaced: its public resolver is not asked for numeric hosts.
    ``tests/links/test_client_route.py`` fails when a release of aiohttp changes it.
    """

    def __init__(self, route: Route | None, resolve: str) -> None:
        if route is None:
            super().__init__(StampedSocket)
        else:
            super().__init__(lambda family, kind, _: StampedSocket.adopt(route.socket(family, kind)))
        self._route = route
        self._resolve = resolve

    async def _resolve_host(self, host: str, port: int, traces: Any = None) -> list[ResolveResult]:
        address, actual_port = _parted(self._resolve) if self._resolve else (host, port)
        if self._route is not None:
            address, actual_port = await self._route.tcp(address, actual_port)
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=actual_port,
                family=family,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
        ]


def connector(route: Route | None, resolve: str = "") -> aiohttp.TCPConnector:
    """What a client session connects by, with sockets that know when they were read. Needs a running loop.

    :param resolve: ``HOST:PORT`` that takes the place of whatever a URL names; empty for what it names.
    """
    if route is None and not resolve:
        return _Connector(StampedSocket)
    return _DirectedConnector(route, resolve)


def _parted(address: str) -> tuple[str, int]:
    """Host and port of ``192.0.2.7:443`` or ``[2001:db8::7]:443``."""
    host, _, port = address.rpartition(":")
    return host.removeprefix("[").removesuffix("]"), int(port)
