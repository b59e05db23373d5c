"""Pictures of the WebSocket stand-in: whole or in stripes, H.264 or JPEG, with marker, in Selkies' binary messages."""

from __future__ import annotations

import fractions
import struct
import time
from typing import Any

import av
import numpy as np
from screen import GREY, draw_marker, encoder


class PictureSource:
    """Draws, cuts and encodes.

    :param behaviour: size, cell, encoder and the like, read anew for each picture.
    """

    def __init__(self, behaviour: Any) -> None:
        self._behaviour = behaviour
        self._key = False
        self._force = True
        self._codecs: dict[tuple[int, int, int, str], Any] = {}
        self._number = 0

    def toggle_key(self) -> None:
        """Invert the key patch."""
        self._key = not self._key

    def force_key_frame(self) -> None:
        """Make the next picture a key frame."""
        self._force = True

    def messages(self, identifier: int, reference: int) -> list[bytes]:
        """The binary messages of the next picture."""
        behaviour = self._behaviour
        width, height = behaviour.width, behaviour.height
        luma = np.full((height, width), GREY, dtype=np.uint8)
        self._number += 1
        luma[-32:, : 16 + self._number % 128] = 200
        if behaviour.cell:
            drawn = time.time() - behaviour.backdate_seconds
            draw_marker(luma, behaviour.cell, behaviour.session_id, drawn, key=self._key)
        stripes = 1 if behaviour.encoder == "h264enc" else 2
        rows = height // stripes
        force, self._force = self._force, False
        parts = []
        for top in range(0, rows * stripes, rows):
            data, key = self._encode(luma[top : top + rows], top, force)
            if behaviour.encoder == "jpeg":
                parts.append(struct.pack(">BBHH", 3, 0, identifier, top) + data)
            else:
                refers = identifier if key else reference
                parts.append(struct.pack(">BBHHHHH", 4, 0x10 | key, identifier, top, width, rows, refers) + data)
        return parts

    def _encode(self, luma: Any, top: int, force: bool) -> tuple[bytes, bool]:
        height, width = luma.shape
        kind = "jpeg" if self._behaviour.encoder == "jpeg" else "h264"
        codec = self._codecs.get((width, height, top, kind))
        if codec is None:
            # One of another size would be continued in the middle when the size comes back.
            self._codecs = {key: value for key, value in self._codecs.items() if key[0] == width and key[1] == height}
            codec = self._codecs[width, height, top, kind] = (
                _jpeg(width, height) if kind == "jpeg" else encoder(width, height, self._behaviour.fps)
            )
        planes = np.full((height * 3 // 2, width), 128, dtype=np.uint8)
        planes[:height] = luma
        frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
        if kind == "jpeg":
            frame = frame.reformat(format="yuvj420p")
        frame.pts = self._number * 3000
        frame.time_base = fractions.Fraction(1, 90_000)
        if force:
            frame.pict_type = av.video.frame.PictureType.I
        (packet,) = codec.encode(frame)
        return bytes(packet), kind == "h264" and bool(packet.is_keyframe)


def _jpeg(width: int, height: int) -> Any:
    codec = av.CodecContext.create("mjpeg", "w")
    codec.width, codec.height, codec.pix_fmt = width, height, "yuvj420p"
    codec.time_base = fractions.Fraction(1, 90_000)
    codec.framerate = fractions.Fraction(30, 1)
    return codec
