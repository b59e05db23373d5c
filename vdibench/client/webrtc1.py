"""Connection of ``selkies-1-webrtc`` (Selkies-GStreamer 1.6): two legs, each with signalling and media of its own. I/O.

The leg with video and the control channel decides over the session. The one with audio must be there too, or the
server's event loop goes on sleeping in front of it, and the next session would have no audio; but a desktop without
a sound server never offers it, and that is a fact and no failure.
"""

from __future__ import annotations

import asyncio
import math
import time
from contextlib import suppress

from vdibench.client.connection import CandidatePair, ConnectionObserver, Counters
from vdibench.client.failure import as_our_error
from vdibench.client.http import DesktopHttp
from vdibench.client.leg import MediaLeg
from vdibench.client.options import SessionOptions, Step
from vdibench.client.peer import MediaPeer, PeerObserver
from vdibench.client.webrtc import PEER_ENDS, choose_relay
from vdibench.errors import Disconnected, TargetUnavailable, VdibenchError
from vdibench.records import Desktop
from vdibench.selkies import (
    RTC_CONFIGURATION_PATH_1,
    ControlMessage,
    Dialect,
    IceServer,
    Leg,
    LegSignalling,
    Role,
    decode_control,
    key_up,
    pointer,
    pong,
    resize_request,
    resize_switch,
)
from vdibench.selkies.server_figures import server_figures

__all__ = ["LegacyWebRtcConnection"]

OFFER_SECONDS = 15.0
# After this long without an offer the sound will not come; it does no harm if it does.
SOUND_SECONDS = 15.0
# Through a relay the server's libnice takes 5.5 s.
ICE_SECONDS = 15.0
CHANNEL_SECONDS = 5.0
# How long the server needs to take down a leg before the other may go.
_BETWEEN_LEGS_SECONDS = 0.3
# The control channel does not send again what was lost, and a key whose release was lost repeats for ever.
_RELEASES = 3
_RELEASE_STEP_SECONDS = 0.05


