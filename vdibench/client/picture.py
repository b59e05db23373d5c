"""From assembled frames to samples: decoder, marker, stream identity. A thread decodes; the rest is in the loop."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from contextlib import suppress

from vdibench.client.assembly import AssembledFrame
from vdibench.client.decoder import DecodedFrame, FrameDecoder
from vdibench.client.h264 import SequenceParameters, find_sps, parse_sps
from vdibench.client.marker import Marker
from vdibench.client.screenshots import PictureSampler
from vdibench.client.sink import FrameRecord, SampleSink

__all__ = ["STALE_SECONDS", "PictureStream"]

# A desk draws dozens of markers a second; a resize hides them for a frame or two.
STALE_SECONDS = 1.0


class PictureStream:
    """The video of one session.

    :param session: desktop id, for the sink.
    :param marker_id: the desk's session id; a picture with another one is not ours. None takes any.
    :param ask_for_key_frame: called in the loop when the decoder lost its thread.
    :param on_marker: called in the loop with each marker and the instant of its decoding.
    :param on_failure: called in the loop when the sink refused a frame.
    """

    def __init__(
        self,
        session: str,
        marker_id: int | None,
        sink: SampleSink,
        ask_for_key_frame: Callable[[], None],
        on_marker: Callable[[Marker, float], None],
        on_failure: Callable[[Exception], None],
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
        self._foreign: set[int] = set()
        self._loop = asyncio.get_running_loop()
        self._decoder: FrameDecoder | None = None
        self._last_marker = math.nan
        self.last_arrival = math.inf
        self._last_marked = math.inf

    def add(self, frame: AssembledFrame) -> None:
        """Take a frame; called in the loop."""
        if self._decoder is None:
            self._decoder = FrameDecoder(self._decoded, self._refused, self._failed)
        self.last_arrival = self._loop.time()
        if frame.key and frame.data and self.sps is None:
            self._read_sps(frame.data)
        self._decoder.add(frame)

    @property
    def backlog(self) -> int:
        """Frames that wait for the decoder: one that grows says that this machine cannot keep up."""
        return self._decoder.backlog if self._decoder is not None else 0

    def _read_sps(self, data: bytes) -> None:
        nal = find_sps(data)
        if nal is None:
            return
        try:
            self.sps = parse_sps(nal)
        except ValueError as error:
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
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._on_failure, error)

    def _decoded(self, frame: DecodedFrame) -> None:
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
            ),
        )
        if not math.isnan(frame.decoded_unix_seconds):
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._shown, frame, marker)

    # back in the loop

    def _shown(self, frame: DecodedFrame, marker: Marker | None) -> None:
        size = (frame.width, frame.height)
        if size != self.size:
            self.size = size
            self._sink.fact(self._session, "picture.size", f"{size[0]}×{size[1]}")
        if not self.first_frame.is_set():
            self._sink.milestone(self._session, "first_frame", frame.decoded_unix_seconds)
            self.first_frame.set()
        if marker is not None:
            self.marker_seen = True
            self._last_marked = self._loop.time()
            self._on_marker(marker, frame.decoded_unix_seconds)

    def marker_is_stale(self) -> bool:
        """Whether frames still come but the marker, seen before, has been away for :data:`STALE_SECONDS`."""
        return self.marker_seen and self.last_arrival - self._last_marked > STALE_SECONDS

    async def close(self) -> None:
        """Decode what waits, then end the decoder's thread."""
        if self._decoder is not None:
            await asyncio.to_thread(self._decoder.close)
