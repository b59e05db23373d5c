"""The engine: a process of its own beside a Locust worker that hosts the sessions of its users. I/O.

``python -m vdibench.load.engine FD PARENT``: FD is one end of a socket pair to the worker, PARENT the worker's process.
It is executed and never forked from a patched interpreter, because gevent's patches and asyncio do not mix: aiortc
connects in a patched process and shows no frame. The roster that :data:`ROSTER_VARIABLE` names says what it watches and
where samples go.

It asks for nothing but messages (:mod:`vdibench.load.channel`): requests with an ``id`` are answered, the rest are not.
It ends when the worker asks, when the channel's other end closes, when the worker is gone or upon SIGTERM; sessions
leave and samples are written first, within :data:`ENDING_SECONDS`.
"""

from __future__ import annotations

import asyncio
import ctypes
import dataclasses
import faulthandler
import os
import signal
import socket
import sys
import time
from typing import Any

from vdibench.errors import VdibenchError
from vdibench.load.batches import BatchRecorder
from vdibench.load.channel import Unpacker, packed
from vdibench.load.health import LoopLag, ProcessUse
from vdibench.load.hosting import SessionHost
from vdibench.load.loop import SessionGarbage, run
from vdibench.load.messages import EngineSecond, Failure
from vdibench.load.roster import ROSTER_VARIABLE, read_roster
from vdibench.load.seconds import SecondTally
from vdibench.load.spool import open_folder
from vdibench.metrics import STEADY
from vdibench.recorder import Place

__all__ = ["ENDING_SECONDS", "Engine", "main"]

ENDING_SECONDS = 2.5
"""Sessions have this long to leave and samples to be written, before the process ends all the same."""

_HAND_OVER_SECONDS = 0.1
_AT_ONCE = 1000  # rows: two milliseconds of the loop
_PARENT_SECONDS = 0.5
_LEAVE_SECONDS = 1.5
_RECEIVE_BYTES = 1 << 16
_PR_SET_PDEATHSIG = 1
_GAUGES = ("frames", "freezes", "bytes_received", "packets_lost", "histograms")