class LegacyWebRtcConnection:
    """Selkies 1.6; see :class:`vdibench.client.connection.Connection`."""

    dialect = Dialect.SELKIES_1_WEBRTC

    def __init__(self, desktop: Desktop, options: SessionOptions, observer: ConnectionObserver) -> None:
        self._desktop = desktop
        self._options = options
        self._observer = observer
        self._servers: asyncio.Future[tuple[IceServer, ...]] = asyncio.get_running_loop().create_future()
        self._connected = asyncio.Event()
        self._channel_open = asyncio.Event()
        self._pressed: set[int] = set()
        self._pointer: tuple[int, int] | None = None
        self._resizable = False
        self._switched: tuple[int, int] | None = None
        self._closed = False
        self.ice_servers: tuple[IceServer, ...] = ()
        display = desktop.display
        controlling = options.role is Role.CONTROLLER
        page_size = (display.width, display.height) if display is not None and controlling else None
        self._video = self._leg(
            Leg.VIDEO,
            page_size,
            PeerObserver(
                lambda instant: self._observer.reached("first_packet", instant),
                self._observer.frame,
                self._state_changed,
                self._channel_opened,
                self._message,
            ),
        )
        self._audio = self._leg(
            Leg.AUDIO,
            page_size,
            PeerObserver(
                lambda instant: None,
                lambda frame: None,
                self._audio_state_changed,
                lambda label: None,
                lambda payload: None,
                self._observer.audio,
            ),
        )

    def _leg(self, number: Leg, page_size: tuple[int, int] | None, observer: PeerObserver) -> MediaLeg:
        async def peer() -> MediaPeer:
            servers = await asyncio.shield(self._servers)
            return MediaPeer(
                servers,
                relay_only=self._options.relay_only,
                observer=observer,
                route=self._options.route,
                mode=self._options.mode,
            )

        return MediaLeg(
            lambda: LegSignalling(number, page_size),
            peer,
            lambda: self._leg_taken(number),
            lambda text: self._observer.fact(f"signalling.complaint.{number:d}", text),
        )

    def _leg_taken(self, number: Leg) -> None:
        self._observer.fact(f"signalling.taken.{number:d}", "another client, or one that has just left, has the place")
        if number is Leg.VIDEO:
            self._observer.step(Step.PLACE)

    # connecting

    async def open(self, http: DesktopHttp) -> None:
        """Open both legs at once, since each waits for the server's sleep; then video alone decides."""
        self._observer.step(Step.SIGNALLING)
        self._observer.spawn(self._fetch_servers(http))
        self._observer.spawn(self._run_audio(http))
        self._observer.spawn(self._watch_audio())
        self._observer.spawn(self._run_video(http))
        await self._video.registered.wait()
        self._observer.step(Step.SIGNALLING)
        self._observer.reached("signalled", None)
        await self._within(OFFER_SECONDS, Step.OFFER, self._video.offered)
        self._observer.reached("offered", None)
        await self._within(ICE_SECONDS, self._ice_step, self._connected)
        await self._within(CHANNEL_SECONDS, Step.CHANNEL, self._channel_open)

    async def _fetch_servers(self, http: DesktopHttp) -> None:
        servers = await http.ice_servers(RTC_CONFIGURATION_PATH_1)
        self.ice_servers = choose_relay(self._desktop, self._options, servers)
        self._servers.set_result(self.ice_servers)

    async def _run_video(self, http: DesktopHttp) -> None:
        await self._video.run(http)

    async def _run_audio(self, http: DesktopHttp) -> None:
        try:
            await self._audio.run(http)
        except VdibenchError as error:
            self._observer.fact("audio.leg", error.cause)

    async def _watch_audio(self) -> None:
        await self._audio.registered.wait()
        try:
            async with asyncio.timeout(SOUND_SECONDS):
                await self._audio.offered.wait()
        except TimeoutError:
            self._observer.fact("audio.leg", f"not offered within {SOUND_SECONDS:g} s: is there a sound server?")

    async def _within(self, seconds: float, step: Step, event: asyncio.Event) -> None:
        self._observer.step(step)
        try:
            async with asyncio.timeout(seconds):
                await event.wait()
        except TimeoutError as error:
            raise self._stuck(step, f"within {seconds:g} s") from error

    def _stuck(self, step: Step, how: str) -> TargetUnavailable:
        return TargetUnavailable(f"{self._desktop.endpoint.url} did not {step.missing} {how}", step.remedy)

    @property
    def _ice_step(self) -> Step:
        return Step.RELAYED_ICE if self._options.relay_only else Step.ICE

    # what the peers tell us, in the event loop

    def _state_changed(self, kind: str, state: str) -> None:
        if kind == "ice" and state in {"connected", "completed"}:
            self._observer.reached("ice_connected", None)
        elif kind == "connection" and state == "connected":
            self._observer.reached("connected", None)
            self._connected.set()
            if (pair := self.pair) is not None:
                self._observer.fact("ice.pair", str(pair))
        elif kind == "connection" and state in {"failed", "closed"}:
            if self._connected.is_set():
                self._observer.end(Disconnected(*PEER_ENDS[state]))
            else:
                self._observer.end(self._stuck(self._ice_step, "on any path"))

    def _audio_state_changed(self, kind: str, state: str) -> None:
        if kind == "connection" and not self._closed:
            self._observer.fact("audio.connection", state)

    def _channel_opened(self, label: str) -> None:
        if label == "input":
            self._observer.reached("channel_open", None)
            self._channel_open.set()

    def _message(self, payload: str | bytes) -> None:
        try:
            self._heed(payload)
        except Exception as error:  # whatever it is, it must not tear the DTLS loop that calls this
            self._observer.end(as_our_error(error))

    def _heed(self, payload: str | bytes) -> None:
        message = decode_control(payload)
        if message is None:
            return
        for name, value in server_figures(message).items():
            self._observer.row("server", {"unix_seconds": time.time(), "name": name, "value": value})
        self._observer.message(message)
        # The clock reads the ping first: what it sees must have happened before our answer leaves.
        if message.type == "ping" and isinstance(message.data, dict):
            self._answer_ping(message)
        elif message.action in {"encoder", "framerate", "resize"}:
            self._observer.fact(f"stream.{message.action}", message.argument)
            if message.action == "resize":
                self._resizable = message.argument == "True"

    def _answer_ping(self, message: ControlMessage) -> None:
        start = message.data.get("start_time")
        if isinstance(start, int | float):
            with suppress(ConnectionError, OverflowError):
                self.send(pong(float(start)))

    # what the session wants

    @property
    def video_codec(self) -> str:
        """Name as in SDP."""
        return self._video.peer.video_codec if self._video.peer is not None else ""

    @property
    def audio_codec(self) -> str:
        """Name as in SDP."""
        return self._audio.peer.audio_codec if self._audio.peer is not None else ""

    @property
    def pair(self) -> CandidatePair | None:
        """The nominated candidate pair of the leg with video."""
        return self._video.peer.pair() if self._video.peer is not None else None

    def send(self, text: str) -> None:
        """Send a control verb; what it presses is let go of when the session is left."""
        if self._video.peer is None:
            raise ConnectionError("there is no peer connection yet")
        self._video.peer.send(text)
        verb, _, rest = text.partition(",")
        if verb in {"kd", "ku"}:  # the release of an earlier session's key may get lost as well
            self._pressed.add(int(rest))
        elif verb == "m":
            x, y, *_ = rest.split(",")
            self._pointer = int(x), int(y)

    async def request_key_frame(self) -> None:
        """By PLI."""
        if self._video.peer is not None:
            await self._video.peer.request_key_frame()

    def resize(self, width: int, height: int) -> None:
        """Ask for a size, rounded down to even numbers: an odd one ends the desktop's encoder.

        Where resizing is forbidden it is allowed for the time of the session, which the server writes to its
        configuration; :meth:`close` forbids it again.
        """
        width, height = width - width % 2, height - height % 2
        if self._resizable:
            self.send(resize_request(width, height))
        else:
            self.send(resize_switch(width, height, on=True))
            self._switched = width, height
            self._resizable = True

    def read(self) -> Counters:
        """RTP counters of both legs."""
        if self._video.peer is None:
            return Counters()
        video = self._video.peer.video.read()
        audio = self._audio.peer.audio.read() if self._audio.peer is not None else None
        return Counters(
            packets_received=video.packets_received,
            packets_lost=video.packets_lost,
            bytes_received=video.bytes_received,
            jitter_seconds=video.jitter_seconds,
            nack_count=self._video.peer.nack_count,
            pli_count=self._video.peer.pli_count,
            audio_packets_received=audio.packets_received if audio is not None else 0,
            audio_packets_lost=audio.packets_lost if audio is not None else math.nan,
            socket_drops=self._video.peer.socket_drops,
        )

    # leaving

    async def close(self) -> None:
        """Let go of keys and buttons, then the legs: audio first, or the next session's audio would be lost."""
        if self._closed:
            return
        self._closed = True
        if not self._servers.done():
            self._servers.cancel()
        await self._let_go()
        await self._audio.close_signalling()
        await asyncio.sleep(_BETWEEN_LEGS_SECONDS)
        await self._video.close_signalling()
        await self._audio.close_media()
        await self._video.close_media()

    async def _let_go(self) -> None:
        farewell = [key_up(keysym) for keysym in sorted(self._pressed)]
        if self._pointer is not None:
            farewell.append(pointer(*self._pointer))
        if self._switched is not None:
            farewell.append(resize_switch(*self._switched, on=False))
        if not farewell:
            return
        with suppress(ConnectionError):
            for _ in range(_RELEASES):
                for verb in farewell:
                    self.send(verb)
                await asyncio.sleep(_RELEASE_STEP_SECONDS)
