"""Processes of a lab, as its supervisor sees them: started, awaited, reaped. Linux only when used.

All children are started from the supervisor's only thread, because the kernel ties a parent-death signal to
the thread that started the child. Nothing else in the supervisor may wait for children.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from vdibench.lab.status import how_it_ended
from vdibench.lab.traces import MARK_VARIABLE, ROLE_VARIABLE, note_x_server

__all__ = ["Children", "Part", "PartFailed", "base_environment"]

T = TypeVar("T")

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36

# Variables of the caller that a part needs to run at all. Everything else stays out: a caller's SELKIES_*,
# PULSE_* or DBUS_* would change the desktop, and its secrets are none of the desktop's business.
_INHERITED = (
    "LANG",
    "LANGUAGE",
    "LC_ALL",
    "LC_CTYPE",
    "LD_LIBRARY_PATH",
    "PATH",
    "PYTHONDONTWRITEBYTECODE",
    "PYTHONHOME",
    "PYTHONPATH",
    "TZ",
    # By this a test session finds whatever it has started.
    "VDIBENCH_TEST_SESSION",
    "VIRTUAL_ENV",
)
_LOG_LINES = 5
_LOG_TAIL_BYTES = 64 * 1024


class PartFailed(Exception):
    """A part ended or answered wrongly while it was brought up: cause and remedy."""

    def __init__(self, cause: str, remedy: str) -> None:
        self.cause = cause
        self.remedy = remedy
        super().__init__(f"{cause}: {remedy}")


def base_environment(mark: str) -> dict[str, str]:
    """The environment of every process of a lab, before its own variables."""
    inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    return inherited | {MARK_VARIABLE: mark}


class Part:
    """One process of the lab.

    :param owner: id of the desktop it belongs to, or ``turn``.
    :param name: program, in lower case.
    :param log: file that takes its standard output and error.
    :param remedy: what to do when it fails.
    """

    def __init__(self, owner: str, name: str, log: Path, remedy: str) -> None:
        self.owner = owner
        self.name = name
        self.log = log
        self.remedy = remedy
        self.state = "waiting"
        self.pid: int | None = None
        self.exit_code: int | None = None
        self.awaited = ""
        self._exited = asyncio.Event()

    def ended(self, exit_code: int) -> None:
        """Note that the process has ended."""
        self.state = "failed"
        self.exit_code = exit_code
        self._exited.set()

    async def ready(self, what: str, waiting: Awaitable[T]) -> T:
        """The result of an awaitable, unless the process ends first.

        :param what: what is awaited, for the message (``waiting for <what>``).
        :raises PartFailed: the process ended.
        """
        self.awaited = what
        task = asyncio.ensure_future(waiting)
        exit_ = asyncio.ensure_future(self._exited.wait())
        try:
            await asyncio.wait((task, exit_), return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
        finally:
            # Not awaited: a cancellation of ours that fell into such an await would be lost.
            task.cancel()
            exit_.cancel()
        raise PartFailed(f"{self.owner}: {self.name} {how_it_ended(self.exit_code)}{self._said()}", self.remedy)

    def late(self, seconds: float) -> PartFailed:
        """The failure of a part that did not get ready in time."""
        return PartFailed(
            f"{self.owner}: {self.name} is not ready after {seconds:g} s "
            f"(waiting for {self.awaited or 'its start'}){self._said()}",
            "close what else loads this machine, or allow more time",
        )

    def last_lines(self, count: int = _LOG_LINES) -> tuple[str, ...]:
        """The last lines of its log that are not empty."""
        return tail(self.log, count)

    def _said(self) -> str:
        lines = self.last_lines(1)
        return f", last line of {self.log.name}: {lines[0]}" if lines else ""


class Children:
    """All children of this process, and the only place that waits for them."""

    def __init__(self, on_exit: Callable[[int, int], None]) -> None:
        self._on_exit = on_exit
        self._parts: dict[int, Part] = {}
        self._libc = ctypes.CDLL(None, use_errno=True)
        # Orphaned grandchildren come to the supervisor instead of leaving the lab.
        self._libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

    def start(
        self,
        part: Part,
        command: Sequence[str | Path],
        environment: Mapping[str, str],
        *,
        pass_fds: Sequence[int] = (),
        x_server_of: Path | None = None,
    ) -> None:
        """Start a part in a session of its own, tied to the life of this process.

        :param x_server_of: lab directory, for an X server: its process id is noted there before it runs.
        :raises PartFailed: the program cannot be started.
        """
        supervisor = os.getpid()

        def in_child() -> None:
            self._libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != supervisor:
                os._exit(1)
            if x_server_of is not None:
                note_x_server(x_server_of, os.getpid())

        part.state = "starting"
        part.pid = self.spawn(
            command,
            {**environment, ROLE_VARIABLE: part.name},
            log=part.log,
            pass_fds=pass_fds,
            in_child=in_child,
            remedy=part.remedy,
        )
        self._parts[part.pid] = part

    def spawn(
        self,
        command: Sequence[str | Path],
        environment: Mapping[str, str],
        *,
        log: Path,
        pass_fds: Sequence[int] = (),
        in_child: Callable[[], None] | None = None,
        remedy: str = "",
    ) -> int:
        """Start a process in a session of its own; its exit goes to the callback given to the constructor.

        :return: its process id.
        :raises PartFailed: the program cannot be started.
        """
        with log.open("ab") as output:
            try:
                process: subprocess.Popen[Any] = subprocess.Popen(
                    [str(word) for word in command],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env=dict(environment),
                    cwd=log.parent,
                    start_new_session=True,
                    pass_fds=tuple(pass_fds),
                    preexec_fn=in_child,
                )
            except OSError as error:
                raise PartFailed(f"cannot start {command[0]}: {error.strerror}", remedy) from error
        # Reaping is ours alone: keep the destructor from looking.
        process.returncode = 0
        return process.pid

    def reap(self) -> None:
        """Take every exit status there is; to be called on SIGCHLD."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            code = os.waitstatus_to_exitcode(status)
            part = self._parts.pop(pid, None)
            if part is not None:
                part.ended(code)
            self._on_exit(pid, code)

    def signal_all(self, number: int) -> None:
        """Send a signal to all parts."""
        for pid in self._parts:
            with contextlib.suppress(ProcessLookupError):  # ended, and is about to be collected
                os.kill(pid, number)

    @property
    def living(self) -> int:
        """How many parts run."""
        return len(self._parts)


def tail(log: Path, count: int) -> tuple[str, ...]:
    """The last lines of a file that are not empty; none when it cannot be read."""
    try:
        with log.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - _LOG_TAIL_BYTES))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ()
    return tuple([line.strip() for line in text.splitlines() if line.strip()][-count:])


def program_beside_python(name: str) -> Path:
    """Path of a console script of this Python's environment."""
    return Path(sys.executable).with_name(name)
