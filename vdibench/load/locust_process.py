"""``python -m vdibench.load.locust_process FD``: one process of Locust, told over a line what to be. I/O.

FD is one end of a socket pair to the driver, whose first message is Locust's arguments. They come that way so that
workers can load while the master still chooses its port.
"""

from __future__ import annotations

import os
import socket
import struct
import sys

from locust.main import main as locust_main  # patches the interpreter: before anything that must be patched

from vdibench.load.channel import Unpacker
from vdibench.load.control import CONTROL_VARIABLE
from vdibench.load.roster import forget_roster

__all__ = ["main"]

_LENGTH = struct.Struct("<I")


def main(arguments: list[str]) -> None:
    """Wait for the arguments, then be Locust."""
    descriptor = int(arguments[0])
    line = socket.socket(fileno=descriptor)
    said = _first_message(line)
    if said is None:
        forget_roster()
        sys.exit(1)  # the driver is gone
    line.detach()  # the plugin takes the line over by its descriptor
    os.environ[CONTROL_VARIABLE] = str(descriptor)
    sys.argv = ["locust", *said]
    locust_main()  # type: ignore[no-untyped-call]  # Locust types it not


def _first_message(line: socket.socket) -> list[str] | None:
    """Exactly one message: what follows it is the plugin's to read."""
    length = _exactly(line, _LENGTH.size)
    body = _exactly(line, _LENGTH.unpack(length)[0]) if length is not None else None
    if length is None or body is None:
        return None
    (message,) = Unpacker().feed(length + body)
    return [str(argument) for argument in message["arguments"]]


def _exactly(line: socket.socket, count: int) -> bytes | None:
    held = b""
    while len(held) < count:
        part = line.recv(count - len(held))
        if not part:
            return None
        held += part
    return held


if __name__ == "__main__":
    main(sys.argv[1:])
