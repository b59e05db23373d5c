"""A lab, for those who use it: up, find, status, down. Blocking calls; Linux only when called.

The caller keeps nothing alive but a pipe: all work is done by the lab's supervisor.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import sysconfig
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import vdibench
from vdibench.errors import LabError
from vdibench.lab.cluster.access import ClusterAccess
from vdibench.lab.cluster.prepared import prepare
from vdibench.lab.files import write_private
from vdibench.lab.parts import base_environment, tail
from vdibench.lab.places import Claim, claim, is_held, lab_directories, labs_root, sweep_stale
from vdibench.lab.requirements import MissingPart, missing
from vdibench.lab.server import RTC_FILE
from vdibench.lab.spec import LabSpec, checked_name
from vdibench.lab.status import STATE_FILE, LabStatus, desktop_record, lab_status
from vdibench.lab.supervisor import SPEC_FILE
from vdibench.lab.traces import (
    MARK_VARIABLE,
    ROLE_VARIABLE,
    has_descriptors,
    kill_marked,
    marked_processes,
    read_mark,
    role_of,
    sweep,
)
from vdibench.records import Desktop

__all__ = ["DEFAULT_NAME", "Lab"]

DEFAULT_NAME = "default"

_PARTING_SECONDS = 15.0
_LOG_LINES = 20


class Lab:
    """A living lab. Use it as a context manager to have it taken down at the end.

    :param name: its name, unique for the user.
    :param directory: where all its files are.
    :param desktops: one record per desktop, with credentials; ours to take over.
    """

    name: str
    directory: Path
    desktops: tuple[Desktop, ...]

    def __init__(self, directory: Path, mark: str, document: dict[str, Any], owner_pipe: int = -1) -> None:
        self.name = directory.name
        self.directory = directory
        self.desktops = tuple(desktop_record(entry) for entry in document["desktops"])
        self._document = document
        self._mark = mark
        self._owner_pipe = owner_pipe

    @classmethod
    def up(
        cls,
        spec: LabSpec,
        *,
        name: str | None = None,
        owned: bool,
        on_progress: Callable[[str], None] | None = None,
        timeout_seconds: float = 60,
    ) -> Self:
        """Bring a lab up and return when all its desktops can be used.

        Whatever goes wrong meanwhile, Ctrl-C included, nothing of it stays.

        :param name: its name; without one a made-up name when owned, else ``default``.
        :param owned: take it down when this process ends, however it ends.
        :param on_progress: called with one line per step.
        :raises LabError: it cannot be brought up; ParameterError: the name cannot be one.
        """
        name = checked_name(name or (f"run-{uuid.uuid4().hex[:8]}" if owned else DEFAULT_NAME))
        _require(missing(desktops=bool(spec.desktops), turn=spec.turn, cluster=spec.cluster is not None))
        say = on_progress or (lambda line: None)
        prepared = prepare(say) if spec.cluster is not None else None
        sweep_stale()
        mark = str(uuid.uuid4())
        claimed = claim(name, mark)
        owner_pipe = -1
        progress = -1
        try:
            document = {"owned": owned, "timeout_seconds": timeout_seconds, "spec": spec.to_json()}
            document["cluster"] = prepared.to_json() if prepared is not None else None
            write_private(claimed.directory / SPEC_FILE, json.dumps(document))
            owner_pipe, progress = _start_supervisor(claimed)
            _await_ready(progress, claimed.directory, say, timeout_seconds)
            lab = cls(claimed.directory, mark, _state(claimed.directory), owner_pipe)
            if not owned:
                os.write(owner_pipe, b"k")
                lab._let_go()
        except BaseException:  # Ctrl-C too leaves no lab behind
            # The pipe's end alone takes a supervisor down that we have not even heard of yet.
            for descriptor in (owner_pipe, claimed.lock):
                if descriptor >= 0:
                    os.close(descriptor)
            _end(claimed.directory, mark)
            raise
        finally:
            if progress >= 0:
                os.close(progress)
        return lab

    @classmethod
    def find(cls, name: str = DEFAULT_NAME) -> Self:
        """The living lab of that name.

        :raises LabError: there is none, or it is still coming up or going down.
        """
        checked_name(name)
        sweep_stale()
        directory = labs_root() / name
        if not is_held(directory):
            raise LabError(f"there is no lab named {name!r}", f"bring it up with {_command('up', name)}")
        document = _state(directory)
        if document.get("state") not in ("running", "failed"):
            raise LabError(
                f"the lab {name!r} is {document.get('state', 'starting')}",
                f"wait for it, or take it down with {_command('down', name)}",
            )
        return cls(directory, read_mark(directory), document)

    @classmethod
    def all(cls) -> list[LabStatus]:
        """The status of every living lab of this user, by name; stale ones are removed on the way."""
        sweep_stale()
        found = []
        for directory in lab_directories():
            document = _state(directory)
            if document and is_held(directory):
                found.append(lab_status(document))
        return found

    @classmethod
    def take_down(cls, name: str = DEFAULT_NAME) -> None:
        """Take the lab of that name down in whatever state it is, also while it is coming up.

        :raises LabError: there is none.
        """
        directory = labs_root() / checked_name(name)
        if not directory.exists():
            raise LabError(f"there is no lab named {name!r}", "see 'vdibench lab status' for those there are")
        _end(directory, read_mark(directory))

    @property
    def turn(self) -> tuple[str, int] | None:
        """Host and port of the TURN server, or None."""
        return lab_status(self._document).turn

    def status(self) -> LabStatus:
        """How it is now; state ``gone`` when it is down."""
        document = _state(self.directory)
        if not is_held(self.directory) or read_mark(self.directory) != self._mark or not document:
            document = {**self._document, "state": "gone"}
        return lab_status(document)

    def log_tail(self, desktop_id: str, part: str, lines: int = _LOG_LINES) -> tuple[str, ...]:
        """The last lines of a part's log, passwords redacted.

        :param desktop_id: ``desktop-0`` …, or ``turn``.
        :param part: ``xvfb``, ``pulseaudio``, ``selkies`` or ``desk``; ``coturn`` of ``turn``.
        """
        log = self.directory / desktop_id / f"{part}.log"
        found = []
        for line in tail(log, lines):
            for secret in self.secrets:
                line = line.replace(secret, "***")
            found.append(line)
        return tuple(found)

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must not reach files or output: the TURN secret, passwords, tokens, credentials minted until now."""
        known = list(self._document["secrets"])
        for desktop in self.desktops:
            with contextlib.suppress(OSError, ValueError, KeyError):  # none was minted, or it is just being written
                minted = json.loads((self.directory / desktop.id / RTC_FILE).read_text())["iceServers"]
                known += [entry.get("credential", "") for entry in minted]
        return tuple(dict.fromkeys(secret for secret in known if secret))

    def master_token(self, desktop_id: str) -> str:
        """What provisions session tokens at a desktop in secure mode (``POST /api/tokens``); empty elsewhere.

        :raises LabError: there is no such desktop.
        """
        tokens = {entry["id"]: str(entry["master_token"]) for entry in self._document["desktops"]}
        if desktop_id not in tokens:
            raise LabError(f"the lab {self.name!r} has no {desktop_id!r}", f"choose from {', '.join(tokens)}")
        return tokens[desktop_id]

    def environment(self, desktop_id: str) -> dict[str, str]:
        """Variables with which a program runs on a desktop's screen and sound; it ends with the lab.

        :raises LabError: there is no such desktop.
        """
        screens = {entry["id"]: entry["screen"] for entry in self._document["desktops"]}
        if desktop_id not in screens:
            raise LabError(f"the lab {self.name!r} has no {desktop_id!r}", f"choose from {', '.join(screens)}")
        directory = self.directory / desktop_id
        return {
            **os.environ,
            "DISPLAY": screens[desktop_id],
            "XAUTHORITY": str(directory / "xauthority"),
            "PULSE_SERVER": f"unix:{directory / 'pulse' / 'native'}",
            MARK_VARIABLE: self._mark,
            ROLE_VARIABLE: "guest",
        }

    @property
    def cluster(self) -> ClusterAccess | None:
        """Its Kubernetes, for those who use it; None where it has none."""
        entry = self._document["cluster"]
        return ClusterAccess(entry, self._mark) if entry else None

    def down(self) -> None:
        """End every process and remove every file of it; does nothing when it is down already.

        :raises LabError: something of it could not be removed.
        """
        self._let_go()
        _end(self.directory, self._mark)

    def _let_go(self) -> None:
        if self._owner_pipe >= 0:
            os.close(self._owner_pipe)
            self._owner_pipe = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.down()


