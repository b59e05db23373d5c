"""A process with nothing but clients of one mode: what it takes is what the mode costs. I/O.

``python -m vdibench.selftest.client`` says one line of JSON when all sessions show video, begins to count at the first
line of its standard input and says the result at the second; the end of its input ends it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import sys
import time
from collections.abc import Mapping
from typing import Any

import psutil

from vdibench.client import DesktopSession, FrameRecord, InputRecord, Mode, NetworkRecord, SessionOptions
from vdibench.errors import VdibenchError
from vdibench.records import Desktop, Endpoint

__all__ = ["main"]

# Handshakes of many sessions at once would run into each other's time-outs.
_AT_ONCE = 8
_CONNECT_SECONDS = 30.0
_NATIVE = {"auto": None, "on": True, "off": False, "decrypt": True}


class _Counts:
    """A sink that keeps nothing but the number of pictures and how late the loop was."""

    def __init__(self) -> None:
        self.decoded = 0
        self.lag_seconds = 0.0

    def frame(self, session: str, record: FrameRecord) -> None:
        self.decoded += record.decoded_unix_seconds == record.decoded_unix_seconds

    def input(self, session: str, record: InputRecord) -> None:
        """Nothing is pressed."""

    def network(self, session: str, record: NetworkRecord) -> None:
        self.lag_seconds = max(self.lag_seconds, record.event_loop_lag_seconds)

    def milestone(self, session: str, event: str, unix_seconds: float) -> None:
        """Connecting is not what is measured."""

    def fact(self, session: str, key: str, value: str) -> None:
        """All sessions are alike."""

    def row(self, session: str, table: str, values: Mapping[str, Any]) -> None:
        """Nothing else is kept."""


async def _run(url: str, mode: Mode, count: int, native: str) -> None:
    loop = asyncio.get_running_loop()
    lines = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    sink = _Counts()
    options = SessionOptions(
        mode=mode, connect_timeout_seconds=_CONNECT_SECONDS, native=_NATIVE[native], authenticate=native == "decrypt"
    )
    sessions = [DesktopSession(Desktop(f"desktop-{n}", Endpoint(url)), sink, options) for n in range(count)]
    gate = asyncio.Semaphore(_AT_ONCE)
    before = _resident()

    async def connect(session: DesktopSession) -> None:
        async with gate:
            await session.connect()
            await session.first_frame()

    try:
        await asyncio.gather(*map(connect, sessions))
        _say({"ready": count})
        if await lines.readline():
            await _count(sessions, sink, lines, (_resident() - before) / count)
    finally:
        await asyncio.gather(*(session.leave() for session in sessions))


async def _count(sessions: list[DesktopSession], sink: _Counts, lines: asyncio.StreamReader, grown: float) -> None:
    sink.lag_seconds = 0.0
    received, decoded = _received(sessions), sink.decoded
    used, began = _used(), time.monotonic()
    await lines.readline()
    used, seconds = _used() - used, time.monotonic() - began
    _say(
        {
            "seconds": seconds,
            "cpu_seconds": used,
            "packets": _received(sessions) - received,
            "decoded": sink.decoded - decoded,
            "lag_seconds": sink.lag_seconds,
            "rss_bytes_per_session": grown,
        }
    )


def _received(sessions: list[DesktopSession]) -> float:
    return sum(session.read().packets_received for session in sessions)


def _used() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _resident() -> int:
    return int(psutil.Process().memory_info().rss)


def _say(document: dict[str, Any]) -> None:
    print(json.dumps(document), flush=True)


def main(arguments: list[str] | None = None) -> None:
    """Watch a desktop with so many sessions."""
    line = argparse.ArgumentParser(prog="python -m vdibench.selftest.client", description=main.__doc__)
    line.add_argument("--url", required=True)
    line.add_argument("--mode", type=Mode, choices=list(Mode), required=True)
    line.add_argument("--sessions", type=int, default=1)
    line.add_argument(
        "--native",
        choices=list(_NATIVE),
        default="auto",
        help="the native receiver: where it is installed, always, never, or always and every packet decrypted",
    )
    options = line.parse_args(arguments)
    try:
        asyncio.run(_run(options.url, options.mode, options.sessions, options.native))
    except VdibenchError as error:
        _say({"error": str(error)})
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
