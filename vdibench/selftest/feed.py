"""Datagrams of a trace to sockets of this host, as the replay sends them but with no session around: for floors. I/O.

``python -m vdibench.selftest.feed --seconds S PORT...`` says one line of JSON and sends until its standard input ends.
Each port is a session: its own socket, its own phase, the replay's :class:`vdibench.replay.playback.Playback`, its tick
and, where it is there, its native sender. Nothing is encrypted; each packet is as long as if it were.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import random
import socket
import sys
from pathlib import Path
from typing import Any

from vdibench.client.native import native_module
from vdibench.errors import VdibenchError
from vdibench.records import Display
from vdibench.replay.canned import encode
from vdibench.replay.playback import Playback
from vdibench.replay.senders import PythonSender
from vdibench.replay.trace import Trace, load_trace

__all__ = ["Feed", "main", "packets_within", "picture"]

_TICK_SECONDS = 0.001
_PAYLOAD_TYPE = 97
# What authenticates a packet by AES-GCM.
_TAG = bytes(16)
_CANNED, _CANNED_FRAMES = Display(1920, 1080, 60), 120


def picture(trace: Path | None, bitrate_bps: float) -> Trace:
    """The trace of a file, or the canned one that the replay makes where it is given none.

    :raises VdibenchError: the file is none.
    """
    return load_trace(trace) if trace is not None else encode(_CANNED, round(bitrate_bps), _CANNED_FRAMES)


def packets_within(trace: Trace, seconds: float) -> int:
    """Packets of one session that leave in the first seconds of a playback."""
    passes, rest = divmod(seconds, trace.seconds)
    origin = trace.frames[0].first
    begun = [
        len(payloads)
        for frame, payloads in zip(trace.frames, trace.payloads, strict=True)
        if frame.first - origin < rest
    ]
    return int(passes) * sum(map(len, trace.payloads)) + sum(begun)


class Feed:
    """One session's packets to one port; :attr:`due` is when it has some, on the clock of ``began``."""

    def __init__(self, trace: Trace, packets: list[list[bytes]], port: int, began: float) -> None:
        self._packets = packets
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._udp.setblocking(False)
        self._playback = Playback(trace, began, phase=random.random())
        address = ("127.0.0.1", port)
        native = native_module()
        self._out: Any = (
            PythonSender(bytes, self._udp, address, port, _PAYLOAD_TYPE)
            if native is None
            else native.Sender(self._udp.fileno(), *address, b"", 0, port, _PAYLOAD_TYPE)
        )
        self.due = self._playback.due

    def send(self, now: float) -> None:
        """Send what is due."""
        while (part := self._playback.take(now)) is not None:
            self._out.send(self._packets[part.frame][part.begin : part.end], part.timestamp, part.ends)
        self.due = self._playback.due

    def close(self) -> None:
        """Send no more."""
        self._udp.close()


async def _run(trace: Trace, seconds: float, ports: list[int]) -> None:
    loop = asyncio.get_running_loop()
    lines = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    packets = [[payload + _TAG for payload in payloads] for payloads in trace.payloads]
    print(json.dumps({"packets_per_second": packets_within(trace, seconds) / seconds}), flush=True)
    # As in the replay: no collection needs to walk through the trace between two frames.
    gc.collect()
    gc.freeze()
    ended = asyncio.ensure_future(lines.read())
    feeds = [Feed(trace, packets, port, loop.time()) for port in ports]
    try:
        while not ended.done():
            now = loop.time()
            for feed in feeds:
                if feed.due <= now:
                    feed.send(now)
            await asyncio.sleep(_TICK_SECONDS)  # the replay's pace
    finally:
        ended.cancel()
        for feed in feeds:
            feed.close()


def main(arguments: list[str] | None = None) -> None:
    """Send to each port what one session of the replay would get."""
    line = argparse.ArgumentParser(prog="python -m vdibench.selftest.feed", description=main.__doc__)
    line.add_argument("--trace", type=Path, help="else a canned picture is encoded")
    line.add_argument("--bitrate", type=float, default=8_500_000)
    line.add_argument("--seconds", type=float, required=True, help="whose packets a second are said")
    line.add_argument("ports", type=int, nargs="+")
    options = line.parse_args(arguments)
    try:
        asyncio.run(_run(picture(options.trace, options.bitrate), options.seconds, options.ports))
    except VdibenchError as error:
        print(json.dumps({"error": str(error)}), flush=True)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
