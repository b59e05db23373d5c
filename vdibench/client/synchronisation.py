"""Audio-to-video offset by the desk's click track: a click is heard while the patch ``sync`` inverts. Pure.

The intervals between clicks are random, and that is how a sound finds its picture: no number is in either. One
offset fits the whole sequence, also one that is longer than an interval; where none fits, there is no result.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vdibench.client.audio import AudioPacket, heard_clicks
from vdibench.client.marker import Marker

__all__ = ["ClickPair", "Synchronisation", "SynchronisationProbe", "pair_clicks"]

# Beyond a second nobody takes sound and picture for one event.
LIMIT_SECONDS = 1.0
TOLERANCE_SECONDS = 0.06
_LEAST_PAIRS = 3
# Of the clicks that could have been paired, so many must fit one offset, and a second offset clearly fewer.
_FITTING_SHARE = 0.7
# Two minutes of 10 ms packets; a probe takes ten seconds.
_MAX_PACKETS = 12_000


@dataclass(frozen=True, slots=True)
class ClickPair:
    """One click: when its picture was decoded, and when its sound could have begun to play."""

    seen_unix_seconds: float
    heard_unix_seconds: float

    @property
    def offset_seconds(self) -> float:
        """Audio minus video; positive: audio is late."""
        return self.heard_unix_seconds - self.seen_unix_seconds


@dataclass(frozen=True, slots=True)
class Synchronisation:
    """What a probe found.

    :param seen: Unix seconds at which the patch was seen to change.
    :param heard: Unix seconds of clicks in the sound.
    :param packets: audio packets that came meanwhile.
    """

    pairs: tuple[ClickPair, ...]
    seen: tuple[float, ...]
    heard: tuple[float, ...]
    packets: int


def pair_clicks(seen: Sequence[float], heard: Sequence[float]) -> list[ClickPair]:
    """Pair sounds with pictures by the one offset that explains most of them.

    :return: the pairs in order; none when too few fit, or when another offset fits nearly as many.
    """
    pictures, sounds = np.sort(np.asarray(seen, float)), np.sort(np.asarray(heard, float))
    if min(len(pictures), len(sounds)) < _LEAST_PAIRS:
        return []
    offsets = (sounds[None, :] - pictures[:, None]).ravel()
    offsets = offsets[np.abs(offsets) <= LIMIT_SECONDS]
    fits = sorted(((len(_matches(pictures, sounds, offset)), float(offset)) for offset in offsets), reverse=True)
    if not fits or fits[0][0] < max(_LEAST_PAIRS, _FITTING_SHARE * min(len(pictures), len(sounds))):
        return []
    count, best = fits[0]
    others = (number for number, offset in fits if abs(offset - best) > 2 * TOLERANCE_SECONDS)
    if max(others, default=0) > _FITTING_SHARE * count:
        return []
    # Around the middle of what fits, and not around the click that the candidate came from.
    middle = float(np.median([sound - picture for picture, sound in _matches(pictures, sounds, best)]))
    return [ClickPair(picture, sound) for picture, sound in _matches(pictures, sounds, middle)]


def _matches(
    pictures: np.ndarray[tuple[int], np.dtype[np.float64]],
    sounds: np.ndarray[tuple[int], np.dtype[np.float64]],
    offset: float,
) -> list[tuple[float, float]]:
    found = []
    for picture in pictures:
        nearest = float(sounds[np.argmin(np.abs(sounds - picture - offset))])
        if abs(nearest - picture - offset) <= TOLERANCE_SECONDS:
            found.append((float(picture), nearest))
    return found


class SynchronisationProbe:
    """Collects pictures and sound of one session for a while. Nothing is decoded before :meth:`result`."""

    def __init__(self) -> None:
        self._lit: bool | None = None
        self._seen: list[float] = []
        self._packets: deque[AudioPacket] = deque(maxlen=_MAX_PACKETS)
        self._guard = threading.Lock()

    def saw(self, marker: Marker, decoded_unix_seconds: float) -> None:
        """Take a decoded frame's marker."""
        with self._guard:
            if self._lit is not None and marker.sync_patch != self._lit:
                self._seen.append(decoded_unix_seconds)
            self._lit = marker.sync_patch

    def heard(self, payload: bytes, timestamp: int, arrival_unix_seconds: float) -> None:
        """Take an audio packet."""
        with self._guard:
            self._packets.append(AudioPacket(payload, timestamp, arrival_unix_seconds))

    def result(self) -> Synchronisation:
        """Decode the sound and pair; takes about a tenth of a second for ten, so call it off the event loop."""
        with self._guard:
            seen, packets = list(self._seen), list(self._packets)
        heard = heard_clicks(packets)
        return Synchronisation(tuple(pair_clicks(seen, heard)), tuple(seen), tuple(heard), len(packets))
