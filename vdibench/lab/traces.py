"""What a lab leaves in the system while it runs, and its removal. Linux only when called.

Every process of a lab carries ``VDIBENCH_LAB=<mark>`` in its environment, and children inherit it: the mark
finds them whatever their parents became. X servers also leave a lock and a socket in ``/tmp``, which name
the server's process id.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import time
from pathlib import Path

from vdibench.lab.cluster.cgroups import cgroup_name, remove_cgroups
from vdibench.lab.cluster.links import remove_noted_link

__all__ = [
    "LOCK_FILE",
    "MARK_FILE",
    "MARK_VARIABLE",
    "ROLE_VARIABLE",
    "first_child",
    "has_descriptors",
    "kill_marked",
    "marked_processes",
    "note_x_server",
    "read_mark",
    "remove_directory",
    "remove_x_files",
    "role_of",
    "sweep",
]

MARK_VARIABLE = "VDIBENCH_LAB"
ROLE_VARIABLE = "VDIBENCH_LAB_ROLE"

LOCK_FILE = "lock"
MARK_FILE = "mark"

_X_SERVERS = "x-servers"
_X_SOCKETS = Path("/tmp/.X11-unix")
_SECOND_LOOK_SECONDS = 0.02
_KILL_SECONDS = 10.0


def read_mark(directory: Path) -> str:
    """The mark of the lab in a directory, empty when there is none."""
    try:
        return (directory / MARK_FILE).read_text().strip()
    except (OSError, UnicodeDecodeError):
        return ""


def marked_processes(mark: str) -> list[int]:
    """Ids of the living processes that carry a mark; zombies have none."""
    needle = f"{MARK_VARIABLE}={mark}".encode()
    return [pid for pid in _processes() if needle in _environment(pid)]


def has_descriptors(pid: int) -> bool:
    """Whether a process still has files and sockets open; one that has gone or is a zombie has none."""
    try:
        # The kernel closes all of them before the process becomes a zombie; but its first thread alone may be one while
        # the others, which share them, are still ending.
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][:1]
        threads = len(list(Path(f"/proc/{pid}/task").iterdir()))
    except OSError:
        return False
    return state not in "ZX" or threads > 1


def role_of(pid: int) -> str:
    """What a lab's process is in its lab (``supervisor``, ``reaper`` or the name of a part)."""
    prefix = f"{ROLE_VARIABLE}=".encode()
    for entry in _environment(pid):
        if entry.startswith(prefix):
            return entry[len(prefix) :].decode()
    return ""


def first_child(pid: int) -> int | None:
    """The oldest living child of a process, or None."""
    try:
        return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])
    except (OSError, IndexError):
        return None


def kill_marked(mark: str, *, spare: frozenset[int] = frozenset()) -> frozenset[int]:
    """SIGKILL every process that carries the mark, again and again until there is none.

    :param spare: processes to leave alone.
    :return: the ids of the killed processes.
    """
    killed: set[int] = set()
    deadline = time.monotonic() + _KILL_SECONDS
    while mark and time.monotonic() < deadline:
        found = [pid for pid in marked_processes(mark) if pid not in spare]
        if not found:
            break
        for pid in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):  # ended, or became another user's
                os.kill(pid, signal.SIGKILL)
            killed.add(pid)
        # The kernel takes a moment to take a killed process down; this only paces the next look.
        time.sleep(0.005)
    return frozenset(killed)


def note_x_server(directory: Path, pid: int) -> None:
    """Write down an X server's process id, so that its files are found after its death."""
    with (directory / _X_SERVERS).open("a") as file:
        file.write(f"{pid}\n")


def remove_x_files(pids: frozenset[int], since_unix_seconds: float) -> None:
    """Remove what dead X servers left in ``/tmp``; living servers' files stay.

    A socket does not say whose it was (and with ``-displayfd`` there is no lock that would): those go that
    are this user's, not older than the lab, and dead. A dead socket is of no use to anybody.

    :param pids: the lab's X servers, for their locks.
    :param since_unix_seconds: when the lab began.
    """
    suspects = [path for path in _X_SOCKETS.glob("X*") if _is_dead(path, since_unix_seconds)]
    if suspects:
        # A server that is just starting has its socket for an instant before it listens: look twice.
        time.sleep(_SECOND_LOOK_SECONDS)
    for path in suspects:
        if _is_dead(path, since_unix_seconds):
            path.unlink(missing_ok=True)
    for lock in Path("/tmp").glob(".X*-lock"):
        with contextlib.suppress(OSError, ValueError):  # another sweep was faster, or it is no lock
            owner = int(lock.read_text())
            if owner in pids and not Path(f"/proc/{owner}").exists():
                lock.unlink()


def sweep(directory: Path, mark: str, *, spare: frozenset[int] = frozenset()) -> None:
    """End every process of a lab and remove every file of it, and its parents when they are empty."""
    try:
        began = (directory / MARK_FILE).stat().st_mtime
    except OSError:
        began = time.time()
    servers = kill_marked(mark, spare=spare) | _noted_x_servers(directory)
    remove_x_files(servers, began)
    if mark:
        remove_cgroups(cgroup_name(mark))
    remove_noted_link(directory)
    remove_directory(directory)


def remove_directory(directory: Path) -> None:
    """Remove a lab's directory, then those parents that are ours and empty."""
    with contextlib.suppress(OSError):  # another sweep takes entries away
        # The lock goes last: until then the directory reads as held.
        for entry in directory.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry, ignore_errors=True)
            elif entry.name != LOCK_FILE:
                entry.unlink(missing_ok=True)
    shutil.rmtree(directory, ignore_errors=True)
    for parent in (directory.parent, directory.parent.parent):
        try:
            parent.rmdir()
        except OSError:
            return


def _noted_x_servers(directory: Path) -> frozenset[int]:
    try:
        lines = (directory / _X_SERVERS).read_text().split()
    except OSError:
        return frozenset()
    return frozenset(int(line) for line in lines if line.isdigit())


def _processes() -> list[int]:
    own = os.getuid()
    found = []
    with os.scandir("/proc") as entries:
        for entry in entries:
            if entry.name.isdigit():
                with contextlib.suppress(OSError):  # ended meanwhile
                    if entry.stat().st_uid == own:
                        found.append(int(entry.name))
    return found


def _environment(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []


def _is_dead(path: Path, since_unix_seconds: float) -> bool:
    """Whether a socket is ours, no older than the given instant, and nobody listens on it."""
    try:
        found = path.lstat()
    except OSError:
        return False
    # The kernel's file times lag the clock by up to a tick.
    if found.st_uid != os.getuid() or found.st_mtime < since_unix_seconds - 1:
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return True
        except OSError:
            return False
    return False
