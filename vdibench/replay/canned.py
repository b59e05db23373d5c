"""A trace that nobody recorded: a picture in which something moves, encoded for the purpose. Pure; takes time.

It starts with an IDR picture and has no other. Sizes are pixels and bytes, rates frames and bits per second.
"""

from __future__ import annotations

import fractions
import time

import av
import numpy as np
import numpy.typing as npt
from av.video.frame import PictureType

import vdibench
from vdibench.records import Display
from vdibench.replay.payloads import payloads
from vdibench.replay.trace import Provenance, Trace, TraceFrame

__all__ = ["encode"]

_CLOCK = fractions.Fraction(1, 90_000)
# A frame leaves over half of its interval, as a pacer sends it.
_SPREAD = 0.5

Plane = npt.NDArray[np.uint8]


def encode(display: Display, bitrate_bps: int, frames: int) -> Trace:
    """Encode a page that scrolls, and a patch of noise that eats the bit rate.

    Takes about 10 ms a frame at 1080p.

    :param frames: length of the trace, 2 at least.
    """
    width, height, framerate = display.width, display.height, display.framerate
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
        found.append(_frame(bytes(packet), number, framerate))
    return Trace(_provenance(display, bitrate_bps), found)


def _frame(access_unit: bytes, number: int, framerate: int) -> TraceFrame:
    first, count = number / framerate, len(payloads(access_unit))
    spread = _SPREAD / framerate * (count - 1) / count
    return TraceFrame(first, first, first + spread, count, number == 0, access_unit)


def _provenance(display: Display, bitrate_bps: int) -> Provenance:
    return Provenance(
        source="a picture that was encoded for it",
        recorded=False,
        server="",
        dialect="",
        encoder="libx264",
        width=display.width,
        height=display.height,
        framerate=display.framerate,
        bitrate_bps=bitrate_bps,
        workload="",
        marker_id=-1,
        recorded_unix_seconds=time.time(),
        vdibench=vdibench.__version__,
    )


def _picture(page: Plane, random: np.random.Generator, width: int, height: int, number: int) -> Plane:
    planes = np.full((height * 3 // 2, width), 128, dtype=np.uint8)
    top = 2 * number % height
    planes[:height, : page.shape[1]] = page[top : top + height, :width]
    side = min(height, width) // 3 & ~1
    planes[height - side : height, width - side : width] = random.integers(16, 235, (side, side), np.uint8)
    return planes
