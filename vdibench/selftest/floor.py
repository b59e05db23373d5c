"""What the same would cost without this client: packets that are read and thrown away, pictures that are only decoded.

``python -m vdibench.selftest.floor receive|decode``: a process that says its CPU time as one line of JSON. I/O.
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

import av

from vdibench.records import Display
from vdibench.replay.canned import encode
from vdibench.replay.trace import Trace

__all__ = ["main"]

SESSIONS = 10
_BUFFER_BYTES = 2048
_SEND_STEP_SECONDS = 0.001
_POLL_SECONDS = 0.2


def receive(packets_per_second: float, seconds: float) -> float:
    """Cores that one session's datagrams take when nothing is done with them: one poll, one ``recvmsg_into`` each.

    A child sends; only the reading process counts.
    """
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(SESSIONS)]
    poll = select.epoll() if hasattr(select, "epoll") else None
    child: subprocess.Popen[bytes] | None = None
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
            one.setblocking(False)
            if poll is not None:
                poll.register(one.fileno(), select.EPOLLIN)
        ports = [str(one.getsockname()[1]) for one in sockets]
        child = subprocess.Popen(
            [sys.executable, "-m", "vdibench.selftest.floor", "send", str(packets_per_second), str(seconds), *ports]
        )
        by_number = {one.fileno(): one for one in sockets}
        buffer = bytearray(_BUFFER_BYTES)
        received, used, deadline = 0, time.process_time(), time.monotonic() + seconds + 5.0
        while child.poll() is None and time.monotonic() < deadline:
            for number in _ready(poll, sockets):
                try:
                    by_number[number].recvmsg_into([buffer])
                except BlockingIOError:
                    continue
                received += 1
        used = time.process_time() - used
        return used / (received / packets_per_second) if received else 0.0
    finally:
        if child is not None:
            child.kill()
            child.wait()
        if poll is not None:
            poll.close()
        for one in sockets:
            one.close()


def _ready(poll: select.epoll | None, sockets: list[socket.socket]) -> list[int]:
    if poll is not None:
        return [number for number, _ in poll.poll(_POLL_SECONDS)]
    return [one.fileno() for one in select.select(sockets, [], [], _POLL_SECONDS)[0]]


def send(packets_per_second: float, seconds: float, ports: list[int]) -> None:
    """Send datagrams of a session's size to each port, spread evenly."""
    payload = bytes(1200)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        began, sent = time.monotonic(), 0
        while (passed := time.monotonic() - began) < seconds:
            due = int(passed * packets_per_second)
            for _ in range(sent, due):
                for port in ports:
                    out.sendto(payload, ("127.0.0.1", port))
            sent = max(sent, due)
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
    line.add_argument("what", choices=["receive", "decode", "send"])
    line.add_argument("rate", type=float, help="packets a second of one session; of decode the bit rate")
    line.add_argument("seconds", type=float)
    line.add_argument("ports", type=int, nargs="*")
    options = line.parse_args(arguments)
    if options.what == "send":
        send(options.rate, options.seconds, options.ports)
        return
    if options.what == "receive":
        found = receive(options.rate, options.seconds)
    else:
        found = decode(encode(Display(1920, 1080, 60), round(options.rate), 60), options.seconds)
    print(json.dumps({"cpu_ratio_per_session": found, "pid": os.getpid()}), flush=True)


if __name__ == "__main__":
    main()
