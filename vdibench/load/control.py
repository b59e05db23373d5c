"""The line between a driver and the Locust processes it started: messages, and who is gone. I/O; gevent only.

A process that a driver started ends when the driver does, however that happened: the line's end closes with it.
"""

from __future__ import annotations

import os
import socket as plain_socket
from collections.abc import Callable, Mapping
from typing import Any

import gevent
import gevent.lock
import gevent.socket

from vdibench.errors import LoadError
from vdibench.load.channel import Unpacker, packed

__all__ = ["CONTROL_VARIABLE", "ControlLine", "open_control_line", "watch_parent"]

CONTROL_VARIABLE = "VDIBENCH_CONTROL_FD"

_RECEIVE_BYTES = 1 << 16
_PARENT_SECONDS = 0.5


class ControlLine:
    """One end of the line.

    :param on_message: called with each message, in the reader's greenlet.
    :param on_end: called once when the other end closed.
    """

    def __init__(
        self, descriptor: int, on_message: Callable[[dict[str, Any]], None], on_end: Callable[[], None]
    ) -> None:
        self._socket = gevent.socket.socket(plain_socket.AF_UNIX, plain_socket.SOCK_STREAM, fileno=descriptor)
        self._on_message = on_message
        self._on_end = on_end
        self._sending = gevent.lock.RLock()
        self._reader = gevent.spawn(self._read)

    def say(self, message: Mapping[str, Any]) -> None:
        """Send a message; nothing happens when nobody is there any more."""
        data = packed(message)
        try:
            with self._sending:
                self._socket.sendall(data)
        except OSError:
            return  # the reader tells of it

    def _read(self) -> None:
        unpacker = Unpacker()
        try:
            while data := self._socket.recv(_RECEIVE_BYTES):
                for message in unpacker.feed(data):
                    self._on_message(message)
        except (OSError, LoadError):
            pass  # as good as closed
        self._on_end()


def open_control_line(on_message: Callable[[dict[str, Any]], None], on_end: Callable[[], None]) -> ControlLine | None:
    """The line to the driver that started this process; None where none did."""
    text = os.environ.get(CONTROL_VARIABLE, "")
    return ControlLine(int(text), on_message, on_end) if text else None


def watch_parent(on_end: Callable[[], None]) -> None:
    """Call ``on_end`` once when the process that started this one is gone."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            gevent.sleep(_PARENT_SECONDS)  # no event tells of a parent's end
        on_end()

    gevent.spawn(watch)
