"""What the stand-in shows: a grey screen with marker, echo patches and a little noise, encoded by libx264 as it goes.

The marker is drawn from its description (docs/reference/marker.md) and shares no code with the desk or the reader.
"""

from __future__ import annotations

import asyncio
import binascii
import fractions
import time
from typing import Any

import av
import numpy as np
import numpy.typing as npt
from aiortc import MediaStreamTrack
from aiortc.mediastreams import AudioStreamTrack

Plane = npt.NDArray[np.uint8]
BLACK, WHITE, GREY = 16, 235, 110
CLOCK = fractions.Fraction(1, 90_000)


def marker_bits(session_id: int, microseconds: int) -> npt.NDArray[np.uint8]:
    """The marker's 128 bits, 4 rows of 32."""
    body = b"\xa5\x01" + session_id.to_bytes(2, "big") + microseconds.to_bytes(7, "big") + bytes(3)
    whole = body + binascii.crc_hqx(body, 0xFFFF).to_bytes(2, "big")
    return np.unpackbits(np.frombuffer(whole, dtype=np.uint8)).reshape(4, 32)


def draw_marker(
    luma: Plane, cell: int, session_id: int, drawn_unix_seconds: float, *, key: bool = False, click: bool = False
) -> None:
    """Draw marker and patches into the top left of a luma plane."""
    bits = marker_bits(session_id, round(drawn_unix_seconds * 1e6))
    square = np.ones((cell, cell), dtype=np.uint8)
    luma[: 4 * cell, : 32 * cell] = np.kron(bits * (WHITE - BLACK) + BLACK, square)
    luma[4 * cell : 8 * cell, : 4 * cell] = WHITE if key else BLACK
    luma[4 * cell : 8 * cell, 4 * cell : 8 * cell] = WHITE if click else BLACK


def encoder(width: int, height: int, fps: float, **options: str) -> Any:
    """A libx264 encoder without delay."""
    codec = av.CodecContext.create("libx264", "w")
    codec.width, codec.height, codec.pix_fmt = width, height, "yuv420p"
    codec.framerate = fractions.Fraction(round(fps), 1)
    codec.time_base = CLOCK
    codec.options = {
        "preset": "ultrafast",
        "tune": "zerolatency",
        "crf": "28",
        "g": "100000",
        "x264-params": "threads=1:scenecut=0",
        **options,
    }
    return codec


class Screen:
    """Draws and encodes frames."""

    def __init__(self, behaviour: Any) -> None:
        self._behaviour = behaviour
        self._key = self._click = False
        self._force = False
        self._random = np.random.default_rng(1)
        self._codec: Any = None
        self._began = time.monotonic()
        self.key_frames = 0

    def toggle_key(self) -> None:
        """Invert the key patch."""
        self._key = not self._key

    def toggle_click(self) -> None:
        """Invert the click patch."""
        self._click = not self._click

    def force_key_frame(self) -> None:
        """Make the next picture an IDR."""
        self._force = True

    def next_packet(self) -> av.Packet:
        """Draw, encode and return one picture."""
        behaviour = self._behaviour
        size = (behaviour.width, behaviour.height)
        if self._codec is None or (self._codec.width, self._codec.height) != size:
            self._codec = encoder(*size, behaviour.fps)
        planes = np.full((size[1] * 3 // 2, size[0]), 128, dtype=np.uint8)
        luma = planes[: size[1]]
        luma[:] = GREY
        noise = behaviour.noise
        luma[-noise:, -noise:] = self._random.integers(BLACK, WHITE, (noise, noise), dtype=np.uint8)
        if behaviour.cell:
            drawn = time.time() - behaviour.backdate_seconds
            draw_marker(luma, behaviour.cell, behaviour.session_id, drawn, key=self._key, click=self._click)
        frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
        frame.pts = round((time.monotonic() - self._began) / CLOCK)
        frame.time_base = CLOCK
        if self._force:
            frame.pict_type = av.video.frame.PictureType.I
            self._force = False
        (packet,) = self._codec.encode(frame)
        self.key_frames += packet.is_keyframe
        if behaviour.undecodable:
            broken = av.Packet(b"\x00\x00\x00\x01\x65" + self._random.bytes(3000).replace(b"\x00", b"\x01"))
            broken.pts, broken.time_base = packet.pts, packet.time_base
            return broken
        return packet


class ScreenTrack(MediaStreamTrack):
    """Paces the pictures."""

    kind = "video"

    def __init__(self, screen: Screen, behaviour: Any) -> None:
        super().__init__()
        self._screen = screen
        self._behaviour = behaviour
        self._due = 0.0
        self.sent = 0

    async def recv(self) -> av.Packet:
        """The next picture, when it is due."""
        behaviour = self._behaviour
        while not behaviour.video or self.sent == behaviour.stall_after:  # noqa: ASYNC110  # set from another thread
            await asyncio.sleep(0.02)  # tests change behaviour from another thread
        now = time.monotonic()
        self._due = max(now, self._due + 1 / behaviour.fps)
        if behaviour.pause_every and self.sent and self.sent % behaviour.pause_every == 0:
            self._due = now + behaviour.pause_seconds
        await asyncio.sleep(self._due - now)  # until the frame is due
        self.sent += 1
        return self._screen.next_packet()


class SilenceTrack(AudioStreamTrack):
    """Opus of silence, 50 packets a second."""
