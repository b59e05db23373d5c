"""An event loop in a thread, so that a suite is called the same from the CLI, under papermill and inside a kernel
whose own loop is already running."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

__all__ = ["BackgroundLoop"]

T = TypeVar("T")

_CANCEL_SECONDS = 20.0


class BackgroundLoop:
    """Runs coroutines in a thread of its own and waits for them in the caller's."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="vdibench-loop", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run ``work`` to its end and return its result.

        An interrupt of the caller cancels ``work``, waits until it has cleaned up, and goes on upwards.
        """
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:  # Ctrl-C of the caller
            if not future.done():
                self._cancel_and_wait(future)
            raise

    @staticmethod
    def _cancel_and_wait(future: Any) -> None:
        done = threading.Event()
        future.add_done_callback(lambda _: done.set())
        future.cancel()
        done.wait(_CANCEL_SECONDS)

    def close(self) -> None:
        """Cancel what still runs and end the thread. Safe to call twice."""
        if self._loop.is_closed():
            return
        if self._thread.is_alive():
            asyncio.run_coroutine_threadsafe(self._drain(), self._loop).result(_CANCEL_SECONDS)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(_CANCEL_SECONDS)
        self._loop.close()

    @staticmethod
    async def _drain() -> None:
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.get_running_loop().shutdown_default_executor()
