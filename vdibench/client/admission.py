"""Turns at desktops that let few in at a time, for all processes of this user on this machine. I/O: files, and waits.

Selkies 2.x in WebSocket mode accepts one connection in half a second from one address. A session waits its turn within
the time that it may take to connect; who starts many sessions has them admitted here first, for as long as it takes.
WebRTC has no such limit, and no turns.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import tempfile
import time
from pathlib import Path

from vdibench.client.http import open_http
from vdibench.client.spacing import SPACING_SECONDS
from vdibench.errors import StoreError, TargetUnavailable, VdibenchError
from vdibench.records import Desktop, Endpoint
from vdibench.selkies import Dialect
from vdibench.store.files import exclusive

__all__ = ["ConnectGate"]

PATIENCE_SECONDS = 600.0
_DIGITS = 20


class ConnectGate:
    """Where sessions wait before they connect; one for a process is enough.

    :param folder: where processes agree on their turns; None for this user's own.
    :param patience_seconds: a turn that would come later is refused.
    """

    def __init__(self, folder: Path | None = None, *, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self._folder = folder or _own_folder()
        self._patience = patience_seconds
        self._next: dict[str, float] = {}
        self._dialects: dict[Endpoint, asyncio.Task[str]] = {}

    async def admit(self, desktop: Desktop) -> float:
        """Wait for the turn at ``desktop``'s address; returns how long that took, in seconds.

        :raises TargetUnavailable: so many wait already that it would take longer than the patience.
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
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with exclusive(path.with_suffix(".lock")):
                due = self._after(_read(path, now), now)
                if due is not None:
                    path.write_text(f"{due + SPACING_SECONDS:.6f}")
                return due
        except (OSError, StoreError):  # a folder that is not ours: turns are of this process alone then
            due = self._after(self._next.get(url, now), now)
            if due is not None:
                self._next[url] = due + SPACING_SECONDS
            return due

    def _after(self, free: float, now: float) -> float | None:
        due = max(now, free)
        return due if due - now <= self._patience else None


def _read(path: Path, now: float) -> float:
    """When the next turn is free; now where the file says nothing, or an instant of before this machine's start."""
    try:
        free = float(path.read_text())
    except (FileNotFoundError, ValueError):
        return now
    return free if now <= free <= now + 2 * PATIENCE_SECONDS else now


def _own_folder() -> Path:
    own = getattr(os, "getuid", lambda: 0)()
    return Path(tempfile.gettempdir()) / f"vdibench-{own}" / "admission"


async def _detect(endpoint: Endpoint) -> str:
    try:
        async with open_http(endpoint) as http:
            return str((await http.detect()).dialect or "")
    except VdibenchError:
        return ""
