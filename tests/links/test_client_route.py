"""HTTP and WebSockets of a session go where its route says; the server and TLS see the URL's own name."""

from __future__ import annotations

import socket
import ssl
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from vdibench.client import open_http
from vdibench.client.route import Route
from vdibench.errors import TargetUnavailable
from vdibench.links import RelayRoute
from vdibench.records import Endpoint

# Modules of the protocol tests.
sys.path.insert(0, str(Path(__file__).parents[1] / "protocol"))

from certificates import self_signed, server_side
from named_host import host_servers

NAMES = ("desktop.example", "192.0.2.7")


@dataclass
class Somewhere:
    """A route that knows one server only, whatever is asked for, through a link."""

    link: RelayRoute
    port: int
    asked: list[tuple[str, int]] = field(default_factory=list)
    sockets: int = 0
    hides_client: bool = True

    async def tcp(self, host: str, port: int) -> tuple[str, int]:
        self.asked.append((host, port))
        return self.link.open("127.0.0.1", self.port, udp=False)

    async def udp(self, host: str, port: int) -> tuple[str, int]:
        return self.link.open("127.0.0.1", self.port, udp=True)

    def addresses(self) -> list[str] | None:
        return self.link.addresses()

    def socket(self, family: int, kind: int) -> socket.socket:
        self.sockets += 1
        return self.link.socket(family, kind)


def certificate(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """For the names of the tests, by themselves."""
    public, private = self_signed(folder, hosts=NAMES[:1], addresses=NAMES[1:])
    return public, server_side(public, private)


@pytest.fixture
async def serve() -> AsyncIterator[Callable[..., Awaitable[int]]]:
    async with host_servers() as start:
        yield start


@pytest.mark.parametrize("name", NAMES)
async def test_a_server_hears_the_urls_own_name(serve, route, name: str) -> None:
    way = Somewhere(route(), await serve())
    checked: Route = way
    async with open_http(Endpoint(f"http://{name}:81"), checked) as http:
        assert (await http.get("/")).body == f"{name}:81"
    assert way.asked == [(name, 81)]
    assert way.sockets == 1
    assert way.link.counters().up.stream_bytes > 0


@pytest.mark.parametrize("name", NAMES)
async def test_tls_checks_the_urls_own_name(serve, route, tmp_path: Path, name: str) -> None:
    authority, context = certificate(tmp_path)
    way = Somewhere(route("delay=1ms"), await serve(context))
    async with open_http(Endpoint(f"https://{name}", ca_file=str(authority)), way) as http:
        assert (await http.get("/health")).body == name
    assert way.asked == [(name, 443)]


async def test_another_servers_certificate_is_refused(serve, route, tmp_path: Path) -> None:
    authority, context = certificate(tmp_path)
    way = Somewhere(route(), await serve(context))
    async with open_http(Endpoint("https://other.example", ca_file=str(authority)), way) as http:
        with pytest.raises(TargetUnavailable, match="no trusted TLS connection"):
            await http.get("/")


async def test_a_host_without_an_address_is_named(route) -> None:
    async with open_http(Endpoint("http://no-such-host.invalid"), route()) as http:
        with pytest.raises(TargetUnavailable, match=r"no-such-host\.invalid has no address"):
            await http.get("/")


async def test_a_link_delays_http(serve, route) -> None:
    link = route("delay=20ms")
    async with open_http(Endpoint(f"http://127.0.0.1:{await serve()}"), link) as http:
        began = time.monotonic()
        await http.get("/")
        took = time.monotonic() - began
    # The handshake's round trip, and the request's.
    assert took == pytest.approx(0.08, abs=0.02)
