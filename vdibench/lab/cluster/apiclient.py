"""What a cluster lab asks and tells its API server while it comes up. Asyncio."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp

from vdibench.lab.cluster.addresses import NODE, Addresses

__all__ = ["ApiClient", "ApplyRefused", "http_answers"]

_LOOK_SECONDS = 0.05
_KNOWN_SECONDS = 10.0
_ANSWER_SECONDS = aiohttp.ClientTimeout(total=5)


class ApplyRefused(Exception):
    """The API server does not take an object: which, and its words."""


class ApiClient:
    """The administrator's view."""

    def __init__(self, pki: Path, addresses: Addresses) -> None:
        context = ssl.create_default_context(cafile=str(pki / "ca.crt"))
        context.load_cert_chain(pki / "admin.crt", pki / "admin.key")
        self._session = aiohttp.ClientSession(
            addresses.api, connector=aiohttp.TCPConnector(ssl=context), timeout=_ANSWER_SECONDS
        )

        self._resources: dict[tuple[str, str], tuple[str, bool]] = {}

    async def get(self, path: str) -> Any | None:
        """What is there: parsed JSON, or the text of what is none; None where there is nothing yet."""
        try:
            async with self._session.get(path) as answer:
                if not answer.ok:
                    return None
                return await answer.json() if "json" in answer.content_type else await answer.text()
        except (aiohttp.ClientError, TimeoutError):
            return None

    async def until(self, path: str, holds: Callable[[Any], bool] = lambda answer: True) -> None:
        """Return when something is there of which that holds."""
        while True:
            answer = await self.get(path)
            if answer is not None and holds(answer):
                return
            await asyncio.sleep(_LOOK_SECONDS)  # everything here comes up in seconds; nothing would tell

    async def patch(self, path: str, change: Mapping[str, Any]) -> None:
        """Merge a change into what is there.

        :raises ApplyRefused: it is not taken.
        """
        await self._send(path, "application/merge-patch+json", change, {})

    async def apply_all(self, objects: Iterable[Mapping[str, Any]], manager: str) -> None:
        """Apply objects, one after the other; unknown and doubled fields are errors.

        :raises ApplyRefused: one is not taken.
        """
        for one in objects:
            path = await self._path(one)
            await self._send(
                path, "application/apply-patch+yaml", one, {"fieldManager": manager, "fieldValidation": "Strict"}
            )

    async def _send(self, path: str, kind: str, body: Mapping[str, Any], parameters: Mapping[str, str]) -> None:
        try:
            async with self._session.patch(
                path, params=parameters, data=json.dumps(body).encode(), headers={"Content-Type": kind}
            ) as answer:
                if answer.ok:
                    return
                said = (await answer.json()).get("message", answer.reason)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            said = str(error) or type(error).__name__
        raise ApplyRefused(f"{path}: {said}")

    async def _path(self, one: Mapping[str, Any]) -> str:
        version, kind = one["apiVersion"], one["kind"]
        root = f"/apis/{version}" if "/" in version else f"/api/{version}"
        deadline = asyncio.get_running_loop().time() + _KNOWN_SECONDS
        while (version, kind) not in self._resources and asyncio.get_running_loop().time() < deadline:
            # A kind that was defined just now is established before it is listed; until then there may be no list.
            for entry in (await self.get(root) or {}).get("resources") or ():
                if "/" not in entry["name"]:
                    self._resources[version, entry["kind"]] = entry["name"], entry["namespaced"]
            if (version, kind) not in self._resources:
                await asyncio.sleep(_LOOK_SECONDS)  # it is within a second
        if (version, kind) not in self._resources:
            raise ApplyRefused(f"{one['metadata']['name']}: nothing here knows {kind} of {version}")
        plural, namespaced = self._resources[version, kind]
        place = f"/namespaces/{one['metadata'].get('namespace', 'default')}" if namespaced else ""
        return f"{root}{place}/{plural}/{one['metadata']['name']}"

    async def node_ready(self) -> None:
        """Return when the node takes pods."""
        await self.until(f"/api/v1/nodes/{NODE}", _is_ready)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()


def _is_ready(node: Any) -> bool:
    conditions = node.get("status", {}).get("conditions") or ()
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


async def http_answers(url: str) -> None:
    """Return when something answers there with success."""
    async with aiohttp.ClientSession(timeout=_ANSWER_SECONDS) as session:
        while True:
            try:
                async with session.get(url) as answer:
                    if answer.ok:
                        return
            except (aiohttp.ClientError, TimeoutError):
                pass
            await asyncio.sleep(_LOOK_SECONDS)  # it comes up in a second
