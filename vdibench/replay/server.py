"""The process of the replay: a server that speaks a dialect of Selkies 2.x and sends the frames of a trace. I/O.

``python -m vdibench.replay.server`` serves until standard input ends. It listens on loopback; media goes between
addresses of this host. It loses nothing on purpose, answers a request for a key frame by the beginning of its trace,
sends nothing again, hears input and does nothing with it.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import random
import resource
import sys
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aiohttp import WSMsgType, web

from vdibench.errors import TargetUnavailable, VdibenchError
from vdibench.records import Display
from vdibench.replay.canned import encode
from vdibench.replay.trace import Trace, load_trace
from vdibench.replay.webrtc import WebRtcReplay
from vdibench.replay.websocket import TOO_FAST, WebSocketReplay
from vdibench.selkies import SIGNALLING_PATH, Dialect
from vdibench.selkies.websocket import WEBSOCKET_PATH

__all__ = ["main"]

_TICK_SECONDS = 0.001
_CANNED_SECONDS = 2
_COUNTED = ("packets", "bytes", "refused", "frames")
_MODES = {Dialect.SELKIES_2_WEBRTC: "webrtc", Dialect.SELKIES_2_WEBSOCKET: "websockets"}

Session = WebRtcReplay | WebSocketReplay


class _Server:
    """Sessions and what was sent to them.

    :param spacing_seconds: from an accepted WebSocket to the next one of the same address; sooner ones are closed.
    """

    def __init__(self, trace: Trace, options: argparse.Namespace) -> None:
        self._trace = trace
        self._dialect = Dialect(options.dialect)
        self._spacing = options.spacing
        self._log = options.log
        self._native = options.native
        self._greeting = _greeting(trace)
        self._accepted: dict[str, float] = {}
        self.sessions: dict[str, Session] = {}
        self._gone = dict.fromkeys(_COUNTED, 0)
        self._begun = self._turned_away = 0
        self._late_seconds = 0.0
        self._runner: web.AppRunner | None = None
        self.url = ""

    async def start(self) -> None:
        application = web.Application()
        application.router.add_get("/api/status", self._status)
        application.router.add_get("/api/health", self._health)
        application.router.add_get("/api/turn", self._turn)
        application.router.add_get(SIGNALLING_PATH, self._signalling)
        application.router.add_get(WEBSOCKET_PATH, self._stream)
        self._runner = web.AppRunner(application, shutdown_timeout=0.1, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0, backlog=1024).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        assert self._runner is not None
        await asyncio.gather(*(session.close() for session in tuple(self.sessions.values())), return_exceptions=True)
        await self._runner.cleanup()

    async def pump(self) -> None:
        """Send what is due, every millisecond, for ever."""
        loop = asyncio.get_running_loop()
        while True:
            now = loop.time()
            for session in tuple(self.sessions.values()):
                if session.due <= now:
                    if isinstance(session, WebRtcReplay):
                        session.send(now)
                    else:
                        await session.send(now)
                    self._late_seconds = max(self._late_seconds, session.late)
            await asyncio.sleep(_TICK_SECONDS)  # the pace of the recording

    # what its owner asks

    def count(self) -> dict[str, Any]:
        living = self.sessions.values()
        found: dict[str, Any] = {"sessions": sum(session.connected for session in living)}
        for name in _COUNTED:
            found[name] = self._gone[name] + sum(getattr(session, name) for session in living)
        found |= {"begun": self._begun, "turned_away": self._turned_away, "late_seconds": self._late_seconds}
        self._late_seconds = 0.0
        usage = resource.getrusage(resource.RUSAGE_SELF)
        found["cpu_seconds"] = usage.ru_utime + usage.ru_stime
        found["overhead_bytes"] = max((session.overhead_bytes for session in living), default=0)
        found["native"] = any(session.native for session in living)
        found["unix_seconds"] = time.time()
        return found

    def departures(self) -> dict[str, Any]:
        found = {
            name: session.departures.take()
            for name, session in self.sessions.items()
            if session.departures is not None and session.connected
        }
        return {"sessions": found, "unix_seconds": time.time()}

    # what clients ask

    async def _status(self, request: web.Request) -> web.Response:
        # The last is no word of Selkies: a client of ours reads no marker where it stands.
        came = self._trace.provenance.describe()
        return web.json_response({"current_mode": _MODES[self._dialect], "synthetic": came})

    async def _health(self, request: web.Request) -> web.Response:
        return web.Response(text="OK")

    async def _turn(self, request: web.Request) -> web.Response:
        return web.json_response({"iceServers": []})

    async def _refused(self, request: web.Request, dialect: Dialect) -> web.Response | None:
        if dialect is not self._dialect:
            return web.Response(status=409)
        return None if request.headers.get("Upgrade", "").lower() == "websocket" else web.Response(status=204)

    def _too_soon(self, request: web.Request) -> bool:
        """Whether another connection of this address was accepted just now; if not, this one is."""
        now, address = asyncio.get_running_loop().time(), str(request.remote)
        if now - self._accepted.get(address, -self._spacing) < self._spacing:
            self._turned_away += 1
            return True
        self._accepted[address] = now
        return False

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        refused = await self._refused(request, Dialect.SELKIES_2_WEBSOCKET)
        if refused is not None:
            return refused
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        if self._spacing and self._too_soon(request):
            await socket.close(code=TOO_FAST, message=b"Rate limited: reconnecting too quickly")
            return socket
        assert isinstance(request.transport, asyncio.Transport)
        session = WebSocketReplay(
            self._trace, socket, request.transport, phase=random.random(), greeting=self._greeting, log=self._log
        )
        name = self._joined(session)
        try:
            await session.converse()
        finally:
            self._left(name)
        return socket

    async def _signalling(self, request: web.Request) -> web.StreamResponse:
        refused = await self._refused(request, Dialect.SELKIES_2_WEBRTC)
        if refused is not None:
            return refused
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        peer = f"replay-{uuid.uuid4()}"
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    await self._converse(socket, peer, message.data)
        finally:
            left = self._left(peer)
            if left is not None:
                await left.close()
        return socket

    async def _converse(self, socket: web.WebSocketResponse, peer: str, text: str) -> None:
        word, _, rest = text.partition(" ")
        if word == "HELLO":
            await socket.send_str("HELLO")
        elif word == "SESSION" and peer not in self.sessions:
            await socket.send_str(f"SESSION_OK {peer}")
            # Sessions that all send at once would come as one burst sixty times a second.
            replay = WebRtcReplay(
                self._trace, phase=random.random(), greeting=self._greeting, log=self._log, native=self._native
            )
            self._joined(replay, peer)
            offer = {"sdp": {"type": "offer", "sdp": await replay.offer()}}
            await socket.send_str(f"{peer} {json.dumps(offer)}")
        elif word == peer and isinstance(session := self.sessions.get(peer), WebRtcReplay):
            answer = json.loads(rest).get("sdp")
            if answer is not None:
                await session.take_answer(answer["sdp"])

    def _joined(self, session: Session, name: str = "") -> str:
        name = name or f"replay-{uuid.uuid4()}"
        self.sessions[name] = session
        self._begun += 1
        return name

    def _left(self, name: str) -> Session | None:
        session = self.sessions.pop(name, None)
        if session is not None:
            for counted in _COUNTED:
                self._gone[counted] += getattr(session, counted)
        return session


def _greeting(trace: Trace) -> dict[str, Any]:
    """What the desktop says of itself, in Selkies' words."""
    came = trace.provenance
    info = {"encoder": came.encoder, "hardware": False, "codec": "h264", "backend": "replay"}
    return {
        "server_settings": {"settings": {"encoder": {"value": "h264enc"}}},
        "system": {"action": 'auth_success,{"role": "controller", "slot": null}'},
        "stream_info": {"info": info},
    }


