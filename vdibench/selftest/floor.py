"""What the same would cost without this client: packets that are read and thrown away, pictures that are only decoded.

``python -m vdibench.selftest.floor receive|recvfrom|recvmmsg|decode``: a process that says its CPU time as one line of
JSON. ``receive`` reads as Python does, ``recvfrom`` and ``recvmmsg`` are plain C, the latter with the rests that the
native receiver takes. What they read comes from :mod:`vdibench.selftest.feed`: the packets of the replay in its rhythm.
I/O.
"""

from __future__ import annotations

import argparse
import json
import select
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import av

from vdibench.children import Child
from vdibench.client.datagrams import prepare
from vdibench.client.native import native_module
from vdibench.client.rounds import REST_SECONDS
from vdibench.errors import VdibenchError
from vdibench.selftest.feed import picture

__all__ = ["main"]

_WHAT = ("receive", "recvfrom", "recvmmsg", "decode")

_BUFFER_BYTES = 2048
_POLL_SECONDS = 0.2
# Until a child on a full machine has a picture to send.
_START_SECONDS = 60.0


@contextmanager
def _fed(options: argparse.Namespace) -> Iterator[tuple[list[socket.socket], float]]:
    """Sockets to which a child sends now, and how many packets a second it plans for each."""
    with ExitStack() as stack:
        sockets = [
            stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(options.sessions)
        ]
        for one in sockets:
            prepare(one)
            one.bind(("127.0.0.1", 0))
        source = ["--trace", str(options.trace)] if options.trace else ["--bitrate", str(options.bitrate)]
        ports = [str(one.getsockname()[1]) for one in sockets]
        feed = stack.enter_context(
            Child("vdibench.selftest.feed", (*source, "--seconds", str(options.seconds), *ports))
        )
        planned = feed.hear(_START_SECONDS)["packets_per_second"]
        select.select(sockets, [], [], _START_SECONDS)
        yield sockets, planned


def _receive(sockets: list[socket.socket], seconds: float) -> dict[str, float]:
    """One poll, one ``recvmsg_into`` each."""
    poll = select.epoll() if hasattr(select, "epoll") else None
    for one in sockets:
        if poll is not None:
            poll.register(one.fileno(), select.EPOLLIN)
    by_number = {one.fileno(): one for one in sockets}
    buffer = bytearray(_BUFFER_BYTES)
    received, used, began = 0, time.process_time(), time.monotonic()
    while time.monotonic() - began < seconds:
        for number in _ready(poll, sockets):
            try:
                by_number[number].recvmsg_into([buffer])
            except BlockingIOError:
                continue
            received += 1
    used, passed = time.process_time() - used, time.monotonic() - began
    if poll is not None:
        poll.close()
    return {"packets": received, "cpu_seconds": used, "seconds": passed}


def _ready(poll: select.epoll | None, sockets: list[socket.socket]) -> list[int]:
    if poll is not None:
        return [number for number, _ in poll.poll(_POLL_SECONDS)]
    return [one.fileno() for one in select.select(sockets, [], [], _POLL_SECONDS)[0]]


def _read(options: argparse.Namespace) -> dict[str, float]:
    """What reading takes.

    :raises UsageError: the native module is not installed.
    """
    native: Any = native_module(True) if options.what != "receive" else None
    with _fed(options) as (sockets, planned):
        found = (
            _receive(sockets, options.seconds)
            if native is None
            else native.floor([one.fileno() for one in sockets], options.seconds, options.what, REST_SECONDS)
        )
    return {
        "cpu_seconds": found["cpu_seconds"],
        "seconds": found["seconds"],
        "count": found["packets"],
        "planned": planned * found["seconds"] * options.sessions,
    }


def _decode(options: argparse.Namespace) -> dict[str, float]:
    """What FFmpeg alone takes for the pictures of one session, one thread; ``seconds`` are those of the pictures."""
    trace = picture(options.trace, options.bitrate)
    codec = av.CodecContext.create("h264", "r")
    codec.thread_count = 1
    frames, used, began = 0, time.process_time(), time.monotonic()
    while time.monotonic() - began < options.seconds:
        for frame in trace.frames:
            frames += len(codec.decode(av.Packet(frame.access_unit)))
            if time.monotonic() - began >= options.seconds:
                break
    used = time.process_time() - used
    return {"cpu_seconds": used, "seconds": frames / trace.frames_per_second, "count": frames, "planned": frames}


def main(arguments: list[str] | None = None) -> None:
    """Measure one floor."""
    line = argparse.ArgumentParser(prog="python -m vdibench.selftest.floor", description=main.__doc__)
    line.add_argument("what", choices=_WHAT)
    line.add_argument("seconds", type=float)
    line.add_argument("sessions", type=int)
    line.add_argument("--trace", type=Path, help="else a canned picture is encoded")
    line.add_argument("--bitrate", type=float, default=8_500_000)
    options = line.parse_args(arguments)
    try:
        found = _decode(options) if options.what == "decode" else _read(options)
    except VdibenchError as error:
        print(json.dumps({"error": str(error)}), flush=True)
        sys.exit(error.exit_code)
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
