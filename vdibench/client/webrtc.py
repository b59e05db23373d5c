"""Connection of ``selkies-2-webrtc``: one signalling WebSocket, one peer connection, two data channels. I/O."""

from __future__ import annotations

import asyncio
import uuid

import aiohttp

from vdibench.client.connection import CandidatePair, ConnectionObserver, Counters
from vdibench.client.http import DesktopHttp
from vdibench.client.lifetime import bounded
from vdibench.client.options import SessionOptions, Step
from vdibench.client.peer import MediaPeer, PeerObserver
from vdibench.client.rtc_events import RtcEvents
from vdibench.errors import TargetUnavailable
from vdibench.records import Desktop
from vdibench.selkies import (
    Dialect,
    IceServer,
    OfferReceived,
    PeerNotReady,
    Registered,
    Role,
    Signalling,
    close_reason,
    resize_request,
    stats_subscription,
)

__all__ = ["WebRtcConnection", "choose_relay"]

_ASK_AGAIN_SECONDS = 0.1
_ENDS = {aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSING, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR}


class WebRtcConnection:
    """Selkies 2.x in WebRTC mode; see :class:`vdibench.client.connection.Connection`."""

    dialect = Dialect.SELKIES_2_WEBRTC

    def __init__(self, desktop: Desktop, options: SessionOptions, observer: ConnectionObserver) -> None:
        self._desktop = desktop
        self._options = options
        self._observer = observer
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._peer: MediaPeer | None = None
        self._events = RtcEvents(
            desktop, options, observer, send=self.send, pair=lambda: self.pair, opened=self._subscribe
        )
        self.ice_servers: tuple[IceServer, ...] = ()
        display = desktop.display
        controlling = options.role is Role.CONTROLLER
        self._signalling = Signalling(
            options.role,
            uuid.uuid4().hex,
            (display.width, display.height) if display is not None and controlling else None,
            desktop.endpoint.token,
        )

    async def open(self, http: DesktopHttp) -> None:
        """Signal, answer the offer, wait for ICE, DTLS and the ``input`` channel."""
        self.ice_servers = choose_relay(self._desktop, self._options, await http.ice_servers())
        self._observer.step(Step.SIGNALLING)
        self._socket = await http.signalling()
        self._peer = MediaPeer(
            self.ice_servers,
            relay_only=self._options.relay_only,
            route=self._options.route,
            mode=self._options.mode,
            native=self._options.native,
            authenticate=self._options.authenticate,
            observer=PeerObserver(
                lambda instant: self._observer.reached("first_packet", instant),
                self._observer.frame,
                self._events.state_changed,
                self._events.channel_opened,
                self._events.message,
                self._observer.audio,
            ),
        )
        offered = asyncio.Event()
        self._observer.spawn(self._converse(self._socket, self._peer, offered))
        await offered.wait()
        self._observer.step(self._events.ice_step)
        await self._events.connected.wait()
        self._observer.fact("reception", self._peer.receiver)
        self._observer.step(Step.CHANNEL)
        await self._events.channel_open.wait()

    def _subscribe(self) -> None:
        if self._options.role is Role.CONTROLLER:
            self.send(stats_subscription(on=True))

    async def _converse(self, socket: aiohttp.ClientWebSocketResponse, peer: MediaPeer, offered: asyncio.Event) -> None:
        await self._flush(socket)
        while (message := await socket.receive()).type not in _ENDS:
            if message.type is not aiohttp.WSMsgType.TEXT:
                continue
            for event in self._signalling.receive(message.data):
                if isinstance(event, Registered):
                    self._observer.reached("signalled", None)
                elif isinstance(event, PeerNotReady):
                    # The server's own peer registers a moment after its page answers.
                    await asyncio.sleep(_ASK_AGAIN_SECONDS)
                    self._signalling.ask_again()
                elif isinstance(event, OfferReceived):
                    self._observer.reached("offered", None)
                    await self._answer(peer, event.sdp)
                    offered.set()
            await self._flush(socket)
        if message.type is aiohttp.WSMsgType.CLOSE:
            # The code of the frame: aiohttp's own is 1006 when the server is gone before our answer to it.
            self._observer.end(close_reason(message.data, message.extra or ""))
        else:
            self._observer.end(close_reason(socket.close_code))

    async def _answer(self, peer: MediaPeer, offer: str) -> None:
        answer = await peer.answer(offer)
        if "a=candidate:" not in answer and self._options.route is None:
            raise self._events.stuck(self._events.ice_step, "for want of an own address")
        self._signalling.answer(answer)

    async def _flush(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        for frame in self._signalling.pending():
            await socket.send_str(frame)

    # what the session wants

    @property
    def video_codec(self) -> str:
        """Name as in SDP."""
        return self._peer.video_codec if self._peer is not None else ""

    @property
    def audio_codec(self) -> str:
        """Name as in SDP."""
        return self._peer.audio_codec if self._peer is not None else ""

    @property
    def pair(self) -> CandidatePair | None:
        """The nominated candidate pair."""
        return self._peer.pair() if self._peer is not None else None

    def send(self, text: str) -> None:
        """Send a control verb on the ordered channel."""
        if self._peer is None:
            raise ConnectionError("there is no peer connection yet")
        self._peer.send(text)

    async def request_key_frame(self) -> None:
        """By PLI."""
        if self._peer is not None:
            await self._peer.request_key_frame()

    def resize(self, width: int, height: int) -> None:
        """The owner's size wins."""
        self.send(resize_request(width, height))

    def read(self) -> Counters:
        """RTP counters of both streams."""
        return self._peer.read() if self._peer is not None else Counters()

    async def close(self) -> None:
        """The server ends the session when the socket closes cleanly; the peer connection follows."""
        if self._socket is not None:
            await bounded(self._socket.close)
        if self._peer is not None:
            await bounded(self._peer.close)


def choose_relay(desktop: Desktop, options: SessionOptions, servers: tuple[IceServer, ...]) -> tuple[IceServer, ...]:
    """The servers to use of those that the desktop hands out.

    :raises TargetUnavailable: only a relay is wanted and there is none of that transport.
    """
    wanted = options.relay_transport
    chosen = tuple(server for server in servers if not (server.is_turn and wanted and server.transport != wanted))
    if options.relay_only and not any(server.is_turn for server in chosen):
        raise TargetUnavailable(
            f"{desktop.endpoint.url} names no {wanted + ' ' if wanted else ''}TURN server",
            "give the desktop one (SELKIES_TURN_HOST and its secret, or an rtc.json)",
        )
    return chosen
