"""Connection of ``selkies-2-websocket``: control, video and audio on one WebSocket. I/O.

A message counts as arrived when its last byte was read from the socket. Frames are never lost here, only left out by
the desktop; nothing is acknowledged by a viewer, and a controller acknowledges as the desktop's own page does.
"""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections import deque
from dataclasses import replace
from urllib.parse import urlencode

import aiohttp

from vdibench.client.assembly import AssembledFrame
from vdibench.client.connection import CandidatePair, ConnectionObserver, Counters
from vdibench.client.failure import as_our_error
from vdibench.client.http import DesktopHttp
from vdibench.client.lifetime import CLOSE_SECONDS, bounded
from vdibench.client.mode import SAMPLE_SECONDS, Mode
from vdibench.client.options import CONNECT_SECONDS, SessionOptions, Step
from vdibench.client.spacing import Spacing
from vdibench.client.stamped import StampedSocket
from vdibench.errors import ProtocolViolation, VdibenchError
from vdibench.records import Desktop
from vdibench.selkies import (
    ControlMessage,
    Dialect,
    IceServer,
    Role,
    key_heartbeat,
    key_up,
    request_key_frame,
    resize_request,
)
from vdibench.selkies.control import HEARTBEAT_SECONDS, start_video
from vdibench.selkies.server_figures import server_figures
from vdibench.selkies.websocket import (
    TOO_FAST,
    WEBSOCKET_PATH,
    MessageReceived,
    PictureSized,
    PipelineReset,
    SettingsStated,
    StreamWishes,
    WebSocketConversation,
)
from vdibench.selkies.websocket_acks import ACK_SECONDS, AckClock
from vdibench.selkies.websocket_frames import AudioPacket, CompressedText, UnknownMessage, VideoChunk, parse_binary
from vdibench.selkies.websocket_pictures import FLUSH_SECONDS, Picture, PictureCollector

__all__ = ["WebSocketConnection"]

# Selkies sends no larger message; its own pages accept as much.
MAX_MESSAGE_BYTES = 32 * 1024 * 1024
# Control verbs that wait because the desktop does not read.
MAX_WAITING = 4096
ATTEMPTS = 10
TRY_AGAIN_SECONDS = 0.5
# Selkies answers the display's owner four times a second, and others once.
ASK_SECONDS = 0.25
ASK_AGAIN_SECONDS = 1.0
# A viewer without video asks for some; Selkies hears it once in 5 s.
VIDEO_DUE_SECONDS = 2.0
ASK_VIDEO_AGAIN_SECONDS = 5.5

_ENDS = {aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSING, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR}
_SDP_NAMES = {"h264": "H264", "hevc": "H265", "vp8": "VP8", "vp9": "VP9", "libdav1d": "AV1", "mjpeg": "JPEG"}

_spacing = Spacing()


