"""Decoding and reading markers: a thread of its own for a session, or a few threads that many sessions share.

A thread keeps the event loop free: PyAV and NumPy release the interpreter lock while they work. The time of a decoded
frame is taken when the decoder returns the picture, before the marker is read. What is decoded comes from the network:
pictures are bounded in size, queues and decoders in number.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from queue import SimpleQueue
from typing import ClassVar, NamedTuple

import av
import numpy as np
from av.video.codeccontext import VideoCodecContext

from vdibench.client.assembly import ASK_AGAIN_SECONDS, AssembledFrame
from vdibench.client.marker import Luma, Marker, MarkerReader

__all__ = ["DecodedFrame", "DecoderPool", "FrameDecoder", "SharedDecoder"]

# Ten seconds at 60 Hz: a machine so far behind cannot keep up, and its memory must not pay for it.
MAX_BACKLOG = 600
# And encoded pictures of so many bytes, in each thread.
MAX_BACKLOG_BYTES = 256 * 1024 * 1024
# Samples of sessions that share a decoder: one that waits longer than this is not worth its memory.
MAX_SAMPLES = 32
# The WebSocket dialect cuts a picture into a few stripes, each a stream of its own.
_MAX_STREAMS = 64
# 8K and half as much again.
_MAX_PIXELS = 50_000_000
_NONE = math.nan

# A frame, and when it was queued.
_Queued = tuple[AssembledFrame, float]


@dataclass(slots=True)  # not frozen: one is made for each frame, and freezing takes eight times as long
class DecodedFrame:
    """A frame after the decoder.

    :param decoded_unix_seconds: when the decoder returned the picture; NaN when it gave none.
    :param marker: what the desk wrote into it, or None.
    :param picture: the picture itself, for whoever compares it; None when there is none.
    :param queued_unix_seconds: when it was put together and given to the decoder; NaN when it was not.
    """

    source: AssembledFrame
    decoded_unix_seconds: float
    width: int
    height: int
    marker: Marker | None
    picture: av.VideoFrame | None = None
    queued_unix_seconds: float = _NONE


class _Outcome(NamedTuple):
    """What became of a frame.

    :param picture: the first stripe's.
    :param height: of all stripes, in pixels.
    :param decoded: the instant at which the last stripe came.
    :param lost: a key frame must be asked for.
    """

    picture: av.VideoFrame | None
    height: int
    decoded: float
    lost: bool


class _Streams:
    """Decoders by codec and stripe; for one thread."""

    def __init__(self) -> None:
        self._contexts: dict[tuple[str, int], VideoCodecContext] = {}
        self._lost: set[tuple[str, int]] = set()

    def decode(self, frame: AssembledFrame) -> _Outcome:
        """Decode a frame; of one in stripes all of them."""
        picture, decoded, lost = self._part(frame.codec, frame.stripe, frame.data, frame.key)
        bottom = frame.stripe + (picture.height if picture is not None else 0)
        for top, data in frame.rest:
            other, at, other_lost = self._part(frame.codec, top, data, frame.key)
            lost |= other_lost
            decoded = _NONE if math.isnan(decoded) else at
            bottom = top + (other.height if other is not None else 0)
        if lost or picture is None or math.isnan(decoded):
            return _Outcome(None, 0, _NONE, lost)
        return _Outcome(picture, bottom - frame.stripe, decoded, lost)

    def _part(self, codec: str, stripe: int, data: bytes, key: bool) -> tuple[av.VideoFrame | None, float, bool]:
        stream = (codec, stripe)
        if not data:  # the backlog was too long; to a decoder, no data is the end of all
            self.refuse(stream)
            return None, _NONE, True
        if stream in self._lost and not key:
            # What refers to a refused picture cannot be right.
            return None, _NONE, True
        context = self._contexts.get(stream)
        try:
            if context is None:
                if len(self._contexts) >= _MAX_STREAMS:
                    self.refuse(next(iter(self._contexts)))
                context = self._contexts[stream] = _context(codec)
            pictures = context.decode(av.Packet(data))
        except (av.FFmpegError, ValueError):  # ValueError: no such decoder in this build
            self.refuse(stream)
            return None, _NONE, True
        decoded = time.time()
        self._lost.discard(stream)
        return (pictures[-1], decoded, False) if pictures else (None, _NONE, False)

    def refuse(self, stream: tuple[str, int]) -> None:
        """Begin a stream anew, at its next key frame."""
        self._contexts.pop(stream, None)
        if len(self._lost) < _MAX_STREAMS:
            self._lost.add(stream)


class _Budget:
    """What waits for a decoder, in bytes; for any thread."""

    def __init__(self) -> None:
        self._waiting = 0
        self._lock = threading.Lock()

    def admit(self, frame: AssembledFrame, *, room: bool) -> AssembledFrame:
        """The frame as it may wait: without its data where there is no room for it."""
        size = _size(frame)
        with self._lock:
            if room and self._waiting + size <= MAX_BACKLOG_BYTES:
                self._waiting += size
                return frame
        return replace(frame, data=b"", rest=tuple((top, b"") for top, _ in frame.rest))

    def release(self, frame: AssembledFrame) -> None:
        """It waits no more."""
        with self._lock:
            self._waiting -= _size(frame)


def _size(frame: AssembledFrame) -> int:
    return len(frame.data) + sum(len(data) for _, data in frame.rest)


class FrameDecoder:
    """Decodes frames in order in a thread of its own.

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
        self._queue: SimpleQueue[_Queued | None] = SimpleQueue()
        self._reader = MarkerReader()
        self._streams = _Streams()
        self._asked = -math.inf
        self._budget = _Budget()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="vdibench-decoder", daemon=True)
        self._thread.start()

    def add(self, frame: AssembledFrame) -> None:
        """Queue a frame; beyond :data:`MAX_BACKLOG` or its bytes it is kept as one that was not decoded."""
        self._queue.put((self._budget.admit(frame, room=self.backlog < MAX_BACKLOG), time.time()))

    @property
    def backlog(self) -> int:
        """Frames that wait: a backlog that grows says that this machine cannot keep up."""
        return self._queue.qsize()

    def close(self, timeout_seconds: float = 5.0) -> None:
        """End the thread after the frames that wait; what takes longer is not delivered any more."""
        self._queue.put(None)
        self._thread.join(timeout_seconds)
        self._closed.set()

    def _run(self) -> None:
        while (item := self._queue.get()) is not None:
            self._budget.release(item[0])
            if self._closed.is_set():
                return
            decoded = self._decode(*item)
            if self._closed.is_set():
                return
            try:
                self._deliver(decoded)
            except Exception as error:  # nobody waits for this thread: what its receiver raised would be lost
                self._on_failure(error)
                return

    def _decode(self, frame: AssembledFrame, queued: float) -> DecodedFrame:
        if not frame.decodable:
            return DecodedFrame(frame, _NONE, 0, 0, None)
        outcome = self._streams.decode(frame)
        if outcome.lost and not self._closed.is_set() and frame.arrival_unix_seconds - self._asked >= ASK_AGAIN_SECONDS:
            self._asked = frame.arrival_unix_seconds
            self._on_error()
        return _read(frame, queued, outcome, self._reader)


