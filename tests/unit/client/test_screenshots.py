"""Which frames are kept for comparison, and what is taken for a screenshot."""

from __future__ import annotations

import os
from pathlib import Path

import av
import numpy as np
import pytest

from vdibench.client.marker import Marker
from vdibench.client.screenshots import PictureSampler, ProbeFolder, read_screenshot
from vdibench.errors import ProtocolViolation, TargetUnavailable

PICTURE = av.VideoFrame(32, 32, "yuv420p")
HEAD = b'{"format": "BGRX", "width": 3, "height": 2, "marker_microseconds": 12, "session_id": 5}\n'


def offered(*microseconds: int) -> list[int]:
    sampler = PictureSampler()
    for value in microseconds:
        sampler.offer(PICTURE, Marker(1, value / 1e6, key_patch=False, click_patch=False))
    kept = [one.marker_microseconds for one in sampler.take()]
    assert sampler.take() == []
    return kept


SECOND = 1_795_000_000_000_000


def test_the_first_frame_of_each_second_is_kept_but_for_the_second_that_was_joined() -> None:
    assert offered(SECOND - 5, SECOND + 3, SECOND + 3, SECOND + 20, SECOND + 1_000_001) == [
        SECOND + 3,
        SECOND + 1_000_001,
    ]
    assert offered(SECOND + 400_000, SECOND + 900_000) == []


def test_seconds_without_a_frame_and_steps_back_keep_nothing_twice() -> None:
    assert offered(SECOND, SECOND + 7_000_002, SECOND + 6_000_000, SECOND + 7_000_050) == [
        SECOND + 7_000_002,
        SECOND + 7_000_050,
    ]


def test_the_newest_four_wait() -> None:
    assert len(offered(*range(SECOND, SECOND + 9_000_000, 1_000_000))) == 4


@pytest.mark.parametrize("microseconds", range(SECOND + 1, SECOND + 2_000_000, 123_457))
def test_a_marker_time_comes_back_exactly(microseconds: int) -> None:
    assert offered(SECOND - 1, microseconds)[:1] == [microseconds]


def test_a_screenshot_is_read(tmp_path: Path) -> None:
    (tmp_path / "12.bgrx").write_bytes(HEAD + bytes(range(24)))
    found = ProbeFolder(tmp_path).find(12)
    assert found is not None
    assert (found.marker_microseconds, found.session_id) == (12, 5)
    assert np.array_equal(found.pixels, np.arange(24, dtype=np.uint8).reshape(2, 3, 4))
    assert ProbeFolder(tmp_path).find(13) is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        HEAD + bytes(23),
        b"{}\n",
        b"[1]\n",
        b"\xff\xfe\n",
        HEAD.replace(b"BGRX", b"RGBX") + bytes(24),
        HEAD.replace(b'"width": 3', b'"width": 99999999') + bytes(24),
        HEAD.replace(b'"width": 3', b'"width": -3') + bytes(24),
        b"x" * 5000,
    ],
)
def test_anything_else_is_not(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "1.bgrx").write_bytes(data)
    with pytest.raises(ProtocolViolation, match="not a screenshot"):
        read_screenshot(tmp_path / "1.bgrx")


def test_asking_and_stopping(tmp_path: Path) -> None:
    folder = ProbeFolder(tmp_path)
    folder.ask("clicks", "0.1")
    os.utime(tmp_path / "clicks", (1, 1))
    folder.ask("clicks", "0.2")
    assert (tmp_path / "clicks").read_text() == "0.2"
    assert (tmp_path / "clicks").stat().st_mtime > 1
    folder.stop("clicks")
    folder.stop("clicks")
    assert list(tmp_path.iterdir()) == []
    assert folder.clicked() == []


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(TargetUnavailable, match="--probes"):
        ProbeFolder(tmp_path / "gone")
