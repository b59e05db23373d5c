"""A stand-in desktop that speaks ``selkies-2-webrtc`` and misbehaves on request. A real server on a port of its own.

aiohttp answers HTTP and signalling, aiortc sends real H.264 with a real marker in it. It runs in a thread with its own
event loop (:class:`StandIn`), or as a process of its own, ``python standin.py``.
"""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import json
import ssl
import sys
import threading
import time
import uuid
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any, TypeVar

from aiohttp import WSCloseCode, WSMsgType, web
from aiortc import RTCConfiguration, RTCPeerConnection, RTCRtpSender, RTCSessionDescription
from aiortc.rtp import RtpPacket
from screen import Screen, ScreenTrack, SilenceTrack

T = TypeVar("T")
USER, PASSWORD = "someone", "correct horse"


@dataclass
class Behaviour:
    """How the stand-in behaves; every field may be changed while it runs."""

    # HTTP
    status: Any = field(default_factory=lambda: {"current_mode": "webrtc"})
    health: str = "OK"
    generation: int = 2
    pages_status: int = 200
    location: str = ""
    authenticate: bool = False
    asked_everywhere: bool = False  # a proxy wants the password where the desktop answers anybody
    unavailable: int = 0  # answers 503 so many times to the RTC configuration and to signalling
    ice_servers: list[dict[str, Any]] = field(default_factory=list)
    torn_turn_reply: bool = False  # two TCP segments, a moment apart
    answer_http: bool = True
    # signalling
    close_at_hello: tuple[int, str] | None = None
    silent_signalling: bool = False
    peer_not_found: int = 0
    garbage_frame: str = ""
    broken_offer: str = ""
    deaf_to_answer: bool = False
    end_with_socket: bool = True
    # media
    width: int = 640
    height: int = 360
    fps: float = 30.0
    cell: int = 16
    session_id: int = 7
    noise: int = 96
    audio: bool = False
    video: bool = True
    codecs: tuple[str, ...] = ("H264",)  # the first is sent
    ignore_plis: int = 0
    undecodable: bool = False
    stall_after: int = -1
    pause_every: int = 0
    pause_seconds: float = 0.0
    backdate_seconds: float = 0.0
    decline: str = ""
    channels: tuple[str, ...] = ("input", "pointer")
    photon_seconds: float = 0.0
    deaf_to_input: bool = False
    lose: Callable[[int, int, bool], bool] | None = None  # frame, packet in it, marker bit
    lose_retransmissions: bool = False
    lost: int = 0
    # its clock
    clock_shift: float = 0.0
    way_to_client: float = 0.0  # of the messages that compare clocks, beside the real way
    way_from_client: float = 0.0
    front: str = ""  # what stands in front of the web server, and states its own time


