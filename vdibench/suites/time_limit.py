"""A limit for work in this process: an alarm that unwinds it as an interrupt does. Main thread of a POSIX system."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

__all__ = ["TimeLimit", "time_limit"]


class TimeLimit(BaseException):
    """The time is up. Not an Exception: no handler of an ordinary failure may swallow it."""


def _ring(number: int, frame: FrameType | None) -> NoReturn:
    raise TimeLimit


@contextmanager
def time_limit(deadline: float | None) -> Iterator[None]:
    """Raise :class:`TimeLimit` in the block at ``deadline`` (monotonic clock); None for no limit."""
    if (
        deadline is None
        or not hasattr(signal, "setitimer")
        or threading.current_thread() is not threading.main_thread()
    ):
        yield
        return
    before = signal.signal(signal.SIGALRM, _ring)
    signal.setitimer(signal.ITIMER_REAL, max(0.001, deadline - time.monotonic()))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
