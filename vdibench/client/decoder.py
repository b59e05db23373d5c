"""One decoder thread per session: every frame decoded, every marker read.

A thread of its own keeps the event loop free: PyAV and NumPy release the interpreter lock while they work. The time
of a decoded frame is taken when the decoder returns the picture, before the marker is read.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue

import av
import numpy as np
from av.video.codeccontext import VideoCodecContext

from vdibench.client.assembly import ASK_AGAIN_SECONDS, AssembledFrame
from vdibench.client.marker import Luma, Marker, MarkerReader

__all__ = ["DecodedFrame", "FrameDecoder"]


@dataclass(frozen=True, slots=True)
class DecodedFrame:
    """A frame after the decoder.

    :param decoded_unix_seconds: when the decoder returned the picture; NaN when it gave none.
    :param marker: what the desk wrote into it, or None.
    :param picture: the picture itself, for whoever compares it; None when there is none.
    """

    source: AssembledFrame
    decoded_unix_seconds: float
    width: int
    height: int
    marker: Marker | None
    picture: av.VideoFrame | None = None


class FrameDecoder:
    """Decodes H.264 frames in order in a thread of its own.

    :param deliver: called in the decoder's thread with each frame, decoded or not.
    :param on_error: called in the decoder's thread when the decoder needs a key frame; again while none comes.
    :param on_failure: called once in the decoder's thread when ``deliver`` raised; nothing is delivered after it.
    """

    def __init__(
        self,
        deliver: Callable[[DecodedFrame], None],
        on_error: Callable[[], None],
        on_failure: Callable[[Exception], None],
    ) -> None:
        self._deliver = deliver
        self._on_error = on_error
        self._on_failure = on_failure
        self._queue: SimpleQueue[AssembledFrame | None] = SimpleQueue()
        self._reader = MarkerReader()
        self._codec = _codec()
        self._lost = False
        self._asked = -math.inf
        self._thread = threading.Thread(target=self._run, name="vdibench-decoder", daemon=True)
        self._thread.start()

    def add(self, frame: AssembledFrame) -> None:
        """Queue a frame."""
        self._queue.put(frame)

    @property
    def backlog(self) -> int:
        """Frames that wait: a backlog that grows says that this machine cannot keep up."""
        return self._queue.qsize()

    def close(self, timeout_seconds: float = 5.0) -> None:
        """End the thread after the frames that wait."""
        self._queue.put(None)
        self._thread.join(timeout_seconds)

    def _run(self) -> None:
        while (frame := self._queue.get()) is not None:
            decoded = self._decode(frame)
            try:
                self._deliver(decoded)
            except Exception as error:  # nobody waits for this thread: what its receiver raised would be lost
                self._on_failure(error)
                return

    def _decode(self, frame: AssembledFrame) -> DecodedFrame:
        blank = DecodedFrame(frame, math.nan, 0, 0, None)
        if not frame.decodable:
            return blank
        if self._lost and not frame.key:
            # What refers to a refused picture cannot be right.
            self._ask(frame)
            return blank
        try:
            pictures = self._codec.decode(av.Packet(frame.data))
        except av.FFmpegError:
            self._codec = _codec()
            self._lost = True
            self._ask(frame)
            return blank
        decoded = time.time()
        self._lost = False
        if not pictures:
            return blank
        picture = pictures[-1]
        luma = _luma(picture)
        marker = None if luma is None else self._reader.read(luma)
        return DecodedFrame(frame, decoded, picture.width, picture.height, marker, picture)

    def _ask(self, frame: AssembledFrame) -> None:
        if frame.arrival_unix_seconds - self._asked >= ASK_AGAIN_SECONDS:
            self._asked = frame.arrival_unix_seconds
            self._on_error()


def _codec() -> VideoCodecContext:
    codec = av.CodecContext.create("h264", "r")
    # Out at once: no reordering, and no frame threads, which would each hold a frame back.
    codec.flags |= av.codec.context.Flags.low_delay
    codec.thread_type = "SLICE"
    codec.thread_count = 1
    # A concealed picture would count as a frame that was seen.
    codec.options = {"err_detect": "explode"}
    return codec


def _luma(picture: av.VideoFrame) -> Luma | None:
    if not picture.format.name.startswith(("yuv", "nv12")) or "10" in picture.format.name:
        return None
    plane = picture.planes[0]
    data: Luma = np.frombuffer(memoryview(plane), dtype=np.uint8).reshape(-1, plane.line_size)
    return data[: picture.height, : picture.width]
