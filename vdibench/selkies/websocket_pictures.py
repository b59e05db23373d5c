"""From chunks of ``selkies-2-websocket`` to whole pictures, and whether they can be decoded. Sans-I/O.

Nothing is lost over TCP, but the desktop itself leaves frames out when a client falls behind, joins late or starts
anew. Every chunk names the frame that it refers to, so what can be decoded is known without decoding.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from vdibench.selkies.websocket_frames import VideoChunk

__all__ = ["FLUSH_SECONDS", "Picture", "PictureCollector"]

# Stripes of a frame follow each other within a millisecond; of a still part of the screen there is none at all.
FLUSH_SECONDS = 0.01
# How far back an encoder refers, and how many anchors it keeps.
_REMEMBERED = 256
_ANCHORS = 16
# A bound for hostile desktops: rows are 16 bits, and so many stripes would cost memory.
_MAX_STRIPES = 256
# A picture without end ends here; a lossless one in 8K may take this much.
_MAX_BYTES = 32 * 1024 * 1024
_ID_MASK, _HALF = 0xFFFF, 0x8000


@dataclass(frozen=True, slots=True)
class Picture:
    """All stripes of one frame.

    :param chunks: from top to bottom, as they came.
    :param first_arrival_seconds: when the first bytes of it came.
    :param arrival_seconds: when its last byte came.
    :param decodable: each stripe refers to something that came.
    :param skipped: frames that the desktop left out before this one.
    """

    frame_id: int
    chunks: tuple[VideoChunk, ...]
    first_arrival_seconds: float
    arrival_seconds: float
    decodable: bool
    skipped: int

    @property
    def key(self) -> bool:
        """Every stripe can be decoded by itself."""
        return all(chunk.key for chunk in self.chunks)


class _Stripe:
    """What came of one encoded stream."""

    def __init__(self, codec: str) -> None:
        self.codec = codec
        self.last = -1
        self._known: deque[int] = deque(maxlen=_REMEMBERED)
        self._anchors: deque[int] = deque(maxlen=_ANCHORS)

    def take(self, chunk: VideoChunk) -> bool:
        """Whether ``chunk`` can be decoded."""
        if chunk.key:
            self._known.clear()
            self._anchors.clear()
        elif chunk.reference == chunk.frame_id:
            # The desktop does not say what it refers to: the one before is the guess.
            if self.last not in self._known or (chunk.frame_id - self.last) & _ID_MASK > 1:
                self.last = chunk.frame_id
                return False
        elif chunk.reference not in self._known and chunk.reference not in self._anchors:
            self.last = chunk.frame_id
            return False
        self.last = chunk.frame_id
        self._known.append(chunk.frame_id)
        if chunk.long_term:
            self._anchors.append(chunk.frame_id)
        return True


class PictureCollector:
    """Collects chunks; times are of any one clock, in seconds."""

    def __init__(self) -> None:
        self._stripes: dict[int, _Stripe] = {}
        self._height = 0
        self._width = 0
        self._learned = 0
        self._parts: list[VideoChunk] = []
        self._bytes = 0
        self._decodable = True
        self._first = self._latest = 0.0
        self._last_id: int | None = None
        self._skipped = 0

    @property
    def waiting(self) -> bool:
        """Whether a picture is begun: :meth:`flush` is due :data:`FLUSH_SECONDS` after its latest chunk."""
        return bool(self._parts)

    def resize(self, height: int) -> None:
        """Take the picture's height in pixels, by which its last stripe is known."""
        self._height, self._learned = height, 0

    def add(self, chunk: VideoChunk, first_arrival_seconds: float, arrival_seconds: float) -> list[Picture]:
        """Take a chunk; returns the pictures that it completes."""
        done = []
        if self._parts and (self._parts[0].frame_id != chunk.frame_id or chunk.top <= self._parts[-1].top):
            done += self.flush()
        if not self._parts:
            self._begin(chunk, first_arrival_seconds)
        stripe = self._stripes.get(chunk.top)
        if stripe is None or stripe.codec != chunk.codec:
            stripe = self._stripes[chunk.top] = _Stripe(chunk.codec)
            if len(self._stripes) > _MAX_STRIPES:
                del self._stripes[next(iter(self._stripes))]
        self._decodable &= stripe.take(chunk)
        self._parts.append(chunk)
        self._bytes += len(chunk.data)
        self._latest = arrival_seconds
        bottom = chunk.top + chunk.height
        self._learned = max(self._learned, bottom)
        full = len(self._parts) >= _MAX_STRIPES or self._bytes >= _MAX_BYTES
        if full or bottom >= (self._height or self._learned):
            done += self.flush()
        return done

    def _begin(self, chunk: VideoChunk, first_arrival_seconds: float) -> None:
        self._first = first_arrival_seconds
        self._decodable = True
        if chunk.key and chunk.width != self._width:
            self._width, self._learned = chunk.width, 0
        step = 1 if self._last_id is None else (chunk.frame_id - self._last_id) & _ID_MASK
        # A key frame with another number is a new beginning; numbers restart on it.
        self._skipped = step - 1 if not chunk.key and 1 < step < _HALF else 0
        self._last_id = chunk.frame_id

    def flush(self) -> list[Picture]:
        """End the picture that was begun, if any."""
        parts, self._parts, self._bytes = self._parts, [], 0
        if not parts:
            return []
        return [Picture(parts[0].frame_id, tuple(parts), self._first, self._latest, self._decodable, self._skipped)]
