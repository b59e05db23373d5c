"""One decoder thread per session: every frame decoded, every marker read.

A thread of its own keeps the event loop free: PyAV and NumPy release the interpreter lock while they work. The time
of a decoded frame is taken when the decoder returns the picture, before the marker is read.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue

import av
import numpy as np
from av.video.codeccontext import VideoCodecContext

from vdibench.client.assembly import AssembledFrame
from vdibench.client.marker import Luma, Marker, MarkerReader

__all__ = ["DecodedFrame", "FrameDecoder"]


@dataclass(frozen=True, slots=True)
class DecodedFrame:
    """A frame after the decoder.

    :param decoded_unix_seconds: when the decoder returned the picture; NaN when it gave none.
    :param marker: what the desk wrote into it, or None.
    """

    source: AssembledFrame
    decoded_unix_seconds: float
    width: int
    height: int
    marker: Marker | None


class FrameDecoder:
    """Decodes H.264 frames in order in a thread of its own.

    :param deliver: called in the decoder's thread with each frame, decoded or not.
    :param on_error: called in the decoder's thread when the decoder refuses a frame (ask for a key frame).
    """

    def __init__(self, deliver: Callable[[DecodedFrame], None], on_error: Callable[[], None]) -> None:
        self._deliver = deliver
        self._on_error = on_error
        self._queue: SimpleQueue[AssembledFrame | None] = SimpleQueue()
        self._reader = MarkerReader()
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
        codec = _codec()
        while (frame := self._queue.get()) is not None:
            if not frame.decodable:
                self._deliver(DecodedFrame(frame, float("nan"), 0, 0, None))
                continue
            packet = av.Packet(frame.data)
            try:
                pictures = codec.decode(packet)
            except av.FFmpegError:
                # A frame that the decoder refuses is a frame without a picture; the decoder starts afresh.
                codec = _codec()
                self._deliver(DecodedFrame(frame, float("nan"), 0, 0, None))
                self._on_error()
                continue
            decoded = time.time()
            if not pictures:
                self._deliver(DecodedFrame(frame, float("nan"), 0, 0, None))
                continue
            picture = pictures[-1]
            luma = _luma(picture)
            marker = None if luma is None else self._reader.read(luma)
            self._deliver(DecodedFrame(frame, decoded, picture.width, picture.height, marker))


def _codec() -> VideoCodecContext:
    codec = av.CodecContext.create("h264", "r")
    # Out at once: no reordering, and no frame threads, which would each hold a frame back.
    codec.flags |= av.codec.context.Flags.low_delay
    codec.thread_type = "SLICE"
    codec.thread_count = 1
    return codec


def _luma(picture: av.VideoFrame) -> Luma | None:
    if not picture.format.name.startswith(("yuv", "nv12")) or "10" in picture.format.name:
        return None
    plane = picture.planes[0]
    data: Luma = np.frombuffer(memoryview(plane), dtype=np.uint8).reshape(-1, plane.line_size)
    return data[: picture.height, : picture.width]
