"""A canned video stream: H.264 as RTP payloads (RFC 6184), encoded once, to be sent again and again. Pure but for time.

It starts with an IDR picture and has no other: jumping back to its beginning is what a server does that is asked for a
key frame. Sizes are pixels and bytes, rates frames and bits per second.
"""

from __future__ import annotations

import fractions
import re
from dataclasses import dataclass

import av
import numpy as np
import numpy.typing as npt
from av.video.frame import PictureType

__all__ = ["CannedStream", "encode", "payloads"]

# What Selkies sends: 900 packets and 8.5 Mbit a second at 1080p60.
PAYLOAD_BYTES = 1180
_CLOCK = fractions.Fraction(1, 90_000)
_FU_A = 28
_START_CODE = re.compile(rb"\x00\x00\x00?\x01")

Plane = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class CannedStream:
    """Frames in order.

    :param frames: RTP payloads of each access unit.
    :param access_units: the same in Annex B form, for a decoder.
    :param framerate: frames per second that it was encoded for.
    """

    frames: tuple[tuple[bytes, ...], ...]
    access_units: tuple[bytes, ...]
    framerate: int

    @property
    def packets_per_second(self) -> float:
        """Packets in a second when it is sent at its own rate, mean of the whole."""
        return sum(len(frame) for frame in self.frames) / len(self.frames) * self.framerate


def encode(width: int, height: int, framerate: int, bitrate_bps: int, frames: int) -> CannedStream:
    """Encode a picture in which something moves: a page that scrolls, and a patch of noise that eats the bit rate.

    Takes about 10 ms a frame at 1080p.

    :param frames: length of the stream.
    """
    codec = av.CodecContext.create("libx264", "w")
    codec.width, codec.height, codec.pix_fmt = width, height, "yuv420p"
    codec.framerate = fractions.Fraction(framerate, 1)
    codec.time_base = _CLOCK
    codec.bit_rate = bitrate_bps
    per_frame = bitrate_bps // framerate
    codec.options = {
        "preset": "ultrafast",
        "tune": "zerolatency",
        "g": "100000",
        "maxrate": str(bitrate_bps),
        "bufsize": str(4 * per_frame),
        "x264-params": "threads=1:scenecut=0:repeat-headers=1",
    }
    random = np.random.default_rng(1)
    page = np.repeat(np.repeat(random.integers(0, 2, (2 * height // 8, width // 8), np.uint8), 8, 0), 8, 1) * 180 + 30
    found = []
    for number in range(frames):
        frame = av.VideoFrame.from_ndarray(_picture(page, random, width, height, number), format="yuv420p")
        frame.pts = number * _CLOCK.denominator // framerate
        frame.time_base = _CLOCK
        frame.pict_type = PictureType.I if number == 0 else PictureType.NONE
        (packet,) = codec.encode(frame)
        found.append(bytes(packet))
    return CannedStream(tuple(map(payloads, found)), tuple(found), framerate)


def _picture(page: Plane, random: np.random.Generator, width: int, height: int, number: int) -> Plane:
    planes = np.full((height * 3 // 2, width), 128, dtype=np.uint8)
    top = 2 * number % height
    planes[:height, : page.shape[1]] = page[top : top + height, :width]
    side = min(height, width) // 3 & ~1
    planes[height - side : height, width - side : width] = random.integers(16, 235, (side, side), np.uint8)
    return planes


def payloads(access_unit: bytes, size: int = PAYLOAD_BYTES) -> tuple[bytes, ...]:
    """RTP payloads of one access unit in Annex B form: a NAL unit each, or FU-A fragments of a longer one."""
    found: list[bytes] = []
    for nal in filter(None, _START_CODE.split(access_unit)):
        if len(nal) <= size:
            found.append(nal)
            continue
        indicator, kind = bytes([nal[0] & 0xE0 | _FU_A]), nal[0] & 0x1F
        body, step = nal[1:], size - 2
        for start in range(0, len(body), step):
            first, last = start == 0, start + step >= len(body)
            header = bytes([first << 7 | last << 6 | kind])
            found.append(indicator + header + body[start : start + step])
    return tuple(found)
