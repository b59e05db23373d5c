"""A stand-in for Selkies 1.6: its HTTP and signalling are ours, its media are Debian's webrtcbin (see media.py).

A real server on a port of its own, in a thread with its own event loop (:class:`LegacyStandIn`), or as a process:
``python standin_1.py --display :1 [--port 8080]``. It has the faults of the original: the event loop sleeps in front of
waiting legs, ids may be taken, closing the legs in the wrong order costs the next session its audio, client commands
are written to a file and outlive the process, an odd size ends the encoder, held keys stay held.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import re
import sys
import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from aiohttp import WSMsgType, web

MEDIA = Path(__file__).with_name("media.py")
SYSTEM_PYTHON = "/usr/bin/python3"
USER, PASSWORD = "someone", "correct horse"
VIDEO, AUDIO = 1, 3
SERVER_PEERS = {VIDEO: 0, AUDIO: 2}
PERIOD_SECONDS = 0.5
STEPS_BETWEEN_SLEEPS = 3


@dataclass
class Behaviour:
    """How the stand-in behaves; every field may be changed while it runs."""

    stall_seconds: float = 0.0  # a blocking sleep for each leg that waits; the original's is 2 s
    authenticate: bool = False
    resize: bool = False
    fps: int = 30
    bitrate: int = 4000
    drop_parameters: bool = False  # H.264 without a=fmtp
    sound: bool = True
    offer_video: bool = True
    reuse_takes_seconds: float = 0.2  # a leg closed so long after the other, or not at all, is the wrong order
    clock_offset_seconds: float = 0.0  # of the pings
    rtc_configuration: str = '{"iceServers": []}'
    rtc_content_type: str = "application/json"
    first_frames: tuple[str, ...] = ()  # said on each leg before anything else
    complaint: str = ""
    turn: str = ""  # the server's own relay, turn://user:password@host:port
    codec: str = ""  # says so in the offer instead of H264


class LegacyStandIn:
    """The server; a context manager that serves from a thread of its own.

    :param display: the X screen that it shows.
    :param configuration: the file in which client commands are kept.
    :param environment: more of it, for the media process (``GST_TRACERS``, ``PULSE_SERVER``).
    """

    def __init__(
        self,
        display: str,
        configuration: Path,
        behaviour: Behaviour | None = None,
        environment: dict[str, str] | None = None,
        port: int = 0,
    ) -> None:
        self.behaviour = behaviour or Behaviour()
        self.url = ""
        self.log: list[str] = []
        self.verbs: list[str] = []
        self.media_events: deque[dict[str, Any]] = deque(maxlen=1000)
        self.audio_is_lost = False
        self._display = display
        self._configuration = configuration
        self._environment = environment or {}
        self._port = port
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="stand-in 1.6")
        self._peers: dict[int, web.WebSocketResponse] = {}
        self._requests: dict[web.WebSocketResponse, web.Request] = {}
        self._meta: dict[int, dict[str, Any]] = {}
        self._called: set[int] = set()
        self._audio_closed_at = 0.0
        self._tasks: set[asyncio.Task[None]] = set()
        self._sent_at = 0.0

    def __enter__(self) -> LegacyStandIn:
        self._thread.start()
        assert self._ready.wait(20)
        if self._failure is not None:
            raise self._failure
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(20)
        assert not self._thread.is_alive()

    # what tests ask for

    @property
    def persisted(self) -> dict[str, Any]:
        """What clients left behind for the next start."""
        with suppress(FileNotFoundError):  # no client left anything
            document: dict[str, Any] = json.loads(self._configuration.read_text())
            return document
        return {}

    def hang_up(self, leg: int, code: int, text: str = "") -> None:
        """Close a leg's WebSocket."""
        work = self._peers[leg].close(code=code, message=text.encode())
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    def die(self) -> None:
        """Drop every connection as a killed process does."""
        asyncio.run_coroutine_threadsafe(self._die(), self._loop).result(10)

    async def _die(self) -> None:
        self._media.kill()
        for request in self._requests.values():
            assert request.transport is not None
            request.transport.abort()

    # serving

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # told to whoever waits for the start
            self._failure = error
            self._ready.set()
            raise

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        for key, value in self.persisted.items():
            setattr(self.behaviour, key, value)
        self._media = await asyncio.create_subprocess_exec(
            SYSTEM_PYTHON,
            str(MEDIA),
            self._display,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "GIO_USE_PROXY_RESOLVER": "dummy", **self._environment},
            limit=1 << 20,
        )
        assert self._media.stdout is not None
        ready = json.loads(await self._media.stdout.readline() or b"{}")
        assert ready.get("event") == "ready", "the media process does not start"
        self._spawn(self._read_media(self._media.stdout))
        application = web.Application(middlewares=[self._gate])
        application.router.add_get("/{path:.*}", self._page)
        runner = web.AppRunner(application, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", self._port)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        for leg in (VIDEO, AUDIO):
            self._spawn(self._call(leg))
        self._ready.set()
        try:
            await self._stop.wait()
        finally:
            for socket in tuple(self._peers.values()):
                with suppress(ConnectionError):  # the client went first
                    await socket.close(code=1001)
            await runner.cleanup()
            assert self._media.stdin is not None
            self._media.stdin.close()
            await self._media.wait()
            for task in tuple(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _spawn(self, work: Any) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @web.middleware
    async def _gate(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.log.append(request.path_qs)
        token = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if self.behaviour.authenticate and request.headers.get("Authorization") != f"Basic {token}":
            # The quote is left open there too.
            return web.Response(status=401, headers={"WWW-Authenticate": 'Basic realm="restricted, charset="UTF-8"'})
        response: web.StreamResponse = await handler(request)
        return response

    async def _page(self, request: web.Request) -> web.StreamResponse:
        path = request.path_qs
        if path in {"/health", "/health/"}:
            return web.Response(text="OK\n")
        if path in {"/turn", "/turn/"}:
            return web.Response(text=self.behaviour.rtc_configuration, content_type=self.behaviour.rtc_content_type)
        if path in {"/ws", "/ws/"} or path.endswith(("/signalling", "/signalling/")):
            return await self._signalling(request)
        return web.Response(status=404, text="404 NOT FOUND")

    # signalling

    async def _signalling(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self._requests[socket] = request
        leg: int | None = None
        try:
            async for message in socket:
                if message.type is not WSMsgType.TEXT:
                    continue
                if leg is None:
                    leg = await self._hello(socket, message.data)
                    if leg is None:
                        break
                else:
                    self._relay(leg, message.data)
        finally:
            del self._requests[socket]
            if leg is not None:
                self._left(leg)
        return socket

    async def _hello(self, socket: web.WebSocketResponse, text: str) -> int | None:
        self.log.append(text)
        words = text.split(maxsplit=2)
        if len(words) < 2:
            await socket.close(code=1011)
            return None
        if words[0] != "HELLO":
            await socket.close(code=1002, message=b"invalid protocol")
            return None
        if not words[1].isdigit() or int(words[1]) in {*self._peers, *SERVER_PEERS.values()}:
            await socket.close(code=1002, message=b"invalid peer uid")
            return None
        leg = int(words[1])
        self._peers[leg] = socket
        self._meta[leg] = json.loads(base64.b64decode(words[2])) if len(words) > 2 else {}
        await socket.send_str("HELLO")
        for frame in self.behaviour.first_frames:
            await socket.send_str(frame)
        if self.behaviour.complaint:
            await socket.send_str(f"ERROR {self.behaviour.complaint}")
        return leg

    async def _call(self, leg: int) -> None:
        """The server's own side: calls the client's leg until it is there, and sleeps in between as the original."""
        while True:
            if leg not in self._peers:
                await self._doze()
            elif leg in self._called or (leg == AUDIO and self.audio_is_lost):
                await asyncio.sleep(0.01)  # the original's pace between two looks
            else:
                self._called.add(leg)
                self._start(leg)

    async def _doze(self) -> None:
        """Wait for a leg as the original does: blocking, with a few steps of everything else in between."""
        if not self.behaviour.stall_seconds:
            await asyncio.sleep(0.01)  # the original's pace between two looks
            return
        self.log.append("sleeps")
        time.sleep(self.behaviour.stall_seconds)  # noqa: ASYNC251 - that it blocks is the fault
        for _ in range(STEPS_BETWEEN_SLEEPS):
            await asyncio.sleep(0)  # one step of everything else

    def _start(self, leg: int) -> None:
        behaviour = self.behaviour
        if leg == AUDIO:
            if behaviour.sound:
                self._order(do="start", leg=AUDIO, turn=behaviour.turn)
            return
        size = [int(length) for length in self._meta[leg].get("res", "0x0").split("x")]
        if behaviour.resize and any(size):
            if size[0] % 2 or size[1] % 2:
                return  # x264 refuses the size, and nobody hears of it
            self._order(do="resize", width=size[0], height=size[1])
        if behaviour.offer_video:
            greeting = [
                f"framerate,{behaviour.fps}",
                f"video_bitrate,{behaviour.bitrate}",
                "audio_bitrate,128000",
                f"resize,{behaviour.resize}",
                "encoder,x264enc",
            ]
            texts = [json.dumps({"type": "system", "data": {"action": action}}) for action in greeting]
            texts.append(json.dumps({"type": "cursor", "data": None}))
            order = {"fps": behaviour.fps, "bitrate": behaviour.bitrate, "greeting": texts, "turn": behaviour.turn}
            self._order(do="start", leg=VIDEO, **order)

    def _relay(self, leg: int, text: str) -> None:
        if text.startswith("SESSION"):
            self.log.append(text)
            return
        body = json.loads(text)
        if "sdp" in body:
            self._order(do="answer", leg=leg, sdp=body["sdp"]["sdp"])
        elif "ice" in body:
            ice = body["ice"]
            self._order(do="candidate", leg=leg, index=ice["sdpMLineIndex"], candidate=ice["candidate"])

    def _left(self, leg: int) -> None:
        self.log.append(f"left {leg}")
        del self._peers[leg]
        self._called.discard(leg)
        self._order(do="stop", leg=leg)
        if leg == AUDIO:
            self._audio_closed_at = self._loop.time()
            return
        if AUDIO in self._peers:
            self._order(do="stop", leg=AUDIO)
        if AUDIO in self._peers or self._loop.time() - self._audio_closed_at < self.behaviour.reuse_takes_seconds:
            self.audio_is_lost = True  # until the process is started anew

    # media

    def _order(self, **order: Any) -> None:
        assert self._media.stdin is not None
        if self._media.returncode is None:
            self._media.stdin.write(json.dumps(order).encode() + b"\n")

    async def _read_media(self, stream: asyncio.StreamReader) -> None:
        while line := await stream.readline():
            event = json.loads(line)
            self.media_events.append(event)
            await self._take(event)

    async def _take(self, event: dict[str, Any]) -> None:
        leg = event.get("leg", VIDEO)
        match event["event"]:
            case "offer":
                await self._send(leg, {"sdp": {"type": "offer", "sdp": self._as_offered(event["sdp"])}})
            case "candidate":
                await self._send(leg, {"ice": {"candidate": event["candidate"], "sdpMLineIndex": event["index"]}})
            case "open":
                self._spawn(self._tick(self._peers.get(VIDEO)))
            case "verb":
                self._verb(event["text"])

    async def _send(self, leg: int, body: dict[str, Any]) -> None:
        if (socket := self._peers.get(leg)) is not None:
            with suppress(ConnectionError):  # the client went first
                await socket.send_str(json.dumps(body))

    def _as_offered(self, sdp: str) -> str:
        """The original writes more parameters, and now and then none at all, which is a race there."""
        if self.behaviour.codec:
            return sdp.replace(" H264/", f" {self.behaviour.codec}/")
        if self.behaviour.drop_parameters:
            return re.sub(r"a=fmtp:97 .*\r\n", "", sdp)
        more = "profile-level-id=42e01f;level-asymmetry-allowed=1;sps-pps-idr-in-keyframe=1;"
        return sdp.replace("a=fmtp:97 ", f"a=fmtp:97 {more}").replace("apt=97", "apt=97;rtx-time=125")

    # control

    def _say(self, kind: str, data: Any) -> None:
        self._order(do="say", text=json.dumps({"type": kind, "data": data}))

    async def _tick(self, session: web.WebSocketResponse | None) -> None:
        while session is not None and self._peers.get(VIDEO) is session:
            self._sent_at = time.time()
            start = round(self._sent_at + self.behaviour.clock_offset_seconds, 3)
            self._say("ping", {"start_time": start})
            self._say("system_stats", {"cpu_percent": 12.5, "mem_total": 1 << 33, "mem_used": 1 << 32})
            await asyncio.sleep(PERIOD_SECONDS)  # the original's own period

    def _verb(self, text: str) -> None:
        self.verbs.append(text)
        name, *arguments = text.split(",")
        match name:
            case "pong":
                half = (time.time() - self._sent_at) / 2
                self._say("latency_measurement", {"latency_ms": round(half * 1000, 3)})
            case "_arg_fps":
                self._persist(fps=int(arguments[0]))
                self._order(do="fps", fps=int(arguments[0]))
            case "_arg_resize":
                self._persist(resize=arguments[0] == "true")
                if self.behaviour.resize:
                    self._resize(arguments[1])
            case "r" if self.behaviour.resize:
                self._resize(arguments[0])

    def _resize(self, size: str) -> None:
        width, height = (int(length) + int(length) % 2 for length in size.split("x"))
        self._order(do="resize", width=width, height=height)
        self._say("system", {"action": f"resolution,{width}x{height}"})

    def _persist(self, **values: Any) -> None:
        self._configuration.write_text(json.dumps({**self.persisted, **values}))
        for key, value in values.items():
            setattr(self.behaviour, key, value)


def _own_relay(rtc_configuration: str) -> str:
    """The first TURN server of a configuration in webrtcbin's spelling; empty where there is none."""
    for server in json.loads(rtc_configuration)["iceServers"]:
        for url in server["urls"]:
            if url.startswith("turn:"):
                place = url.removeprefix("turn:").partition("?")[0]
                return f"turn://{quote(server['username'], '')}:{quote(server['credential'], '')}@{place}"
    return ""


def main() -> None:
    """Serve as a process of its own until standard input ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--display", required=True)
    parser.add_argument("--configuration", type=Path, required=True, help="file for what clients change")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--fps", type=int, default=60)
    parser.add_argument("--bitrate", type=int, default=8000)
    parser.add_argument("--rtc", type=Path, help="file with an RTC configuration, whose TURN server it uses itself too")
    options = parser.parse_args()
    behaviour = Behaviour(fps=options.fps, bitrate=options.bitrate)
    if options.rtc is not None:
        behaviour.rtc_configuration = options.rtc.read_text()
        behaviour.turn = _own_relay(behaviour.rtc_configuration)
    with LegacyStandIn(options.display, options.configuration, behaviour, port=options.port) as server:
        print(server.url, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