class Session:
    """One client of the stand-in."""

    def __init__(self, server: StandIn, hello: dict[str, Any]) -> None:
        self.hello = hello
        self.peer = f"server-{uuid.uuid4()}"
        self.verbs: list[tuple[float, str, str]] = []
        self.plis = 0
        self.nacks = 0
        self.events: list[str] = []
        self.screen = Screen(server.behaviour)
        self._server = server
        self._tasks: set[asyncio.Task[None]] = set()
        self._frame, self._packet, self._timestamp = -1, 0, -1
        self._lost: set[int] = set()
        self._ping = 0.0
        self.pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.pc.on("connectionstatechange", lambda: self.events.append(self.pc.connectionState))
        self.channels = {}
        for label in server.behaviour.channels:
            channel = self.pc.createDataChannel(label, ordered=label == "input")
            channel.on("message", lambda text, label=label: self._verb(label, text))
            self.channels[label] = channel
        if "input" in self.channels:
            self.channels["input"].on("open", self._greet)
        self.track = ScreenTrack(self.screen, server.behaviour)
        self._sender = self.pc.addTrack(self.track)
        able = RTCRtpSender.getCapabilities("video").codecs
        wanted = [codec for name in (*server.behaviour.codecs, "rtx") for codec in able if codec.name == name]
        self.pc.getTransceivers()[0].setCodecPreferences(wanted)
        if server.behaviour.audio:
            self.pc.addTrack(SilenceTrack())
        self._handle_rtcp = self._sender._handle_rtcp_packet
        self._sender._handle_rtcp_packet = self._rtcp
        self._transport = self._sender.transport
        self._send = self._transport._send_rtp
        self._transport._send_rtp = self._lossy_send

    async def _lossy_send(self, data: bytes) -> None:
        if not 192 <= data[1] <= 223 and self._is_lost(RtpPacket.parse(data)):
            return
        await self._send(data)

    def _is_lost(self, packet: RtpPacket) -> bool:
        lose = self._server.behaviour.lose
        if packet.ssrc == self._sender._rtx_ssrc:
            original = int.from_bytes(packet.payload[:2], "big")
            return self._server.behaviour.lose_retransmissions and original in self._lost
        if packet.ssrc != self._sender._ssrc:
            return False
        if packet.timestamp != self._timestamp:
            self._timestamp, self._packet = packet.timestamp, 0
            self._frame += 1
        else:
            self._packet += 1
        if lose is None or not lose(self._frame, self._packet, bool(packet.marker)):
            return False
        self._lost.add(packet.sequence_number)
        self._server.behaviour.lost += 1
        return True

    async def _rtcp(self, packet: Any) -> None:
        kind = type(packet).__name__, getattr(packet, "fmt", None)
        if kind == ("RtcpPsfbPacket", 1):
            self.plis += 1
            if self.plis > self._server.behaviour.ignore_plis:
                self.screen.force_key_frame()
        elif kind == ("RtcpRtpfbPacket", 1):
            self.nacks += 1
        await self._handle_rtcp(packet)

    def _greet(self) -> None:
        behaviour = self._server.behaviour
        role = json.dumps({"role": self.hello.get("client_type"), "slot": None})
        self.say("server_settings", {"settings": {"encoder": {"value": "h264enc"}}})
        self.say("display_config_update", {"displays": ["primary"], "wayland": False})
        self.say("system", {"action": f"auth_success,{role}"})
        self.say("stream_info", {"info": {"encoder": "x264", "hardware": False, "codec": "h264"}})
        if behaviour.decline:
            self.say("system", {"action": f"video_declined,{behaviour.decline}"})

    def say(self, kind: str, data: Any) -> None:
        """Send a control message."""
        self.channels["input"].send(json.dumps({"type": kind, "data": data}))

    def _verb(self, label: str, text: str) -> None:
        self.verbs.append((time.time(), label, text))
        self.events.append(text)
        words = text.split(",")
        loop, behaviour = asyncio.get_running_loop(), self._server.behaviour
        if text == "_stats,1":
            self._ask_for_the_time()
        elif words[0] == "pong":
            loop.call_later(behaviour.way_from_client, self._say_half_the_round_trip)
        if self._server.behaviour.deaf_to_input:
            return
        if words[0] == "kd":
            self._later(self.screen.toggle_key)
        elif words[0] == "m" and int(words[3]) & 1:
            self._later(self.screen.toggle_click)

    def _ask_for_the_time(self) -> None:
        if self.channels["input"].readyState != "open":
            return
        behaviour, loop = self._server.behaviour, asyncio.get_running_loop()
        self._ping = time.time()
        data = {"start_time": round(self._ping + behaviour.clock_shift, 3)}
        loop.call_later(behaviour.way_to_client, self.say, "ping", data)
        loop.call_later(0.25, self._ask_for_the_time)

    def _say_half_the_round_trip(self) -> None:
        self.say("latency_measurement", {"latency_ms": round((time.time() - self._ping) / 2 * 1000, 3)})

    def _later(self, act: Callable[[], None]) -> None:
        asyncio.get_running_loop().call_later(self._server.behaviour.photon_seconds, act)

    async def offer(self) -> str:
        """Make the offer, all candidates inside."""
        await self.pc.setLocalDescription(await self.pc.createOffer())
        return self._server.behaviour.broken_offer or self.pc.localDescription.sdp

    async def take_answer(self, sdp: str) -> None:
        """Take the client's answer."""
        await self.pc.setRemoteDescription(RTCSessionDescription(sdp, "answer"))

    async def close(self) -> None:
        """End the peer connection."""
        self.track.stop()
        await self.pc.close()


