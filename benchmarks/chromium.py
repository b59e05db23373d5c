"""Headless Chromium as a viewer of one desktop, asked over its DevTools protocol. I/O; one browser at a time.

Its media may be led through a relay: a small proxy stands in front of the desktop's page, moves the candidates of the
offer to where the relay listens and hides the browser's own, so that the relay is the only way.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import subprocess
import tempfile
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from vdibench.records import Endpoint
from vdibench.selkies.sdp import candidate_addresses, rewrite_candidates, without_candidates

__all__ = ["Browser", "page_proxy"]

Address = tuple[str, int]
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_ARGUMENTS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--mute-audio",
    "--autoplay-policy=no-user-gesture-required",
    "--remote-debugging-port=0",
    "--window-size=1920,1080",
)
_KEPT = ("Content-Type", "Cache-Control", "Location")
# Before the page's own scripts: every peer connection is remembered, so that its statistics can be asked for.
_REMEMBER = """
window.vdibenchPeers = [];
const Original = window.RTCPeerConnection;
window.RTCPeerConnection = new Proxy(Original, {
  construct(target, given) { const peer = new target(...given); window.vdibenchPeers.push(peer); return peer; },
});
"""
_ASK = """
(async () => {
  const found = [];
  for (const peer of window.vdibenchPeers) {
    const all = await peer.getStats();
    all.forEach(one => { if (one.type === "inbound-rtp" && one.kind === "video") found.push(one); });
  }
  return JSON.stringify(found);
})()
"""


@contextlib.asynccontextmanager
async def page_proxy(endpoint: Endpoint, lead: Callable[[str, int], Awaitable[Address]]) -> AsyncIterator[str]:
    """The URL of a page on loopback that shows the desktop at ``endpoint``, its media led through a relay.

    :param lead: gives the relay's address for a candidate of the desktop.
    """
    headers = {}
    if (known := endpoint.credentials) is not None:
        headers["Authorization"] = f"Basic {b64encode(f'{known.user}:{known.password}'.encode()).decode()}"

    async def handle(request: web.Request) -> web.StreamResponse:
        url = endpoint.url + request.path_qs
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await _relayed_socket(request, client, url, lead)
        async with client.request(request.method, url, data=await request.read(), allow_redirects=False) as reply:
            kept = {
                k: v for k, v in reply.headers.items() if k.lower() in {"content-type", "cache-control", "location"}
            }
            return web.Response(status=reply.status, body=await reply.read(), headers=kept)

    application = web.Application()
    application.router.add_route("*", "/{rest:.*}", handle)
    runner = web.AppRunner(application)
    async with aiohttp.ClientSession(headers=headers) as client:
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            yield f"http://127.0.0.1:{runner.addresses[0][1]}"
        finally:
            await runner.cleanup()


async def _relayed_socket(
    request: web.Request, client: aiohttp.ClientSession, url: str, lead: Callable[[str, int], Awaitable[Address]]
) -> web.WebSocketResponse:
    browser = web.WebSocketResponse(max_msg_size=0)
    await browser.prepare(request)
    async with client.ws_connect(url.replace("http", "ws", 1), max_msg_size=0) as desktop:

        async def down() -> None:
            async for message in desktop:
                if message.type is aiohttp.WSMsgType.TEXT:
                    await browser.send_str(await _led(message.data, lead))
                elif message.type is aiohttp.WSMsgType.BINARY:
                    await browser.send_bytes(message.data)
            await browser.close()

        async def up() -> None:
            async for message in browser:
                if message.type is aiohttp.WSMsgType.TEXT:
                    if (text := _hidden(message.data)) is not None:
                        await desktop.send_str(text)
                elif message.type is aiohttp.WSMsgType.BINARY:
                    await desktop.send_bytes(message.data)
            await desktop.close()

        await asyncio.gather(down(), up())
    return browser


def _parted(text: str) -> tuple[str, dict[str, Any] | None]:
    """The prefix of a signalling frame and its JSON object, where it has one."""
    at = text.find("{")
    if at < 0:
        return text, None
    try:
        document = json.loads(text[at:])
    except ValueError:
        return text, None
    return text[:at], document if isinstance(document, dict) else None


async def _led(text: str, lead: Callable[[str, int], Awaitable[Address]]) -> str:
    prefix, document = _parted(text)
    if document is None or not isinstance(document.get("sdp"), dict):
        return text
    sdp = document["sdp"]["sdp"]
    moved = {address: await lead(*address) for address in candidate_addresses(sdp)}
    document["sdp"]["sdp"] = rewrite_candidates(sdp, moved)
    return prefix + json.dumps(document)


def _hidden(text: str) -> str | None:
    prefix, document = _parted(text)
    if document is None:
        return text
    if "ice" in document:
        return None
    if isinstance(document.get("sdp"), dict):
        document["sdp"]["sdp"] = without_candidates(document["sdp"]["sdp"])
        return prefix + json.dumps(document)
    return text


class Browser:
    """A headless Chromium with one page open; an async context manager that ends it.

    :param url: page to open.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._folder = tempfile.TemporaryDirectory(prefix="vdibench-browser-", ignore_cleanup_errors=True)
        self._process: subprocess.Popen[bytes] | None = None
        self._stack = contextlib.AsyncExitStack()
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._number = 0

    @property
    def pid(self) -> int:
        """Its main process."""
        assert self._process is not None
        return self._process.pid

    async def __aenter__(self) -> Browser:
        program = next((found for name in _NAMES if (found := shutil.which(name))), None)
        if program is None:
            raise RuntimeError(f"none of {', '.join(_NAMES)} is installed: run make setup")
        self._process = await asyncio.to_thread(
            subprocess.Popen,
            [program, *_ARGUMENTS, f"--user-data-dir={self._folder.name}", "about:blank"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        port = await self._port()
        client = await self._stack.enter_async_context(aiohttp.ClientSession())
        async with client.get(f"http://127.0.0.1:{port}/json/list") as reply:
            targets = await reply.json()
        page = next(one for one in targets if one["type"] == "page")
        self._socket = await self._stack.enter_async_context(
            client.ws_connect(page["webSocketDebuggerUrl"], max_msg_size=0)
        )
        await self._ask("Page.enable")
        await self._ask("Page.addScriptToEvaluateOnNewDocument", source=_REMEMBER)
        await self._ask("Page.navigate", url=self._url)
        return self

    async def __aexit__(self, *_: object) -> None:
        with contextlib.suppress(Exception):  # whatever state it is in, it is ended below
            async with asyncio.timeout(5):
                await self._ask("Browser.close")
        await self._stack.aclose()
        if self._process is not None:
            try:
                await asyncio.to_thread(self._process.wait, 10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._folder.cleanup()

    async def _port(self) -> int:
        file = Path(self._folder.name) / "DevToolsActivePort"
        async with asyncio.timeout(30):
            while True:
                with contextlib.suppress(OSError, ValueError, IndexError):  # not written yet, or only half
                    return int(file.read_text().splitlines()[0])
                await asyncio.sleep(0.05)  # a poll, with a deadline above

    async def _ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        assert self._socket is not None
        self._number += 1
        await self._socket.send_json({"id": self._number, "method": method, "params": parameters})
        while True:
            answer = await self._socket.receive_json()
            if answer.get("id") == self._number:
                return dict(answer.get("result", {}))

    async def evaluate(self, script: str) -> Any:
        """The value of a script, awaited."""
        answer = await self._ask("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        return answer.get("result", {}).get("value")

    async def video(self) -> dict[str, Any] | None:
        """W3C inbound-rtp statistics of the page's video; None before there is any."""
        text = await self.evaluate(_ASK)
        found = json.loads(text) if text else []
        return max(found, key=lambda one: one.get("packetsReceived", 0), default=None)

    async def playing(self, seconds: float = 30.0) -> dict[str, Any]:
        """Wait for decoded frames."""
        async with asyncio.timeout(seconds):
            while True:
                found = await self.video()
                if found is not None and found.get("framesDecoded", 0) > 0:
                    return found
                await asyncio.sleep(0.2)  # a poll, with a deadline above
