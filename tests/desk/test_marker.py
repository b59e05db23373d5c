"""The marker on a real screen, read back and decoded by code of its own."""

from __future__ import annotations

import time

import numpy as np
import pytest

from vdibench.client.marker import MarkerReader
from vdibench.desk.desk import marker_bytes


def crc16(data: bytes) -> int:
    """CRC-16/CCITT-FALSE by its definition, bit by bit."""
    value = 0xFFFF
    for byte in data:
        value ^= byte << 8
        for _ in range(8):
            value = (value << 1 ^ 0x1021 if value & 0x8000 else value << 1) & 0xFFFF
    return value


def decode(bits) -> tuple[int, int]:
    """Return session id and microseconds of a marker whose fixed parts and CRC are right."""
    data = np.packbits(bits).tobytes()
    assert len(data) == 16
    assert data[0] == 0xA5
    assert data[1] == 1
    assert data[11:14] == b"\0\0\0"
    assert crc16(data[:14]) == int.from_bytes(data[14:], "big")
    return int.from_bytes(data[2:4], "big"), int.from_bytes(data[4:11], "big")


def test_crc_known_answer() -> None:
    assert crc16(b"123456789") == 0x29B1


def test_bytes_known_answer() -> None:
    data = marker_bytes(0x1234, 0x0102_0304_0506_07)
    assert data[:14] == bytes.fromhex("a5 01 1234 01020304050607 000000")
    assert data[14:] == crc16(data[:14]).to_bytes(2, "big")


def test_a_thousand_grabs_none_torn_times_true_and_phase_dithered(start_desk) -> None:
    rate = 200
    eye = start_desk("--session-id", "54321", "--rate", str(rate))
    times: list[int] = []
    grabs = 0
    while grabs < 1000 or len(times) < 1000:
        session, stamp = decode(eye.bits())
        late = time.time() - stamp / 1e6
        assert session == 54321
        assert 0 <= late < 1
        assert not times or stamp >= times[-1]
        if not times or stamp > times[-1]:
            times.append(stamp)
        grabs += 1
    intervals = np.diff(times) * rate / 1e6
    # A uniform spread of 20 % has a standard deviation of 0.115 periods.
    assert np.quantile(intervals, 0.05) < 0.9
    assert np.quantile(intervals, 0.95) > 1.1
    assert 0.9 < np.median(intervals) < 1.1
    phase = np.array(times) * rate / 1e6 % 1
    share = np.histogram(phase, 4, (0, 1))[0] / len(phase)
    assert share.min() > 0.05, f"the draws keep to a part of the interval: {share}"


@pytest.mark.parametrize("cell", [6, 20])
def test_cell_size(start_desk, cell: int) -> None:
    eye = start_desk("--cell", str(cell), "--session-id", "9")
    assert decode(eye.bits(cell))[0] == 9
    assert eye.patches(cell) == (False, False)


@pytest.mark.parametrize("workload", ["idle", "text", "window", "video", "3d"])
def test_workload_moves_below_the_marker_only(start_desk, workload: str) -> None:
    eye = start_desk("--workload", workload)
    first = eye.picture(0, 128, 1280, 592)
    strip = eye.picture(512, 0, 768, 128)
    changed = np.zeros(first.shape[:2], bool)
    stamps = set()
    while len(stamps) < 90:
        stamps.add(decode(eye.bits())[1])
        assert eye.patches() == (False, False)
        if len(stamps) % 10 == 0:
            changed |= (eye.picture(0, 128, 1280, 592) != first).any(axis=2)
            assert (eye.picture(512, 0, 768, 128) == strip).all()
    share = changed.mean()
    bounds = {"idle": (0, 0), "text": (0.1, 1), "window": (0.1, 0.9), "video": (0.95, 1), "3d": (0.1, 0.9)}[workload]
    assert bounds[0] <= share <= bounds[1], share


def longest_ink(picture) -> int:
    """Return the longest horizontal run of dark pixels."""
    ink = picture.max(axis=2) < 0x40
    longest = run = np.zeros(len(ink), int)
    for column in ink.T:
        run = (run + 1) * column
        longest = np.maximum(longest, run)
    return int(longest.max())


def test_text_shows_glyphs(start_desk) -> None:
    eye = start_desk("--workload", "text")
    assert 3 <= longest_ink(eye.picture(0, 128, 1280, 592)) < 12


def test_text_shows_bars_without_fonts(start_desk, make_screen, look, tmp_path) -> None:
    (tmp_path / "fonts.dir").write_text("0\n")
    with make_screen() as server:
        eye = look(server)
        eye.hide_fonts(tmp_path)
        eye = start_desk("--workload", "text", server=server)
        eye.settle()
        assert longest_ink(eye.picture(0, 128, 1280, 592)) >= 24


def test_window_workload_leaves_no_trail(start_desk) -> None:
    """Wherever the window has been, the background is whole again."""
    eye = start_desk("--workload", "window")
    whole = None
    for _ in range(24):
        eye.settle()
        picture = eye.picture(0, 128, 1280, 592)
        if whole is None:
            whole = np.full_like(picture, 0)
            seen = np.zeros(picture.shape[:2], bool)
        top, left = np.argwhere((picture == (0xA0, 0x5A, 0x2C)).all(axis=2)).min(axis=0)
        free = np.ones(picture.shape[:2], bool)
        free[top : top + 296, left : left + 640] = False
        both = free & seen
        assert (picture[both] == whole[both]).all()
        whole[free] = picture[free]
        seen |= free
    assert seen.mean() > 0.5


def test_the_client_reads_what_the_desk_draws(start_desk) -> None:
    eye = start_desk("--session-id", "77", "--workload", "video")
    eye.tap(2, 38)
    # Luma of a limited-range BT.601 stream.
    luma = (16 + eye.picture(0, 0, 1280, 720) @ np.array([25, 129, 66]) / 256).astype(np.uint8)
    marker = MarkerReader().read(luma)
    assert marker is not None
    assert (marker.session_id, marker.key_patch, marker.click_patch) == (77, True, False)
    assert 0 <= time.time() - marker.drawn_unix_seconds < 5
