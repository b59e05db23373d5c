"""A stand-in desktop that speaks ``selkies-2-websocket`` and misbehaves on request. A real server on a port of its own.

aiohttp answers HTTP and the one WebSocket; libx264 encodes pictures with a real marker as they go, once for everybody,
as the real server does. It runs in a thread with its own event loop.
"""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import struct
import threading
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

from aiohttp import WSMsgType, web
from picture_source import PictureSource

T = TypeVar("T")
USER, PASSWORD = "someone", "correct horse"
SPACING_SECONDS = 0.5
GZIP_FROM_BYTES = 512


@dataclass
class Behaviour:
    """How the stand-in behaves; every field may be changed while it runs."""

    mode: str = "websockets"
    status: bool = True  # says its mode at /api/status; a proxy may hide that
    authenticate: bool = False
    tokens: dict[str, str] | None = None  # secure mode: token to role; empty before the first table
    spacing: bool = False  # one connection in half a second
    turn_away: int = 0  # so many connections, as if others had been faster
    refuse: str = ""  # KILL with this reason and 1008
    say_settings: bool = True
    width: int = 640
    height: int = 360
    fps: float = 30.0
    cell: int = 16
    session_id: int = 7
    encoder: str = "h264enc"
    first_id: int = 0
    backdate_seconds: float = 0.0
    leave_out: Callable[[int], bool] = lambda count: False  # encoded and not sent, by its number since the start
    skip: Callable[[int], bool] = lambda count: False  # not even encoded
    still_after: int = -1  # frames; nothing is sent after them
    join_with_key: bool = True
    audio: str = ""  # plain or red
    deaf_to_input: bool = False
    deaf_to_viewers: bool = False
    gate: bool = False  # holds frames back when acknowledgements stop, after the first


@dataclass(eq=False)
class Client:
    """One WebSocket."""

    socket: web.WebSocketResponse
    request: web.Request
    role: str
    owner: bool = False
    settled: bool = False
    paused: bool = False
    gz: bool = False
    stats: bool = False
    acked_at: float = 0.0
    verbs: list[tuple[float, str]] = field(default_factory=list)
    pongs: list[bytes] = field(default_factory=list)
    close_code: int | None = None

    @property
    def texts(self) -> list[str]:
        """What it sent, without acknowledgements."""
        return [text for _, text in self.verbs if not text.startswith("CLIENT_FRAME_ACK")]

    @property
    def acks(self) -> list[tuple[float, int, float]]:
        """When, which id, and how long it was held, in seconds."""
        split = [(at, text.split()) for at, text in self.verbs if text.startswith("CLIENT_FRAME_ACK")]
        return [(at, int(words[1]), float(words[2]) / 1000) for at, words in split]

    def settings(self) -> dict[str, Any]:
        """Its SETTINGS."""
        (text,) = [text for text in self.texts if text.startswith("SETTINGS,")]
        document: dict[str, Any] = json.loads(text.partition(",")[2])
        return document


