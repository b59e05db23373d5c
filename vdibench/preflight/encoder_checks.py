"""Checks of software video encoding: pictures are really encoded and decoded again. Uses one core for a moment."""

from __future__ import annotations

import subprocess
import sys
import time
from fractions import Fraction

import av
import numpy as np
from av.video.frame import VideoFrame

from vdibench.preflight.contexts import HostContext
from vdibench.preflight.findings import failed, not_applicable, passed
from vdibench.records import Check, Display

__all__ = ["check_capture_library", "check_software_encoder"]

_FRAMES = 20
# Mean difference of luma, of 255, that pictures of this quality stay well below.
_LUMA_ERROR = 6.0
_IMPORT = "import pixelflux; print(' '.join(pixelflux.SOFTWARE_ENCODERS))"


def check_software_encoder(context: HostContext) -> Check:
    """libx264 encodes moving pictures of the planned size fast enough, and they decode to what they were."""
    display = context.display
    if not context.lab:
        return not_applicable("software_encoder", "the desktops encode elsewhere")
    remedy = "install PyAV from its wheel, which brings libx264"
    try:
        encode_seconds, decode_seconds, error, count = _round_trip(display)
    except (av.FFmpegError, ValueError) as problem:
        return failed("software_encoder", "libx264 does not encode here", str(problem), remedy)
    evidence = f"PyAV {av.__version__}, libx264 ultrafast zerolatency, one thread, {_FRAMES} moving pictures"
    finding = (
        f"{encode_seconds * 1000:.1f} ms to encode and {decode_seconds * 1000:.1f} ms to decode "
        f"a picture of {display.width}×{display.height}, mean luma error {error:.1f} of 255"
    )
    if count != _FRAMES or error > _LUMA_ERROR:
        return failed("software_encoder", f"{count} of {_FRAMES} pictures came back; {finding}", evidence, remedy)
    if encode_seconds > 1 / display.framerate:
        slower = "choose a smaller display or a lower frame rate"
        return failed("software_encoder", f"{finding}, too slow for {display.framerate}/s", evidence, slower)
    return passed("software_encoder", finding, evidence)


def check_capture_library(context: HostContext) -> Check:
    """The library with which Selkies captures and encodes loads, with everything that it links."""
    if not context.lab:
        return not_applicable("capture_library", "the desktops run elsewhere")
    # In a process of its own: the library starts threads, and a broken one may end its process.
    try:
        done = subprocess.run(
            [sys.executable, "-c", _IMPORT],
            capture_output=True,
            text=True,
            timeout=context.check_seconds * 0.75,
            stdin=subprocess.DEVNULL,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        return failed("capture_library", "pixelflux does not finish loading", str(error), "look at its processes")
    encoders = done.stdout.split()
    words = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
    if done.returncode != 0:
        remedy = "pip install 'vdibench[lab]', and the system libraries that the message names"
        return failed("capture_library", "pixelflux cannot be loaded", words[-1], remedy)
    if not any("264" in encoder for encoder in encoders):
        remedy = "install the pixelflux that selkies 2.1 asks for"
        return failed("capture_library", f"pixelflux has no software H.264: {' '.join(encoders)}", _IMPORT, remedy)
    return passed("capture_library", f"pixelflux loads, software encoders: {' '.join(encoders)}", _IMPORT)


def _round_trip(display: Display) -> tuple[float, float, float, int]:
    """Seconds per picture to encode and to decode, mean luma error, pictures that came back."""
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height = display.width, display.height
    encoder.pix_fmt = "yuv420p"
    encoder.framerate = Fraction(display.framerate)
    encoder.time_base = Fraction(1, display.framerate)
    encoder.thread_count = 1
    # Constant quality, so that the error does not depend on the rate that is asked for.
    encoder.options = {"preset": "ultrafast", "tune": "zerolatency", "crf": "23"}
    decoder = av.CodecContext.create("h264", "r")
    decoder.thread_count = 1
    pictures = [_picture(display, index) for index in range(_FRAMES)]

    began = time.perf_counter()
    packets = [packet for picture in pictures for packet in encoder.encode(picture)] + list(encoder.encode(None))
    encoded = time.perf_counter()
    returned = [frame for packet in packets for frame in decoder.decode(packet)] + list(decoder.decode(None))
    decoded = time.perf_counter()

    errors = [
        float(np.abs(_luma(before).astype(np.int16) - _luma(after)).mean())
        for before, after in zip(pictures, returned, strict=False)
    ]
    error = max(errors, default=255.0)
    return (encoded - began) / _FRAMES, (decoded - encoded) / _FRAMES, error, len(returned)


def _picture(display: Display, index: int) -> VideoFrame:
    """A soft pattern with a sharp bar, both moving."""
    across = np.arange(display.width) + 4 * index
    down = np.arange(display.height)[:, None]
    picture = np.full((display.height * 3 // 2, display.width), 128, np.uint8)
    picture[: display.height] = 96 + (across + down) % 256 // 4
    left = 16 * index % max(1, display.width - 32)
    picture[: display.height, left : left + 32] = 220
    frame = VideoFrame.from_ndarray(picture, format="yuv420p")
    frame.pts = index
    return frame


def _luma(frame: VideoFrame) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return frame.to_ndarray(format="gray").astype(np.uint8, copy=False)
