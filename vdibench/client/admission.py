"""Turns at desktops that let few in at a time, for all processes of this user on this machine. I/O: files, and waits.

Selkies 2.x in WebSocket mode accepts one connection in half a second from one address. A session waits its turn within
the time that it may take to connect; who starts many sessions has them admitted here first, for as long as it takes.
WebRTC has no such limit, and no turns.

The turns are agreed on in ``$XDG_RUNTIME_DIR/vdibench/admission``, or below the temporary directory, which everybody
may write to: a folder or a file there that somebody else could have made is refused.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import stat
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from vdibench.client.http import open_http
from vdibench.client.spacing import SPACING_SECONDS
from vdibench.errors import StoreError, TargetUnavailable, UsageError, VdibenchError
from vdibench.records import Desktop, Endpoint
from vdibench.selkies import Dialect
from vdibench.store.files import exclusive

__all__ = ["ConnectGate"]

PATIENCE_SECONDS = 600.0
_DIGITS = 20
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class ConnectGate:
    """Where sessions wait before they connect; one for a process is enough.

    :param folder: where processes agree on their turns, closed to other users; None for this user's own.
    :param patience_seconds: a turn that would come later is refused.
    """

    def __init__(self, folder: Path | None = None, *, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self._own = folder is None
        self._folder = folder or _own_folder()
        self._patience = patience_seconds
        self._next: dict[str, float] = {}
        self._dialects: dict[Endpoint, asyncio.Task[str]] = {}

    async def admit(self, desktop: Desktop) -> float:
        """Wait for the turn at ``desktop``'s address; returns how long that took, in seconds.

        :raises TargetUnavailable: so many wait already that it would take longer than the patience.
        :raises UsageError: the folder of the turns could be somebody else's.
        """
        if (desktop.dialect or await self._dialect(desktop.endpoint)) != Dialect.SELKIES_2_WEBSOCKET:
            return 0.0
        now = time.monotonic()
        due = await asyncio.to_thread(self._reserve, desktop.endpoint.url, now)
        if due is None:
            raise TargetUnavailable(
                f"so many clients of this machine connect to {desktop.endpoint.url} that our turn would come after "
                f"more than {self._patience:g} s",
                "start fewer at once: the desktop takes one in half a second from one address",
            )
        wait = max(0.0, due - time.monotonic())
        await asyncio.sleep(wait)  # the turn is at a time, and nothing tells of it
        return wait

    async def _dialect(self, endpoint: Endpoint) -> str:
        """What answers there, asked once; nothing where nothing does: the session says it better."""
        asked = self._dialects.get(endpoint)
        if asked is None or (asked.done() and not asked.cancelled() and not asked.result()):
            asked = self._dialects[endpoint] = asyncio.get_running_loop().create_task(_detect(endpoint))
        return await asyncio.shield(asked)

    def _reserve(self, url: str, now: float) -> float | None:
        """The instant of the next free turn, ours from now on; monotonic seconds, which all processes here share."""
        path = self._folder / hashlib.sha256(url.encode()).hexdigest()[:_DIGITS]
        lock = path.with_suffix(".lock")
        try:
            if self._own:
                _make(self._folder.parent, _OTHERS_WRITE)
            _make(self._folder, _OTHERS)
            os.close(_open(lock))
            with exclusive(lock), open(_open(path), "r+") as turns:
                due = self._after(_free(turns.read(), now), now)
                if due is not None:
                    turns.seek(0)
                    turns.truncate()
                    turns.write(f"{due + SPACING_SECONDS:.6f}")
                return due
        except (OSError, StoreError):  # nothing can be made there: turns are of this process alone then
            due = self._after(self._next.get(url, now), now)
            if due is not None:
                self._next[url] = due + SPACING_SECONDS
            return due

    def _after(self, free: float, now: float) -> float | None:
        due = max(now, free)
        return due if due - now <= self._patience else None


def _free(said: str, now: float) -> float:
    """When the next turn is free; now where nothing is said, or an instant of before this machine's start."""
    try:
        free = float(said)
    except ValueError:
        return now
    return free if now <= free <= now + 2 * PATIENCE_SECONDS else now


def _own_folder() -> Path:
    runtime = Path(os.environ.get("XDG_RUNTIME_DIR", ""))
    # Of another user's, which su and sudo leave set, nothing is made use of.
    if runtime.is_absolute() and not _suspicion(runtime, _OTHERS_WRITE):
        return runtime / "vdibench" / "admission"
    return Path(tempfile.gettempdir()) / f"vdibench-{_own_id()}" / "admission"


def _own_id() -> int:
    return getattr(os, "getuid", lambda: 0)()


def _make(folder: Path, closed: int) -> None:
    """Have the folder, this user's.

    :param closed: what others must not do there, as bits of its mode.
    :raises UsageError: it is somebody else's, or open to others.
    """
    with suppress(FileExistsError):  # whose it is, and who else may enter, is asked next
        folder.mkdir(mode=0o700, parents=True)
    if why := _suspicion(folder, closed):
        raise _foreign(folder, why)


def _suspicion(folder: Path, closed: int) -> str:
    """Why a folder cannot be trusted; empty where it is this user's, and no link, and what is to be closed is."""
    try:
        found = folder.lstat()
    except OSError as error:
        return error.strerror or str(error)
    if stat.S_ISLNK(found.st_mode):
        return "it is a link"
    if not stat.S_ISDIR(found.st_mode):
        return "it is no folder"
    if not hasattr(os, "getuid"):  # Windows: a user's temporary directory is the user's own
        return ""
    if found.st_uid != _own_id():
        return f"it belongs to user {found.st_uid}"
    if found.st_mode & closed:
        return f"others may use it (mode {stat.S_IMODE(found.st_mode):o})"
    return ""


def _open(path: Path) -> int:
    """A descriptor of the file, made where there is none; links are not followed."""
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o600)
    except OSError as error:
        if path.is_symlink():
            raise _foreign(path, "it is a link") from error
        raise


def _foreign(path: Path, why: str) -> UsageError:
    return UsageError(
        f"{path}, where turns to connect are agreed on, cannot be trusted: {why}",
        "remove it or close it to others (mode 700), or set XDG_RUNTIME_DIR to a folder that is yours alone",
    )


async def _detect(endpoint: Endpoint) -> str:
    try:
        async with open_http(endpoint) as http:
            return str((await http.detect()).dialect or "")
    except VdibenchError:
        return ""
