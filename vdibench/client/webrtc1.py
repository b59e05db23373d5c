"""Connection of ``selkies-1-webrtc`` (Selkies-GStreamer 1.6): two legs, each with signalling and media of its own. I/O.

The leg with video and the control channel decides over the session. The one with audio must be there too, or the
server's event loop goes on sleeping in front of it, and the next session would have no audio; but a desktop without
a sound server never offers it, and that is a fact and no failure.
"""

from __future__ import annotations

import asyncio
import dataclasses
import math
from contextlib import suppress

from vdibench.client.connection import CandidatePair, ConnectionObserver, Counters
from vdibench.client.http import DesktopHttp
from vdibench.client.leg import MediaLeg
from vdibench.client.options import SessionOptions, Step
from vdibench.client.peer import MediaPeer, PeerObserver
from vdibench.client.rtc_events import RtcEvents
from vdibench.client.webrtc import choose_relay
from vdibench.errors import VdibenchError
from vdibench.records import Desktop
from vdibench.selkies import (
    RTC_CONFIGURATION_PATH_1,
    ControlMessage,
    Dialect,
    IceServer,
    Leg,
    LegSignalling,
    Role,
    key_up,
    pointer,
    resize_request,
    resize_switch,
)

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
        self._events = RtcEvents(desktop, options, observer, send=self.send, pair=lambda: self.pair, heard=self._heard)
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
                self._events.state_changed,
                self._events.channel_opened,
                self._events.message,
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
                native=self._options.native,
                authenticate=self._options.authenticate,
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
        await self._within(ICE_SECONDS, self._events.ice_step, self._events.connected)
        if self._video.peer is not None:
            self._observer.fact("reception", self._video.peer.receiver)
        await self._within(CHANNEL_SECONDS, Step.CHANNEL, self._events.channel_open)

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
            raise self._events.stuck(step, f"within {seconds:g} s") from error

    # what the peers tell us, in the event loop

    def _audio_state_changed(self, kind: str, state: str) -> None:
        if kind == "connection" and not self._closed:
            self._observer.fact("audio.connection", state)

    def _heard(self, message: ControlMessage) -> None:
        if message.action in {"encoder", "framerate", "resize"}:
            self._observer.fact(f"stream.{message.action}", message.argument)
            if message.action == "resize":
                self._resizable = message.argument == "True"

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
        counters = self._video.peer.read()
        if self._audio.peer is None:
            return dataclasses.replace(counters, audio_packets_lost=math.nan)
        sound = self._audio.peer.read()
        return dataclasses.replace(
            counters,
            audio_packets_received=sound.audio_packets_received,
            audio_packets_lost=sound.audio_packets_lost,
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
        await asyncio.sleep(_BETWEEN_LEGS_SECONDS)  # the server takes down one leg at a time
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
        with suppress(ConnectionError):  # it has gone: nothing is held there any more
            for _ in range(_RELEASES):
                for verb in farewell:
                    self.send(verb)
                await asyncio.sleep(_RELEASE_STEP_SECONDS)  # apart, so that one loss does not take all
