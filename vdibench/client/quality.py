"""How like a decoded frame is to the desktop's own picture: SSIM by FFmpeg's filter, VMAF by an ``ffmpeg`` program.

CPU-bound: call it off the event loop. SSIM has no I/O; VMAF runs a process over files in a temporary folder. The
screenshot is converted as the stream says its pictures were (matrix and range in the frame), so an identical picture
scores 1; what 4:2:0 takes from coloured text is in both and is not counted.
"""

from __future__ import annotations

import functools
import json
import math
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from av.filter import Graph
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter

from vdibench.client.screenshots import KeptPicture, Screenshot

__all__ = ["PictureScore", "reference_picture", "score", "ssim", "vmaf", "vmaf_program", "vmaf_remedy"]

_FFMPEG_SECONDS = 30.0
_MATRICES = {
    1: Colorspace.ITU709,
    4: Colorspace.FCC,
    5: Colorspace.ITU601,
    6: Colorspace.ITU601,
    7: Colorspace.SMPTE240M,
}
# Without a word in the stream, players take BT.709 for high definition and BT.601 below (as FFmpeg's own players do).
_HIGH_DEFINITION_ROWS = 720
_BIT_8_FORMATS = {"yuv420p", "yuvj420p", "yuv444p", "yuvj444p", "nv12"}


@dataclass(frozen=True, slots=True)
class PictureScore:
    """A row of the table ``pictures``.

    :param ssim_ratio: of the luma plane, mean over windows of 8 × 8 pixels; 1 when equal.
    :param ssim_all_ratio: of luma and chroma together, weighted by their samples.
    :param vmaf_score: 0 to 100; NaN where there is no libvmaf.
    """

    marker_unix_seconds: float
    ssim_ratio: float
    ssim_all_ratio: float
    vmaf_score: float = math.nan


def reference_picture(screenshot: Screenshot, like: av.VideoFrame) -> av.VideoFrame:
    """The screenshot in the pixel format, matrix and range of a decoded frame.

    :raises ValueError: the sizes differ, or the frame is not 8-bit YUV.
    """
    height, width = screenshot.pixels.shape[:2]
    if (width, height) != (like.width, like.height):
        raise ValueError(f"screenshot of {width}×{height}, frame of {like.width}×{like.height}")
    if like.format.name not in _BIT_8_FORMATS:
        raise ValueError(f"pixel format {like.format.name}")
    matrix = _MATRICES.get(int(like.colorspace))
    if matrix is None:
        matrix = Colorspace.ITU709 if height >= _HIGH_DEFINITION_ROWS else Colorspace.ITU601
    full = int(like.color_range) == int(ColorRange.JPEG) or like.format.name.startswith("yuvj")
    picture = av.VideoFrame.from_ndarray(screenshot.pixels, format="bgra")
    return VideoReformatter().reformat(
        picture,
        format=like.format.name,
        src_colorspace=matrix,
        dst_colorspace=matrix,
        src_color_range=ColorRange.JPEG,
        dst_color_range=ColorRange.JPEG if full else ColorRange.MPEG,
    )


def ssim(picture: av.VideoFrame, reference: av.VideoFrame) -> tuple[float, float]:
    """SSIM of two pictures of one size and format: luma, and all planes together."""
    graph = Graph()
    buffers = [
        graph.add_buffer(
            width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 1000), name=name
        )
        for name, frame in (("picture", picture), ("reference", reference))
    ]
    compare, sink = graph.add("ssim"), graph.add("buffersink")
    buffers[0].link_to(compare, 0, 0)
    buffers[1].link_to(compare, 0, 1)
    compare.link_to(sink, 0, 0)
    graph.configure()
    for buffer, frame in zip(buffers, (picture, reference), strict=True):
        # The filter pairs by time; the frames' own times belong to two clocks. Its metadata goes to a copy.
        buffer.push(_at_zero(frame))
        buffer.push(None)
    compared = sink.pull()
    return float(compared.metadata["lavfi.ssim.Y"]), float(compared.metadata["lavfi.ssim.All"])


def _at_zero(frame: av.VideoFrame) -> av.VideoFrame:
    copy = av.VideoFrame.from_ndarray(frame.to_ndarray(), format=frame.format.name)
    copy.pts, copy.time_base = 0, Fraction(1, 1000)
    return copy


@functools.lru_cache(maxsize=1)
def vmaf_program() -> str:
    """Path of an ``ffmpeg`` with libvmaf on PATH; empty when there is none."""
    program = shutil.which("ffmpeg")
    if program is None:
        return ""
    try:
        listed = subprocess.run(
            [program, "-hide_banner", "-filters"], capture_output=True, timeout=_FFMPEG_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return program if b" libvmaf " in listed.stdout else ""


def vmaf_remedy() -> str:
    """What to do where :func:`vmaf_program` is empty."""
    if shutil.which("ffmpeg") is None:
        return "put an ffmpeg built with libvmaf on PATH (Debian's and PyAV's own builds lack it)"
    return "the ffmpeg on PATH is built without libvmaf (Debian's is): put a build with it first on PATH"


def vmaf(picture: av.VideoFrame, reference: av.VideoFrame) -> float:
    """VMAF of two pictures of one size, by libvmaf's default model; NaN where :func:`vmaf_program` is empty, or fails.

    A still pair has no motion: the score is that of a sharp look at one frame, lower than of a film.
    """
    program = vmaf_program()
    if not program:
        return math.nan
    with tempfile.TemporaryDirectory(prefix="vdibench-vmaf-") as folder:
        command = [program, "-hide_banner", "-loglevel", "error", "-nostdin"]
        for name, frame in (("picture", picture), ("reference", reference)):
            path = Path(folder) / f"{name}.yuv"
            path.write_bytes(frame.reformat(format="yuv420p").to_ndarray().tobytes())
            command += ["-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", f"{frame.width}x{frame.height}", "-i", str(path)]
        command += ["-lavfi", "[0:v][1:v]libvmaf=log_fmt=json:log_path=vmaf.json", "-f", "null", "-"]
        try:
            subprocess.run(command, cwd=folder, capture_output=True, timeout=_FFMPEG_SECONDS, check=True)
            document = json.loads((Path(folder) / "vmaf.json").read_text())
            return float(document["pooled_metrics"]["vmaf"]["mean"])
        except (OSError, subprocess.SubprocessError, ValueError, KeyError):
            return math.nan


def score(kept: KeptPicture, screenshot: Screenshot) -> PictureScore:
    """Compare one decoded frame with the desktop's screen at the same marker.

    :raises ValueError: they cannot be compared.
    """
    reference = reference_picture(screenshot, kept.picture)
    luma, every = ssim(kept.picture, reference)
    return PictureScore(kept.marker.drawn_unix_seconds, luma, every, vmaf(kept.picture, reference))
