"""A stand-in in a process of its own, and what of a session may be left behind in this one."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from watching import until

__all__ = ["Process", "belongings", "nothing_left", "own_process"]


class Process:
    """A stand-in in a process of its own, so that every socket of this process is the client's."""

    def __init__(self, process: asyncio.subprocess.Process, url: str) -> None:
        self.process = process
        self.url = url

    async def behave(self, **changes: Any) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(changes).encode() + b"\n")
        assert await self.process.stdout.readline() == b"changed\n"


@asynccontextmanager
async def own_process() -> AsyncIterator[Process]:
    """The stand-in, started and ended."""
    program = Path(__file__).with_name("standin.py")
    pipe = asyncio.subprocess.PIPE
    child = await asyncio.create_subprocess_exec(sys.executable, str(program), stdin=pipe, stdout=pipe)
    assert child.stdout is not None
    assert child.stdin is not None
    try:
        yield Process(child, (await child.stdout.readline()).decode().strip())
    finally:
        with suppress(ProcessLookupError):  # it ended while it was stopped
            child.send_signal(signal.SIGCONT)
        child.stdin.close()
        await child.wait()


def belongings() -> tuple[set[Any], set[Any], set[Any]]:
    """Tasks, threads and sockets of this process; the loop's own thread pool belongs to the loop."""
    threads = {thread for thread in threading.enumerate() if not thread.name.startswith("asyncio_")}
    sockets = {(c.fd, c.laddr) for c in psutil.Process().net_connections("inet")}
    return asyncio.all_tasks(), threads, sockets


async def nothing_left(before: tuple[set[Any], set[Any], set[Any]]) -> None:
    def left() -> list[Any]:
        return [item for now, then in zip(belongings(), before, strict=True) for item in now - then]

    try:
        await until(lambda: not left(), 1.0)
    except TimeoutError:
        pytest.fail(f"left behind: {left()}")