async def _serve(trace: Trace, options: argparse.Namespace) -> None:
    loop = asyncio.get_running_loop()
    lines: asyncio.StreamReader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    server = _Server(trace, options)
    await server.start()
    pump = loop.create_task(server.pump())
    _say(
        {
            "url": server.url,
            "packets_per_second": trace.packets_per_second,
            "frames_per_second": trace.frames_per_second,
            "bitrate_bps": trace.provenance.bitrate_bps or round(trace.payload_bps),
            "description": trace.provenance.describe(),
        }
    )
    # The trace and the libraries stay: no collection needs to walk through them between two frames.
    gc.collect()
    gc.freeze()
    answering = loop.create_task(_answer(server, lines))
    try:
        await asyncio.wait({pump, answering}, return_when=asyncio.FIRST_COMPLETED)
        if pump.done():
            raise _stopped(pump)
        answering.result()
    finally:
        pump.cancel()
        answering.cancel()
        await server.stop()


async def _answer(server: _Server, lines: asyncio.StreamReader) -> None:
    while line := await lines.readline():
        _say(server.departures() if line.strip() == b"departures" else server.count())


def _stopped(pump: asyncio.Task[None]) -> VdibenchError:
    """The error of a server that sends nothing any more; whoever is connected would take it for a still picture."""
    error = pump.exception()
    found = TargetUnavailable(
        f"the replay stopped sending: {type(error).__name__}: {error}", "report it, with the trace and the dialect"
    )
    found.__cause__ = error
    return found


def _say(document: Mapping[str, Any]) -> None:
    print(json.dumps(document), flush=True)


def main(arguments: list[str] | None = None) -> None:
    """Serve until standard input ends; each line of it, ``count`` or ``departures``, is answered by one of JSON."""
    line = argparse.ArgumentParser(prog="python -m vdibench.replay.server", description=main.__doc__)
    line.add_argument("--trace", type=Path)
    line.add_argument("--width", type=int, default=1920)
    line.add_argument("--height", type=int, default=1080)
    line.add_argument("--framerate", type=int, default=60)
    line.add_argument("--bitrate", type=int, default=8_500_000)
    line.add_argument("--dialect", choices=[str(dialect) for dialect in _MODES], default=str(next(iter(_MODES))))
    line.add_argument("--spacing", type=float, default=0.0, help="seconds between two WebSockets of one address")
    line.add_argument("--log", action="store_true", help="note when each frame leaves")
    line.add_argument("--no-native", dest="native", action="store_false", help="send without the native module")
    options = line.parse_args(arguments)
    try:
        if options.trace is not None:
            trace = load_trace(options.trace)
        else:
            display = Display(options.width, options.height, options.framerate)
            trace = encode(display, options.bitrate, _CANNED_SECONDS * options.framerate)
        asyncio.run(_serve(trace, options))
    except VdibenchError as error:
        _say({"error": error.cause, "remedy": error.remedy})
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
