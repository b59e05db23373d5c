"""Compares clocks by the web server of a desktop, for sessions that have no other way. I/O; in the session's loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from vdibench.client.clock import WEB_SOURCE, ClockEstimator, WebClock
from vdibench.client.http import DesktopHttp
from vdibench.errors import TargetUnavailable

__all__ = ["follow_web_clock"]

_RETRY_SECONDS = 5.0


async def follow_web_clock(
    http: DesktopHttp, estimator: ClockEstimator, row: Callable[[str, Mapping[str, Any]], None]
) -> None:
    """Compare until cancelled: about ten small requests in as many seconds, then one every five.

    :param row: receives each row of table ``clock``.
    :return: only where the server's time cannot be told, since a proxy states its own.
    """
    clock = WebClock(estimator)
    while True:
        await asyncio.sleep(clock.next_request(time.time()) - time.time())  # when the server's second is about to turn
        try:
            reading = await http.date()
        except TargetUnavailable:
            # The session itself says what became of the desktop.
            await asyncio.sleep(_RETRY_SECONDS)
            continue
        if reading is None:
            return
        with suppress(ValueError):  # our own clock was set in between
            row("clock", clock.answered(*reading).row(WEB_SOURCE))
