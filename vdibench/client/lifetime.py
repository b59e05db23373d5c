"""The tasks of one session and the one thing that ends it. Runs in one event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

import aiohttp

from vdibench.client.failure import as_our_error
from vdibench.errors import Disconnected, StreamLost, VdibenchError

__all__ = ["Lifetime", "bounded"]

T = TypeVar("T")

CLOSE_SECONDS = 5.0


class Lifetime:
    """Holds a session's background tasks and the first error that ends it.

    :param explain: asked, once, why a connection broke that ended without a word; what it returns ends the session,
        unless a better reason comes meanwhile.
    """

    def __init__(self, explain: Callable[[Disconnected], Awaitable[VdibenchError]] | None = None) -> None:
        self._explain = explain
        self._asked = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._end: asyncio.Future[VdibenchError] = asyncio.get_running_loop().create_future()
        self._closing = False

    def end(self, error: VdibenchError) -> None:
        """Say why the session is over; only the first reason counts, and none after :meth:`close` began."""
        if isinstance(error, Disconnected) and self._explain is not None:
            if not self._asked:
                self._asked = True
                self.spawn(self._end_explained(self._explain, error))
            return
        if not self._closing and not self._end.done():
            self._end.set_result(error)

    async def _end_explained(
        self, explain: Callable[[Disconnected], Awaitable[VdibenchError]], error: Disconnected
    ) -> None:
        self.end(await explain(error))

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run ``work`` in the background; an error in it ends the session."""
        if self._closing:
            work.close()
            return
        task = asyncio.get_running_loop().create_task(work)
        # The loop keeps weak references only: without this one a running task can be collected.
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self.fail(error)

    def fail(self, error: BaseException) -> None:
        """End the session with whatever went wrong in it, as one of our errors."""
        self.end(as_our_error(error))

    async def until(self, work: Coroutine[Any, Any, T]) -> T:
        """Await ``work`` unless the session ends first.

        :raises VdibenchError: what ended the session.
        """
        task = asyncio.get_running_loop().create_task(work)
        either: set[asyncio.Future[Any]] = {task, self._end}
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
            raise self._end.result()
        finally:
            if not task.done():
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    async def close(self) -> None:
        """Cancel every task and wait for it."""
        self._closing = True
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if not self._end.done():
            # Whoever still waits in another task, or asks afterwards, gets a reason and not a cancellation.
            self._end.set_result(StreamLost("the session was ended on this side", "connect again"))


async def bounded(close: Callable[[], Awaitable[object]], seconds: float = CLOSE_SECONDS) -> None:
    """Close what may no longer answer: errors of the network and the passing of ``seconds`` end the attempt."""
    with suppress(aiohttp.ClientError, OSError, TimeoutError):  # nobody is left who could use it
        async with asyncio.timeout(seconds):
            await close()
