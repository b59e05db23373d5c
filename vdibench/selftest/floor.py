"""What the same would cost without this client: packets that are read and thrown away, pictures that are only decoded.

``python -m vdibench.selftest.floor receive|recvfrom|recvmmsg|decode``: a process that says its CPU time as one line of
JSON. ``receive`` reads as Python does, ``recvfrom`` and ``recvmmsg`` are plain C, the latter with the rests that the
native receiver takes. I/O.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import av

from vdibench.client.datagrams import prepare
from vdibench.client.native import native_module
from vdibench.client.rounds import REST_SECONDS
from vdibench.records import Display
from vdibench.replay.canned import encode
from vdibench.replay.trace import Trace

__all__ = ["main"]

SESSIONS = 10
_BUFFER_BYTES = 2048
_SEND_STEP_SECONDS = 0.001
_POLL_SECONDS = 0.2
# Until a child on a full machine begins to send.
_START_SECONDS = 20.0
_LEAD_SECONDS = 1.0


@contextmanager
def _fed(sessions: int, packets_per_second: float, seconds: float) -> Iterator[tuple[list[socket.socket], Any]]:
    """Sockets to which a child sends for so long, and the child."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(sessions)]
        for one in sockets:
            prepare(one)
            one.bind(("127.0.0.1", 0))
        ports = [str(one.getsockname()[1]) for one in sockets]
        child = subprocess.Popen(
            [sys.executable, "-m", "vdibench.selftest.floor", "send", str(packets_per_second), str(seconds), *ports]
        )
        try:
            yield sockets, child
        finally:
            child.kill()
            child.wait()


def receive(packets_per_second: float, seconds: float, sessions: int) -> float:
    """Cores that one session's datagrams take when nothing is done with them: one poll, one ``recvmsg_into`` each.

    A child sends; only the reading process counts.
    """
    poll = select.epoll() if hasattr(select, "epoll") else None
    with _fed(sessions, packets_per_second, seconds) as (sockets, child):
        for one in sockets:
            if poll is not None:
                poll.register(one.fileno(), select.EPOLLIN)
        by_number = {one.fileno(): one for one in sockets}
        buffer = bytearray(_BUFFER_BYTES)
        received, used, deadline = 0, time.process_time(), time.monotonic() + seconds + _START_SECONDS
        while child.poll() is None and time.monotonic() < deadline:
            for number in _ready(poll, sockets):
                try:
                    by_number[number].recvmsg_into([buffer])
                except BlockingIOError:
                    continue
                received += 1
        used = time.process_time() - used
        if poll is not None:
            poll.close()
    return used / (received / packets_per_second) if received else 0.0


def receive_plainly(mode: str, packets_per_second: float, seconds: float, sessions: int) -> float:
    """The same by the native module's loop of plain C, which looks at nothing either.

    :param mode: ``recvfrom``, one call a datagram as it comes; ``recvmmsg``, many at once after a rest.
    :raises UsageError: the native module is not installed.
    """
    native = native_module(True)
    with _fed(sessions, packets_per_second, seconds + _LEAD_SECONDS) as (sockets, _):
        select.select(sockets, [], [], _START_SECONDS)
        found = native.floor([one.fileno() for one in sockets], seconds, mode, REST_SECONDS)
    return float(found["cpu_seconds"] / (found["packets"] / packets_per_second)) if found["packets"] else 0.0


def _ready(poll: select.epoll | None, sockets: list[socket.socket]) -> list[int]:
    if poll is not None:
        return [number for number, _ in poll.poll(_POLL_SECONDS)]
    return [one.fileno() for one in select.select(sockets, [], [], _POLL_SECONDS)[0]]


def send(packets_per_second: float, seconds: float, ports: list[int]) -> None:
    """Send datagrams of a session's size to each port, spread evenly, each port at a phase of its own."""
    payload = bytes(1200)
    ways = [(("127.0.0.1", port), number / len(ports)) for number, port in enumerate(ports)]
    sent = [0] * len(ways)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        began = time.monotonic()
        while (passed := time.monotonic() - began) < seconds:
            for number, (address, phase) in enumerate(ways):
                due = int(passed * packets_per_second + phase)
                for _ in range(sent[number], due):
                    out.sendto(payload, address)
                sent[number] = max(sent[number], due)
            time.sleep(_SEND_STEP_SECONDS)  # the pace is what is wanted


def decode(trace: Trace, seconds: float) -> float:
    """Cores that FFmpeg alone takes for a trace at its own rate, one thread."""
    codec = av.CodecContext.create("h264", "r")
    codec.thread_count = 1
    frames, used, began = 0, time.process_time(), time.monotonic()
    while time.monotonic() - began < seconds:
        for frame in trace.frames:
            frames += len(codec.decode(av.Packet(frame.access_unit)))
            if time.monotonic() - began >= seconds:
                break
    used = time.process_time() - used
    return used / (frames / trace.frames_per_second) if frames else 0.0


def main(arguments: list[str] | None = None) -> None:
    """Measure one floor."""
    line = argparse.ArgumentParser(prog="python -m vdibench.selftest.floor", description=main.__doc__)
    line.add_argument("what", choices=["receive", "recvfrom", "recvmmsg", "decode", "send"])
    line.add_argument("rate", type=float, help="packets a second of one session; of decode the bit rate")
    line.add_argument("seconds", type=float)
    line.add_argument("numbers", type=int, nargs="*", help="sessions to receive, or ports to send to")
    options = line.parse_args(arguments)
    sessions = options.numbers[0] if options.numbers else SESSIONS
    if options.what == "send":
        send(options.rate, options.seconds, options.numbers)
        return
    if options.what == "receive":
        found = receive(options.rate, options.seconds, sessions)
    elif options.what != "decode":
        found = receive_plainly(options.what, options.rate, options.seconds, sessions)
    else:
        found = decode(encode(Display(1920, 1080, 60), round(options.rate), 60), options.seconds)
    print(json.dumps({"cpu_ratio_per_session": found, "pid": os.getpid()}), flush=True)


if __name__ == "__main__":
    main()
