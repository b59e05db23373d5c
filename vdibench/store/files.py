"""Durable file operations of the store: whole-file replacement and the lock between writers.

A file is either as it was or as it should be, also after a crash: content goes to a temporary name in the same
folder, is flushed to the disk and renamed. Every failure of the file system is a :class:`StoreError`.
"""

from __future__ import annotations

import errno
import itertools
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from vdibench.errors import StoreError

__all__ = ["TEMPORARY_SUFFIX", "exclusive", "publish", "replace", "stage", "write_failure"]

TEMPORARY_SUFFIX = ".tmp"
_COUNTER = itertools.count()
_FULL = {errno.ENOSPC, errno.EFBIG, *({errno.EDQUOT} if hasattr(errno, "EDQUOT") else set())}
_REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS}


def write_failure(path: Path, error: OSError) -> StoreError:
    """The one-line error for a file system that refused to write ``path``."""
    cause = f"cannot write {path}: {error.strerror or error}"
    if error.errno in _FULL:
        return StoreError(cause, "free some space (`vdibench runs prune` removes old runs) and run again")
    if error.errno in _REFUSED:
        return StoreError(cause, "choose a results folder that you may write to")
    return StoreError(cause, "check that the results folder exists, is a folder and is writable")


def stage(path: Path, data: bytes) -> Path:
    """Write ``data`` to a temporary file beside ``path``, flushed to the disk, and return it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{next(_COUNTER)}{TEMPORARY_SUFFIX}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
        try:
            with open(descriptor, "wb") as stream:  # noqa: PTH123 - a descriptor, not a path
                stream.write(data)
                stream.flush()
                os.fsync(descriptor)
        except OSError:
            with suppress(OSError):  # the error above says what is wrong
                temporary.unlink()
            raise
    except OSError as error:
        raise write_failure(path, error) from error
    return temporary


def publish(temporary: Path, path: Path) -> None:
    """Give a staged file its name, replacing what has it, and flush the folder's entry."""
    try:
        os.replace(temporary, path)  # noqa: PTH105 - Path.replace is the same call with less to say
        _sync_folder(path.parent)
    except OSError as error:
        with suppress(OSError):  # the error above says what is wrong
            temporary.unlink()
        raise write_failure(path, error) from error


def replace(path: Path, data: bytes) -> None:
    """Make ``data`` the content of ``path``, whole or not at all."""
    publish(stage(path, data), path)


def _sync_folder(folder: Path) -> None:
    if sys.platform == "win32":
        return  # a folder cannot be opened there
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some network file systems cannot flush a folder
            raise
    finally:
        os.close(descriptor)


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold the lock file ``path`` against other processes and other threads; waits for it."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise write_failure(path, error) from error
    try:
        _lock(descriptor, path)
        yield
    finally:
        os.close(descriptor)  # closing releases the lock, as the end of the process would


def _lock(descriptor: int, path: Path) -> None:
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_LOCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError as error:
        raise write_failure(path, error) from error
