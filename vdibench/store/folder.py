"""The writer of a run folder. Every write is whole or absent, so that a crash leaves a readable folder.

Several processes may write to one run (a runner and the kernels it starts): each opens it for itself.
"""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from vdibench.errors import StoreError
from vdibench.records import SUBJECTS_FILE, Run, RunState, Subjects, SuiteVerdict, Verdict
from vdibench.store.batches import Rows
from vdibench.store.compaction import compact
from vdibench.store.documents import dump, load_run, load_verdict
from vdibench.store.files import exclusive, replace, write_failure
from vdibench.store.journal import Journal
from vdibench.store.junit import junit_xml
from vdibench.store.processes import identity
from vdibench.store.redaction import Redactor
from vdibench.store.seal import broken, covers, seal
from vdibench.store.standing import in_force, merged
from vdibench.store.subjects import as_written, dump_subjects, load_subjects, merged_subjects

__all__ = ["CREATING_PREFIX", "RunFolder"]

CREATING_PREFIX = ".creating-"
_LOCK = ".lock"
_NAME_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.]*(-[A-Za-z0-9_.]+)*")
_ADDED = ("phases", "contention", "errors")
_MERGED = ("parameters", "context", "host", "versions")
_FIXED = ("name", "started_unix_seconds", "schema", "state", "ended_unix_seconds", "pid", "pid_identity")
_WORSE = (RunState.RUNNING, RunState.FINISHED, RunState.INTERRUPTED, RunState.FAILED)


