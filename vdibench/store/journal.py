"""The samples of a run on their way to the disk: columns in memory, parts written by a thread of its own.

Appending touches memory only, so that it may be called from an event loop that is measuring. The thread writes
what has gathered every two seconds, or earlier when much has; a crash loses no more than that.
"""

from __future__ import annotations

import atexit
import os
import re
import threading
from pathlib import Path

from vdibench.errors import StoreError
from vdibench.records import TABLES
from vdibench.store.batches import Columns, Rows, checked, table_named
from vdibench.store.files import exclusive, publish, stage
from vdibench.store.parts import encode, list_parts, part_name
from vdibench.store.redaction import Redactor

__all__ = ["FLUSH_ROWS", "FLUSH_SECONDS", "Journal"]

FLUSH_SECONDS = 2.0
FLUSH_ROWS = 20_000
_SUITE = re.compile(r"[a-z0-9_]+")
# Free text, where also a short secret is replaced; the other columns hold identifiers that rows are found by.
_FREE_TEXT = frozenset({"finding", "evidence", "remedy", "value"})
_Key = tuple[str, str]


class Journal:
    """Appends to the part files of one run; any number of processes may have one each.

    :param samples: the run's ``samples`` folder.
    :param lock: lock file that orders the writers of the run.
    """

    def __init__(self, samples: Path, lock: Path, redactor: Redactor) -> None:
        self._samples = samples
        self._lock = lock
        self._redactor = redactor
        self._pid = os.getpid()
        self._buffers: dict[_Key, Columns] = {}
        self._buffered = 0
        self._numbers: dict[_Key, int] = {}
        self._guard = threading.Lock()  # buffers; held for memory operations only
        self._writing = threading.Lock()  # one flush at a time
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._failure: StoreError | None = None
        self._ended = threading.Event()

    def append(self, table: str, rows: Rows) -> None:
        """Add rows to a table. Takes microseconds; raises what the thread could not write since the last call.

        :raises StoreError: rows that do not fit the table, a closed run, or a disk that refuses.
        """
        schema = table_named(table)
        columns, count = checked(schema, rows)
        if self._ended.is_set() or os.getpid() != self._pid:
            raise StoreError("samples were appended to a run that this process has not open", "open the run first")
        if count:
            self._redact(table, columns)
            with self._guard:
                for suite, part in _by_suite(columns).items():
                    self._extend((table, suite), part)
                self._buffered += count
                self._start()
            if self._buffered >= FLUSH_ROWS:
                self._wake.set()
        if self._failure is not None:
            raise self._failure

    def flush(self) -> None:
        """Write everything that was appended before the call.

        :raises StoreError: the disk refuses; the rows stay in memory for another try.
        """
        if os.getpid() != self._pid:
            return  # a forked copy: the rows are the parent's to write
        with self._writing:
            with self._guard:
                pending, self._buffers, self._buffered = self._buffers, {}, 0
            try:
                while pending:
                    key = next(iter(pending))
                    self._write(key, pending[key])
                    del pending[key]
            except StoreError as error:
                self._failure = error
                raise
            else:
                self._failure = None
            finally:
                self._put_back(pending)

    def close(self) -> None:
        """Write the rest and end the thread. A second call does nothing."""
        if self._ended.is_set() or os.getpid() != self._pid:
            return
        self._ended.set()
        atexit.unregister(self.close)
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
        self.flush()

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="vdibench-store", daemon=True)
            self._thread.start()
            atexit.register(self.close)

    def _run(self) -> None:
        while not self._ended.is_set():
            self._wake.wait(FLUSH_SECONDS)
            self._wake.clear()
            if self._ended.is_set():
                return  # close() writes the rest, in the thread that wants to hear of failures
            try:
                self.flush()
            except StoreError:
                continue  # kept for the next append or close, which raise it

    def _extend(self, key: _Key, part: Columns) -> None:
        buffer = self._buffers.get(key)
        if buffer is None:
            self._buffers[key] = part
            return
        for name, values in buffer.items():
            values.extend(part[name])

    def _put_back(self, pending: dict[_Key, Columns]) -> None:
        with self._guard:
            for key, columns in pending.items():
                newer = self._buffers.get(key)
                self._buffers[key] = columns
                if newer is not None:
                    self._extend(key, newer)
                self._buffered += len(columns["suite"])

    def _write(self, key: _Key, columns: Columns) -> None:
        table, suite = key
        target = self._samples / part_name(table, suite, 0)
        staged = stage(target, encode(TABLES[table], columns))
        with exclusive(self._lock):
            number = self._numbers.get(key, 0)
            if number == 0:
                taken = [part.number for part in list_parts(self._samples, table) if part.suite == suite]
                number = max(taken, default=-1) + 1
            while (self._samples / part_name(table, suite, number)).exists():
                number += 1
            publish(staged, self._samples / part_name(table, suite, number))
            self._numbers[key] = number + 1

    def _redact(self, table: str, columns: Columns) -> None:
        if not self._redactor:
            return
        for column in TABLES[table].columns:
            if column.dtype == "string":
                change = self._redactor.text if column.name in _FREE_TEXT else self._redactor.identifier
                values = columns[column.name]
                clean = {value: change(str(value)) for value in set(values)}
                if any(value != changed for value, changed in clean.items()):
                    columns[column.name] = [clean[value] for value in values]


def _by_suite(columns: Columns) -> dict[str, Columns]:
    suites = columns["suite"]
    names = {str(suite) for suite in suites}
    for name in names:
        if not _SUITE.fullmatch(name):
            raise StoreError(f"{name!r} cannot be a suite's name", "use lower-case letters, digits and underscores")
    if len(names) == 1:
        return {names.pop(): columns}
    rows = {name: [index for index, suite in enumerate(suites) if suite == name] for name in names}
    return {
        name: {column: [values[index] for index in rows[name]] for column, values in columns.items()}
        for name in sorted(names)
    }
