"""Samples of many sessions on their way to the run folder: gathered as they are, handed over as columns. Thread-safe.

A session's frame costs one append here; everything else is done for hundreds of rows at once, a few times a second.
Each row keeps the place of the moment it was taken at.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter, itemgetter
from typing import Any, Self

from vdibench.client import FrameRecord
from vdibench.recorder import Place, Recorder
from vdibench.store import RunFolder

__all__ = ["BatchRecorder", "FrameBatch"]

_FRAME_COLUMNS = tuple(FrameRecord.__dataclass_fields__)
_FRAME_VALUES = attrgetter(*_FRAME_COLUMNS)


@dataclass(frozen=True, slots=True)
class FrameBatch:
    """Frames of one place, as columns of equal length.

    :param columns: the fields of :class:`vdibench.client.FrameRecord`.
    """

    place: Place
    sessions: Sequence[str]
    columns: Mapping[str, Sequence[Any]]

    @classmethod
    def of(cls, place: Place, seen: Iterable[tuple[str, FrameRecord]]) -> Self:
        """From sessions and their frames, one at least."""
        sessions, records = zip(*seen, strict=True)
        values = zip(*map(_FRAME_VALUES, records), strict=True)
        return cls(place, sessions, dict(zip(_FRAME_COLUMNS, values, strict=True)))

    def rows(self) -> dict[str, Sequence[Any]]:
        """As table ``frames`` takes them."""
        count = len(self.sessions)
        place = self.place.columns("")
        return {**{name: [value] * count for name, value in place.items()}, "session": self.sessions, **self.columns}

    def __len__(self) -> int:
        return len(self.sessions)


class BatchRecorder(Recorder):
    """A recorder that hands over when it is told to; see :meth:`hand_over`.

    :ivar rows: handed over until now, of all tables.
    """

    def __init__(self, folder: RunFolder, place: Place) -> None:
        super().__init__(folder, place)
        self.rows = 0
        self._frames: deque[tuple[Place, str, FrameRecord]] = deque()
        self._others: deque[tuple[str, dict[str, Any]]] = deque()

    def frame(self, session: str, record: FrameRecord) -> None:
        """One video frame."""
        self._frames.append((self.place, session, record))

    def _append(self, table: str, session: str, values: Mapping[str, Any]) -> None:
        self._others.append((table, {**self.place.columns(session), **values}))

    def row(self, session: str, table: str, values: Mapping[str, Any], *, phase: str | None = None) -> None:
        """One row of a table that has no record of its own; what does not fit is heard of at :meth:`hand_over`."""
        place = self.place if phase is None else dataclasses.replace(self.place, phase=phase)
        self._others.append((table, {**place.columns(session), **values}))

    @property
    def waiting(self) -> int:
        """Frames that have gathered."""
        return len(self._frames)

    def hand_over(self, limit: int | None = None) -> list[FrameBatch]:
        """Give what has gathered to the run folder; returns its frames, for whoever counts them.

        :param limit: of frames, the oldest first.
        :raises StoreError: the run folder refuses; what it refused is lost.
        """
        # Only what is there now: decoder threads may add meanwhile.
        frames = [self._frames.popleft() for _ in range(min(len(self._frames), limit or len(self._frames)))]
        others = [self._others.popleft() for _ in range(len(self._others))]
        self.rows += len(frames) + len(others)
        batches = [
            FrameBatch.of(place, [(session, record) for _, session, record in seen])
            for place, seen in groupby(frames, key=itemgetter(0))
        ]
        for batch in batches:
            self._folder.append("frames", batch.rows())
        others.sort(key=lambda item: (item[0], tuple(item[1])))
        for (table, _), rows in groupby(others, key=lambda item: (item[0], tuple(item[1]))):
            self._folder.append(table, [values for _, values in rows])
        return batches
