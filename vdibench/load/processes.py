"""Locust's processes, for whoever drives them: started, spoken to, watched, ended by their own ids. I/O."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vdibench.errors import LoadError
from vdibench.load.channel import Unpacker, packed

__all__ = ["LineReader", "LocustProcess", "end_all"]

_RECEIVE_BYTES = 1 << 16
_TERMINATED_SECONDS = 1.5
_LOG_LINES = 20


class LocustProcess:
    """A master or a worker.

    :param name: for messages and the log's name.
    :param log: file that takes what it writes.
    """

    def __init__(self, name: str, log: Path, environment: Mapping[str, str]) -> None:
        self.name = name
        self.log = log
        ours, theirs = socket.socketpair()
        try:
            with log.open("wb") as output:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "vdibench.load.locust_process", str(theirs.fileno())],
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, **environment},
                    start_new_session=True,  # Ctrl-C is the owner's to handle
                )
        except BaseException:  # Ctrl-C too: no process stays
            ours.close()
            raise
        finally:
            theirs.close()
        self.line = ours
        self._sending = threading.Lock()

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """How it ended, negative for a signal; None while it runs."""
        return self._process.poll()

    @property
    def how_it_ended(self) -> str:
        """In words."""
        code = self.exit_code
        if code is None:
            return "is running"
        return f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"

    def be(self, arguments: Sequence[str]) -> None:
        """Locust's arguments; the first thing to say."""
        self.say({"arguments": list(arguments)})

    def say(self, message: Mapping[str, Any]) -> None:
        """Send a message.

        :raises LoadError: it is gone.
        """
        try:
            with self._sending:
                self.line.sendall(packed(message))
        except OSError as error:
            raise LoadError(f"the {self.name} of Locust is gone", "look at its log") from error

    def last_words(self) -> str:
        """The last lines of its log."""
        try:
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-_LOG_LINES:])
        except OSError:
            return ""

    def wait(self, seconds: float) -> bool:
        """Wait for its end; whether it came in time."""
        try:
            self._process.wait(max(0.0, seconds))
        except subprocess.TimeoutExpired:
            return False
        return True

    def signal(self, number: int) -> None:
        """Send it a signal; nothing happens when it has ended."""
        if self._process.poll() is None:
            self._process.send_signal(number)

    def close(self) -> None:
        """Close our end of the line."""
        self.line.close()


def end_all(processes: Sequence[LocustProcess], patience_seconds: float) -> None:
    """Wait for processes that were asked to end; the rest is terminated, then killed."""
    deadline = time.monotonic() + patience_seconds
    for number, seconds in ((0, patience_seconds), (signal.SIGTERM, _TERMINATED_SECONDS), (signal.SIGKILL, 5.0)):
        if number:
            deadline = time.monotonic() + seconds
            for process in processes:
                process.signal(number)
        if all(process.wait(deadline - time.monotonic()) for process in processes):
            break
    for process in processes:
        process.close()


class LineReader:
    """Reads the lines of processes in a thread of its own.

    :param on_message: called there with the process and each message.
    """

    def __init__(
        self, process: LocustProcess, on_message: Callable[[dict[str, Any]], None], on_end: Callable[[], None]
    ) -> None:
        self._line = process.line
        self._on_message = on_message
        self._on_end = on_end
        self._thread = threading.Thread(target=self._read, name=f"vdibench-{process.name}", daemon=True)
        self._thread.start()

    def _read(self) -> None:
        unpacker = Unpacker()
        try:
            while data := self._line.recv(_RECEIVE_BYTES):
                for message in unpacker.feed(data):
                    self._on_message(message)
        except (OSError, LoadError):
            pass  # as good as closed
        self._on_end()

    def join(self, seconds: float) -> None:
        """Wait for the thread; it ends when the line does."""
        self._thread.join(seconds)
