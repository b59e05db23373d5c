"""One watched desktop: connect, first frame, watch, input, resize, reconnect, leave. I/O; runs in one event loop.

Every instant is taken on this host's wall clock; a desktop on the same host shares it, so the clock offset is zero
by construction. Samples go to the sink as they happen: nothing is lost when a session ends badly.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import asdict
from types import TracebackType
from typing import Any, TypeVar

from vdibench.client.audio import AudioContinuity, AudioPacket
from vdibench.client.clock import CHANNEL_SOURCE, ChannelClock, ClockEstimator
from vdibench.client.connection import CandidatePair, Connection, ConnectionObserver, Counters
from vdibench.client.culprit import blame, may_heal
from vdibench.client.dialects import connection_for
from vdibench.client.failure import no_picture
from vdibench.client.gestures import Gestures, Point
from vdibench.client.http import DesktopHttp, open_http
from vdibench.client.input import InputKind, InputProbe
from vdibench.client.lifetime import Lifetime
from vdibench.client.marker import Marker
from vdibench.client.options import CONNECT_SECONDS, LEGACY_CONNECT_SECONDS, SessionOptions, Step
from vdibench.client.picture import PictureStream
from vdibench.client.pulse import Pulse
from vdibench.client.sink import InputRecord, SampleSink
from vdibench.client.synchronisation import SynchronisationProbe
from vdibench.client.web_clock import follow_web_clock
from vdibench.errors import StreamLost, TargetUnavailable, UsageError, VdibenchError
from vdibench.records import Desktop
from vdibench.selkies import ControlMessage, Dialect, IceServer, Role
from vdibench.selkies.control import stream_info

__all__ = ["DesktopSession"]

T = TypeVar("T")

_DEFAULT_CENTRE = (320, 240)
_TRY_AGAIN_SECONDS = 1.0
_SIZE_STEP_SECONDS = 0.02
# A desktop says some dozens of kinds.
_MAX_KINDS = 64


class DesktopSession:
    """Watches one desktop, whichever dialect it speaks; an async context manager that leaves cleanly.

    :param desktop: where it is; a marker id, when given, must be the one in the picture.
    :param sink: receives every sample; called from the event loop and from the decoder's thread.
    """

    def __init__(self, desktop: Desktop, sink: SampleSink, options: SessionOptions | None = None) -> None:
        self.desktop = desktop
        self.options = options or SessionOptions()
        self._sink = sink
        self._begin()

    def _begin(self) -> None:
        self.messages: dict[str, ControlMessage] = {}
        self.clock = ClockEstimator()
        self._channel_clock = ChannelClock(self.clock)
        self._stack = AsyncExitStack()
        self._life = Lifetime(self._blame)
        self._milestones: set[str] = set()
        self._step = Step.HTTP
        self._http: DesktopHttp | None = None
        self._connection: Connection | None = None
        self._input: InputProbe | None = None
        self._hands: Gestures | None = None
        self.continuity = AudioContinuity()
        self.synchronisation: SynchronisationProbe | None = None
        self._departure: asyncio.Task[None] | None = None
        self.picture = PictureStream(
            self.desktop.id,
            self.desktop.marker_id,
            self._sink,
            lambda: self._life.spawn(self._ask_for_key_frame()),
            self._marked,
            self._life.fail,
            self.options.mode,
        )

    async def __aenter__(self) -> DesktopSession:
        try:
            await self.connect()
        except BaseException:  # a cancellation too leaves nothing open
            await self.leave()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.leave()

    # connecting

    async def connect(self) -> None:
        """Find out the dialect and connect until control verbs can be sent.

        :raises AuthenticationError: wrong credentials.
        :raises NotADesktop: something else answers, or another dialect than the options insist on.
        :raises TargetUnavailable: no connection within the time limit; the message names the step that hung.
        """
        self._reached("started")
        options, observer = self.options, self._observer()
        began, seconds = asyncio.get_running_loop().time(), options.connect_timeout_seconds or CONNECT_SECONDS
        try:
            async with asyncio.timeout_at(began + seconds) as limit:
                self._http = await self._stack.enter_async_context(open_http(self.desktop.endpoint, options.route))
                detection = await self._http.detect_or_refuse(options.dialect)
                self._reached("reachable")
                self._fact("dialect", str(detection.dialect))
                self._fact("dialect.statement", detection.statement)
                if detection.synthetic:
                    self._fact("synthetic", detection.synthetic)
                    self.picture.distrust_markers()
                assert detection.dialect is not None  # anything else was refused
                if detection.dialect is Dialect.SELKIES_1_WEBRTC and options.connect_timeout_seconds is None:
                    seconds = LEGACY_CONNECT_SECONDS
                    limit.reschedule(began + seconds)
                self._connection = connection_for(detection.dialect, self.desktop, options, observer)
                await self._life.until(self._connection.open(self._http))
        except TimeoutError as error:
            cause = f"{self.desktop.endpoint.url} did not {self._step.missing} within {seconds:g} s"
            raise TargetUnavailable(cause, self._step.remedy) from error
        display = self.desktop.display
        centre = (display.width // 2, display.height // 2) if display is not None else _DEFAULT_CENTRE
        self._input = InputProbe(self._connection.send, centre)
        self._hands = Gestures(self._connection.send, centre, self._input)
        pulse = Pulse(self.desktop.id, self._sink, self._connection.read, self.picture, options.stall_seconds)
        self._life.spawn(pulse.beat())
        self._life.spawn(pulse.guard(lambda seconds: self._blame(StreamLost(f"no video for {seconds:g} s"))))
        if options.compare_clocks and not self._channel_tells_the_time:
            self._life.spawn(follow_web_clock(self._http, self.clock, observer.row))

    def _observer(self) -> ConnectionObserver:
        return ConnectionObserver(
            reached=self._reached,
            fact=self._fact,
            frame=self.picture.add,
            message=self._message,
            row=lambda table, values: self._sink.row(self.desktop.id, table, values),
            step=self._stepped,
            end=self._life.end,
            spawn=self._life.spawn,
            audio=self._heard,
        )

    @property
    def _channel_tells_the_time(self) -> bool:
        if self._connection is None or self._connection.dialect is Dialect.SELKIES_2_WEBSOCKET:
            return False
        return self._connection.dialect is Dialect.SELKIES_1_WEBRTC or self.options.role is Role.CONTROLLER

    def _stepped(self, step: Step) -> None:
        self._step = step

    def _message(self, message: ControlMessage) -> None:
        estimate = self._channel_clock.take(message, time.time())
        if estimate is not None:
            self._sink.row(self.desktop.id, "clock", estimate.row(CHANNEL_SOURCE))
        kind = f"system:{message.action}" if message.action else message.type
        if kind in self.messages or len(self.messages) < _MAX_KINDS:
            self.messages[kind] = message
        if message.type == "stream_info":
            info = stream_info({"stream_info": message})
            for key in ("encoder", "hardware", "codec", "encoder_reason", "capture", "backend"):
                if key in info:
                    self._fact(f"stream.{key}", str(info[key]))
        elif message.action == "video_declined":
            self._life.end(
                TargetUnavailable(f"the desktop declined video ({message.argument})", "choose an H.264 encoder there")
            )

    async def _ask_for_key_frame(self) -> None:
        if self._connection is not None:
            with suppress(ConnectionError):  # a stream that ended needs no key frame
                await self._connection.request_key_frame()

    def _marked(self, marker: Marker, decoded_unix_seconds: float) -> None:
        if self._input is not None:
            self._input.saw(marker, decoded_unix_seconds)
        if self.synchronisation is not None:
            self.synchronisation.saw(marker, decoded_unix_seconds)

    def _heard(self, payload: bytes, timestamp: int, arrival_unix_seconds: float) -> None:
        second = self.continuity.add(AudioPacket(payload, timestamp, arrival_unix_seconds))
        if second is not None:
            self._sink.row(self.desktop.id, "audio", asdict(second))
        if self.synchronisation is not None:
            self.synchronisation.heard(payload, timestamp, arrival_unix_seconds)

    async def _blame(self, found: StreamLost) -> VdibenchError:
        silent = asyncio.get_running_loop().time() - self.picture.last_arrival
        return await blame(found, self._http, self._connection, self.desktop.endpoint.url, silent)

    # watching

    async def first_frame(self) -> None:
        """Wait for the first frame: decoded where the mode decodes, else arrived.

        :raises TargetUnavailable: none came within the time limit.
        """
        limit = self.options.first_frame_timeout_seconds
        try:
            async with asyncio.timeout(limit):
                await self._life.until(self.picture.first_frame.wait())
        except TimeoutError as error:
            received, codec = int(self.read().packets_received), self.connection.video_codec
            raise no_picture(received, codec, self.dialect, f"within {limit:g} s") from error
        self._fact("video.codec", self.connection.video_codec)

    async def watch(self, seconds: float) -> None:
        """Watch for ``seconds``; samples go to the sink.

        :raises StreamLost: the stream ended or stalled before.
        """
        with suppress(TimeoutError):  # the time is over, as was asked for
            async with asyncio.timeout(seconds):
                await self._life.until(asyncio.Event().wait())

    async def press(self, kind: InputKind) -> InputRecord:
        """Send one key press or click and wait for its photon; only on a desktop taken under control.

        :raises UsageError: watched as a viewer.
        :raises StreamLost: the channel is gone.
        """
        record = await self._controlled(lambda probe, _: probe.press(kind))
        self._sink.input(self.desktop.id, record)
        return record

    async def type_text(self, text: str, *, characters_per_second: float = 5.0) -> None:
        """Type ``text``; errors as of :meth:`press`, and UsageError for what nobody can type."""
        await self._controlled(lambda _, hands: hands.type_text(text, characters_per_second))

    async def click(self, position: Point | None = None) -> None:
        """Click, by default where the pointer is, and wait for no photon; errors as of :meth:`press`."""
        await self._controlled(lambda _, hands: hands.click(position))

    async def scroll(self, steps: int) -> None:
        """Turn the wheel by so many notches, negative ones towards the user; errors as of :meth:`press`."""
        await self._controlled(lambda _, hands: hands.scroll(steps))

    async def move(self, path: Sequence[Point], seconds: float, *, drag: bool = False) -> None:
        """Move the pointer along positions in pixels, with the left button held to ``drag``; errors as of `press`."""
        await self._controlled(lambda _, hands: hands.move(path, seconds, drag=drag))

    async def _controlled(self, act: Callable[[InputProbe, Gestures], Coroutine[Any, Any, T]]) -> T:
        self._require_control("sends no input")
        if self._input is None or self._hands is None:
            raise StreamLost("the control channel is not open", "connect first")
        try:
            return await self._life.until(act(self._input, self._hands))
        except ConnectionError as error:
            raise StreamLost(str(error), "the session ended; connect again") from error

    async def resize(self, width: int, height: int, timeout_seconds: float = 10.0) -> tuple[int, int]:
        """Ask for another size and wait for the first frame of a new one; returns its size, which may be rounded.

        :raises UsageError: watched as a viewer.
        :raises TargetUnavailable: the picture kept its size; desktops may forbid it.
        :raises StreamLost: the channel is gone.
        """
        self._require_control("cannot resize the desktop")
        before = self.picture.size
        if before == (width, height):
            return before
        try:
            self.connection.resize(width, height)
            async with asyncio.timeout(timeout_seconds):
                await self._life.until(self._other_size(before))
        except ConnectionError as error:
            raise StreamLost(str(error), "the session ended; connect again") from error
        except TimeoutError as error:
            raise TargetUnavailable(
                f"the desktop kept its size {before} when {width}×{height} was asked for",
                "allow it there (SELKIES_ENABLE_RESIZE=true), and check that no other client owns the display",
            ) from error
        assert self.picture.size is not None
        return self.picture.size

    async def _other_size(self, before: tuple[int, int] | None) -> None:
        while self.picture.size in (before, None):  # noqa: ASYNC110  # it changes once in a session's life, if ever
            await asyncio.sleep(_SIZE_STEP_SECONDS)  # see above

    def _require_control(self, what: str) -> None:
        if self.options.role is not Role.CONTROLLER:
            raise UsageError(f"a viewer {what}", "take the desktop under control (--take-control)")

    # what is known of it

    @property
    def dialect(self) -> Dialect | None:
        """The dialect that was found; None before."""
        return self._connection.dialect if self._connection is not None else None

    @property
    def connection(self) -> Connection:
        """The connection, for its counters.

        :raises StreamLost: there is none yet.
        """
        if self._connection is None:
            raise StreamLost("the session has no connection", "connect first")
        return self._connection

    def read(self) -> Counters:
        """The counters now; empty before there is a connection."""
        return self._connection.read() if self._connection is not None else Counters()

    @property
    def pair(self) -> CandidatePair | None:
        """The nominated candidate pair; None where there is no ICE."""
        return self._connection.pair if self._connection is not None else None

    @property
    def ice_servers(self) -> tuple[IceServer, ...]:
        """The STUN and TURN servers that the desktop hands out."""
        return self._connection.ice_servers if self._connection is not None else ()

    # leaving

    async def reconnect(self, patience_seconds: float = 0.0) -> None:
        """Leave what is left of the session and start another one, up to its first frame; for after StreamLost.

        Keys and buttons that the lost session may have left down are let go of.

        :param patience_seconds: try for so long, after one second and once a second, what time may heal: a desktop that
            is starting or still ending, a link that is down, a place of Selkies 1.6 that a lost client keeps. 0 tries
            once and at once. An attempt that has begun ends by its own limits.
        :raises VdibenchError: as :meth:`connect` and :meth:`first_frame`; the last attempt's.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + patience_seconds
        pressed = self._input.pressed if self._input is not None else frozenset()
        keysyms = self._hands.recent if self._hands is not None else frozenset()
        while True:
            await self.leave()
            if patience_seconds > 0:
                # Selkies still lets clients in while it stops, and shows them nothing.
                await asyncio.sleep(_TRY_AGAIN_SECONDS)
            self._begin()
            try:
                await self.connect()
                if self._input is not None and self._hands is not None:
                    self._input.let_go(pressed)
                    self._hands.let_go(keysyms)
                await self.first_frame()
                return
            except TargetUnavailable as error:
                if not may_heal(error) or loop.time() + _TRY_AGAIN_SECONDS > deadline:
                    raise

    async def leave(self) -> None:
        """Let go of held keys, then leave as the dialect wants it. Safe to call twice.

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
            if self._connection is not None:
                steps.push_async_callback(self._connection.close)
            steps.push_async_callback(self._life.close)
            if self._input is not None and self._hands is not None:
                with suppress(ConnectionError):  # it has gone: nothing is held there any more
                    self._hands.release()
                    self._input.release()

    # helpers

    def _reached(self, event: str, unix_seconds: float | None = None) -> None:
        if event in self._milestones:
            return  # the first time counts
        self._milestones.add(event)
        self._sink.milestone(self.desktop.id, event, time.time() if unix_seconds is None else unix_seconds)

    def _fact(self, key: str, value: str) -> None:
        self._sink.fact(self.desktop.id, key, value)
