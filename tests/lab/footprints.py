"""What a lab leaves in the system, and processes that bring labs up as a user's shell would. Linux only."""

from __future__ import annotations

import json
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
    displays: dict[int, tuple[int, int]] = field(default_factory=dict)
    sockets: set[str] = field(default_factory=set)
    ports: set[int] = field(default_factory=set)
    paths: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, directory: Path) -> Footprint:
        found = cls(read_mark(directory), directory)
        assert found.mark
        found.pids = set(marked_processes(found.mark))
        state = directory / "state.json"
        screens = [desktop["screen"] for desktop in json.loads(state.read_text())["desktops"]]
        # Other labs come and go on the same machine: inodes and times tell whose a socket is.
        numbers = [int(screen[1:]) for screen in screens if screen]
        found.displays = {number: _identity(_x_socket(number)) for number in numbers}
        for pid in found.pids:
            for link in Path(f"/proc/{pid}/fd").glob("*"):
                try:
                    target = str(link.readlink())
                except OSError:
                    continue
                if target.startswith(("/dev/shm/", "/tmp/")):
                    found.paths.add(target.removesuffix(" (deleted)"))
        found.sockets = _sockets(found.pids)
        found.ports = {port for port, inode in _leases().items() if inode in found.sockets}
        return found

    def remains(self) -> list[str]:
        """What is still there of it."""
        left = [f"process {pid}" for pid in marked_processes(self.mark)]
        left += [str(self.directory)] if self.directory.exists() else []
        left += [path for path in self.paths if Path(path).exists()]
        for number, identity in self.displays.items():
            path = _x_socket(number)
            if path.exists() and _identity(path) == identity:
                left.append(str(path))
            lock = Path(f"/tmp/.X{number}-lock")
            if lock.exists() and int(lock.read_text()) in self.pids:
                left.append(str(lock))
        for table in ("tcp", "tcp6", "udp", "udp6", "unix"):
            for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
                if self.sockets & set(line.split()):
                    left.append(f"socket {line}")
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
        time.sleep(0.01)  # the next look


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


def _identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_ino, found.st_mtime_ns


def _x_socket(number: int) -> Path:
    return Path(f"/tmp/.X11-unix/X{number}")


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
