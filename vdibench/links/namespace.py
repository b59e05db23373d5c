"""A network namespace with one cable to this machine: made, entered by sockets, removed. I/O; Linux, root, iproute2.

Names tell who made it, so that the next one sweeps what a killed process left. Nothing of the machine's own network
is changed: no route, no forwarding, no firewall rule; the cable has two addresses that were free.
"""

from __future__ import annotations

import ctypes
import ipaddress
import itertools
import json
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from vdibench.errors import VdibenchError

__all__ = ["Namespace", "missing", "run", "sweep"]

INSIDE = "eth0"
_FOLDER = Path("/run/netns")
_CLONE_NEWNET = 0x40000000
_NAME = re.compile(r"vdibench-(\d+)-(\d+)-(\d+)-\d+")
_COMMAND_SECONDS = 10.0
_POOL = ipaddress.IPv4Network("10.254.0.0/16")
_number = itertools.count()


def missing() -> VdibenchError | None:
    """What a namespace lacks here, with a remedy; None when it has all."""
    if not sys.platform.startswith("linux"):
        return VdibenchError("network namespaces are Linux's", "use the relay")
    for program in ("ip", "tc"):
        if shutil.which(program) is None:
            return VdibenchError(f"there is no {program!r} here", "install iproute2, or use the relay")
    if os.geteuid() != 0:
        return VdibenchError("a network namespace needs root", "run as root, or use the relay")
    return None


class Namespace:
    """A namespace and its cable; a context manager.

    :ivar name: of the namespace.
    :ivar device: the host's end of the cable; the other is ``eth0`` inside.
    :ivar host_address: of the host's end.
    :ivar address: of the end inside.
    """

    def __init__(self) -> None:
        self.name = f"vdibench-{_pid_namespace()}-{os.getpid()}-{_started(os.getpid())}-{next(_number)}"
        self.device = _device(self.name)
        self.host_address = self.address = ""
        self._thread: ThreadPoolExecutor | None = None

    def __enter__(self) -> Self:
        if (lacks := missing()) is not None:
            raise lacks
        sweep()
        try:
            self._make()
        except BaseException:  # whatever it is, Ctrl-C too: nothing half made stays
            self.close()
            raise
        return self

    def _make(self) -> None:
        network = _free_network()
        host, inside = (str(address) for address in network.hosts())
        run("ip", "netns", "add", self.name)
        run("ip", "link", "add", self.device, "type", "veth", "peer", "name", INSIDE, "netns", self.name)
        run("ip", "address", "add", f"{host}/{network.prefixlen}", "dev", self.device)
        run("ip", "link", "set", self.device, "up")
        run("ip", "-n", self.name, "address", "add", f"{inside}/{network.prefixlen}", "dev", INSIDE)
        run("ip", "-n", self.name, "link", "set", INSIDE, "up")
        run("ip", "-n", self.name, "link", "set", "lo", "up")
        self.host_address, self.address = host, inside
        self._thread = ThreadPoolExecutor(1, self.name, initializer=_enter, initargs=(self.name,))

    def socket(self, family: int, kind: int) -> socket.socket:
        """A non-blocking socket inside; it stays there whoever uses it."""
        if self._thread is None:
            raise VdibenchError("the network namespace is closed", "use it inside its with block")
        made = self._thread.submit(socket.socket, family, kind).result(_COMMAND_SECONDS)
        made.setblocking(False)
        return made

    def close(self) -> None:
        """Remove it; sockets inside reach nothing any more."""
        if self._thread is not None:
            self._thread.shutdown()
            self._thread = None
        _remove(self.name)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def sweep() -> list[str]:
    """Remove the namespaces whose makers are gone; their names."""
    swept = []
    for path in sorted(_FOLDER.glob("vdibench-*")):
        parts = _NAME.fullmatch(path.name)
        if parts is None or int(parts[1]) != _pid_namespace() or _started(int(parts[2])) == int(parts[3]):
            continue
        _remove(path.name)
        swept.append(path.name)
    return swept


def run(*command: str) -> str:
    """Run a command of iproute2 and give its output.

    :raises VdibenchError: it fails; with the last that it said.
    """
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_COMMAND_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise VdibenchError(f"{command[0]} cannot be run: {error}", "install iproute2") from error
    if done.returncode:
        said = done.stderr.strip().rpartition("\n")[2] or f"it ended with {done.returncode}"
        raise VdibenchError(f"{' '.join(command[:4])} failed: {said}", "check that root may change networks here")
    return done.stdout


def _remove(name: str) -> None:
    # A socket inside would keep the cable alive: it goes by itself.
    if Path("/sys/class/net", _device(name)).exists():
        with suppress(VdibenchError):  # it went meanwhile
            run("ip", "link", "delete", _device(name))
    if (_FOLDER / name).exists():
        with suppress(VdibenchError):  # it went meanwhile
            run("ip", "netns", "delete", name)


def _device(name: str) -> str:
    """Names of devices have 15 characters at most."""
    return f"vdb{zlib.crc32(name.encode()):08x}"


def _enter(name: str) -> None:
    """Move this thread, and no other, into the namespace."""
    library = ctypes.CDLL(None, use_errno=True)
    with (_FOLDER / name).open("rb") as file:
        if library.setns(file.fileno(), _CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _free_network() -> ipaddress.IPv4Network:
    """Four addresses that no route of this machine knows, except a default one."""
    known = [
        ipaddress.IPv4Network(route["dst"], strict=False)
        for route in json.loads(run("ip", "-j", "-4", "route", "show", "table", "all") or "[]")
        if route["dst"] != "default"
    ]
    candidates = list(_POOL.subnets(new_prefix=30))
    random.shuffle(candidates)
    for candidate in candidates:
        if not any(candidate.overlaps(network) for network in known):
            return candidate
    raise VdibenchError(f"no addresses are free in {_POOL}", "remove a route there")


def _pid_namespace() -> int:
    return Path("/proc/self/ns/pid").stat().st_ino if sys.platform.startswith("linux") else 0


def _started(pid: int) -> int:
    """Start time of a process in ticks; -1 when there is none, or only its entry."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return -1
    return -1 if fields[0] in "ZXx" else int(fields[19])
