"""Samples of an engine elsewhere: handed from its worker to the master during the run, part by part. I/O; gevent only.

One part is on its way at a time, and removed when the master says that it has it: what the master cannot take waits on
the worker's disk.
"""

from __future__ import annotations

import logging
import shutil
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gevent
import gevent.event
import gevent.lock

from vdibench.errors import LoadError, VdibenchError
from vdibench.load.parcels import Assembly, pieces
from vdibench.load.roster import Roster
from vdibench.load.spool import rows_of
from vdibench.store import RunFolder
from vdibench.store.parts import list_parts

__all__ = ["Receiver", "Shipper"]

_LOG = logging.getLogger(__name__)
_LOOK_SECONDS = 1.0
_ACKNOWLEDGE_SECONDS = 10.0
_ATTEMPTS = 3


class Shipper:
    """A worker's side.

    :param spool: the folder that the engine records under.
    :param send: sends a message of Locust's to the master.
    :param on_failure: called once when the master does not take samples.
    """

    def __init__(
        self, spool: Path, send: Callable[[str, dict[str, Any]], None], on_failure: Callable[[VdibenchError], None]
    ) -> None:
        self._spool = spool
        self._send = send
        self._on_failure = on_failure
        self._turn = gevent.lock.RLock()
        self._taken: dict[str, gevent.event.Event] = {}
        gevent.spawn(self._follow)

    def _follow(self) -> None:
        try:
            while True:
                gevent.sleep(_LOOK_SECONDS)  # acknowledgements come by Locust's own greenlet
                self.ship()
        except VdibenchError as error:
            self._on_failure(error)

    def ship(self) -> None:
        """Hand over every part that is complete now.

        :raises LoadError: the master does not take one.
        """
        with self._turn:
            for samples in self._spool.glob("*/samples"):
                for part in list_parts(samples):
                    self._ship(part.path)

    def _ship(self, path: Path) -> None:
        taken = self._taken[path.name] = gevent.event.Event()
        try:
            for _ in range(_ATTEMPTS):
                for piece in pieces(path.name, path.read_bytes()):
                    self._send("vdibench_part", piece)
                if taken.wait(_ACKNOWLEDGE_SECONDS):
                    path.unlink()
                    return
        finally:
            del self._taken[path.name]
        raise LoadError(f"the master does not take the samples {path.name}", "look at its log; they are kept here")

    def acknowledged(self, name: str) -> None:
        """The master has that part."""
        if (taken := self._taken.get(name)) is not None:
            taken.set()

    def close(self) -> None:
        """Remove the spool, or say where it is when something is left in it."""
        parts = [part for samples in self._spool.glob("*/samples") for part in list_parts(samples)]
        # An engine says of its seconds until its end, also when nothing happens in them any more.
        if left := [part for part in parts if part.table != "engine"]:
            _LOG.warning("%d part files stayed in %s: the master ended before it had them", len(left), self._spool)
        else:
            shutil.rmtree(self._spool, ignore_errors=True)


class Receiver:
    """The master's side: writes what workers elsewhere recorded into the run folder."""

    def __init__(self, roster: Roster) -> None:
        self._folder = RunFolder.open(Path(roster.run), secrets=roster.secrets)
        self._assemblies: defaultdict[str, Assembly] = defaultdict(Assembly)
        self._had: defaultdict[str, set[str]] = defaultdict(set)

    def take(self, node: str, piece: dict[str, Any]) -> str | None:
        """Take a piece of a worker's part; gives the part's name when all of it is in the run folder.

        :raises ProtocolViolation: it is none.
        :raises StoreError: its rows fit no table, or the disk refuses.
        """
        whole = self._assemblies[node].add(piece)
        if whole is None:
            return None
        name, data = whole
        if name not in self._had[node]:  # else its acknowledgement was late, and it came again
            table, rows = rows_of(name, data)
            self._folder.append(table, rows.to_pandas())
            self._folder.flush()
            self._had[node].add(name)
        return name

    def close(self) -> None:
        """Write the rest."""
        self._folder.close()