def _start_supervisor(claimed: Claim) -> tuple[int, int]:
    """Start it; gives our ends of the owner's pipe (to write) and of the progress pipe (to read)."""
    owner_reader, owner_writer = os.pipe()
    progress_reader, progress_writer = os.pipe()
    given = (claimed.lock, owner_reader, progress_writer)
    command = [sys.executable, "-m", "vdibench.lab.supervisor", "--directory", str(claimed.directory)]
    command += ["--owner", str(os.getpid()), "--lock", str(claimed.lock)]
    command += ["--owner-pipe", str(owner_reader), "--progress", str(progress_writer)]
    environment = {**base_environment(claimed.mark), ROLE_VARIABLE: "supervisor", **_python_path()}
    try:
        with (claimed.directory / "supervisor.log").open("ab") as log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                cwd=claimed.directory,
                start_new_session=True,
                pass_fds=given,
            )
        # It may outlive this process and any handle on it: _collect takes its exit status by its id.
        _STARTED[claimed.mark] = process.pid
        process.returncode = 0
    except BaseException:  # Ctrl-C too leaves no pipe open
        os.close(owner_writer)
        os.close(progress_reader)
        raise
    finally:
        os.close(owner_reader)
        os.close(progress_writer)
    claimed.release()
    return owner_writer, progress_reader


