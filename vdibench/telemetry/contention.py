"""Runs that measure on the same machine at the same time know of each other. Leaves nothing on disk.

While it measures, a process holds an abstract Unix socket ``\\0vdibench/measuring/<run>/<pid>``, which every
user of the machine can see in /proc/net/unix and which vanishes with its holder, however it ends. A newcomer
first binds its own name, then lists the others and knocks at each: of two claims that overlap by however little,
the later one lists the earlier, and the earlier hears the knock. Nobody polls, so no overlap is too short. Claims
of one run (a runner and its kernels) are not contention. Runs of one name in two results folders are two runs: where
the folder is known, a hash of its path follows the name (``<run>@<hash>``).

Linux; within one network namespace. Elsewhere a claim does nothing and says so.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import selectors
import socket
import sys
import threading
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Self

from vdibench.errors import VdibenchError

__all__ = ["MeasuringClaim", "OtherClaim", "others"]

_PREFIX = "vdibench/measuring/"
_SOCKETS = Path("/proc/net/unix")
_RUN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:+~-]{0,71}")
_IDENTITY = re.compile(rf"({_RUN_NAME.pattern})(@[0-9a-f]{{8}})?")
_LISTENING = "00010000"
_KNOCK_SECONDS = 1.0
_DRAIN_SECONDS = 0.2
_LINE_BYTES = 128


@dataclass(frozen=True, slots=True)
class OtherClaim:
    """A process that measures now, ours or another user's.

    :param run: name of its run.
    :param address: name of its socket, without the leading NUL.
    """

    run: str
    pid: int
    address: str


def others(run_name: str = "") -> tuple[OtherClaim, ...]:
    """Processes of other runs that measure now, in order of run name.

    :param run_name: the caller's own run, left out.
    """
    try:
        lines = _SOCKETS.read_text(errors="replace").splitlines()
    except OSError:
        return ()
    found = set()
    for line in lines[1:]:
        fields = line.split(maxsplit=7)
        if len(fields) < 8 or fields[3] != _LISTENING or not fields[7].startswith("@" + _PREFIX):
            continue
        address = fields[7][1:]
        identity, _, process = address.removeprefix(_PREFIX).rpartition("/")
        pid = process.partition(".")[0]
        # Anybody may bind any name: only what a claim could have written is believed.
        match = _IDENTITY.fullmatch(identity)
        if match is not None and pid.isdecimal() and match[1] != run_name:
            found.add(OtherClaim(match[1], int(pid), address))
    return tuple(sorted(found, key=lambda claim: (claim.run, claim.pid, claim.address)))


class MeasuringClaim:
    """Says "this run measures here" while it is entered, and collects the names of the others.

    :param run_name: name of the run: letters, digits and ``._:+~-``, up to 72.
    :param folder: the run's folder; tells it from a run of the same name and second in another results folder.
    :raises VdibenchError: when the name has another form.
    """

    def __init__(self, run_name: str, folder: Path | None = None) -> None:
        if not _RUN_NAME.fullmatch(run_name):
            raise VdibenchError(
                f"the run name {run_name[:90]!r} cannot be announced to other runs",
                "use up to 72 letters, digits and ._:+~-",
            )
        self.run_name = run_name
        key = "" if folder is None else "@" + hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:8]
        self._identity = run_name + key
        self._seen: set[str] = set()
        self._lock = threading.Lock()
        self._listener: socket.socket | None = None
        self._waker: socket.socket | None = None
        self._thread: threading.Thread | None = None

    @property
    def supported(self) -> bool:
        """Whether this system lets runs know of each other."""
        return sys.platform == "linux"

    @property
    def fact(self) -> str:
        """How contention is watched, in one line, for the facts of a run."""
        if self.supported:
            return "abstract sockets of this network namespace"
        return "not watched: this system has no abstract sockets"

    @property
    def contended_by(self) -> tuple[str, ...]:
        """Names of the other runs that measured at any moment of this claim, sorted. Stays after the end."""
        with self._lock:
            return tuple(sorted(self._seen))

    def __enter__(self) -> Self:
        if not self.supported:
            return self
        self._listener = self._bind()
        inner, self._waker = socket.socketpair()
        self._thread = threading.Thread(
            target=self._answer, args=(self._listener, inner), name="vdibench-contention", daemon=True
        )
        self._thread.start()
        # Only now: whoever binds after this listing will find us, whoever bound before is in it.
        for claim in others():
            identity = claim.address.removeprefix(_PREFIX).rpartition("/")[0]
            if identity != self._identity and self._knock(claim):
                self._record(identity)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._waker is not None and self._thread is not None:
            self._waker.close()
            self._thread.join()
            self._waker = self._thread = None

    def _bind(self) -> socket.socket:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            for attempt in count():
                # Another PID namespace may hold the same number, and one process may hold two claims.
                suffix = f".{attempt}" if attempt else ""
                address = f"\0{_PREFIX}{self._identity}/{os.getpid()}{suffix}"
                try:
                    listener.bind(address.encode())
                    break
                except OSError:
                    if attempt == 100:
                        raise
            listener.listen(256)
        except OSError as error:
            listener.close()
            raise VdibenchError(
                f"the run cannot announce itself to others ({error.strerror})",
                "look in /proc/net/unix for who holds vdibench/measuring",
            ) from error
        return listener

    def _knock(self, claim: OtherClaim) -> bool:
        """Whether the other measures: it answers, or is too busy to answer within a second."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as door:
            door.settimeout(_KNOCK_SECONDS)
            try:
                door.connect(b"\0" + claim.address.encode())
                door.sendall(self._identity.encode() + b"\n")
                return bool(door.recv(_LINE_BYTES))
            except (TimeoutError, BlockingIOError):
                return True
            except OSError:
                # It ended between the listing and the knock: neither side counts that.
                return False

    def _answer(self, listener: socket.socket, waker: socket.socket) -> None:
        with listener, waker, selectors.DefaultSelector() as selector:
            listener.setblocking(False)
            selector.register(listener, selectors.EVENT_READ)
            selector.register(waker, selectors.EVENT_READ)
            while True:
                ready = {key.fileobj for key, _ in selector.select()}
                self._let_in(listener, _KNOCK_SECONDS)
                if waker in ready:
                    # Who already stands at the door was there while we measured.
                    self._let_in(listener, _DRAIN_SECONDS)
                    with contextlib.suppress(OSError):  # closed right after in any case
                        listener.shutdown(socket.SHUT_RDWR)
                    return

    def _let_in(self, listener: socket.socket, patience_seconds: float) -> None:
        while True:
            try:
                guest, _ = listener.accept()
            except OSError:
                return
            with guest:
                guest.settimeout(patience_seconds)
                # Recorded before the reply: a guest that lost patience has counted us already.
                with contextlib.suppress(OSError):
                    name = guest.recv(_LINE_BYTES).decode("ascii", "replace").strip()
                    self._record(name)
                    guest.sendall(self._identity.encode() + b"\n")

    def _record(self, identity: str) -> None:
        match = _IDENTITY.fullmatch(identity)
        if match is not None and identity != self._identity:
            with self._lock:
                self._seen.add(match[1])
