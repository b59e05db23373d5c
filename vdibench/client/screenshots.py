"""Screenshots of a desktop for comparison: asking the desk for them, and keeping the frames they belong to. I/O: files.

Both sides follow one rule and need no channel: the desk takes a picture of its screen right after the first marker
that it draws in each whole second of its clock; the client keeps the first frame of each whole second that a marker
shows. Where both have the same marker they belong together; where not (the capture skipped that marker, a frame was
lost) there is no sample.
"""

from __future__ import annotations

import json
import threading
from collections import deque
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

from vdibench.client.marker import Marker
from vdibench.errors import ProtocolViolation, TargetUnavailable

__all__ = ["KeptPicture", "PictureSampler", "ProbeFolder", "Screenshot", "read_screenshot"]

Pixels = npt.NDArray[np.uint8]

# Decoded pictures hold 3 MB each at 1080p.
_KEPT = 4
_MAX_HEAD_BYTES = 1024
_MAX_SIDE = 16_384


@dataclass(frozen=True, slots=True)
class Screenshot:
    """The desktop's screen at one marker.

    :param pixels: height × width × 4, blue, green, red, unused; full range.
    """

    marker_microseconds: int
    session_id: int
    pixels: Pixels


def read_screenshot(path: Path) -> Screenshot:
    """Read a file that the desk wrote: one line of JSON, then the rows.

    :raises ProtocolViolation: it is none; FileNotFoundError: it is gone.
    """
    with path.open("rb") as file:
        try:
            head = json.loads(file.readline(_MAX_HEAD_BYTES))
            width, height = int(head["width"]), int(head["height"])
            marker, session = int(head["marker_microseconds"]), int(head["session_id"])
            if head["format"] != "BGRX" or not (0 < width <= _MAX_SIDE and 0 < height <= _MAX_SIDE):
                raise ValueError("another format")
            data = file.read(4 * width * height)
            if len(data) < 4 * width * height:
                raise ValueError("it is cut off")
        except (ValueError, KeyError, TypeError) as error:
            raise ProtocolViolation(
                f"{path.name} is not a screenshot of the desk ({error})", "use the desk of this vdibench"
            ) from error
    return Screenshot(marker, session, np.frombuffer(data, np.uint8).reshape(height, width, 4))


class ProbeFolder:
    """The folder of a desk started with ``--probes``. A request lasts for ten seconds; renew it while it is needed.

    :param path: as this host sees it.
    :raises TargetUnavailable: it is not there.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_dir():
            raise TargetUnavailable(
                f"the desk's folder {path} is not there", "start the desk with --probes and share that folder"
            )
        self.path = path

    def ask(self, request: str, text: str = "") -> None:
        """Ask for ``screenshots`` or ``clicks`` for the next ten seconds.

        :param text: of clicks the delay of the sound in seconds, for calibration.
        """
        part = self.path / f"{request}.asked"
        part.write_text(text)
        part.replace(self.path / request)

    def stop(self, request: str) -> None:
        """Ask no longer."""
        (self.path / request).unlink(missing_ok=True)

    def find(self, marker_microseconds: int) -> Screenshot | None:
        """The screenshot of a marker, or None."""
        try:
            return read_screenshot(self.path / f"{marker_microseconds}.bgrx")
        except FileNotFoundError:
            return None

    def clicked(self) -> list[tuple[float, float]]:
        """Unix seconds at which the latest clicks were drawn and began to sound, by the desk's own notes."""
        try:
            lines = (self.path / "clicked").read_text().splitlines()
        except FileNotFoundError:
            return []
        pairs = (line.split() for line in lines)
        return [(int(seen) / 1e6, int(heard) / 1e6) for seen, heard in pairs]


@dataclass(frozen=True, slots=True)
class KeptPicture:
    """A decoded frame and the marker in it."""

    marker: Marker
    picture: av.VideoFrame

    @property
    def marker_microseconds(self) -> int:
        """The marker's time, exactly as it was drawn."""
        return round(self.marker.drawn_unix_seconds * 1e6)


class PictureSampler:
    """Keeps the first frame of each whole second of markers; the newest few wait for :meth:`take`. Thread-safe."""

    def __init__(self) -> None:
        self._second: int | None = None
        self._kept: deque[KeptPicture] = deque(maxlen=_KEPT)
        self._guard = threading.Lock()

    def offer(self, picture: av.VideoFrame, marker: Marker) -> None:
        """Take a decoded frame; called in the decoder's thread."""
        second = int(marker.drawn_unix_seconds)
        with self._guard:
            # The first marker that is ever seen is most likely in the middle of its second.
            if self._second is not None and second > self._second:
                self._kept.append(KeptPicture(marker, picture))
            self._second = second

    def take(self) -> list[KeptPicture]:
        """The frames that wait, oldest first; each is given once."""
        with self._guard:
            kept, self._kept = list(self._kept), deque(maxlen=_KEPT)
        return kept