class SharedDecoder:
    """One session's share of the pool: now and then a key frame.

    :param deliver: called in a thread of the pool with each frame, decoded or not.
    :param on_failure: called in a thread of the pool when ``deliver`` raised.
    """

    def __init__(
        self,
        worker: DecoderPool,
        deliver: Callable[[DecodedFrame], None],
        on_failure: Callable[[Exception], None],
    ) -> None:
        self.reader = MarkerReader()
        self.deliver = deliver
        self.on_failure = on_failure
        self._worker = worker
        self._closed = False
        self.over = threading.Event()

    def add(self, frame: AssembledFrame) -> None:
        """Queue a key frame; one too many is kept as one that was not decoded."""
        frame = self._worker.budget.admit(frame, room=self.backlog < MAX_SAMPLES)
        self._worker.queue.put((self, (frame, time.time())))

    @property
    def backlog(self) -> int:
        """Frames of all sessions that wait in the same thread."""
        return self._worker.queue.qsize()

    def close(self, timeout_seconds: float = 5.0) -> None:
        """Wait for what is queued, and let go of the pool: its thread ends with the last session."""
        if not self._closed:
            self._closed = True
            done = threading.Event()
            self._worker.queue.put(done)
            done.wait(timeout_seconds)
            self.over.set()
            self._worker.release(timeout_seconds)