class RunFolder:
    """One run being written. Make it with :meth:`create` or :meth:`open`; use it in a ``with`` block.

    Leaving the block by an exception ends a run that was created here: interrupted after Ctrl-C or a
    cancellation, failed otherwise. Leaving it normally writes the samples and leaves the state alone.

    :param secrets: never written: replaced in texts, and a file that holds one is refused.
    """

    def __init__(self, path: Path, *, secrets: Iterable[str] = (), owned: bool = False) -> None:
        self._path = path
        self._owned = owned
        self._redactor = Redactor(secrets)
        self._lock = path / _LOCK
        self._run = load_run(path)
        self._journal = Journal(path / "samples", self._lock, self._redactor)

    @classmethod
    def create(cls, root: Path, run: Run, *, secrets: Iterable[str] = ()) -> Self:
        """Make ``<utc>-<suite>-<profile>`` in ``root`` with ``run`` in it, named after the folder.

        A second run of the same second gets ``-2``. Without a pid the run is this process's.

        :raises StoreError: ``root`` cannot be written, or suite or profile cannot stand in a file name.
        """
        for part in (run.suite, run.profile):
            if not _NAME_PART.fullmatch(part):
                raise StoreError(f"{part!r} cannot stand in a folder's name", "use letters, digits, '_', '.' and '-'")
        secrets = tuple(secrets)
        pid = run.pid or os.getpid()
        run = dataclasses.replace(run, pid=pid, pid_identity=identity(pid))
        started = datetime.fromtimestamp(run.started_unix_seconds, UTC)
        base = f"{started:%Y%m%dT%H%M%SZ}-{run.suite}-{run.profile}"
        staging = root / f"{CREATING_PREFIX}{os.getpid()}-{time.monotonic_ns()}"
        try:
            (staging / "samples").mkdir(parents=True)
            (staging / _LOCK).touch()
            path = _claim(staging, root, base, run, Redactor(secrets))
        except OSError as error:
            shutil.rmtree(staging, ignore_errors=True)
            raise write_failure(root, error) from error
        except StoreError:
            shutil.rmtree(staging, ignore_errors=True)
            raise
        return cls(path, secrets=secrets, owned=True)

    @classmethod
    def open(cls, path: Path, *, secrets: Iterable[str] = ()) -> Self:
        """Open an existing run to add to it; of a run that ended only files can be written.

        :raises StoreError: not a run folder, damaged, or of a newer vdibench.
        """
        return cls(path, secrets=secrets)

    @property
    def path(self) -> Path:
        """The folder."""
        return self._path

    @property
    def run(self) -> Run:
        """``run.json`` as it stands on the disk."""
        self._run = load_run(self._path)
        return self._run

    def file(self, relative: str) -> Path:
        """The path of a file in the folder; its parent folder exists afterwards.

        :raises StoreError: a path that leaves the folder.
        """
        path = self._path / relative
        if not path.resolve().is_relative_to(self._path.resolve()):
            raise StoreError(f"{relative} is outside the run folder", "give a path inside it")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise write_failure(path, error) from error
        return path

    def redact(self, text: str) -> str:
        """``text`` without the secrets of this run."""
        return self._redactor.text(text)

    def append(self, table: str, rows: Rows) -> None:
        """Add rows to a table of :data:`vdibench.records.TABLES`; on the disk within two seconds.

        :param rows: mappings of column to value, one mapping of column to sequences, or a frame. A ``float64``
            column that was not measured may be left out or None.
        :raises StoreError: rows that do not fit the table, a run that ended, or a disk that refuses.
        """
        if self._run.state is not RunState.RUNNING:
            raise StoreError(f"{self._path} is {self._run.state}", "start a new run: samples of this one are complete")
        self._journal.append(table, rows)

    def flush(self) -> None:
        """Write now what was appended, for a reader in this or another process."""
        self._journal.flush()

    def update(self, **changes: Any) -> Run:
        """Change ``run.json``; safe beside other writers.

        ``phases``, ``errors`` and ``contention`` are added to what is there (once each for the latter two);
        ``parameters``, ``context``, ``host`` and ``versions`` are merged key by key; the rest is replaced.

        :raises StoreError: an unknown or fixed field, a run that ended, or a disk that refuses.
        """
        for name in changes:
            if name not in {field.name for field in dataclasses.fields(Run)} or name in _FIXED:
                raise StoreError(f"{name!r} of a run cannot be changed", "use finish() to end it")

        def change(run: Run) -> Run:
            return dataclasses.replace(run, **{name: _added(run, name, value) for name, value in changes.items()})

        return self._rewrite(change)

    def write_verdict(self, suite: SuiteVerdict) -> Verdict:
        """Put a suite's verdict into ``verdict.json`` and ``junit.xml``; the whole is no pass before :meth:`finish`."""
        with exclusive(self._lock):
            run = load_run(self._path)
            self._refuse_ended(run)
            verdict = merged(run, load_verdict(self._path), suite)
            self._write_verdict(verdict)
        return verdict

    def write_subjects(self, subjects: Subjects) -> Subjects:
        """Put what the run is of into ``subjects.json``; a later suite adds its images and nodes.

        :returns: what stands there now.
        :raises StoreError: it is of something else than an earlier suite's, holds a Secret, or the run ended.
        """
        subjects = as_written(subjects, self._redactor)
        with exclusive(self._lock):
            self._refuse_ended(load_run(self._path))
            whole = merged_subjects(load_subjects(self._path), subjects)
            replace(self._path / SUBJECTS_FILE, dump_subjects(whole, self._redactor))
        return whole

    def write_text(self, relative: str, text: str) -> Path:
        """Write a text file into the folder, whole or not at all, without this run's secrets.

        :raises StoreError: the run ended, and its seal speaks of that file.
        """
        path = self.file(relative)
        self._refuse_sealed(path)
        replace(path, self._redactor.text(text).encode())
        return path

    def write_bytes(self, relative: str, data: bytes) -> Path:
        """Write a file into the folder, whole or not at all.

        :raises StoreError: a secret of this run stands in it, or the run ended and its seal speaks of that file.
        """
        if self._redactor.bytes_leak(data):
            raise StoreError(f"{relative} holds a password or token and was not written", "leave it out of the file")
        path = self.file(relative)
        self._refuse_sealed(path)
        replace(path, data)
        return path

    def close(self) -> None:
        """Write the rest of the samples; the run's state stays as it is."""
        self._journal.close()

    def finish(self, state: RunState, *, error: str = "") -> Verdict:
        """End the run: samples written and compacted, state and verdict final, all of it sealed.

        A worse state may follow, no better. What was changed since an earlier end is not sealed as if it had been so.

        :param error: why it did not finish, added to the run's errors.
        :returns: the verdict in force.
        """
        self._journal.close()
        intact = load_run(self._path).state is RunState.RUNNING or not broken(self._path)
        compact(self._path / "samples", self._lock)

        def change(run: Run) -> Run:
            errors = _added(run, "errors", (error,) if error else ())
            if _WORSE.index(state) <= _WORSE.index(run.state):
                return dataclasses.replace(run, errors=errors)
            return dataclasses.replace(run, state=state, ended_unix_seconds=time.time(), errors=errors)

        with exclusive(self._lock):
            # The state first: between the two writes the older verdict stands, which is never a pass.
            self._replace_run(change(load_run(self._path)))
            verdict = in_force(self._run, load_verdict(self._path))
            self._write_verdict(verdict)
            # Last: until then there is no seal, or one that does not fit any more.
            if intact and self._run.state is not RunState.RUNNING:
                seal(self._path)
        return verdict

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None or not self._owned:
            self.close()
            return
        state = RunState.FAILED if isinstance(error, Exception) else RunState.INTERRUPTED
        text = str(error) or type(error).__name__
        with suppress(StoreError):  # the error that is leaving the block is the one to hear of
            self.finish(state, error=" ".join(text.split()))

    def _rewrite(self, change: Callable[[Run], Run]) -> Run:
        with exclusive(self._lock):
            run = load_run(self._path)
            self._refuse_ended(run)
            self._replace_run(change(run))
        return self._run

    def _replace_run(self, run: Run) -> None:
        replace(self._path / "run.json", dump(run, self._redactor))
        self._run = run

    def _write_verdict(self, verdict: Verdict) -> None:
        replace(self._path / "verdict.json", dump(verdict, self._redactor))
        replace(self._path / "junit.xml", self._redactor.text(junit_xml(verdict).decode()).encode())

    def _refuse_ended(self, run: Run) -> None:
        if run.state is not RunState.RUNNING:
            raise StoreError(f"{self._path} is {run.state}", "start a new run")

    def _refuse_sealed(self, path: Path) -> None:
        if covers(self._path, path) and (state := load_run(self._path).state) is not RunState.RUNNING:
            raise StoreError(f"{path} is sealed, the run is {state}", "start a new run")


def _claim(staging: Path, root: Path, base: str, run: Run, redactor: Redactor) -> Path:
    """Rename the complete folder to the first free name: no reader sees a run folder without its run.json."""
    number = 1
    while True:
        name = base if number == 1 else f"{base}-{number}"
        path = root / name
        replace(staging / "run.json", dump(dataclasses.replace(run, name=name), redactor))
        if not path.exists():
            try:
                return staging.rename(path)
            except OSError:
                if not path.exists():
                    raise
        number += 1


def _added(run: Run, name: str, value: Any) -> Any:
    current = getattr(run, name)
    if name in _MERGED:
        if not isinstance(value, Mapping):
            raise StoreError(f"{name!r} of a run takes a mapping", "give the keys to merge")
        return {**current, **value}
    if name in _ADDED:
        if isinstance(value, str):
            value = (value,)
        new = tuple(value)
        if name == "phases":
            return (*current, *new)
        return (*current, *(item for item in dict.fromkeys(new) if item not in current))
    return value
