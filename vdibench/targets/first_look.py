"""The first look at a desktop that was just started: its page through the proxy, and its first decoded picture. I/O."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
import time
from collections.abc import Coroutine, Mapping
from types import TracebackType
from typing import Any, Self

from vdibench.client import DesktopSession, FrameRecord, InputRecord, NetworkRecord, SessionOptions, open_http
from vdibench.errors import TargetUnavailable
from vdibench.records import Desktop, Endpoint
from vdibench.selkies import Dialect, Role

__all__ = ["FirstLook", "LoopThread", "page", "picture"]

_ROUTE_SECONDS, _LOOK_SECONDS = 30.0, 0.05
_ENDS = ("started", "leaving", "left")


class LoopThread:
    """An event loop in a thread of its own: a notebook's kernel has one running already. A context manager that cancels
    what still runs.

    :param name: of the thread.
    """

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=name, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._drain(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def start(self, work: Coroutine[Any, Any, None]) -> concurrent.futures.Future[None]:
        """Run ``work`` there; its result tells when it has ended."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    @staticmethod
    async def _drain() -> None:
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.get_running_loop().shutdown_default_executor()


class FirstLook:
    """Keeps the milestones of a session, and nothing else: a :class:`vdibench.client.SampleSink`."""

    def __init__(self) -> None:
        self.reached: dict[str, float] = {}

    @property
    def steps(self) -> dict[str, float]:
        """Up to the first picture."""
        last = self.reached.get("first_frame")
        return {
            event: instant
            for event, instant in self.reached.items()
            if event not in _ENDS and (last is None or instant <= last)
        }

    def milestone(self, session: str, event: str, unix_seconds: float) -> None:
        """The first time counts."""
        self.reached.setdefault(event, unix_seconds)

    def frame(self, session: str, record: FrameRecord) -> None:
        """Not kept."""

    def input(self, session: str, record: InputRecord) -> None:
        """Not kept."""

    def network(self, session: str, record: NetworkRecord) -> None:
        """Not kept."""

    def fact(self, session: str, key: str, value: str) -> None:
        """Not kept."""

    def row(self, session: str, table: str, values: Mapping[str, Any]) -> None:
        """Not kept."""


async def page(endpoint: Endpoint) -> float:
    """When the desktop's page came for the first time, in Unix seconds.

    :raises TargetUnavailable: it does not come.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _ROUTE_SECONDS
    async with open_http(endpoint) as http:
        while True:
            try:
                status = (await http.get("/")).status
                if status == 200:
                    return time.time()
                said = f"HTTP {status}"
            except TargetUnavailable as error:
                said = error.cause
            if loop.time() > deadline:
                raise TargetUnavailable(
                    f"the page of {endpoint.url} does not come through the proxy ({said})",
                    "look at Traefik's log, and at the session's IngressRoute",
                )
            await asyncio.sleep(_LOOK_SECONDS)  # the proxy learns of a route and its pod within a second


async def picture(desktop: Desktop, look: FirstLook, *, relay_only: bool) -> None:
    """Connect as the desktop's controller, wait for the first decoded picture, and leave.

    :param look: receives the milestones.
    :param relay_only: media through the TURN relay alone.
    :raises VdibenchError: there is no picture.
    """
    options = SessionOptions(role=Role.CONTROLLER, relay_only=relay_only, dialect=Dialect(desktop.dialect))
    async with DesktopSession(desktop, look, options) as session:
        await session.first_frame()