class StandIn:
    """The server; a context manager that serves from a thread of its own."""

    def __init__(self, behaviour: Behaviour | None = None, tls: ssl.SSLContext | None = None) -> None:
        self.behaviour = behaviour or Behaviour()
        self.sessions: list[Session] = []
        self.log: list[str] = []
        self.events: list[str] = []
        self.url = ""
        self._tls = tls
        self._ready = threading.Event()
        self._sockets: dict[web.WebSocketResponse, web.Request] = {}
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="stand-in")

    def __enter__(self) -> StandIn:
        self._thread.start()
        assert self._ready.wait(20)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(20)
        assert not self._thread.is_alive()

    @property
    def session(self) -> Session:
        """The newest session."""
        return self.sessions[-1]

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Run ``work`` in the server's loop and return its result."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(20)

    async def die(self) -> None:
        """Drop every connection as a killed process does: no close frame, no alert, no goodbye."""
        for session in self.sessions:
            await session._transport.transport._connection.close()
        await self.cut_signalling()

    async def cut_signalling(self) -> None:
        """Drop every signalling connection without a close frame; media go on where ``end_with_socket`` is off."""
        for request in self._sockets.values():
            assert request.transport is not None
            request.transport.abort()

    async def hang_up(self, code: int, text: str = "") -> None:
        """Close every signalling WebSocket with ``code``."""
        for socket in tuple(self._sockets):
            await socket.close(code=code, message=text.encode())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        application = web.Application(middlewares=[self._gate])
        application.router.add_get("/api/webrtc/signaling", self._signalling)
        application.router.add_get("/api/{page:status|health|turn}", self._page)
        application.router.add_get("/health", self._page)
        runner = web.AppRunner(application, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=self._tls)
        await site.start()
        port = runner.addresses[0][1]
        self.url = f"{'https' if self._tls else 'http'}://127.0.0.1:{port}"
        self._ready.set()
        try:
            await self._stop.wait()
        finally:
            await self.die()
            await runner.cleanup()
            for session in self.sessions:
                await session.close()

    @web.middleware
    async def _gate(self, request: web.Request, handler: Any) -> web.StreamResponse:
        behaviour = self.behaviour
        self.log.append(request.path)
        if not behaviour.answer_http:
            await self._stop.wait()
        open_page = request.path in {"/api/status", "/api/health"} and not behaviour.asked_everywhere
        token = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if behaviour.authenticate and not open_page and request.headers.get("Authorization") != f"Basic {token}":
            return web.Response(status=401, headers={"WWW-Authenticate": 'Basic realm="stand-in"'})
        if not open_page and behaviour.unavailable > 0:
            behaviour.unavailable -= 1
            return web.Response(status=503, headers={"Retry-After": "1"})
        response: web.StreamResponse = await handler(request)
        return response

    async def _page(self, request: web.Request) -> web.StreamResponse:
        behaviour = self.behaviour
        if behaviour.pages_status != 200:
            headers = {"Location": behaviour.location} if behaviour.location else {}
            return web.Response(status=behaviour.pages_status, text="<html>somebody else</html>", headers=headers)
        page = request.match_info.get("page", "")
        if behaviour.generation == 1 and page:
            return web.Response(status=404)
        told = {"Date": formatdate(time.time() + behaviour.clock_shift, usegmt=True)}
        if behaviour.front:
            told["Server"] = behaviour.front
        if page == "status":
            if isinstance(behaviour.status, str):
                return web.Response(text=behaviour.status, content_type="text/html")
            return web.json_response(behaviour.status, headers=told)
        if page == "turn":
            text = json.dumps({"iceServers": behaviour.ice_servers})
            if not behaviour.torn_turn_reply:
                return web.Response(text=text, content_type="application/json")
            reply = web.StreamResponse()
            await reply.prepare(request)
            for part in (text[:10], text[10:]):
                await reply.write(part.encode())
                await asyncio.sleep(0.05)  # so that the parts arrive apart
            return reply
        return web.Response(text=behaviour.health, headers=told)

    async def _signalling(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self._sockets[socket] = request
        session: Session | None = None
        try:
            async for message in socket:
                if message.type is not WSMsgType.TEXT or self.behaviour.silent_signalling:
                    continue
                session = await self._frame(socket, message.data, session)
        finally:
            del self._sockets[socket]
            if session is not None:
                session.events.append("socket closed")
                if self.behaviour.end_with_socket:
                    await session.close()
        return socket

    async def _frame(self, socket: web.WebSocketResponse, text: str, session: Session | None) -> Session | None:
        behaviour = self.behaviour
        word, _, rest = text.partition(" ")
        if word == "HELLO":
            kind, _, meta = rest.partition(" ")
            if kind != "client" or behaviour.close_at_hello:
                code, reason = behaviour.close_at_hello or (WSCloseCode.PROTOCOL_ERROR, "bad hello")
                await socket.close(code=code, message=reason.encode())
                return None
            session = Session(self, json.loads(meta))
            self.sessions.append(session)
            await socket.send_str(behaviour.garbage_frame or "HELLO")
        elif text == "SESSION server" and session is not None:
            if behaviour.peer_not_found > 0:
                behaviour.peer_not_found -= 1
                await socket.send_str("ERROR peer server not found")
            else:
                await socket.send_str(f"SESSION_OK {session.peer}")
                offer = {"sdp": {"type": "offer", "sdp": await session.offer()}}
                await socket.send_str(f"{session.peer} {json.dumps(offer)}")
        elif session is not None and word == session.peer and not behaviour.deaf_to_answer:
            await session.take_answer(json.loads(rest)["sdp"]["sdp"])
        return session


def main() -> None:
    """Serve as a process of its own until standard input ends; each line of it sets behaviour anew."""
    with StandIn() as server:
        print(server.url, flush=True)
        for line in sys.stdin:
            for name, value in vars(dataclasses.replace(Behaviour(), **json.loads(line))).items():
                setattr(server.behaviour, name, value)
            print("changed", flush=True)


if __name__ == "__main__":
    main()
