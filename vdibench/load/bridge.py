"""A worker's end of the pipe to its engine: calls that look blocking, many greenlets at once. I/O; gevent only.

The engine is started from the worker's main thread, because the kernel ties a process to the thread that made it.
"""

from __future__ import annotations

import itertools
import os
import socket as plain_socket
import subprocess as plain_subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import gevent
import gevent.event
import gevent.lock
import gevent.socket
import gevent.subprocess

from vdibench.errors import EngineLost, LoadError, VdibenchError
from vdibench.load.channel import Unpacker, packed
from vdibench.load.messages import Failure

__all__ = ["Answer", "EngineBridge"]

_HELLO_SECONDS = 30.0
_CLOSE_SECONDS = 4.0
_REAP_SECONDS = 1.0
_RECEIVE_BYTES = 1 << 16
_REMEDY = "look at the worker's log above it; memory and signals are what ends a process"


@dataclass(frozen=True, slots=True)
class Answer:
    """What an engine answered.

    :param error: what went wrong in the session; None when nothing did.
    :param waited_seconds: of the time until the answer, what the session waited for its turn.
    """

    value: Any
    error: VdibenchError | None
    waited_seconds: float

    def take(self) -> Any:
        """The value.

        :raises VdibenchError: what went wrong.
        """
        if self.error is not None:
            raise self.error
        return self.value


class EngineBridge:
    """Starts an engine and talks to it.

    :param on_message: called with each message that answers no call, in the reader's greenlet.
    :param on_loss: called once when the engine is gone without having been closed, with the error.
    """

    def __init__(
        self, on_message: Callable[[Mapping[str, Any]], None], on_loss: Callable[[VdibenchError], None]
    ) -> None:
        self._on_message = on_message
        self._on_loss = on_loss
        self._waiting: dict[int, gevent.event.AsyncResult] = {}
        self._numbers = itertools.count(1)
        self._sending = gevent.lock.RLock()
        self._lost: VdibenchError | None = None
        self._closing = False
        self._hello = gevent.event.AsyncResult()
        ours, theirs = gevent.socket.socketpair(plain_socket.AF_UNIX, plain_socket.SOCK_STREAM)
        try:
            self._process = gevent.subprocess.Popen(
                [sys.executable, "-m", "vdibench.load.engine", str(theirs.fileno()), str(os.getpid())],
                pass_fds=[theirs.fileno()],
                stdin=plain_subprocess.DEVNULL,
            )
        finally:
            theirs.close()
        self._socket = ours
        self._reader = gevent.spawn(self._read)

    @property
    def pid(self) -> int:
        """Of the engine."""
        return int(self._process.pid)

    def wait(self) -> Mapping[str, Any]:
        """Wait until the engine serves; returns what it said of itself.

        :raises VdibenchError: it failed to, and why.
        """
        try:
            hello: Mapping[str, Any] = self._hello.get(timeout=_HELLO_SECONDS)
        except gevent.Timeout as error:
            raise EngineLost(
                f"the engine said nothing for {_HELLO_SECONDS:g} s", "try again on a machine with less load"
            ) from error
        return hello

    def call(self, verb: str, *, timeout_seconds: float, **arguments: Any) -> Any:
        """Ask the engine, wait for its answer and take it.

        :raises EngineLost: it is gone, or goes meanwhile.
        :raises LoadError: no answer in time.
        :raises VdibenchError: what went wrong in the session.
        """
        return self.ask(verb, timeout_seconds=timeout_seconds, **arguments).take()

    def ask(self, verb: str, *, timeout_seconds: float, **arguments: Any) -> Answer:
        """Ask the engine and wait for its answer.

        :raises EngineLost: it is gone, or goes meanwhile.
        :raises LoadError: no answer in time.
        """
        number = next(self._numbers)
        result = self._waiting[number] = gevent.event.AsyncResult()
        try:
            self._send({"id": number, "verb": verb, **arguments})
            answer = result.get(timeout=timeout_seconds)
        except gevent.Timeout as error:
            raise LoadError(
                f"the engine did not answer {verb!r} within {timeout_seconds:g} s", "use more workers, or fewer users"
            ) from error
        finally:
            self._waiting.pop(number, None)
        wrong = Failure.read(answer["failure"]).error() if "failure" in answer else None
        return Answer(answer.get("ok"), wrong, float(answer.get("waited_seconds", 0.0)))

    def tell(self, verb: str, **arguments: Any) -> None:
        """Say something that is not answered.

        :raises EngineLost: it is gone.
        """
        self._send({"verb": verb, **arguments})

    def _send(self, message: Mapping[str, Any]) -> None:
        if self._lost is not None:
            raise _again(self._lost)
        data = packed(message)
        try:
            with self._sending:  # a large message may take turns with the reader's greenlet
                self._socket.sendall(data)
        except OSError as error:
            raise _again(self._lost or EngineLost(f"the engine is gone: {error.strerror}", _REMEDY)) from error

    def _read(self) -> None:
        unpacker, cause = Unpacker(), ""
        try:
            while data := self._socket.recv(_RECEIVE_BYTES):
                for message in unpacker.feed(data):
                    self._take(message)
        except OSError as error:
            cause = f": {error.strerror}"
        except LoadError as error:
            cause = f": {error.cause}"
        self._gone(cause)

    def _take(self, message: dict[str, Any]) -> None:
        if "id" in message:
            if (result := self._waiting.get(message["id"])) is not None:
                result.set(message)
        elif message.get("say") == "hello":
            self._hello.set(message)
        elif message.get("say") == "fault":
            self._lose(Failure.read(message).error())
        else:
            self._on_message(message)

    def _gone(self, cause: str) -> None:
        try:
            code = self._process.wait(timeout=_REAP_SECONDS)
            how = f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"
        except gevent.subprocess.TimeoutExpired:
            how = "closed its channel"
        self._lose(EngineLost(f"engine process {self._process.pid} {how}{cause}", _REMEDY))

    def _lose(self, error: VdibenchError) -> None:
        if self._lost is not None:
            return
        self._lost = error
        for result in (*self._waiting.values(), self._hello):
            if not result.ready():
                result.set_exception(_again(error))
        if not self._closing:
            self._on_loss(error)

    def close(self) -> None:
        """Have the engine end its sessions and write its samples; it is gone afterwards. Safe to call twice."""
        self._closing = True
        with suppress(VdibenchError):  # it is gone already
            self._send({"verb": "quit"})
        try:
            self._process.wait(timeout=_CLOSE_SECONDS)
        except gevent.subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.kill()
        self._socket.close()


def _again(error: VdibenchError) -> VdibenchError:
    """The same error, for another greenlet: one that is raised twice gathers two tracebacks."""
    return type(error)(error.cause, error.remedy)
