"""The source's process: a server that speaks ``selkies-2-webrtc`` and sends canned video. I/O.

``python -m vdibench.selftest.server`` serves until standard input ends. It listens on loopback; media goes between
addresses of this host. It loses nothing on purpose, answers a request for a key frame (PLI) by the stream's beginning,
and retransmits nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import time
import uuid
from typing import Any

from aiohttp import WSMsgType, web

from vdibench.selftest.canned import CannedStream, encode
from vdibench.selftest.sender import SourceSession

__all__ = ["main"]

_TICK_SECONDS = 0.001


class _Server:
    def __init__(self, stream: CannedStream) -> None:
        self._stream = stream
        self.sessions: dict[web.WebSocketResponse, SourceSession] = {}
        self.gone = {"packets": 0, "bytes": 0, "refused": 0}
        self.late_seconds = 0.0
        self.url = ""
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        application = web.Application()
        application.router.add_get("/api/status", self._status)
        application.router.add_get("/api/turn", self._turn)
        application.router.add_get("/api/webrtc/signaling", self._signalling)
        self._runner = web.AppRunner(application, shutdown_timeout=0.1, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        assert self._runner is not None
        await asyncio.gather(*(session.close() for session in self.sessions.values()))
        await self._runner.cleanup()

    async def pump(self) -> None:
        """Send what is due, every millisecond, for ever."""
        loop = asyncio.get_running_loop()
        while True:
            now = loop.time()
            for session in tuple(self.sessions.values()):
                self.late_seconds = max(self.late_seconds, session.send_due(now))
            await asyncio.sleep(_TICK_SECONDS)

    def count(self) -> dict[str, Any]:
        found: dict[str, Any] = {"sessions": sum(session.connected for session in self.sessions.values())}
        for name, past in self.gone.items():
            found[name] = past + sum(getattr(session, name) for session in self.sessions.values())
        found["late_seconds"], self.late_seconds = self.late_seconds, 0.0
        found["overhead_bytes"] = max((session.overhead_bytes for session in self.sessions.values()), default=0)
        found["unix_seconds"] = time.time()
        return found

    async def _status(self, request: web.Request) -> web.Response:
        return web.json_response({"current_mode": "webrtc"})

    async def _turn(self, request: web.Request) -> web.Response:
        return web.json_response({"iceServers": []})

    async def _signalling(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        peer = f"source-{uuid.uuid4()}"
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    await self._converse(socket, peer, message.data)
        finally:
            session = self.sessions.pop(socket, None)
            if session is not None:
                for name in self.gone:
                    self.gone[name] += getattr(session, name)
                await session.close()
        return socket

    async def _converse(self, socket: web.WebSocketResponse, peer: str, text: str) -> None:
        word, _, rest = text.partition(" ")
        if word == "HELLO":
            await socket.send_str("HELLO")
        elif word == "SESSION":
            await socket.send_str(f"SESSION_OK {peer}")
            # Sessions that all send at once would come as one burst sixty times a second.
            session = SourceSession(self._stream, phase=random.random())
            self.sessions[socket] = session
            offer = {"sdp": {"type": "offer", "sdp": await session.offer()}}
            await socket.send_str(f"{peer} {json.dumps(offer)}")
        elif word == peer and socket in self.sessions:
            answer = json.loads(rest).get("sdp")
            if answer is not None:
                await self.sessions[socket].take_answer(answer["sdp"])


async def _serve(stream: CannedStream) -> None:
    loop = asyncio.get_running_loop()
    lines: asyncio.StreamReader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    server = _Server(stream)
    await server.start()
    pump = loop.create_task(server.pump())
    _say({"url": server.url, "packets_per_second": stream.packets_per_second})
    try:
        while await lines.readline():
            _say(server.count())
            if pump.done():
                pump.result()
    finally:
        pump.cancel()
        await server.stop()


def _say(document: dict[str, Any]) -> None:
    print(json.dumps(document), flush=True)


def main(arguments: list[str] | None = None) -> None:
    """Serve until standard input ends; each line of it is answered by the counters as one line of JSON."""
    line = argparse.ArgumentParser(prog="python -m vdibench.selftest.server", description=main.__doc__)
    line.add_argument("--width", type=int, default=1920)
    line.add_argument("--height", type=int, default=1080)
    line.add_argument("--framerate", type=int, default=60)
    line.add_argument("--bitrate", type=int, default=8_500_000)
    options = line.parse_args(arguments)
    frames = 2 * options.framerate
    stream = encode(options.width, options.height, options.framerate, options.bitrate, frames)
    asyncio.run(_serve(stream))


if __name__ == "__main__":
    main()
