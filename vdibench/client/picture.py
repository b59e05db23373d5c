"""From assembled frames to samples: decoder, marker, stream identity. Threads decode; the rest is in the loop.

What is not decoded, by its mode or because it cannot be, is a sample all the same, without what a picture would tell.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from contextlib import suppress

from vdibench.client.assembly import AssembledFrame
from vdibench.client.decoder import DecodedFrame, DecoderPool, FrameDecoder, SharedDecoder
from vdibench.client.h264 import SequenceParameters, find_sps, parse_sps
from vdibench.client.marker import Marker
from vdibench.client.mode import SAMPLE_SECONDS, Mode
from vdibench.client.screenshots import PictureSampler
from vdibench.client.sink import FrameRecord, SampleSink

__all__ = ["STALE_SECONDS", "PictureStream"]

# A desk draws dozens of markers a second; a resize hides them for a frame or two.
STALE_SECONDS = 1.0
# No desk has this id: they are 16 bits.
_NOBODY = -1
# A stream whose parameter sets cannot be read so many times will not tell.
_SPS_TRIES = 8


class PictureStream:
    """The video of one session.

    :param session: desktop id, for the sink.
    :param marker_id: the desk's session id; a picture with another one is not ours. None takes any.
    :param ask_for_key_frame: called in the loop when the decoder lost its thread.
    :param on_marker: called in the loop with each marker and the instant of its decoding.
    :param on_failure: called in the loop when the sink refused a frame.
    :param mode: ``decode`` decodes every frame, ``sampled`` the key frames that were asked for, in threads that all
        sessions of the process share; the others none.
    """

    def __init__(
        self,
        session: str,
        marker_id: int | None,
        sink: SampleSink,
        ask_for_key_frame: Callable[[], None],
        on_marker: Callable[[Marker, float], None],
        on_failure: Callable[[Exception], None],
        mode: Mode = Mode.DECODE,
    ) -> None:
        self.sps: SequenceParameters | None = None
        self.size: tuple[int, int] | None = None
        self.marker_seen = False
        self.sampler: PictureSampler | None = None
        self.first_frame = asyncio.Event()
        self._session = session
        self._marker_id = marker_id
        self._sink = sink
        self._ask_for_key_frame = ask_for_key_frame
        self._on_marker = on_marker
        self._on_failure = on_failure
        self._mode = mode
        self._foreign: set[int] = set()
        self._loop = asyncio.get_running_loop()
        self._decoder: FrameDecoder | SharedDecoder | None = None
        self._refusing = False
        self._sps_refused = 0
        self._sampled: dict[tuple[str, int], float] = {}
        self._bottoms: dict[int, int] = {}
        self._last_marker = math.nan
        self.last_arrival = math.inf
        self._last_marked = math.inf

    def distrust_markers(self) -> None:
        """Take no marker for ours from now on: the picture is a recorded one, and so are the instants in it."""
        self._marker_id = _NOBODY

    def add(self, frame: AssembledFrame) -> None:
        """Take a frame; called in the loop."""
        now = time.time()
        self.last_arrival = self._loop.time()
        if frame.key and frame.data and self.sps is None and frame.codec == "h264":
            self._read_sps(frame.data)
        if self._mode is Mode.DECODE or (self._mode is Mode.SAMPLED and self._is_sample(frame, now)):
            if self._decoder is None:
                self._decoder = self._make_decoder()
            self._decoder.add(frame)
            return
        try:
            self._record(DecodedFrame(frame, math.nan, 0, 0, None, None, now if frame.data else math.nan))
        except Exception as error:  # the sink's own; it must not tear the reception that brought the frame
            if not self._refusing:
                self._refusing = True
                self._on_failure(error)
            return
        if frame.complete and not self.first_frame.is_set() and not self._mode.decodes:
            if self._mode is Mode.METER:
                self._first("arrived", frame.arrival_unix_seconds)
            else:
                self._first("assembled", now)

    def _make_decoder(self) -> FrameDecoder | SharedDecoder:
        if self._mode is Mode.SAMPLED:
            shortest, longest = SAMPLE_SECONDS
            self._sink.fact(
                self._session, "sampling", f"one key frame asked for and decoded every {shortest:g} to {longest:g} s"
            )
            return DecoderPool.share(self._decoded, self._failed)
        return FrameDecoder(self._decoded, self._refused, self._failed)

    def _is_sample(self, frame: AssembledFrame, now: float) -> bool:
        """A key frame, and the first of its stream for a while: where every frame is one, not every frame."""
        stream = (frame.codec, frame.stripe)
        if (
            not (frame.key and frame.decodable and frame.data)
            or now - self._sampled.get(stream, 0) < SAMPLE_SECONDS[0] / 2
        ):
            return False
        self._sampled[stream] = now
        return True

    @property
    def backlog(self) -> int:
        """Frames that wait for the decoder: one that grows says that this machine cannot keep up."""
        return self._decoder.backlog if self._decoder is not None else 0

    def _read_sps(self, data: bytes) -> None:
        nal = find_sps(data) if self._sps_refused < _SPS_TRIES else None
        if nal is None:
            return
        try:
            self.sps = parse_sps(nal)
        except ValueError as error:
            self._sps_refused += 1
            self._sink.fact(self._session, "sps.error", str(error))
            return
        for key, value in (
            ("profile", f"{self.sps.profile} (constraints {self.sps.constraint_flags:#04x})"),
            ("level", self.sps.level),
            ("size", f"{self.sps.width}×{self.sps.height}"),
            ("reorder_frames", str(self.sps.reorder_frames)),
            ("picture_order_type", str(self.sps.picture_order_type)),
        ):
            self._sink.fact(self._session, f"sps.{key}", value)

    # in the decoder's thread

    def _refused(self) -> None:
        with suppress(RuntimeError):  # the loop may have ended while the last frames drain
            self._loop.call_soon_threadsafe(self._ask_for_key_frame)

    def _failed(self, error: Exception) -> None:
        with suppress(RuntimeError):  # as above
            self._loop.call_soon_threadsafe(self._on_failure, error)

    def _decoded(self, frame: DecodedFrame) -> None:
        marker = self._record(frame)
        if not math.isnan(frame.decoded_unix_seconds):
            with suppress(RuntimeError):  # as above
                self._loop.call_soon_threadsafe(self._shown, frame, marker)

    def _record(self, frame: DecodedFrame) -> Marker | None:
        """Hand a frame to the sink; returns its marker if it is ours."""
        marker, drawn, repeated = frame.marker, math.nan, False
        if marker is not None and self._marker_id not in (None, marker.session_id):
            if marker.session_id not in self._foreign:
                self._foreign.add(marker.session_id)
                self._sink.fact(self._session, "marker.foreign", str(marker.session_id))
            marker = None
        if marker is not None:
            drawn = marker.drawn_unix_seconds
            repeated = drawn == self._last_marker
            self._last_marker = drawn
            if (sampler := self.sampler) is not None and frame.picture is not None:
                sampler.offer(frame.picture, marker)
        source = frame.source
        self._sink.frame(
            self._session,
            FrameRecord(
                arrival_unix_seconds=source.arrival_unix_seconds,
                rtp_timestamp=source.timestamp,
                packets=source.packets,
                size_bytes=source.size_bytes,
                key_frame=source.key,
                complete=source.complete,
                decoded_unix_seconds=frame.decoded_unix_seconds,
                marker_unix_seconds=drawn,
                marker_repeated=repeated,
                first_arrival_unix_seconds=source.first_arrival_unix_seconds,
                assembled_unix_seconds=frame.queued_unix_seconds,
                capture_unix_seconds=source.timing.capture_unix_seconds,
                encoded_unix_seconds=source.timing.encoded_unix_seconds,
                sent_unix_seconds=source.timing.sent_unix_seconds,
            ),
        )
        return marker

    # back in the loop

    def _shown(self, frame: DecodedFrame, marker: Marker | None) -> None:
        self._sized(frame.width, frame.height, frame.source.stripe)
        if not self.first_frame.is_set():
            self._first("decoded", frame.decoded_unix_seconds)
        if marker is not None:
            self.marker_seen = True
            self._last_marked = self._loop.time()
            self._on_marker(marker, frame.decoded_unix_seconds)

    def _sized(self, width: int, height: int, stripe: int) -> None:
        """Note the size of a picture, or of one that is made of stripes: it ends where the lowest of them does."""
        if self.size is not None and self.size[0] != width:
            self._bottoms.clear()
        self._bottoms[stripe] = stripe + height
        size = (width, max(self._bottoms.values()))
        if size != self.size:
            self.size = size
            self._sink.fact(self._session, "picture.size", f"{size[0]}×{size[1]}")

    def _first(self, kind: str, unix_seconds: float) -> None:
        self._sink.fact(self._session, "first_frame.kind", kind)
        self._sink.milestone(self._session, "first_frame", unix_seconds)
        self.first_frame.set()

    def marker_is_stale(self) -> bool:
        """Whether frames still come but the marker, seen before, has been away for :data:`STALE_SECONDS`."""
        return self.marker_seen and self.last_arrival - self._last_marked > STALE_SECONDS

    async def close(self) -> None:
        """Decode what waits, then end the decoder's thread."""
        if self._decoder is not None:
            await asyncio.to_thread(self._decoder.close)
