"""Ctrl-C and SIGTERM as the ordinary end of a watch. Only in the main thread's event loop."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["stopped_by_signals"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def stopped_by_signals(stop: Callable[[], None]) -> Iterator[Callable[[], bool]]:
    """Call ``stop`` in the loop at the first signal; a second one does what it did before.

    Gives a function that says whether a signal came.
    """
    loop = asyncio.get_running_loop()
    came = threading.Event()
    before: dict[signal.Signals, Any] = {}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)
        before.clear()

    def arrived() -> None:
        came.set()
        restore()
        stop()

    if threading.current_thread() is threading.main_thread():
        before = {number: signal.getsignal(number) for number in _SIGNALS}
        for number in _SIGNALS:
            # Not loop.add_signal_handler, which Windows' loop lacks; the loop is woken all the same.
            signal.signal(number, lambda _number, _frame: loop.call_soon_threadsafe(arrived))
    try:
        yield came.is_set
    finally:
        restore()
