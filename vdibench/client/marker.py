"""Reading the desk's marker and echo patches from a luma plane. Pure.

Layout (see docs/reference/marker.md): 32 × 4 square cells at the picture's top left, row-major, white = 1, 128 bits:
magic 0xA5, version 1, session id (16), wall clock in µs (56), reserved (24), CRC-16/CCITT-FALSE of the 14 bytes before.
Below them, four cells high and wide each, the key patch, the click patch and the sync patch.
"""

from __future__ import annotations

import binascii
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Marker", "MarkerReader"]

Luma = npt.NDArray[np.uint8]

COLUMNS = 32
ROWS = 4
PATCH_CELLS = 4
DEFAULT_CELL = 16
MAGIC = 0xA5
VERSION = 1
# Half way between black and white, in limited (16–235) as well as in full range.
THRESHOLD = 126
# Cells below 6 pixels are lost to chroma and ringing; above 64 nobody draws.
_CELLS = range(6, 65)
_FIRST_CELLS = 16
_FIRST_BITS = np.unpackbits(np.frombuffer(bytes([MAGIC, VERSION]), dtype=np.uint8)).astype(bool)


@dataclass(frozen=True, slots=True)
class Marker:
    """What a frame says of itself.

    :param session_id: 16-bit id of the desk that drew it.
    :param drawn_unix_seconds: the desk's wall clock just before the draw.
    :param key_patch: the key patch is white.
    :param click_patch: the click patch is white.
    :param sync_patch: the patch that inverts with each click of the desk's click track is white.
    """

    session_id: int
    drawn_unix_seconds: float
    key_patch: bool
    click_patch: bool
    sync_patch: bool = False


class MarkerReader:
    """Reads markers from successive luma planes of one stream.

    The cell size is found on the first readable frame and tried first on the next; a stream or a marker of another
    size is found again. A frame without a marker costs one look at few pixels for each cell size.
    """

    def __init__(self) -> None:
        self._cell = 0
        self._shape: tuple[int, ...] = ()
        self._candidates: npt.NDArray[np.intp] = np.empty(0, np.intp)
        self._rows: npt.NDArray[np.intp] = np.empty(0, np.intp)
        self._columns: npt.NDArray[np.intp] = np.empty(0, np.intp)

    def read(self, luma: Luma) -> Marker | None:
        """The marker in ``luma`` (height × width, uint8), or None when there is none or its CRC is wrong."""
        if luma.shape != self._shape:
            self._resize(luma.shape[0], luma.shape[1])
        if self._cell and (marker := self._read(luma, self._cell)) is not None:
            return marker
        return self._search(luma)

    def _resize(self, height: int, width: int) -> None:
        """Say which cell sizes fit and which pixels of theirs show magic and version: six in each of 16 cells."""
        self._shape = (height, width)
        self._cell = 0
        self._candidates = np.array(
            [cell for cell in _CELLS if COLUMNS * cell <= width and 2 * ROWS * cell <= height], dtype=np.intp
        )
        cell = self._candidates[:, None, None]
        within = np.array([[1, 1], [1, 2], [1, 3], [3, 1], [3, 2], [3, 3]], dtype=np.intp)
        self._rows = np.broadcast_to(cell * within[:, 0] // 4, (len(self._candidates), _FIRST_CELLS, len(within)))
        self._columns = cell * np.arange(_FIRST_CELLS)[:, None] + cell * within[:, 1] // 4

    def _search(self, luma: Luma) -> Marker | None:
        levels = luma[self._rows, self._columns].sum(axis=2, dtype=np.uint16)
        bits = levels > THRESHOLD * self._rows.shape[2]
        for index in np.flatnonzero((bits == _FIRST_BITS).all(axis=1)):
            cell = int(self._candidates[index])
            marker = self._read(luma, cell)
            if marker is not None:
                self._cell = cell
                return marker
        return None

    @staticmethod
    def _read(luma: Luma, cell: int) -> Marker | None:
        # The inner half of a cell: its borders carry ringing and deblocking.
        inset, size = cell // 4, max(1, cell // 2)
        cells = luma[: ROWS * cell, : COLUMNS * cell].reshape(ROWS, cell, COLUMNS, cell)
        levels = cells[:, inset : inset + size, :, inset : inset + size].mean(axis=(1, 3))
        data = np.packbits(levels > THRESHOLD).tobytes()
        if data[0] != MAGIC or data[1] != VERSION:
            return None
        if binascii.crc_hqx(data[:14], 0xFFFF) != int.from_bytes(data[14:16], "big"):
            return None

        def patch(column: int) -> bool:
            left = column * PATCH_CELLS * cell
            top = ROWS * cell
            return bool(luma[top + cell : top + 3 * cell, left + cell : left + 3 * cell].mean() > THRESHOLD)

        drawn = int.from_bytes(data[4:11], "big") / 1e6
        return Marker(int.from_bytes(data[2:4], "big"), drawn, patch(0), patch(1), patch(2))