class Engine:
    """Serves one worker until it ends.

    :param parent: the worker's process.
    """

    def __init__(self, channel: socket.socket, parent: int) -> None:
        channel.setblocking(False)
        self._channel = channel
        self._parent = parent
        self._roster = read_roster(os.environ.get(ROSTER_VARIABLE, ""))
        self._folder, self._spool = open_folder(self._roster)
        self._recorder = BatchRecorder(self._folder, self._first_place())
        self._host = SessionHost(self._roster, self._recorder, self._session_failed)
        self._tally = SecondTally(self._host.offset)
        self._lag, self._use, self._garbage = LoopLag(), ProcessUse(), SessionGarbage()
        self._name = "engine-0"
        self._users, self._worker_cpu_ratio = -1, float("nan")
        self._out: asyncio.Queue[bytes] = asyncio.Queue()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._over = asyncio.Event()
        self._rows = 0

    def _first_place(self) -> Place:
        """Where rows belong until somebody says: a load that nobody steers is one level, and all of it counts."""
        if self._roster.controlled:
            return Place(self._roster.suite)
        return Place(self._roster.suite, level=len(self._roster.desktops), phase=STEADY)

    async def serve(self) -> None:
        """Serve until the worker asks to end, is gone, or SIGTERM comes."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._over.set)
        for work in (
            self._hear(),
            self._speak(),
            self._beat(),
            self._hand_over(),
            self._watch_parent(),
            self._lag.watch(),
        ):
            self._keep(work)
        spool = str(self._spool or "")
        self.say({"say": "hello", "pid": os.getpid(), "loop": type(loop).__module__, "spool": spool})
        await self._over.wait()
        # Whatever hangs from here on does so for a bounded time: this thread of C needs no interpreter.
        faulthandler.dump_traceback_later(ENDING_SECONDS, exit=True)
        try:
            async with asyncio.timeout(_LEAVE_SECONDS):
                await self._host.leave()
        except TimeoutError:
            pass
        self._recorder.hand_over()
        self._folder.close()
        # Not disarmed: the interpreter waits for threads yet, and one that hangs would keep the process.

    def say(self, message: dict[str, Any]) -> None:
        """Send a message to the worker, in order."""
        self._out.put_nowait(packed(message))

    def _session_failed(self, user: int, error: VdibenchError) -> None:
        self.say({"say": "failed", "user": user, "failure": Failure.of(error).document()})

    def _keep(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        # The loop keeps weak references only: without this one a running task can be collected.
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            # A disk that refuses, or a defect: nothing that this engine measures from here on would be kept.
            self.say({"say": "fault", **Failure.of(error).document()})
            asyncio.get_running_loop().call_later(_HAND_OVER_SECONDS, self._over.set)

    async def _hear(self) -> None:
        loop, unpacker = asyncio.get_running_loop(), Unpacker()
        while True:
            try:
                data = await loop.sock_recv(self._channel, _RECEIVE_BYTES)
            except OSError:
                data = b""
            if not data:
                self._over.set()  # the worker is gone
                return
            for message in unpacker.feed(data):
                self._take(message)

    async def _speak(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            data = await self._out.get()
            try:
                await loop.sock_sendall(self._channel, data)
            except OSError:
                self._over.set()
                return

    def _take(self, message: dict[str, Any]) -> None:
        verb = message.pop("verb", "")
        if "id" in message:
            self._keep(self._answer(message.pop("id"), verb, message))
        elif verb == "row":
            self._recorder.row(message["session"], message["table"], message["values"])
        elif verb == "worker":
            self._name, self._users = message["name"], message["users"]
            self._worker_cpu_ratio = message["cpu_ratio"]
        elif verb == "quit":
            self._over.set()

    async def _answer(self, number: int, verb: str, arguments: dict[str, Any]) -> None:
        user = int(arguments.pop("user", -1))
        try:
            if verb == "place":
                await self._move(arguments)
                found = None
            elif verb == "flush":
                self._count()
                await asyncio.to_thread(self._folder.flush)
                found = None
            else:
                found = await self._host.call(verb, user, arguments)
        except asyncio.CancelledError:
            raise
        except Exception as error:  # a defect in one user's verb must reach that user and end no other session
            if not isinstance(error, VdibenchError):
                sys.excepthook(type(error), error, error.__traceback__)
            answer: dict[str, Any] = {"failure": Failure.of(error).document()}
        else:
            answer = {"ok": found}
        self.say({"id": number, "waited_seconds": self._host.take_waited(user), **answer})

    async def _move(self, place: dict[str, Any]) -> None:
        if place["phase"] != STEADY:
            self._host.end_of_window()
        self._recorder.move(level=int(place["level"]), trial=int(place["trial"]), phase=str(place["phase"]))
        if place["phase"] != STEADY:
            # Whoever drives reads what counted until now; what was only the way there can wait.
            self._count()
            await asyncio.to_thread(self._folder.flush)

    async def _hand_over(self) -> None:
        while True:
            await asyncio.sleep(_HAND_OVER_SECONDS)  # many rows at once cost less than one by one
            while self._recorder.waiting > _AT_ONCE:
                self._count(_AT_ONCE)
                await asyncio.sleep(0)  # packets first
            self._count()

    def _count(self, limit: int | None = None) -> None:
        for batch in self._recorder.hand_over(limit):
            self._tally.add_frames(batch)
        inputs, self._host.inputs = self._host.inputs, []
        if inputs:
            self._tally.add_inputs(inputs)
        ended, self._host.ended = self._host.ended, []
        for session in ended:
            self._tally.forget(session)

    async def _beat(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time() + 1.0
        while True:
            await asyncio.sleep(max(0.0, due - loop.time()))  # a second a second
            due = max(due + 1.0, loop.time() + 0.5)
            self._count()
            second = self._second()
            values = dataclasses.asdict(second)
            name = values.pop("engine")
            self.say({"say": "second", **second.document()})
            self._garbage.look(started=self._host.started, ended=self._host.left, connecting=self._host.connecting)
            self._recorder.row(name, "engine", {key: value for key, value in values.items() if key not in _GAUGES})

    def _second(self) -> EngineSecond:
        lag, lag_p99 = self._lag.take()
        rows, self._rows = self._recorder.rows - self._rows, self._recorder.rows
        tally = self._tally
        second = EngineSecond(
            engine=self._name,
            unix_seconds=time.time(),
            sessions=self._host.showing,
            users=self._users,
            cpu_ratio=self._use.cpu_ratio(),
            worker_cpu_ratio=self._worker_cpu_ratio,
            loop_lag_seconds=lag,
            loop_lag_p99_seconds=lag_p99,
            rss_bytes=self._use.rss_bytes(),
            backlog=self._host.backlog,
            rows=rows,
            frames=tally.frames,
            freezes=tally.freezes,
            histograms=tally.histograms(),
            **self._host.counted(),
        )
        tally.begin()
        return second

    async def _watch_parent(self) -> None:
        """The second net, and the only one where the kernel does not tell."""
        while os.getppid() == self._parent:  # noqa: ASYNC110  # nothing in this process changes it
            await asyncio.sleep(_PARENT_SECONDS)  # no event tells of it on every system
        self._over.set()


def _tie_to(parent: int) -> None:
    """Have the kernel say SIGTERM when the worker's main thread ends; samples are written then."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(1)  # it was gone before we could be tied to it


def main(arguments: list[str]) -> None:
    """Serve the worker at the other end of the descriptor named first."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole foreground group: the worker decides
    channel, parent = socket.socket(fileno=int(arguments[0])), int(arguments[1])
    _tie_to(parent)
    try:
        run(_serve(channel, parent))
    except VdibenchError as error:
        channel.setblocking(True)
        channel.sendall(packed({"say": "fault", **Failure.of(error).document()}))
        sys.exit(error.exit_code)


async def _serve(channel: socket.socket, parent: int) -> None:
    await Engine(channel, parent).serve()


if __name__ == "__main__":
    main(sys.argv[1:])
