"""Servers that can be killed and started anew: what a desktop and its TURN server are made of. Linux only."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import psutil
from legacy import legacy_desktop

from vdibench.lab import DesktopSpec, Lab, LabSpec
from vdibench.records import Desktop, Display, Workload
from vdibench.selkies import Dialect

__all__ = ["Breakable", "Restartable", "breakable"]

_END_SECONDS = 10.0


class Restartable:
    """A running process: killed by its id, started again as it was.

    :param more: arguments that it is started again with, beside its own.
    """

    def __init__(self, pid: int, more: Sequence[str] = ()) -> None:
        self._victim = psutil.Process(pid)
        self._command = [*self._victim.cmdline(), *more]
        self._environment = self._victim.environ()
        self._folder = self._victim.cwd()
        self._again: subprocess.Popen[bytes] | None = None

    def kill(self, *, orderly: bool = False) -> None:
        """End it and wait until it has ended: by SIGTERM or by SIGKILL."""
        family = [self._victim, *self._victim.children(recursive=True)]
        for process in family[:1] if orderly else family:
            with contextlib.suppress(psutil.NoSuchProcess):  # ended meanwhile
                process.terminate() if orderly else process.kill()
        psutil.wait_procs(family, timeout=_END_SECONDS, callback=None)

    def start(self) -> None:
        """Start it again."""
        self._again = subprocess.Popen(
            self._command,
            cwd=self._folder,
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._victim = psutil.Process(self._again.pid)

    def end(self) -> None:
        """End what was started again."""
        if self._again is None:
            return
        assert self._again.stdin is not None
        self._again.stdin.close()
        self._again.terminate()
        try:
            self._again.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._again.kill()
            self._again.wait()


@dataclass
class Breakable:
    """A desktop, the process of its stream server, and that of its TURN server."""

    desktop: Desktop
    server: Restartable
    turn: Restartable


@contextlib.contextmanager
def breakable(dialect: Dialect, display: Display) -> Iterator[Breakable]:
    """A fresh desktop that speaks ``dialect``; the real server, for 1.6 the tests' stand-in with real media."""
    workload, bitrate = Workload.TEXT, 4_000_000
    with contextlib.ExitStack() as stack:
        if dialect is Dialect.SELKIES_1_WEBRTC:
            # The TURN server of a lab that has no other use here.
            spec = DesktopSpec(display=Display(320, 240, 8))
            lab = stack.enter_context(Lab.up(LabSpec((spec,)), owned=True))
            turn = _turn_of(lab)
            credentials = lab.directory / "desktop-0" / "rtc" / "rtc.json"
            more = ["--rtc", str(credentials)]
            desktop, pids = stack.enter_context(legacy_desktop(display, workload, bitrate, more))
            server = Restartable(pids[0], ["--port", desktop.endpoint.url.rpartition(":")[2]])
        else:
            spec = DesktopSpec(display=display, workload=workload, bitrate_bps=bitrate, dialect=dialect)
            lab = stack.enter_context(Lab.up(LabSpec((spec,)), owned=True))
            turn = _turn_of(lab)
            desktop = lab.desktops[0]
            parts = {part.name: part.pid for part in lab.status().desktops[0].parts}
            assert parts["selkies"] is not None
            server = Restartable(parts["selkies"])
        stack.callback(server.end)
        stack.callback(turn.end)
        yield Breakable(desktop, server, turn)


def _turn_of(lab: Lab) -> Restartable:
    part = lab.status().turn_part
    assert part is not None
    assert part.pid is not None
    return Restartable(part.pid)
