"""SSIM and VMAF of real pictures: an identical one scores 1, a worse one less, and less the fewer bits it got."""

from __future__ import annotations

import math
import stat
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.reformatter import ColorRange, Colorspace

from vdibench.client import quality
from vdibench.client.marker import Marker
from vdibench.client.screenshots import KeptPicture, Screenshot

WIDTH, HEIGHT = 320, 240


@pytest.fixture
def screenshot() -> Screenshot:
    """Dark coloured marks on light paper, as text is."""
    rng = np.random.default_rng(3)
    pixels = np.full((HEIGHT, WIDTH, 4), 240, np.uint8)
    for top in range(0, HEIGHT, 16):
        for left in range(0, WIDTH, 8):
            pixels[top + 2 : top + 13, left : left + 6][rng.random((11, 6)) < 0.4] = [120, 40, 20, 0]
    return Screenshot(1_700_000_000_000_000, 7, pixels)


def frame(format_: str = "yuv420p", matrix: int = 1, range_: int = 1, size: tuple[int, int] = (WIDTH, HEIGHT)):
    made = av.VideoFrame(*size, format_)
    made.colorspace, made.color_range = matrix, range_
    return made


def coded(picture: av.VideoFrame, **options: str) -> av.VideoFrame:
    """What a decoder makes of what an encoder makes of one picture, as the second frame of a stream."""
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = picture.width, picture.height, picture.format.name
    encoder.colorspace, encoder.color_range = picture.colorspace, picture.color_range
    encoder.framerate, encoder.time_base = Fraction(60, 1), Fraction(1, 60)
    encoder.options = {"preset": "ultrafast", "tune": "zerolatency", **options}
    decoder = av.CodecContext.create("h264", "r")
    shown = []
    for number in range(2):
        copy = av.VideoFrame.from_ndarray(picture.to_ndarray(), format=picture.format.name)
        copy.pts = number
        for packet in encoder.encode(copy):
            shown += decoder.decode(packet)
    shown += decoder.decode(None)
    return shown[-1]


def kept(picture: av.VideoFrame) -> KeptPicture:
    return KeptPicture(Marker(7, 1_700_000_000.0, key_patch=False, click_patch=False), picture)


@pytest.mark.parametrize("format_", ["yuv420p", "yuv444p", "nv12"])
def test_an_identical_picture_scores_one(screenshot: Screenshot, format_: str) -> None:
    reference = quality.reference_picture(screenshot, frame(format_))
    assert quality.ssim(reference, reference) == (1.0, 1.0)


def test_a_lossless_encoder_scores_one(screenshot: Screenshot) -> None:
    reference = quality.reference_picture(screenshot, frame())
    assert quality.score(kept(coded(reference, qp="0")), screenshot).ssim_ratio == pytest.approx(1, abs=1e-6)


def test_fewer_bits_score_less(screenshot: Screenshot) -> None:
    reference = quality.reference_picture(screenshot, frame())
    scores = [
        quality.score(kept(coded(reference, qp=qp)), screenshot).ssim_ratio for qp in ("5", "25", "35", "45", "51")
    ]
    assert scores == sorted(scores, reverse=True)
    assert len(set(scores)) == len(scores)
    assert scores[0] > 0.99
    assert scores[-1] < 0.9


@pytest.mark.parametrize(
    ("matrix", "weights"),
    [(Colorspace.ITU709, (0.2126, 0.7152, 0.0722)), (Colorspace.ITU601, (0.299, 0.587, 0.114))],
)
@pytest.mark.parametrize(("range_", "low", "span"), [(ColorRange.MPEG, 16, 219), (ColorRange.JPEG, 0, 255)])
def test_colours_are_converted_as_the_stream_says(matrix, weights, range_, low, span) -> None:
    pixels = np.zeros((32, 32, 4), np.uint8)
    pixels[:, :, :3] = (40, 200, 90)  # blue, green, red
    shot = Screenshot(1, 1, pixels)
    luma = quality.reference_picture(shot, frame("yuv420p", int(matrix), int(range_), (32, 32))).to_ndarray()[0, 0]
    expected = low + span / 255 * (weights[0] * 90 + weights[1] * 200 + weights[2] * 40)
    assert abs(int(luma) - expected) <= 1


def test_another_size_or_depth_cannot_be_compared(screenshot: Screenshot) -> None:
    with pytest.raises(ValueError, match="320×240, frame of 160×120"):
        quality.reference_picture(screenshot, frame(size=(160, 120)))
    with pytest.raises(ValueError, match="yuv420p10le"):
        quality.reference_picture(screenshot, frame("yuv420p10le"))


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A PATH that holds nothing but what the test puts there."""
    monkeypatch.setenv("PATH", str(tmp_path))
    quality.vmaf_program.cache_clear()
    yield tmp_path
    quality.vmaf_program.cache_clear()


def test_without_ffmpeg_there_is_no_vmaf(path: Path, screenshot: Screenshot) -> None:
    reference = quality.reference_picture(screenshot, frame())
    assert quality.vmaf_program() == ""
    assert math.isnan(quality.vmaf(reference, reference))
    assert math.isnan(quality.score(kept(reference), screenshot).vmaf_score)
    assert "put an ffmpeg" in quality.vmaf_remedy()


def test_an_ffmpeg_without_libvmaf_gives_none(path: Path) -> None:
    program = path / "ffmpeg"
    program.write_text("#!/bin/sh\necho ' .. ssim  VV->V  Calculate the SSIM.'\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    assert quality.vmaf_program() == ""
    assert "without libvmaf" in quality.vmaf_remedy()