class WebSocketStandIn:
    """The server; a context manager that serves from a thread of its own."""

    def __init__(self, behaviour: Behaviour | None = None) -> None:
        self.behaviour = behaviour or Behaviour()
        self.clients: list[Client] = []
        self.opened: list[float] = []
        self.sent = 0
        self.failures: list[BaseException | None] = []
        self.url = ""
        self._picture = PictureSource(self.behaviour)
        self._capturing = False
        self._identifier = 0
        self._count = 0
        self._reference = 0
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="stand-in")

    def __enter__(self) -> WebSocketStandIn:
        self._thread.start()
        assert self._ready.wait(20)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(20)
        assert not self._thread.is_alive()
        assert not self.failures

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Run ``work`` in the server's loop and return its result."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(20)

    def begin(self, work: Coroutine[Any, Any, object]) -> None:
        """Run ``work`` in the server's loop, which may need ours."""
        asyncio.run_coroutine_threadsafe(work, self._loop)

    @property
    def client(self) -> Client:
        """The newest one."""
        return self.clients[-1]

    async def say(self, message: str | bytes) -> None:
        """Send something to the newest client."""
        if isinstance(message, str):
            await self.client.socket.send_str(message)
        else:
            await self.client.socket.send_bytes(message)

    async def write(self, raw: bytes) -> None:
        """Write bytes to the newest client's connection, past the WebSocket."""
        assert self.client.request.transport is not None
        self.client.request.transport.write(raw)

    async def hang_up(self, code: int, text: str = "", kill: str = "") -> None:
        """Close the newest client's socket."""
        if kill:
            await self.client.socket.send_str(f"KILL {kill}")
        await self.client.socket.close(code=code, message=text.encode())

    async def die(self) -> None:
        """Drop every connection without a goodbye."""
        for client in self.clients:
            if client.request.transport is not None:
                client.request.transport.abort()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        application = web.Application(middlewares=[self._gate])
        application.router.add_get("/api/websockets", self._connect)
        application.router.add_get("/api/{page:status|health}", self._page)
        runner = web.AppRunner(application, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        works = [asyncio.ensure_future(work()) for work in (self._capture, self._sound, self._statistics)]
        self._ready.set()
        try:
            await self._stop.wait()
        finally:
            for work in works:
                work.cancel()
            ends = await asyncio.gather(*works, return_exceptions=True)
            self.failures = [end for end in ends if not isinstance(end, asyncio.CancelledError)]
            await self.die()
            await runner.cleanup()

    @web.middleware
    async def _gate(self, request: web.Request, handler: Any) -> web.StreamResponse:
        token = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        public = request.path in {"/api/status", "/api/health"}
        if self.behaviour.authenticate and not public and request.headers.get("Authorization") != f"Basic {token}":
            return web.Response(status=401, headers={"WWW-Authenticate": 'Basic realm="stand-in"'})
        response: web.StreamResponse = await handler(request)
        return response

    async def _page(self, request: web.Request) -> web.Response:
        if request.match_info["page"] == "health":
            return web.Response(text="OK")
        if not self.behaviour.status:
            return web.Response(status=404)
        return web.json_response({"current_mode": self.behaviour.mode, "enable_dual_mode": True})

    async def _connect(self, request: web.Request) -> web.StreamResponse:
        behaviour = self.behaviour
        if behaviour.mode != "websockets":
            return web.Response(status=409)
        if request.headers.get("Upgrade", "").lower() != "websocket":
            return web.Response(status=204)
        offered = request.headers.get("Sec-WebSocket-Protocol", "")
        if behaviour.tokens is not None and not offered and "token" not in request.query:
            return web.Response(status=401, text="token missing")
        socket = web.WebSocketResponse(compress=False, autoping=False, protocols=("selkies",))
        await socket.prepare(request)
        client = Client(socket, request, request.query.get("role", "controller"))
        self.clients.append(client)
        if await self._let_in(client, offered):
            await self._greet(client)
        await self._listen(client)
        return socket

    async def _let_in(self, client: Client, offered: str) -> bool:
        behaviour, now = self.behaviour, time.monotonic()
        if behaviour.tokens is not None:
            while not behaviour.tokens:  # noqa: ASYNC110  # set from another thread
                await asyncio.sleep(0.01)  # a poll: set from another thread
            given = offered.rpartition("selkies.token.")[2]
            token = base64.urlsafe_b64decode(given + "=" * (-len(given) % 4)).decode()
            if token not in behaviour.tokens:
                await client.socket.close(code=4001, message=b"Invalid authentication token")
                return False
            client.role = behaviour.tokens[token]
        if behaviour.refuse:
            await client.socket.send_str(f"KILL {behaviour.refuse}")
            await client.socket.close(code=1008, message=behaviour.refuse.encode())
            return False
        soon = behaviour.spacing and self.opened and now - self.opened[-1] < SPACING_SECONDS
        if soon or behaviour.turn_away > 0:
            behaviour.turn_away -= not soon
            await client.socket.close(code=4029, message=b"Rate limited: reconnecting too quickly")
            return False
        self.opened.append(now)
        return True

    async def _greet(self, client: Client) -> None:
        socket, behaviour = client.socket, self.behaviour
        await socket.send_str("MODE websockets")
        if behaviour.tokens is not None:
            await socket.send_str(f"AUTH_SUCCESS,{json.dumps({'role': client.role, 'slot': None})}")
            await socket.send_str("MK_ACCESS,1")
        roster: dict[str, Any] = {"type": "display_config_update", "displays": []}
        if self._capturing:
            layout = {"x": 0, "y": 0, "w": behaviour.width, "h": behaviour.height}
            roster |= {"displays": ["primary"], "layouts": {"primary": layout}}
        await socket.send_str(f"DISPLAY_CONFIG_UPDATE,{json.dumps(roster)}")
        await socket.send_str(f"cursor,{json.dumps({'curdata': '', 'width': 16})}")
        if behaviour.say_settings:
            settings = {
                "encoder": {"value": behaviour.encoder},
                "framerate": {"value": [8, 240], "default": behaviour.fps},
                "video_bitrate": {"value": [100, 1_000_000], "default": 8000},
            }
            await socket.send_str(json.dumps({"type": "server_settings", "settings": settings}))
        if self._capturing and client.role == "viewer":
            client.settled = True
            if behaviour.join_with_key:
                self._picture.force_key_frame()

    async def _listen(self, client: Client) -> None:
        try:
            async for message in client.socket:
                if message.type is WSMsgType.PING:
                    await client.socket.pong(message.data)
                elif message.type is WSMsgType.PONG:
                    client.pongs.append(message.data)
                elif message.type is WSMsgType.TEXT:
                    client.verbs.append((time.time(), message.data))
                    await self._obey(client, message.data)
        finally:
            client.close_code = client.socket.close_code
            if client.owner:
                self._capturing = False

    async def _obey(self, client: Client, text: str) -> None:
        verb, _, argument = text.partition(",")
        viewer = client.role == "viewer"
        if verb == "SETTINGS" and not viewer:
            await self._settle(client, json.loads(argument))
        elif verb == "SETTINGS" and not self.behaviour.deaf_to_viewers:
            await self._join(client)
        elif text.startswith("CLIENT_FRAME_ACK") and client.owner:
            client.acked_at = time.monotonic()
        elif text == "REQUEST_KEYFRAME":
            self._picture.force_key_frame()
        elif text == "START_VIDEO":
            self._start()
            client.settled, client.paused = True, False
            await client.socket.send_str("VIDEO_STARTED" if client.owner else "PIPELINE_RESETTING primary")
        elif text == "STOP_VIDEO":
            client.paused = True
            self._capturing &= not client.owner
            await client.socket.send_str("PIPELINE_RESETTING primary")
            await client.socket.send_str("VIDEO_STOPPED")
        elif text == "_gz,1":
            client.gz = True
            await client.socket.send_str(text)
        elif verb == "_stats" and not viewer:
            client.stats = argument == "1"
        elif verb == "r" and client.owner:
            self.behaviour.width, self.behaviour.height = map(int, argument.split("x"))
            self._start()
            await self._state_size(client)
        elif verb == "kd" and not viewer and not self.behaviour.deaf_to_input:
            self._picture.toggle_key()

    async def _join(self, client: Client) -> None:
        if not self._capturing:
            self._start()
        if self.behaviour.join_with_key:
            self._picture.force_key_frame()
        await self._state_size(client)
        await client.socket.send_str("PIPELINE_RESETTING primary")
        client.settled = True

    async def _settle(self, client: Client, settings: dict[str, Any]) -> None:
        if client.settled:
            await client.socket.send_str("PIPELINE_RESETTING primary")
            self._picture.force_key_frame()
            return
        self.behaviour.width, self.behaviour.height = settings["initialClientWidth"], settings["initialClientHeight"]
        for other in self.clients:
            other.owner = False
        client.owner = client.settled = True
        await self._state_size(client)
        self._start()

    async def _state_size(self, client: Client) -> None:
        size = {"width": self.behaviour.width, "height": self.behaviour.height, "displayId": "primary"}
        await client.socket.send_str(json.dumps({"type": "stream_resolution", **size}))

    def _start(self) -> None:
        self._capturing = True
        self._identifier, self._count = self.behaviour.first_id, 0
        self._picture.force_key_frame()

    async def _capture(self) -> None:
        due = time.monotonic()
        while True:
            due = max(time.monotonic(), due + 1 / self.behaviour.fps)
            await asyncio.sleep(due - time.monotonic())  # the frame rate
            if self._capturing and self._count != self.behaviour.still_after:
                await self._send_frame()

    async def _send_frame(self) -> None:
        behaviour, count, identifier = self.behaviour, self._count, self._identifier & 0xFFFF
        self._count, self._identifier = count + 1, self._identifier + 1
        if behaviour.skip(count):
            return
        messages = self._picture.messages(identifier, self._reference)
        self._reference = identifier
        if behaviour.leave_out(count):
            return
        self.sent += 1
        for client in tuple(self.clients):
            held = behaviour.gate and client.acked_at and time.monotonic() - client.acked_at > 0.25
            if client.settled and not client.paused and not client.socket.closed and not held:
                for message in messages:
                    await self._send(client, message)

    async def _sound(self) -> None:
        packets: list[bytes] = []
        number = 0
        while True:
            await asyncio.sleep(0.01)  # a packet is 10 ms of sound
            number += 1
            packets = [*packets[-2:], bytes([number & 0xFF]) * 5]
            if self.behaviour.audio == "plain":
                message = b"\x01\x00" + packets[-1]
            elif self.behaviour.audio == "red" and len(packets) == 3:
                headers = b"".join(
                    struct.pack(">I", (0x80 | 96) << 24 | 480 * back << 10 | len(packet))
                    for back, packet in ((2, packets[0]), (1, packets[1]))
                )
                message = b"\x01\x02" + struct.pack(">I", 480 * number) + headers + b"\x60" + b"".join(packets)
            else:
                continue
            for client in tuple(self.clients):
                if client.settled and not client.socket.closed:
                    await self._send(client, message)

    async def _statistics(self) -> None:
        while True:
            await asyncio.sleep(0.2)  # the server's own period
            stats = {"encoded_fps": 30.0, "encode_ms": 4.0, "pipeline_ms": 5.0, "send_ms": 6.5, "rtt_ms": 0.0}
            text = json.dumps({"type": "stream_stats", "displayId": "primary", "stats": stats, "padding": "." * 500})
            for client in tuple(self.clients):
                if client.stats and not client.socket.closed:
                    large = client.gz and len(text) >= GZIP_FROM_BYTES
                    await self._send(client, b"\x05" + gzip.compress(text.encode()) if large else text)

    async def _send(self, client: Client, message: str | bytes) -> None:
        try:
            await (client.socket.send_str(message) if isinstance(message, str) else client.socket.send_bytes(message))
        except (ConnectionError, RuntimeError):
            client.settled = client.stats = False
