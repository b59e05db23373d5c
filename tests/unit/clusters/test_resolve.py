"""An endpoint that is resolved by hand: connections go there, and everything else says the URL's own name."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from vdibench.client import open_http
from vdibench.errors import TargetUnavailable
from vdibench.records import Endpoint

# Modules of the protocol tests.
sys.path.insert(0, str(Path(__file__).parents[2] / "protocol"))

from certificates import self_signed, server_side
from named_host import host_servers

HOST = "bob.vdi.test"


@pytest.fixture
async def serve() -> AsyncIterator[Callable[..., Awaitable[int]]]:
    async with host_servers() as start:
        yield start


async def test_the_server_hears_the_urls_own_name(serve) -> None:
    async with open_http(Endpoint(f"http://{HOST}", resolve=f"127.0.0.1:{await serve()}")) as http:
        assert (await http.get("/")).body == HOST
        channel = await http.signalling("/ws")
        assert (await channel.receive()).data == HOST
        await channel.close()


async def test_tls_checks_the_urls_own_name(serve, tmp_path: Path) -> None:
    public, private = self_signed(tmp_path, hosts=[HOST], addresses=[])
    where = f"127.0.0.1:{await serve(server_side(public, private))}"
    async with open_http(Endpoint(f"https://{HOST}", ca_file=str(public), resolve=where)) as http:
        assert (await http.get("/")).body == HOST
    async with open_http(Endpoint("https://eve.vdi.test", ca_file=str(public), resolve=where)) as http:
        with pytest.raises(TargetUnavailable, match="no trusted TLS connection"):
            await http.get("/")
