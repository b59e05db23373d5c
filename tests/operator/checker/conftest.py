"""A checker that serves, stand-in desktops, and what asks it."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient, TestServer

from vdi_checker.check import Site, check
from vdi_checker.server import Look, Server, TokenFile
from vdi_checker.wish import Rules

# The stand-ins and certificates of the protocol tests.
sys.path.insert(0, str(Path(__file__).parents[2] / "protocol"))

TOKEN = "checkers-own-token"
HERE = Rules(domains=("127.0.0.1", "localhost", "vdi.test"), plain=True)

Asker = Callable[..., Awaitable[ClientResponse]]


@pytest.fixture
async def checker(tmp_path: Path) -> AsyncIterator[Callable[..., Awaitable[Asker]]]:
    """Serve with some site, rules or look; gives what posts a check to it."""
    async with AsyncExitStack() as stack:

        async def serve(
            site: Site | None = None, rules: Rules = HERE, look: Look | None = None, at_once: int = 8
        ) -> Asker:
            file = tmp_path / "token"
            file.write_text(f"{TOKEN}\n")
            server = Server(look or partial(check, site=site or Site()), rules, TokenFile(file), at_once=at_once)
            client = await stack.enter_async_context(TestClient(TestServer(server.application())))

            async def ask(token: str = TOKEN, path: str = "/v1/checks", **body: Any) -> ClientResponse:
                headers = {"Authorization": f"Bearer {token}"} if token else {}
                if path == "/v1/checks":
                    return await client.post(path, json=body, headers=headers)
                return await client.get(path)

            return ask

        yield serve


def wanted(url: str, **changes: Any) -> dict[str, Any]:
    """A request for a small desktop."""
    return {
        "url": url,
        "connect": "",
        "username": "user",
        "password": "nobody-guesses-this",
        "dialect": "selkies-2-webrtc",
        "width": 640,
        "height": 360,
        "framerate": 30,
        "timeoutSeconds": 10,
        **changes,
    }