class WebSocketConnection:
    """Selkies 2.x in WebSocket mode; see :class:`vdibench.client.connection.Connection`."""

    dialect = Dialect.SELKIES_2_WEBSOCKET
    ice_servers: tuple[IceServer, ...] = ()

    def __init__(self, desktop: Desktop, options: SessionOptions, observer: ConnectionObserver) -> None:
        self._url = desktop.endpoint.url
        self._options = options
        self._observer = observer
        self._controlling = options.role is Role.CONTROLLER
        display = desktop.display
        self._wishes = StreamWishes(
            size=(display.width, display.height) if display is not None else None,
            encoder=desktop.encoder,
            framerate=display.framerate if display is not None else 0,
        )
        self._tab_id = uuid.uuid4().hex
        self._talk = self._conversation()
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._stamps: StampedSocket | None = None
        self._settled = asyncio.Event()
        self._leaving = False
        self._receiver: asyncio.Task[VdibenchError] | None = None
        self._sender: asyncio.Task[None] | None = None
        self._outbox: deque[str] = deque()
        self._wake = asyncio.Event()
        self._held: list[str] = []
        self._pictures = PictureCollector()
        self._acks = AckClock()
        self._flush_at: asyncio.TimerHandle | None = None
        self._asked = self._asked_for_video = -ASK_AGAIN_SECONDS
        self._counters = Counters()
        self._skipped = 0
        self._unknown: set[int] = set()
        self.video_codec = ""
        self.audio_codec = ""

    @property
    def pair(self) -> CandidatePair | None:
        """There is no ICE."""
        return None

    def _conversation(self) -> WebSocketConversation:
        return WebSocketConversation(self._options.role, self._tab_id, self._wishes)

    # connecting

    async def open(self, http: DesktopHttp) -> None:
        """Take our turn, connect, and wait until the desktop said its settings."""
        for attempt in range(1, ATTEMPTS + 1):
            waited = await _spacing.turn(self._url, self._options.connect_timeout_seconds or CONNECT_SECONDS)
            if waited:
                self._observer.fact("websocket.waited_seconds", f"{waited:.3f}")
            error = await self._attempt(http)
            if error is None:
                break
            if self._socket is None or self._socket.close_code != TOO_FAST or attempt == ATTEMPTS:
                raise error
            # Clients of other processes of this machine, or behind the same proxy, were faster.
            self._observer.fact("websocket.turned_away", f"{attempt} times: {error.cause}")
            await asyncio.sleep(TRY_AGAIN_SECONDS)  # the server's own pace of admission
        self._observer.spawn(self._follow())
        self._observer.spawn(self._tick())
        if self._options.mode is Mode.SAMPLED:
            self._observer.spawn(self._sample())

    async def _attempt(self, http: DesktopHttp) -> VdibenchError | None:
        """Why the desktop ended the connection before it said its settings; None when it did say them."""
        self._talk = self._conversation()
        query = urlencode(self._talk.query)
        socket = self._socket = await http.websocket(
            WEBSOCKET_PATH + (f"?{query}" if query else ""), max_message_bytes=MAX_MESSAGE_BYTES, with_token=True
        )
        connected = socket.get_extra_info("socket")
        self._stamps = StampedSocket.of(connected.fileno()) if connected is not None else None
        self._observer.reached("signalled", None)
        self._observer.step(Step.ADMISSION)
        loop = asyncio.get_running_loop()
        # They outlive the session's tasks: a reader that is cancelled takes the goodbye with it.
        receiver = self._receiver = loop.create_task(self._receive(socket))
        await self._stop_sending()
        self._sender = loop.create_task(self._send_what_waits(socket))
        settled = loop.create_task(self._settled.wait())
        try:
            await asyncio.wait({receiver, settled}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            settled.cancel()
        if receiver.done():
            try:
                return receiver.result()
            except Exception as error:  # whatever a desktop provokes in there is told as one of our errors
                raise as_our_error(error) from error
        self._observer.reached("channel_open", None)
        return None

    async def _receive(self, socket: aiohttp.ClientWebSocketResponse) -> VdibenchError:
        """Take what comes until the end; returns its reason."""
        while (message := await socket.receive()).type not in _ENDS:
            if self._leaving:
                continue
            self._take(message)
            if not self._settled.is_set() and self._talk.greeted:
                self._observer.step(Step.SETTINGS)
                _spacing.taken(self._url)
        return self._reason(socket, message)

    async def _follow(self) -> None:
        assert self._receiver is not None
        self._observer.end(await asyncio.shield(self._receiver))

    def _reason(self, socket: aiohttp.ClientWebSocketResponse, message: aiohttp.WSMessage) -> VdibenchError:
        if isinstance(message.data, aiohttp.WebSocketError):
            # What this side could not read; the close code is the one that we answered with.
            return ProtocolViolation(
                f"the desktop sent what is no message of {MAX_MESSAGE_BYTES} bytes at most: {message.data}",
                "check that the server is Selkies 2.x, and what stands in front of it",
            )
        if message.type is aiohttp.WSMsgType.CLOSE:
            # The code of the frame: aiohttp's own is 1006 when the server is gone before our answer to it.
            return self._talk.close_reason(message.data, str(message.extra or ""))
        return self._talk.close_reason(socket.close_code, "")

    # what the desktop sends

    def _take(self, message: aiohttp.WSMessage) -> None:
        now = time.time()
        first, last = self._stamps.take() if self._stamps is not None else (now, now)
        if message.type is aiohttp.WSMsgType.TEXT:
            self._read_text(message.data)
            return
        if message.type is not aiohttp.WSMsgType.BINARY:
            return
        parsed = parse_binary(message.data)
        if isinstance(parsed, VideoChunk):
            self._read_video(parsed, len(message.data), first, last)
        elif isinstance(parsed, AudioPacket):
            self._read_audio(parsed, last)
        elif isinstance(parsed, CompressedText):
            self._read_text(parsed.text)
        elif isinstance(parsed, UnknownMessage) and parsed.kind not in self._unknown:
            self._unknown.add(parsed.kind)
            self._observer.fact("websocket.unknown_kinds", ", ".join(f"{kind:#04x}" for kind in sorted(self._unknown)))

    def _read_text(self, text: str) -> None:
        for event in self._talk.receive(text):
            if isinstance(event, MessageReceived):
                self._heed(event.message)
            elif isinstance(event, PictureSized):
                self._pictures.resize(event.height)
            elif isinstance(event, PipelineReset):
                self._acks.reset()
                self._deliver(self._pictures.flush())
            elif isinstance(event, SettingsStated):
                self._settled.set()
                self._asked_for_video = asyncio.get_running_loop().time() - ASK_VIDEO_AGAIN_SECONDS + VIDEO_DUE_SECONDS
        for text_out in self._talk.pending():
            self._queue(text_out)

    def _heed(self, message: ControlMessage) -> None:
        for name, value in server_figures(message).items():
            self._observer.row("server", {"unix_seconds": time.time(), "name": name, "value": value})
        self._observer.message(message)

    def _read_video(self, chunk: VideoChunk, size_bytes: int, first: float, last: float) -> None:
        self._observer.reached("first_packet", last)
        self.video_codec = _SDP_NAMES[chunk.codec]
        counters = self._counters
        self._counters = replace(
            counters,
            packets_received=counters.packets_received + 1,
            bytes_received=counters.bytes_received + size_bytes,
        )
        self._deliver(self._pictures.add(chunk, first, last))
        if self._flush_at is not None:
            self._flush_at.cancel()
            self._flush_at = None
        if self._pictures.waiting:
            self._flush_at = asyncio.get_running_loop().call_later(FLUSH_SECONDS, self._flush)

    def _flush(self) -> None:
        self._flush_at = None
        self._deliver(self._pictures.flush())

    def _deliver(self, pictures: list[Picture]) -> None:
        for picture in pictures:
            self._acks.saw(picture.frame_id, picture.arrival_seconds)
            if picture.skipped:
                self._skipped += picture.skipped
                values = {"unix_seconds": picture.arrival_seconds, "name": "frames_skipped", "value": self._skipped}
                self._observer.row("server", values)
            if not picture.decodable:
                self._ask_for_key_frame(ASK_AGAIN_SECONDS)
            self._observer.frame(_assembled(picture))

    def _read_audio(self, packet: AudioPacket, arrival: float) -> None:
        self.audio_codec = "opus"
        received = self._counters.audio_packets_received
        self._counters = replace(self._counters, audio_packets_received=received + 1)
        self._observer.audio(packet.data, -1 if packet.timestamp is None else packet.timestamp, arrival)

    # what we send

    async def _send_what_waits(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            for text in self._drain():
                await socket.send_str(text)

    def _drain(self) -> list[str]:
        texts = list(self._outbox)
        self._outbox.clear()
        return texts

    def _queue(self, text: str) -> None:
        if len(self._outbox) >= MAX_WAITING:
            raise ConnectionError("the desktop reads nothing any more")
        self._outbox.append(text)
        self._wake.set()

    async def _tick(self) -> None:
        """Acknowledge and keep held keys alive, until cancelled."""
        loop = asyncio.get_running_loop()
        heartbeat = loop.time()
        while True:
            await asyncio.sleep(ACK_SECONDS)  # the period of acknowledgements
            now = loop.time()
            if self._controlling and (text := self._acks.due(time.time())) is not None:
                self._queue(text)
            if self._held and now - heartbeat >= HEARTBEAT_SECONDS - ACK_SECONDS / 2:
                heartbeat = now
                self._queue(key_heartbeat(int(keysym) for keysym in self._held))
            unseen = not self._controlling and not self._counters.packets_received
            if unseen and now - self._asked_for_video >= ASK_VIDEO_AGAIN_SECONDS:
                self._asked_for_video = now
                self._queue(start_video())

    async def _sample(self) -> None:
        """Ask for a key frame now and then, at intervals that meet no rhythm of the desktop's, until cancelled."""
        while True:
            await asyncio.sleep(random.uniform(*SAMPLE_SECONDS))  # random: in no rhythm
            self._ask_for_key_frame(ASK_SECONDS)

    def _ask_for_key_frame(self, apart_seconds: float) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._asked >= apart_seconds:
            self._asked = now
            self._queue(request_key_frame())

    # what the session wants

    def send(self, text: str) -> None:
        """Send a control verb; keys that are held are kept alive until they are let go."""
        if self._socket is None or self._socket.closed or not self._settled.is_set():
            raise ConnectionError("the WebSocket is not open")
        verb, _, argument = text.partition(",")
        if verb == "kd" and argument not in self._held:
            self._held.append(argument)
        elif verb == "ku" and argument in self._held:
            self._held.remove(argument)
        self._queue(text)

    async def request_key_frame(self) -> None:
        """By ``REQUEST_KEYFRAME``."""
        if self._socket is not None and not self._socket.closed:
            self._ask_for_key_frame(ASK_SECONDS)

    def resize(self, width: int, height: int) -> None:
        """The owner's size wins."""
        self.send(resize_request(width, height))

    def read(self) -> Counters:
        """Messages and bytes; over TCP there is neither loss nor jitter of packets."""
        return self._counters

    async def close(self) -> None:
        """Let go of held keys and close; the desktop ends the session then."""
        socket, self._socket = self._socket, None
        self._leaving = True
        if self._flush_at is not None:
            self._flush_at.cancel()
        await self._stop_sending()
        if socket is None:
            return
        texts = self._drain() + [key_up(int(keysym)) for keysym in self._held]
        self._held.clear()

        async def farewell() -> None:
            for text in texts:
                await socket.send_str(text)

        if not socket.closed:
            await bounded(farewell, 1.0)
        # Who never let us in may not read either.
        await bounded(socket.close, CLOSE_SECONDS if self._settled.is_set() else 1.0)
        if self._receiver is not None:
            self._receiver.cancel()
            await asyncio.gather(self._receiver, return_exceptions=True)

    async def _stop_sending(self) -> None:
        if self._sender is not None:
            self._sender.cancel()
            await asyncio.gather(self._sender, return_exceptions=True)
            self._sender = None


def _assembled(picture: Picture) -> AssembledFrame:
    top, *rest = picture.chunks
    return AssembledFrame(
        timestamp=picture.frame_id,
        arrival_unix_seconds=picture.arrival_seconds,
        packets=len(picture.chunks),
        size_bytes=sum(len(chunk.data) for chunk in picture.chunks),
        key=picture.key,
        complete=True,
        decodable=picture.decodable,
        data=top.data if picture.decodable else b"",
        first_arrival_unix_seconds=picture.first_arrival_seconds,
        codec=top.codec,
        stripe=top.top,
        rest=tuple((chunk.top, chunk.data) for chunk in rest) if picture.decodable else (),
    )