def _await_ready(progress: int, directory: Path, on_progress: Callable[[str], None], timeout_seconds: float) -> None:
    # The supervisor keeps the time limit and says what it waited for; this one is for a stuck supervisor.
    deadline = time.monotonic() + timeout_seconds + _PARTING_SECONDS
    buffer = b""
    while True:
        remaining = deadline - time.monotonic()
        if remaining <= 0 or not select.select([progress], [], [], remaining)[0]:
            raise LabError("the lab's supervisor does not report", "try again on a machine with less load")
        chunk = os.read(progress, 65536)
        if not chunk:
            said = tail(directory / "supervisor.log", 1)
            raise LabError(
                f"the lab's supervisor ended while the lab came up{': ' + said[0] if said else ''}",
                "try again; if it was not taken down on purpose, report this line",
            )
        buffer += chunk
        *lines, buffer = buffer.split(b"\n")
        for line in lines:
            message = json.loads(line)
            if "progress" in message:
                on_progress(message["progress"])
            elif "failed" in message:
                cause, remedy = message["failed"]
                raise LabError(cause, remedy)
            else:
                return


def _end(directory: Path, mark: str) -> None:
    """Take a lab down and wait until nothing of it is left."""
    deadline = time.monotonic() + _PARTING_SECONDS
    # A process that exits loses its environment, hence its mark, before its sockets: those seen are waited for.
    asked, seen = False, set[int]()
    while True:
        living = marked_processes(mark) if mark else []
        seen.update(living)
        supervisors = [pid for pid in living if role_of(pid) == "supervisor"]
        if not asked:
            for pid in supervisors:
                asked = True
                with contextlib.suppress(ProcessLookupError):  # ended meanwhile
                    os.kill(pid, signal.SIGTERM)
        ours = read_mark(directory) in (mark, "")
        here = directory.exists() and ours and _held_or_swept(directory, mark)
        if not (living or here or any(map(has_descriptors, seen))):
            break
        if time.monotonic() > deadline:
            kill_marked(mark)
            sweep(directory, mark)
            if directory.exists() or marked_processes(mark):
                cause = f"the lab in {directory} could not be removed"
                raise LabError(cause, "end its processes and remove it by hand")
            break
        # The lab's end is only visible by looking; 10 ms is nothing against it.
        time.sleep(0.01)
    _collect(mark)


def _held_or_swept(directory: Path, mark: str) -> bool:
    """Whether somebody else is still at work on a directory that no process of the lab holds."""
    if is_held(directory):
        return True
    sweep(directory, mark)
    return directory.exists()


def _collect(mark: str) -> None:
    """Take the exit status of an ended lab's supervisor that this process started, so that no zombie stays."""
    pid = _STARTED.pop(mark, None)
    if pid is not None:
        with contextlib.suppress(ChildProcessError):  # taken already by one who waits for any child
            os.waitpid(pid, 0)


# Supervisors that are children of this process, by the marks of their labs.
_STARTED: dict[str, int] = {}


def _state(directory: Path) -> dict[str, Any]:
    try:
        document: dict[str, Any] = json.loads((directory / STATE_FILE).read_text())
    except (OSError, ValueError):
        return {}
    return document


def _python_path() -> dict[str, str]:
    """What makes ``-m vdibench`` find this package where it is not installed."""
    root = str(Path(vdibench.__file__).resolve().parent.parent)
    if root in (sysconfig.get_path("purelib"), sysconfig.get_path("platlib")):
        return {}
    return {"PYTHONPATH": os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))}


def _require(lacking: Sequence[MissingPart]) -> None:
    if lacking:
        names = ", ".join(part.name for part in lacking)
        packages = sorted({part.apt_package for part in lacking if part.apt_package})
        remedies = [f"apt-get install {' '.join(packages)}"] if packages else []
        remedies += dict.fromkeys(part.remedy for part in lacking if not part.apt_package)
        raise LabError(f"this machine lacks {names} for a lab", "; ".join(remedies))


def _command(verb: str, name: str) -> str:
    return f"'vdibench lab {verb}'" if name == DEFAULT_NAME else f"'vdibench lab {verb} --name {name}'"
