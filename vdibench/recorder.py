"""Samples on their way to the run folder: each row gets its place in the run. Thread-safe."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vdibench.client import FrameRecord, InputRecord, NetworkRecord
from vdibench.records import Check
from vdibench.store import RunFolder

__all__ = ["Place", "Recorder"]


@dataclass(frozen=True, slots=True)
class Place:
    """Where in the run a row belongs; see :mod:`vdibench.records.tables`."""

    suite: str
    level: int = 1
    trial: int = 0
    phase: str = "warmup"

    def columns(self, session: str) -> dict[str, Any]:
        """The five leading columns of every table."""
        return {
            "suite": self.suite,
            "level": self.level,
            "trial": self.trial,
            "phase": self.phase,
            "session": session,
        }


class Recorder:
    """A :class:`vdibench.client.SampleSink` that writes to a run folder.

    ``place`` is replaced as a whole when a suite moves on, so that a row never gets half of an old and half of a new
    place.

    :ivar watched: ids of the desktops that take part in the level; empty when all do.
    """

    def __init__(self, folder: RunFolder, place: Place) -> None:
        self._folder = folder
        self.place = place
        self.watched: frozenset[str] = frozenset()
        self.facts: dict[tuple[str, str], str] = {}
        self._milestones: dict[str, dict[str, float]] = {}

    def move(self, **changes: Any) -> None:
        """Go on to another level, trial or phase."""
        self.place = dataclasses.replace(self.place, **changes)

    def _append(self, table: str, session: str, values: Mapping[str, Any]) -> None:
        self._folder.append(table, [{**self.place.columns(session), **values}])

    def frame(self, session: str, record: FrameRecord) -> None:
        """One video frame."""
        self._append("frames", session, _fields(record))

    def input(self, session: str, record: InputRecord) -> None:
        """One key press or click."""
        self._append("inputs", session, _fields(record))

    def network(self, session: str, record: NetworkRecord) -> None:
        """One reading of the counters."""
        self._append("network", session, _fields(record))

    def milestone(self, session: str, event: str, unix_seconds: float) -> None:
        """One step of the session's life."""
        if event == "started":
            self._milestones[session] = {}
        self._milestones.setdefault(session, {})[event] = unix_seconds
        self._append("milestones", session, {"event": event, "unix_seconds": unix_seconds})

    def milestones(self, session: str) -> dict[str, float]:
        """The steps of the session's latest life until now, event to Unix seconds."""
        return dict(self._milestones.get(session, {}))

    def fact(self, session: str, key: str, value: str) -> None:
        """One thing that the session said of itself; a repetition is not written again."""
        if self.facts.get((session, key)) == value:
            return
        self.facts[session, key] = value
        self._append("facts", session, {"key": key, "value": value})

    def row(self, session: str, table: str, values: Mapping[str, Any], *, phase: str | None = None) -> None:
        """One row of a table that has no record of its own.

        :param phase: another than that of the moment, for what was measured beside and still counts.
        :raises StoreError: there is no such table, or the values do not fit it.
        """
        place = self.place if phase is None else dataclasses.replace(self.place, phase=phase)
        self._folder.append(table, [{**place.columns(session), **values}])

    def resources(self, rows: list[dict[str, Any]]) -> None:
        """Readings of the sampler. A desktop that nobody watches at this level idles beside it: its rows are probes."""
        place, watched = self.place, self.watched
        beside = dataclasses.replace(place, phase="probe")
        self._folder.append(
            "resources",
            [{**row, **(beside if _idles(row["session"], watched) else place).columns(row["session"])} for row in rows],
        )

    def check(self, check: Check, session: str = "desktop-0") -> None:
        """One manual check."""
        self._append("checks", session, {**_fields(check), "outcome": str(check.outcome)})


def _idles(scope: str, watched: frozenset[str]) -> bool:
    return scope.startswith("desktop-") and bool(watched) and scope not in watched


def _fields(record: Any) -> dict[str, Any]:
    # dataclasses.asdict deep-copies, which is dear at thousands of frames a second.
    return {name: getattr(record, name) for name in record.__dataclass_fields__}
