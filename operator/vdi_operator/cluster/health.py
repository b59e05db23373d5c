"""Whether the operator lives: ``/healthz``, ``/readyz`` and ``/metrics``. A thread and a task watch each other.

A stalled loop cannot answer by itself while it stalls, and a prober's time-out says nothing about why. So a thread sees
the stall, logs where the loop stands, and ``/healthz`` fails for a while afterwards.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from typing import Protocol

from aiohttp import web

__all__ = ["Health", "Heartbeat", "Silent", "serve"]

# A loop that does not come round for so long stalls.
STALL_SECONDS = 5.0
# After a stall: long enough for a prober that asks every ten seconds.
_SHOWN_SECONDS = 15.0
# Keys wait, and no pass succeeds.
STUCK_SECONDS = 30.0
# A watch from which nothing was heard, not even a bookmark, and which could not be opened again.
SILENT_SECONDS = 120.0

_log = logging.getLogger(__name__)


class Silent(Protocol):
    """What hears from the API server."""

    @property
    def title(self) -> str:
        """For people."""
        ...

    def silent_seconds(self) -> float:
        """Since it last did."""
        ...


class Heartbeat:
    """Beats in the loop, and a thread that listens. Use as ``async with``.

    :param stall_seconds: without a beat, after which the loop counts as stalled.
    """

    def __init__(self, stall_seconds: float = STALL_SECONDS) -> None:
        self._stall = stall_seconds
        self._beat = time.monotonic()
        self._longest = 0.0
        self._stalled_until = float("-inf")
        self._stop = threading.Event()
        self._loop_thread = threading.get_ident()
        self._thread = threading.Thread(target=self._listen, name="heartbeat", daemon=True)
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Heartbeat:
        self._loop_thread = threading.get_ident()
        self._beat = time.monotonic()
        self._task = asyncio.create_task(self._beats(), name="heartbeat")
        self._thread.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stop.set()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._thread.join()  # it looks at the flag at every beat

    def complaint(self) -> str:
        """What is wrong, empty: nothing."""
        late = time.monotonic() - self._beat
        if late > self._stall:
            return f"the event loop has not come round for {late:.1f} s"
        if time.monotonic() - self._stalled_until < _SHOWN_SECONDS:
            return f"the event loop did not come round for {self._longest:.1f} s"
        return ""

    async def _beats(self) -> None:
        while True:
            self._beat = time.monotonic()
            await asyncio.sleep(self._stall / 10)  # how exact a stall is measured

    def _listen(self) -> None:
        told = False
        while not self._stop.wait(self._stall / 10):
            now = time.monotonic()
            late = now - self._beat
            if late <= self._stall:
                told = False
                continue
            self._longest = late if told else max(late, self._stall)
            self._stalled_until = now
            if not told:
                told = True
                frame = sys._current_frames().get(self._loop_thread)
                where = "".join(traceback.format_stack(frame)) if frame is not None else "its thread is gone"
                _log.error("the event loop stalls: %s", where)


class Health:
    """Complaints about this process.

    :param heartbeat: of its loop.
    :param longest_wait: seconds that the oldest key of the queue has waited.
    :param succeeded: monotonic seconds of the last pass that succeeded.
    :param watches: what hears from the API server.
    :param missing: what was not listed yet.
    """

    def __init__(
        self,
        heartbeat: Heartbeat,
        longest_wait: Callable[[], float],
        succeeded: Callable[[], float],
        watches: Iterable[Silent],
        missing: Callable[[], list[str]],
        *,
        stuck_seconds: float = STUCK_SECONDS,
        silent_seconds: float = SILENT_SECONDS,
    ) -> None:
        self._heartbeat = heartbeat
        self._longest_wait = longest_wait
        self._succeeded = succeeded
        self._watches = tuple(watches)
        self._missing = missing
        self._stuck = stuck_seconds
        self._silent = silent_seconds

    def complaints(self) -> list[str]:
        """Why this process should be started anew, empty: it should not."""
        found = [self._heartbeat.complaint()]
        waited, since = self._longest_wait(), time.monotonic() - self._succeeded()
        if waited > self._stuck and since > self._stuck:
            found.append(f"sessions have waited {waited:.0f} s for a pass, and none has succeeded for {since:.0f} s")
        for watch in self._watches:
            silent = watch.silent_seconds()
            if silent > self._silent:
                found.append(f"nothing was heard of {watch.title} for {silent:.0f} s")
        return [complaint for complaint in found if complaint]

    def unready(self) -> list[str]:
        """What is waited for before the first pass."""
        return [f"{title} were not listed yet" for title in self._missing()]


async def serve(health: Health, metrics: Callable[[], bytes], host: str, port: int) -> web.AppRunner:
    """Serve until the runner is cleaned up.

    :param port: 0: any; ``runner.addresses`` says which.
    :raises OSError: the address is taken.
    """

    async def healthz(request: web.Request) -> web.Response:
        return _answer(health.complaints())

    async def readyz(request: web.Request) -> web.Response:
        return _answer(health.unready())

    async def scrape(request: web.Request) -> web.Response:
        return web.Response(body=metrics(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    app = web.Application()
    app.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", scrape)])
    # An operator that ends does not wait for a scraper that keeps its connection.
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError:
        await runner.cleanup()
        raise
    return runner


def _answer(complaints: list[str]) -> web.Response:
    return web.Response(status=503 if complaints else 200, text="\n".join(complaints or ["ok"]) + "\n")