class DecoderPool:
    """A thread that decodes key frames of many sessions with one decoder for each codec.

    A session stays with one thread, so that its frames keep their order. :meth:`share` is the way in.
    """

    SIZE = 2
    _workers: ClassVar[list[DecoderPool]] = []
    _lock = threading.Lock()

    def __init__(self) -> None:
        self.queue: SimpleQueue[tuple[SharedDecoder, _Queued] | threading.Event | None] = SimpleQueue()
        self.budget = _Budget()
        self._users = 0
        self._thread = threading.Thread(target=self._run, name="vdibench-decoders", daemon=True)
        self._thread.start()

    @classmethod
    def share(cls, deliver: Callable[[DecodedFrame], None], on_failure: Callable[[Exception], None]) -> SharedDecoder:
        """A share of the thread with the fewest sessions."""
        with cls._lock:
            if len(cls._workers) < cls.SIZE and all(worker._users for worker in cls._workers):
                cls._workers.append(cls())
            worker = min(cls._workers, key=lambda worker: worker._users)
            worker._users += 1
        return SharedDecoder(worker, deliver, on_failure)

    def release(self, timeout_seconds: float) -> None:
        """One session less."""
        with self._lock:
            self._users -= 1
            last = not self._users
            if last:
                self._workers.remove(self)
                self.queue.put(None)
        if last:
            self._thread.join(timeout_seconds)

    def _run(self) -> None:
        streams = _Streams()
        while (item := self.queue.get()) is not None:
            if isinstance(item, threading.Event):
                item.set()
                continue
            share, (frame, queued) = item
            self.budget.release(frame)
            if share.over.is_set():
                continue
            outcome = streams.decode(frame)
            if share.over.is_set():
                continue
            try:
                share.deliver(_read(frame, queued, outcome, share.reader))
            except Exception as error:  # nobody waits for this thread: what its receiver raised would be lost
                share.on_failure(error)


def _read(frame: AssembledFrame, queued: float, outcome: _Outcome, reader: MarkerReader) -> DecodedFrame:
    picture = outcome.picture
    if picture is None:
        return DecodedFrame(frame, _NONE, 0, 0, None, queued_unix_seconds=queued)
    luma = _luma(picture)
    marker = None if luma is None else reader.read(luma)
    # A stripe must not be compared with the whole screen.
    whole = picture if not frame.rest and not frame.stripe else None
    return DecodedFrame(frame, outcome.decoded, picture.width, outcome.height, marker, whole, queued)


def _context(name: str) -> VideoCodecContext:
    context = av.CodecContext.create(name, "r")
    assert isinstance(context, VideoCodecContext)
    # Out at once: no reordering, and no frame threads, which would each hold a frame back.
    context.flags |= av.codec.context.Flags.low_delay
    context.thread_type = "SLICE"
    context.thread_count = 1
    # A concealed picture would count as a frame that was seen.
    context.options = {"err_detect": "explode", "max_pixels": str(_MAX_PIXELS)}
    return context


def _luma(picture: av.VideoFrame) -> Luma | None:
    if not picture.format.name.startswith(("yuv", "nv12")) or "10" in picture.format.name:
        return None
    plane = picture.planes[0]
    data: Luma = np.frombuffer(memoryview(plane), dtype=np.uint8).reshape(-1, plane.line_size)
    return data[: picture.height, : picture.width]
