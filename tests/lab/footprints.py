"""What a lab leaves in the system, and processes that bring labs up as a user's shell would. Linux only."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from vdibench.lab import DesktopSpec
from vdibench.lab.traces import marked_processes, read_mark
from vdibench.records import Display

__all__ = ["SMALL", "Footprint", "Owner", "await_true"]

SMALL = DesktopSpec(display=Display(640, 360, 30))


@dataclass
class Footprint:
    """Everything by which one lab can be found, taken while it lives."""

    mark: str
    directory: Path
    pids: set[int] = field(default_factory=set)
    displays: set[int] = field(default_factory=set)
    ports: set[int] = field(default_factory=set)
    paths: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, directory: Path) -> Footprint:
        found = cls(read_mark(directory), directory)
        assert found.mark
        found.pids = set(marked_processes(found.mark))
        state = directory / "state.json"
        screens = [desktop["screen"] for desktop in json.loads(state.read_text())["desktops"]]
        found.displays = {int(screen[1:]) for screen in screens if screen}
        for pid in found.pids:
            for link in Path(f"/proc/{pid}/fd").glob("*"):
                try:
                    target = str(link.readlink())
                except OSError:
                    continue
                if target.startswith(("/dev/shm/", "/tmp/")):
                    found.paths.add(target.removesuffix(" (deleted)"))
        found.ports = {port for port, inode in _leases().items() if inode in _sockets(found.pids)}
        return found

    def remains(self) -> list[str]:
        """What is still there of it."""
        left = [f"process {pid}" for pid in marked_processes(self.mark)]
        left += [str(self.directory)] if self.directory.exists() else []
        left += [path for path in self.paths if Path(path).exists()]
        for number in self.displays:
            path = Path(f"/tmp/.X11-unix/X{number}")
            # Another X server may have taken the number meanwhile: then somebody listens.
            if path.exists() and not _answers(path):
                left.append(str(path))
            lock = Path(f"/tmp/.X{number}-lock")
            if lock.exists() and int(lock.read_text()) in self.pids:
                left.append(str(lock))
        left += [f"lease of port {port}" for port in self.ports & _leases().keys()]
        left += [f"listener on {port}" for port in self.ports if _listens(port)]
        for line in Path("/proc/sysvipc/shm").read_text().splitlines()[1:]:
            if int(line.split()[4]) in self.pids:
                left.append(f"shared memory segment {line.split()[1]}")
        return left

    def await_nothing(self, seconds: float) -> None:
        """Wait until nothing of it is left."""
        assert self.pids
        await_true(lambda: not self.remains(), seconds, lambda: f"left behind: {self.remains()}")


def await_true(condition: Callable[[], object], seconds: float, message: Callable[[], str]) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, message()
        time.sleep(0.01)


def _leases() -> dict[int, str]:
    """Leased ports on this machine, with the inodes of their sockets."""
    found = {}
    for line in Path("/proc/net/unix").read_text().splitlines()[1:]:
        fields = line.split()
        if len(fields) == 8 and fields[7].startswith("@vdibench/port/"):
            found[int(fields[7].rpartition("/")[2])] = fields[6]
    return found


def _sockets(pids: set[int]) -> set[str]:
    found = set()
    for pid in pids:
        for link in Path(f"/proc/{pid}/fd").glob("*"):
            try:
                target = str(link.readlink())
            except OSError:
                continue
            if target.startswith("socket:["):
                found.add(target[8:-1])
    return found


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Owner:
    """Another process that brings a lab up, as a user's shell or notebook would."""

    def __init__(self, *, owned: bool, name: str, desktops: int = 1, fork: bool = False) -> None:
        script = f"""
import os, sys
from vdibench.lab import DesktopSpec, Lab, LabSpec
from vdibench.records import Display
spec = LabSpec((DesktopSpec(Display(640, 360, 30)),) * {desktops})
lab = Lab.up(spec, name={name!r}, owned={owned}, on_progress=lambda line: print(line, flush=True))
print("up", flush=True)
if {fork} and os.fork() == 0:
    os.setsid()
sys.stdin.read()
"""
        self.process = subprocess.Popen(
            [sys.executable, "-c", script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def await_line(self, text: str) -> None:
        """Read its progress up to a line that contains the text."""
        assert self.process.stdout is not None
        seen = []
        for line in self.process.stdout:
            seen.append(line.strip())
            if text in line:
                return
        assert self.process.stderr is not None
        raise AssertionError(f"no line with {text!r} in {seen}: {self.process.stderr.read()}")

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()
