"""The reader of a run folder: run, verdict in force and samples. Changes nothing on the disk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Self

import pandas as pd
import pyarrow as pa

from vdibench.errors import StoreError
from vdibench.records import TABLES, Run, Subjects, Verdict
from vdibench.store.batches import table_named
from vdibench.store.documents import load_run, load_verdict
from vdibench.store.parts import arrow_schema, decode, list_parts
from vdibench.store.processes import is_alive
from vdibench.store.standing import in_force, state_in_force
from vdibench.store.subjects import load_subjects

__all__ = ["Recording", "Tables"]

_ATTEMPTS = 5  # a writer may be merging parts while they are listed


class Recording:
    """One run as it can be read now, also while it is being written. Tables are read once and kept.

    :ivar damage: one line for each part file that could not be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        written = load_run(path)
        self._run = state_in_force(written, alive=is_alive(written.pid, written.pid_identity))
        self._verdict = in_force(self._run, load_verdict(path))
        self._frames: dict[str, pd.DataFrame] = {}
        self.damage: list[str] = []

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open a run folder.

        :raises StoreError: not a run folder, damaged, or of a newer vdibench.
        """
        return cls(path)

    @property
    def folder(self) -> Path:
        """The folder."""
        return self._path

    @property
    def run(self) -> Run:
        """The run; one whose process is gone without finishing reads as interrupted."""
        return self._run

    @property
    def verdict(self) -> Verdict:
        """The verdict in force: no pass unless the run finished, alone on its machine."""
        return self._verdict

    @cached_property
    def subjects(self) -> Subjects | None:
        """What the run was of; None where it does not say, as one that was on no cluster.

        :raises StoreError: it is damaged, or of a newer vdibench.
        """
        return load_subjects(self._path)

    @property
    def tables(self) -> Tables:
        """The tables by name, each read when it is asked for."""
        return Tables(self)

    def table(self, name: str) -> pd.DataFrame:
        """All rows of a table, warm-ups included, in the order written; typed also when there are none.

        :raises StoreError: there is no table of that name.
        """
        table_named(name)
        if name not in self._frames:
            self._frames[name] = self._read(name).to_pandas()
        return self._frames[name].copy(deep=False)

    def path(self, *parts: str) -> Path:
        """The path of something in the folder, whether it exists or not.

        :raises StoreError: a path that leaves the folder.
        """
        path = self._path.joinpath(*parts)
        if not path.resolve().is_relative_to(self._path.resolve()):
            raise StoreError(f"{Path(*parts)} is outside the run folder", "give a path inside it")
        return path

    def _read(self, name: str) -> pa.Table:
        for _ in range(_ATTEMPTS):
            read: dict[tuple[str, int], pa.Table] = {}
            replaced: set[tuple[str, int]] = set()
            damage = []
            vanished = False
            for part in list_parts(self._path / "samples", name):
                try:
                    read[part.suite, part.number], older = decode(part)
                except FileNotFoundError:
                    vanished = True
                except (pa.ArrowException, OSError, KeyError, ValueError) as error:
                    cause = str(error).splitlines()[0] if str(error) else type(error).__name__
                    damage.append(f"{part.path.name} cannot be read and was left out: {cause}")
                else:
                    replaced.update((part.suite, number) for number in older)
            if not vanished:
                break
        self.damage.extend(damage)
        rows = [table for key, table in read.items() if key not in replaced]
        return pa.concat_tables(rows) if rows else arrow_schema(TABLES[name]).empty_table()


class Tables(Mapping[str, pd.DataFrame]):
    """The tables of a recording as a mapping: what the reducers of ``vdibench.metrics`` take."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording

    def __getitem__(self, name: str) -> pd.DataFrame:
        if name not in TABLES:
            raise KeyError(name)
        return self._recording.table(name)

    def __iter__(self) -> Iterator[str]:
        return iter(TABLES)

    def __len__(self) -> int:
        return len(TABLES)
