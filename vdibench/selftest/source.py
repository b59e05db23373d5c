"""A source of canned video for many clients at once, as a process of its own. I/O.

It is what the cost of a client mode is measured against: real signalling, ICE, DTLS and SRTP, canned pictures, so that
neither an encoder nor a screen takes the processor from the client. ``vdibench.selftest.server`` is the process.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from types import TracebackType
from typing import Any, Self

from vdibench.errors import VdibenchError

__all__ = ["Source"]

_STOP_SECONDS = 10.0


class Source:
    """The process; a context manager.

    :param url: of the desktop that it stands for; any number of clients may connect.
    :param packets_per_second: of each session, mean.
    """

    def __init__(
        self, *, width: int = 1920, height: int = 1080, framerate: int = 60, bitrate_bps: int = 8_500_000
    ) -> None:
        self._arguments = [
            *("--width", str(width), "--height", str(height)),
            *("--framerate", str(framerate), "--bitrate", str(bitrate_bps)),
        ]
        self._process: subprocess.Popen[str] | None = None
        self.url = ""
        self.packets_per_second = 0.0

    @property
    def pid(self) -> int:
        """Of the process, for telemetry."""
        assert self._process is not None
        return self._process.pid

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "vdibench.tether", str(os.getpid()), "vdibench.selftest.server", *self._arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C is the owner's to handle
        )
        try:
            said = self._ask()
            self.url, self.packets_per_second = said["url"], said["packets_per_second"]
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def count(self) -> dict[str, Any]:
        """``sessions``, ``packets`` and ``bytes`` (RTP payload) sent, ``refused`` by the socket, ``late_seconds``."""
        assert self._process is not None
        assert self._process.stdin is not None
        try:
            self._process.stdin.write("count\n")
            self._process.stdin.flush()
        except OSError as error:
            raise _gone() from error
        return self._ask()

    def _ask(self) -> dict[str, Any]:
        assert self._process is not None
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise _gone()
        said: dict[str, Any] = json.loads(line)
        return said

    def _end(self) -> None:
        if self._process is None:
            return
        process, self._process = self._process, None
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.close()
            process.wait(_STOP_SECONDS)
        except (OSError, subprocess.TimeoutExpired):
            process.kill()
            process.wait()
        finally:
            process.stdout.close()


def _gone() -> VdibenchError:
    return VdibenchError("the source of canned video ended", "look at what it wrote to standard error above")
