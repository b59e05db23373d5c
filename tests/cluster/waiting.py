"""Waiting for what other processes and the cluster's controllers do: there is nothing of them to wait on."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE = 90.0  # for a busy machine; what is waited for comes in seconds


def until(condition: Callable[[], object], what: str, *, seconds: float = PATIENCE, pause: float = 0.1) -> None:
    """Look again and again; :param what: is named when it did not come."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come"
        time.sleep(pause)  # nothing announces it
