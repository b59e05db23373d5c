"""Markers drawn as docs/reference/marker.md says, at every cell size, disturbed, encoded, resized, and absent."""

from __future__ import annotations

import binascii
import fractions
import time

import av
import numpy as np
import numpy.typing as npt
import pytest

from vdibench.client.marker import Marker, MarkerReader

Plane = npt.NDArray[np.uint8]
INSTANT = 1_700_000_000.123456


def bits(session_id: int = 0xBEEF, microseconds: int = 1_700_000_000_123_456, *, flip: int = -1) -> Plane:
    body = b"\xa5\x01" + session_id.to_bytes(2, "big") + microseconds.to_bytes(7, "big") + bytes(3)
    whole = np.unpackbits(np.frombuffer(body + binascii.crc_hqx(body, 0xFFFF).to_bytes(2, "big"), dtype=np.uint8))
    if flip >= 0:
        whole[flip] ^= 1
    return whole.reshape(4, 32)


def picture(
    cell: int,
    width: int = 1920,
    height: int = 1080,
    *,
    black: int = 16,
    white: int = 235,
    key: bool = False,
    click: bool = False,
    marker: Plane | None = None,
) -> Plane:
    luma = np.full((height, width), 120, dtype=np.uint8)
    cells = (bits() if marker is None else marker) * (white - black) + black
    luma[: 4 * cell, : 32 * cell] = np.kron(cells, np.ones((cell, cell), dtype=np.uint8))
    luma[4 * cell : 8 * cell, : 4 * cell] = white if key else black
    luma[4 * cell : 8 * cell, 4 * cell : 8 * cell] = white if click else black
    return luma


def test_the_example_of_the_reference() -> None:
    drawn = np.packbits(bits(7, 1_700_000_000_000_000)).tobytes()
    assert drawn.hex() == "a5010007060a24181e40000000004e7a"


@pytest.mark.parametrize("cell", range(8, 33))
@pytest.mark.parametrize(("black", "white"), [(16, 235), (0, 255), (30, 210)])
def test_every_cell_size(cell: int, black: int, white: int) -> None:
    for key, click in ((False, False), (True, False), (False, True), (True, True)):
        luma = picture(cell, black=black, white=white, key=key, click=click)
        found = MarkerReader().read(luma)
        assert found == Marker(0xBEEF, INSTANT, key, click)


@pytest.mark.parametrize("microseconds", [0, 1, 2**56 - 1, 1_700_000_000_000_001])
def test_every_instant_to_the_microsecond(microseconds: int) -> None:
    found = MarkerReader().read(picture(16, marker=bits(microseconds=microseconds)))
    assert found is not None
    assert round(found.drawn_unix_seconds * 1e6) == microseconds or microseconds > 2**53


@pytest.mark.parametrize("cell", [8, 11, 16, 32])
@pytest.mark.parametrize("noise", [10, 25])
def test_blur_and_noise(cell: int, noise: int) -> None:
    random = np.random.default_rng(cell)
    luma = picture(cell, key=True).astype(np.float64)
    for axis in (0, 1):
        luma = (np.roll(luma, 1, axis) + 2 * luma + np.roll(luma, -1, axis)) / 4
    disturbed = np.clip(luma + random.normal(0, noise, luma.shape), 0, 255).astype(np.uint8)
    assert MarkerReader().read(disturbed) == Marker(0xBEEF, INSTANT, True, False)


@pytest.mark.parametrize("cell", [8, 12, 16])
def test_after_an_encoder_at_a_low_bitrate(cell: int) -> None:
    """150 kbit/s beside noise that wants far more: each frame's marker is still its own."""
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = 640, 360, "yuv420p"
    encoder.framerate, encoder.time_base = fractions.Fraction(30, 1), fractions.Fraction(1, 30)
    encoder.bit_rate = 150_000
    encoder.options = {"preset": "ultrafast", "tune": "zerolatency"}
    decoder = av.CodecContext.create("h264", "r")
    random = np.random.default_rng(1)
    reader, size, found = MarkerReader(), 0, []
    for index in range(30):
        planes = np.full((540, 640), 128, dtype=np.uint8)
        planes[:360] = picture(cell, 640, 360, key=bool(index & 4), marker=bits(7, 1_700_000_000_000_000 + index))
        planes[200:360] = random.integers(16, 235, (160, 640), dtype=np.uint8)
        frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
        frame.pts = index
        for packet in encoder.encode(frame):
            size += packet.size
            for decoded in decoder.decode(packet):
                plane = decoded.planes[0]
                luma = np.frombuffer(memoryview(plane), dtype=np.uint8).reshape(-1, plane.line_size)[:360, :640]
                found.append(reader.read(luma))
    decoder_holds = 30 - len(found)
    assert decoder_holds <= 1
    assert size < 300_000
    for index, marker in enumerate(found):
        assert marker is not None, index
        assert marker.session_id == 7
        assert round(marker.drawn_unix_seconds * 1e6) == 1_700_000_000_000_000 + index
        assert marker.key_patch == bool(index & 4)


@pytest.mark.parametrize("flip", range(128))
def test_one_wrong_bit_is_no_marker(flip: int) -> None:
    reader = MarkerReader()
    assert reader.read(picture(16, marker=bits(flip=flip))) is None
    assert reader.read(picture(16)) is not None
    assert reader.read(picture(16, marker=bits(flip=flip))) is None, "not even when the cell size is known"


@pytest.mark.parametrize(("first", "second"), [((1920, 1080, 16), (1280, 720, 8)), ((640, 360, 8), (1920, 1080, 32))])
def test_a_resized_stream_is_found_again(first: tuple[int, int, int], second: tuple[int, int, int]) -> None:
    reader = MarkerReader()
    for width, height, cell in (first, second, first):
        assert reader.read(picture(cell, width, height)) == Marker(0xBEEF, INSTANT, False, False)


def test_a_marker_of_another_cell_size_is_found_again() -> None:
    reader = MarkerReader()
    for cell in (16, 8, 24, 16):
        assert reader.read(picture(cell)) is not None


@pytest.mark.parametrize("size", [(1080, 1920), (360, 640), (64, 64), (1, 1), (16, 4000), (4000, 16)])
def test_pictures_without_a_marker(size: tuple[int, int]) -> None:
    random = np.random.default_rng(2)
    reader = MarkerReader()
    for luma in (
        np.zeros(size, dtype=np.uint8),
        np.full(size, 255, dtype=np.uint8),
        random.integers(0, 255, size, dtype=np.uint8),
    ):
        assert reader.read(luma) is None


def test_a_part_of_a_wider_plane() -> None:
    """Decoders pad lines: the plane is a view with a stride."""
    wide = np.zeros((1088, 2048), dtype=np.uint8)
    wide[:1080, :1920] = picture(16)
    assert MarkerReader().read(wide[:1080, :1920]) is not None


def test_a_miss_is_cheap() -> None:
    """It is paid for every frame of every desktop without a desk; 60 frames a second must not feel it."""
    luma = np.random.default_rng(4).integers(0, 255, (1080, 1920), dtype=np.uint8)
    reader = MarkerReader()
    reader.read(luma)
    costs = []
    for _ in range(50):
        began = time.thread_time()
        assert reader.read(luma) is None
        costs.append(time.thread_time() - began)
    assert sorted(costs)[25] < 0.001
