"""One watched desktop: connect, first frame, watch, input, leave. I/O; runs in one event loop.

Every instant is taken on this host's wall clock; a desktop on the same host shares it, so the clock offset is zero
by construction. Samples go to the sink as they happen: nothing is lost when a session ends badly.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from types import TracebackType

import aiohttp

from vdibench.client.http import DesktopHttp, open_http
from vdibench.client.input import InputKind, InputProbe
from vdibench.client.lifetime import Lifetime
from vdibench.client.marker import Marker
from vdibench.client.peer import CandidatePair, MediaPeer, PeerObserver
from vdibench.client.picture import PictureStream
from vdibench.client.pulse import beat
from vdibench.client.sink import InputRecord, SampleSink
from vdibench.errors import ProtocolViolation, StreamLost, TargetUnavailable, UsageError
from vdibench.records import Desktop
from vdibench.selkies import (
    ControlMessage,
    Dialect,
    IceServer,
    OfferReceived,
    PeerNotReady,
    Registered,
    Role,
    Signalling,
    close_reason,
    decode_control,
    stats_subscription,
)

__all__ = ["DesktopSession", "SessionOptions"]

_CLOSE_SECONDS = 5.0

# The steps of connecting: what the desktop did not do, and what to do about it.
_HTTP = ("answer HTTP", "check address, route and firewall")
_SIGNALLING = ("signal", "look into the desktop's log: its signalling or its own peer hangs")
_ICE = ("connect by ICE", "check UDP between here and the desktop, or use TURN")
_RELAYED_ICE = (
    "connect by ICE through the TURN relay",
    "check the TURN server's address, its credentials' expiry and its log",
)
_CHANNEL = ("open the data channel", "look into the desktop's log: DTLS or SCTP hangs")


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """How to watch.

    :param role: viewer, or controller where the desktop is ours or the user said so.
    :param relay_only: no path but through the TURN relay.
    :param relay_transport: ``udp`` or ``tcp`` towards the relay; empty for the first that the desktop names.
    :param connect_timeout_seconds: from the first request to the open data channel.
    :param first_frame_timeout_seconds: from the open channel to the first decoded frame.
    :param stall_seconds: no video for so long ends the session: a dead relay leaves ICE "connected" for half a minute.
    """

    role: Role = Role.VIEWER
    relay_only: bool = False
    relay_transport: str = ""
    connect_timeout_seconds: float = 20.0
    first_frame_timeout_seconds: float = 10.0
    stall_seconds: float = 5.0


class DesktopSession:
    """Watches one desktop in dialect ``selkies-2-webrtc``; an async context manager that leaves cleanly.

    :param desktop: where it is; a marker id, when given, must be the one in the picture.
    :param sink: receives every sample; called from the event loop and from the decoder's thread.
    """

    def __init__(self, desktop: Desktop, sink: SampleSink, options: SessionOptions | None = None) -> None:
        self.desktop = desktop
        self.options = options or SessionOptions()
        self.messages: dict[str, ControlMessage] = {}
        self.ice_servers: tuple[IceServer, ...] = ()
        self._sink = sink
        self._stack = AsyncExitStack()
        self._life = Lifetime()
        self.picture = PictureStream(
            desktop.id,
            desktop.marker_id,
            sink,
            lambda: self._life.spawn(self._ask_for_key_frame()),
            self._marked,
            self._life.fail,
        )
        self._milestones: set[str] = set()
        self._step = _HTTP
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._peer: MediaPeer | None = None
        self._input: InputProbe | None = None
        self._signalling: Signalling | None = None
        self._connected = asyncio.Event()
        self._channel_open = asyncio.Event()
        self._departure: asyncio.Task[None] | None = None

    async def __aenter__(self) -> DesktopSession:
        try:
            await self.connect()
        except BaseException:
            await self.leave()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.leave()

    # connecting

    async def connect(self) -> None:
        """Connect until the data channel is open.

        :raises AuthenticationError: wrong credentials.
        :raises NotADesktop: something else answers.
        :raises TargetUnavailable: no connection within the time limit; the message names the step that hung.
        """
        self._reached("started")
        try:
            async with asyncio.timeout(self.options.connect_timeout_seconds):
                http = await self._stack.enter_async_context(open_http(self.desktop.endpoint))
                detection = await http.require(Dialect.SELKIES_2_WEBRTC)
                self._reached("reachable")
                self._fact("dialect", str(detection.dialect))
                self.ice_servers = self._choose_relay(await http.ice_servers())
                self._step = _SIGNALLING
                await self._signal(http)
                self._step = _RELAYED_ICE if self.options.relay_only else _ICE
                await self._life.until(self._connected.wait())
                self._step = _CHANNEL
                await self._life.until(self._channel_open.wait())
        except TimeoutError as error:
            raise self._stuck(f"within {self.options.connect_timeout_seconds:g} s") from error
        self._life.spawn(beat(self.desktop.id, self._sink, self.peer, self.picture, self.options.stall_seconds))

    def _stuck(self, how: str) -> TargetUnavailable:
        step, remedy = self._step
        return TargetUnavailable(f"{self.desktop.endpoint.url} did not {step} {how}", remedy)

    def _choose_relay(self, servers: tuple[IceServer, ...]) -> tuple[IceServer, ...]:
        wanted = self.options.relay_transport
        chosen = tuple(server for server in servers if not (server.is_turn and wanted and server.transport != wanted))
        if self.options.relay_only and not any(server.is_turn for server in chosen):
            raise TargetUnavailable(
                f"{self.desktop.endpoint.url} names no {wanted + ' ' if wanted else ''}TURN server",
                "give the desktop one (SELKIES_TURN_HOST and its secret, or an rtc.json)",
            )
        return chosen

    async def _signal(self, http: DesktopHttp) -> None:
        display = self.desktop.display
        controlling = self.options.role is Role.CONTROLLER
        self._signalling = Signalling(
            self.options.role,
            uuid.uuid4().hex,
            (display.width, display.height) if display is not None and controlling else None,
        )
        self._socket = await http.signalling()
        self._peer = MediaPeer(
            self.ice_servers,
            relay_only=self.options.relay_only,
            observer=PeerObserver(
                lambda instant: self._reached("first_packet", instant),
                self.picture.add,
                self._state_changed,
                self._channel_opened,
                self._message,
            ),
        )
        offered = asyncio.Event()
        self._life.spawn(self._converse(offered))
        await self._life.until(offered.wait())

    async def _converse(self, offered: asyncio.Event) -> None:
        assert self._socket is not None
        assert self._signalling is not None
        assert self._peer is not None
        await self._flush()
        ends = {aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSING, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR}
        while (message := await self._socket.receive()).type not in ends:
            if message.type is not aiohttp.WSMsgType.TEXT:
                continue
            for event in self._signalling.receive(message.data):
                if isinstance(event, Registered):
                    self._reached("signalled")
                elif isinstance(event, PeerNotReady):
                    # The server's own peer registers a moment after its page answers.
                    await asyncio.sleep(0.1)
                    self._signalling.ask_again()
                elif isinstance(event, OfferReceived):
                    self._reached("offered")
                    answer = await self._peer.answer(event.sdp)
                    if "a=candidate:" not in answer:
                        self._step = _RELAYED_ICE if self.options.relay_only else _ICE
                        raise self._stuck("for want of an own address")
                    self._signalling.answer(answer)
                    offered.set()
            await self._flush()
        said = message.extra if message.type is aiohttp.WSMsgType.CLOSE else ""
        self._life.end(close_reason(self._socket.close_code, said or ""))

    async def _flush(self) -> None:
        assert self._signalling is not None
        assert self._socket is not None
        for frame in self._signalling.pending():
            await self._socket.send_str(frame)

    # what the peer tells us, in the event loop

    def _state_changed(self, kind: str, state: str) -> None:
        if kind == "ice" and state in {"connected", "completed"}:
            self._reached("ice_connected")
        elif kind == "connection" and state == "connected":
            self._reached("connected")
            self._connected.set()
            pair = self.pair
            if pair is not None:
                self._fact("ice.pair", str(pair))
        elif kind == "connection" and state in {"failed", "closed"}:
            lost = StreamLost(f"the peer connection {state}", "look into the desktop's log and the network")
            self._life.end(lost if self._connected.is_set() else self._stuck("on any path"))

    def _channel_opened(self, label: str) -> None:
        if label == "input":
            self._reached("channel_open")
            self._channel_open.set()
            display = self.desktop.display
            centre = (display.width // 2, display.height // 2) if display is not None else (320, 240)
            assert self._peer is not None
            self._input = InputProbe(self._peer.send, centre)
            if self.options.role is Role.CONTROLLER:
                self._peer.send(stats_subscription(on=True))

    def _message(self, payload: str | bytes) -> None:
        try:
            message = decode_control(payload)
        except ProtocolViolation as error:
            self._life.end(error)
            return
        if message is None:
            return
        self.messages[f"system:{message.action}" if message.action else message.type] = message
        if message.type == "stream_info" and isinstance(message.data, dict):
            info = message.data.get("info", message.data)
            for key in ("encoder", "hardware", "codec", "encoder_reason", "capture", "backend"):
                if key in info:
                    self._fact(f"stream.{key}", str(info[key]))
        elif message.action == "video_declined":
            self._life.end(
                TargetUnavailable(f"the desktop declined video ({message.argument})", "choose an H.264 encoder there")
            )

    async def _ask_for_key_frame(self) -> None:
        if self._peer is not None:
            await self._peer.request_key_frame()

    def _marked(self, marker: Marker, decoded_unix_seconds: float) -> None:
        if self._input is not None:
            self._input.saw(marker, decoded_unix_seconds)

    # watching

    async def first_frame(self) -> None:
        """Wait for the first decoded frame.

        :raises TargetUnavailable: none came within the time limit.
        """
        limit = self.options.first_frame_timeout_seconds
        try:
            async with asyncio.timeout(limit):
                await self._life.until(self.picture.first_frame.wait())
            self._fact("video.codec", self.peer.video_codec)
        except TimeoutError as error:
            raise self._no_picture(f"within {limit:g} s") from error

    def _no_picture(self, when: str) -> TargetUnavailable:
        received, codec = self.peer.video.read().packets_received, self.peer.video_codec
        if not received:
            cause = "the desktop connected but sends no video"
        elif codec != "H264":
            return TargetUnavailable(
                f"the desktop sends {codec or 'unknown'} video", "set SELKIES_ENCODER=h264enc there"
            )
        else:
            cause = f"{received} video packets came but no decodable frame"
        return TargetUnavailable(f"{cause} {when}", "check the desktop's encoder and its screen in its log")

    async def watch(self, seconds: float) -> None:
        """Watch for ``seconds``; samples go to the sink.

        :raises StreamLost: the stream ended or stalled before.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._life.until(asyncio.Event().wait())

    async def press(self, kind: InputKind) -> InputRecord:
        """Send one key press or click and wait for its photon; only on a desktop taken under control.

        :raises UsageError: watched as a viewer.
        :raises StreamLost: the channel is gone.
        """
        if self.options.role is not Role.CONTROLLER:
            raise UsageError("a viewer sends no input", "take the desktop under control (--take-control)")
        if self._input is None:
            raise StreamLost("the data channel is not open", "connect first")
        try:
            record = await self._life.until(self._input.press(kind))
        except ConnectionError as error:
            raise StreamLost(str(error), "the session ended; connect again") from error
        self._sink.input(self.desktop.id, record)
        return record

    @property
    def pair(self) -> CandidatePair | None:
        """The nominated candidate pair."""
        return self._peer.pair() if self._peer is not None else None

    @property
    def peer(self) -> MediaPeer:
        """The peer, for its counters.

        :raises StreamLost: there is none yet.
        """
        if self._peer is None:
            raise StreamLost("the session has no peer connection", "connect first")
        return self._peer

    # leaving

    async def leave(self) -> None:
        """Let go of held keys, close signalling, then the peer connection. Safe to call twice.

        A cancellation waits for the end of it, which is bounded: half a session left would stay for good.
        """
        if self._departure is None:
            self._departure = asyncio.get_running_loop().create_task(self._leave())
        cancelled: asyncio.CancelledError | None = None
        while not self._departure.done():
            try:
                await asyncio.shield(self._departure)
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is not None:
            raise cancelled
        self._departure.result()

    async def _leave(self) -> None:
        self._reached("leaving")
        async with AsyncExitStack() as steps:
            steps.callback(self._reached, "left")
            steps.push_async_callback(self._stack.aclose)
            steps.push_async_callback(self.picture.close)
            # The server ends the session when the socket closes cleanly; the peer connection follows.
            if self._peer is not None:
                steps.push_async_callback(_bounded, self._peer.close)
            if self._socket is not None:
                steps.push_async_callback(_bounded, self._socket.close)
            steps.push_async_callback(self._life.close)
            if self._input is not None:
                with suppress(ConnectionError):
                    self._input.release()

    # helpers

    def _reached(self, event: str, unix_seconds: float | None = None) -> None:
        if event in self._milestones:
            return  # the first time counts
        self._milestones.add(event)
        self._sink.milestone(self.desktop.id, event, time.time() if unix_seconds is None else unix_seconds)

    def _fact(self, key: str, value: str) -> None:
        self._sink.fact(self.desktop.id, key, value)


async def _bounded(close: Callable[[], Awaitable[object]]) -> None:
    """Close what may no longer answer."""
    with suppress(aiohttp.ClientError, OSError, TimeoutError):
        async with asyncio.timeout(_CLOSE_SECONDS):
            await close()
