"""What answers where the frame checker would be."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

FRAME = {
    "ok": True,
    "message": "a frame was decoded",
    "codec": "H264",
    "encoder": "nvh264enc",
    "hardware": True,
    "transport": "webrtc over udp by relay",
    "width": 1920,
    "height": 1080,
    "firstFrameSeconds": 0.75,
}


class Standin:
    """Where the checker would be."""

    def __init__(self) -> None:
        self.seen: list[tuple[dict[str, Any], str]] = []
        self.reply: Callable[[], Awaitable[web.StreamResponse]] = self.frame

    async def frame(self) -> web.StreamResponse:
        return web.json_response(FRAME)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.seen.append((await request.json(), request.headers.get("Authorization", "")))
        return await self.reply()
