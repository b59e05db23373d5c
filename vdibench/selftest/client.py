"""A process with nothing but clients of one mode: what it takes is what the mode costs. I/O.

``python -m vdibench.selftest.client`` says one line of JSON when all sessions show video, begins to count at the first
line of its standard input and says the result at the second; the end of its input ends it.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import math
import resource
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import psutil

from vdibench.client import DesktopSession, FrameRecord, InputRecord, Mode, NetworkRecord, SessionOptions
from vdibench.errors import VdibenchError
from vdibench.records import Desktop, Endpoint
from vdibench.replay.departures import DepartureLog

__all__ = ["main"]

# Handshakes of many sessions at once would run into each other's time-outs.
_AT_ONCE = 8
_CONNECT_SECONDS = 30.0
# 300 looks in six seconds; each is part of the cost that is measured beside it.
_LOOK_SECONDS = 0.02
_NATIVE = {"auto": None, "on": True, "off": False, "decrypt": True}


class _Lag:
    """How late the loop is, looked at by a bare timer: a task that sleeps as often would be part of the cost."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._found: list[float] = []
        self._look()

    def _look(self) -> None:
        due = time.perf_counter() + _LOOK_SECONDS  # finer than the millisecond of uvloop's own clock
        self._timer = self._loop.call_later(_LOOK_SECONDS, self._woken, due)

    def _woken(self, due: float) -> None:
        self._found.append(max(0.0, time.perf_counter() - due))
        self._look()

    def take(self) -> tuple[float | None, int]:
        """The 99th percentile (nearest rank) in seconds, None without a look, and how many; looks no more."""
        self._timer.cancel()
        found = sorted(self._found)
        return (found[math.ceil(0.99 * len(found)) - 1] if found else None), len(found)


class _Counts:
    """A sink that keeps nothing but the number of pictures.

    :ivar frames: arrivals of complete frames by session, where they are wanted.
    """

    def __init__(self, *, frames: bool) -> None:
        self.decoded = 0
        self.frames: dict[str, DepartureLog] | None = {} if frames else None

    def frame(self, session: str, record: FrameRecord) -> None:
        self.decoded += record.decoded_unix_seconds == record.decoded_unix_seconds
        if self.frames is not None and record.complete:
            self.frames.setdefault(session, DepartureLog()).note(record.rtp_timestamp, record.arrival_unix_seconds)

    def input(self, session: str, record: InputRecord) -> None:
        """Nothing is pressed."""

    def network(self, session: str, record: NetworkRecord) -> None:
        """Counters are read at both ends."""

    def milestone(self, session: str, event: str, unix_seconds: float) -> None:
        """Connecting is not what is measured."""

    def fact(self, session: str, key: str, value: str) -> None:
        """All sessions are alike."""

    def row(self, session: str, table: str, values: Mapping[str, Any]) -> None:
        """Nothing else is kept."""


async def _run(url: str, mode: Mode, count: int, native: str, *, frames: bool) -> None:
    loop = asyncio.get_running_loop()
    lines = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    sink = _Counts(frames=frames)
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
    if sink.frames is not None:
        sink.frames.clear()
    before, decoded = [session.read() for session in sessions], sink.decoded
    lag = _Lag(asyncio.get_running_loop())
    used, began = _used(), time.monotonic()
    await lines.readline()
    used, seconds = _used() - used, time.monotonic() - began
    late, looks = lag.take()
    pairs = list(zip((session.read() for session in sessions), before, strict=True))
    _say(
        {
            "seconds": seconds,
            "cpu_seconds": used,
            "packets": sum(now.packets_received - then.packets_received for now, then in pairs),
            "drops": sum(now.socket_drops - then.socket_drops for now, then in pairs),
            "decoded": sink.decoded - decoded,
            "lag_p99_seconds": late,
            "lag_looks": looks,
            "frames": {session: log.take() for session, log in (sink.frames or {}).items()},
            "rss_bytes_per_session": grown,
        }
    )


def _used() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _resident() -> int:
    return int(psutil.Process().memory_info().rss)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """The event loop of the load engine, where it is installed."""
    try:
        factory: Callable[[], asyncio.AbstractEventLoop] = importlib.import_module("uvloop").new_event_loop
    except ImportError:
        return None
    return factory


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
    line.add_argument("--frames", action="store_true", help="say when each frame arrived, too")
    options = line.parse_args(arguments)
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_run(options.url, options.mode, options.sessions, options.native, frames=options.frames))
    except VdibenchError as error:
        _say({"error": str(error)})
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
