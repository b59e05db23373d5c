"""Processes of our own: started tied to this one, spoken to in lines of JSON, ended with their owner. I/O."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

from vdibench.errors import TargetUnavailable, VdibenchError

__all__ = ["Child"]

_STOP_SECONDS = 10.0


class Child:
    """``python -m MODULE ARGUMENT...``; a context manager that closes its input and waits for its end.

    :param module: of this package.
    """

    def __init__(self, module: str, arguments: Sequence[str] = ()) -> None:
        self._module = module
        self._arguments = arguments
        self._process: subprocess.Popen[bytes] | None = None
        self._heard = b""

    @property
    def pid(self) -> int:
        """Of the process."""
        assert self._process is not None
        return self._process.pid

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "vdibench.tether", str(os.getpid()), self._module, *self._arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is the owner's to handle
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.close()
            self._process.wait(_STOP_SECONDS)
        except (OSError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()
        except BaseException:  # Ctrl-C while waiting: no child stays
            self._process.kill()
            self._process.wait()
            raise
        finally:
            self._process.stdout.close()

    def say(self, line: str = "") -> None:
        """Write one line to its standard input.

        :raises VdibenchError: it has ended.
        """
        assert self._process is not None
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line.encode() + b"\n")
            self._process.stdin.flush()
        except OSError as error:
            raise self._gone() from error

    def hear(self, timeout_seconds: float) -> dict[str, Any]:
        """The next line that it says, as JSON.

        :raises VdibenchError: it has ended, or said nothing in time.
        :raises TargetUnavailable: it says that it failed.
        """
        assert self._process is not None
        assert self._process.stdout is not None
        deadline = time.monotonic() + timeout_seconds
        descriptor = self._process.stdout.fileno()
        while b"\n" not in self._heard:
            ready, _, _ = select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                raise VdibenchError(
                    f"{self._module} said nothing for {timeout_seconds:g} s", "try again on a machine with less load"
                )
            part = os.read(descriptor, 65536)
            if not part:
                raise self._gone()
            self._heard += part
        line, _, self._heard = self._heard.partition(b"\n")
        said: dict[str, Any] = json.loads(line)
        if "error" in said:
            raise TargetUnavailable(said["error"], "look at what it says, and try again")
        return said

    def _gone(self) -> VdibenchError:
        return VdibenchError(f"{self._module} ended unexpectedly", "look at what it wrote to standard error above")
