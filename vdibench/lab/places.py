"""Where labs keep their files, and who holds one. Linux only when called; file I/O.

A lab is a directory ``<root>/labs/<name>`` of mode 0700. Whoever has the flock on its ``lock`` file open —
the process that brings it up, then its supervisor and reaper by inheritance — keeps it alive; a directory
whose lock is free is stale. ``mark`` holds the lab's mark, which all of its processes carry in their
environment.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import sys
import tempfile
import time
from pathlib import Path

from vdibench.errors import LabError
from vdibench.lab.status import STATE_FILE
from vdibench.lab.traces import (
    LOCK_FILE,
    MARK_FILE,
    marked_processes,
    read_mark,
    remove_directory,
    role_of,
    sweep,
)

if sys.platform != "win32":
    import fcntl

__all__ = ["Claim", "claim", "is_held", "lab_directories", "labs_root", "sweep_stale"]

_NEW_PREFIX = ".new-"

# sun_path has 108 bytes; the longest socket of a lab is PulseAudio's in a two-digit desktop.
_SOCKET_PATH_BYTES = 107
_LONGEST_SOCKET = "desktop-00/pulse/native"

# A claim takes microseconds from making its directory to locking it; older ones without lock were abandoned.
_ABANDONED_SECONDS = 30.0

# How long a claim waits for the remains of an earlier lab of its name to go.
_CLAIM_SECONDS = 15.0


class Claim:
    """A lab directory that this process has just made and holds.

    :param directory: the lab's directory.
    :param mark: the mark of its processes.
    :param lock: descriptor of the locked file, to be inherited by the supervisor.
    """

    def __init__(self, directory: Path, mark: str, lock: int) -> None:
        self.directory = directory
        self.mark = mark
        self.lock = lock

    def release(self) -> None:
        """Close this process's hold; the lab lives on with those who inherited it."""
        if self.lock >= 0:
            os.close(self.lock)
            self.lock = -1


def labs_root() -> Path:
    """The directory of all labs of this user; it need not exist.

    :raises LabError: it could not be trusted, or socket paths in it would be too long.
    """
    if sys.platform == "win32":
        raise LabError("labs need Linux", "run the lab on Linux, or point vdibench at a URL")
    candidates = []
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and _usable(Path(runtime)):
        candidates.append(Path(runtime) / "vdibench" / "labs")
    private = Path(tempfile.gettempdir()).resolve() / f"vdibench-{os.getuid()}"
    if private.is_symlink() or (private.exists() and private.stat().st_uid != os.getuid()):
        raise LabError(f"{private} belongs to somebody else", "remove it or set TMPDIR to a directory of your own")
    candidates.append(private / "labs")
    for root in candidates:
        if len(os.fsencode(root / ("n" * 32) / _LONGEST_SOCKET)) <= _SOCKET_PATH_BYTES:
            return root
    raise LabError(
        f"socket paths below {candidates[0]} would be too long for Linux (107 bytes)",
        "set XDG_RUNTIME_DIR or TMPDIR to a directory with a short path",
    )


def claim(name: str, mark: str) -> Claim:
    """Make the directory of a new lab, atomically: of two callers one wins.

    :raises LabError: the name is taken by a living lab, or the directory cannot be made.
    """
    root = labs_root()
    deadline = time.monotonic() + _CLAIM_SECONDS
    fresh = _fresh_directory(root)
    lock = -1
    try:
        lock = os.open(fresh / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        (fresh / MARK_FILE).write_text(mark)
        while not _renamed(fresh, root / name):
            if is_held(root / name) and not _being_removed(root / name):
                raise LabError(
                    f"a lab named {name!r} is already up",
                    f"take it down with 'vdibench lab down --name {name}' or choose another --name",
                )
            if time.monotonic() > deadline:
                raise LabError(f"{root / name} is in the way", "remove it")
            sweep_stale(root)
            time.sleep(0.01)  # paces the next look at who is in the way
    except BaseException:  # Ctrl-C too leaves nothing behind
        if lock >= 0:
            os.close(lock)
        remove_directory(fresh)
        raise
    return Claim(root / name, mark, lock)


def lab_directories() -> list[Path]:
    """The directories of all labs of this user, living or stale, by name."""
    root = labs_root()
    try:
        return sorted(entry for entry in root.iterdir() if not entry.name.startswith("."))
    except (FileNotFoundError, NotADirectoryError):
        return []


def is_held(directory: Path) -> bool:
    """Whether a process keeps the lab alive; False too when there is no such directory."""
    try:
        lock = os.open(directory / LOCK_FILE, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        # Shared, so that two who ask at the same time do not take each other for the holder.
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def sweep_stale(root: Path | None = None) -> None:
    """End the processes and remove the files of all labs that nobody holds any more."""
    try:
        entries = list((root or labs_root()).iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return
    for directory in entries:
        try:
            lock = os.open(directory / LOCK_FILE, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            # No lock yet (a claim in the making) or half removed: only age tells.
            with contextlib.suppress(OSError):
                if time.time() - directory.stat().st_mtime > _ABANDONED_SECONDS:
                    sweep(directory, read_mark(directory))
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Locking a file that its owner has just removed would mean nothing.
            if (directory / LOCK_FILE).stat().st_ino == os.fstat(lock).st_ino:
                sweep(directory, read_mark(directory))
        except (BlockingIOError, FileNotFoundError):
            pass
        finally:
            os.close(lock)


def _fresh_directory(root: Path) -> Path:
    fresh = root / f"{_NEW_PREFIX}{secrets.token_hex(6)}"
    while True:
        try:
            root.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            root.mkdir(mode=0o700, exist_ok=True)
            fresh.mkdir(mode=0o700)
        except FileNotFoundError:
            # A lab that went down just now took its empty parents along: make them again.
            continue
        except OSError as error:
            raise LabError(
                f"cannot make a directory for the lab below {root}: {error.strerror}",
                "set XDG_RUNTIME_DIR or TMPDIR to a writable directory",
            ) from error
        return fresh


def _renamed(fresh: Path, directory: Path) -> bool:
    try:
        fresh.rename(directory)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            return False
        raise LabError(f"cannot make {directory}: {error.strerror}", "check its parents") from error
    return True


def _being_removed(directory: Path) -> bool:
    """Whether the lab's supervisor is gone, so that its reaper must be about to remove the rest."""
    mark = read_mark(directory)
    state = directory / STATE_FILE
    return state.exists() and not any(role_of(pid) == "supervisor" for pid in marked_processes(mark))


def _usable(directory: Path) -> bool:
    try:
        found = directory.stat()
    except OSError:
        return False
    return found.st_uid == os.getuid() and os.access(directory, os.W_OK | os.X_OK) and directory.is_dir()
