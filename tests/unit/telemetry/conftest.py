"""Real processes that do on command what telemetry must see, and a server that answers as Prometheus does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from vdibench.records import Desktop, Endpoint

from .scraping import Scraping, Stage

# Reads commands from standard input, answers each with one line.
_WORKER = """
import os, resource, signal, subprocess, sys, time
held = []
def burn(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass
def answer(text="ok"):
    print(text, flush=True)
answer("ready")
for line in sys.stdin:
    command, _, argument = line.strip().partition(" ")
    if command == "burn":
        burn(float(argument))
        answer()
    elif command == "allocate":
        held.append(bytearray(os.urandom(1 << 20)) * int(argument))
        answer()
    elif command == "fork-burners":
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        for _ in range(int(argument)):
            if os.fork() == 0:
                burn(0.1)
                os._exit(0)
            os.wait()
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        answer(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    elif command == "fork-sleepers":
        for _ in range(int(argument)):
            if os.fork() == 0:
                signal.pause()
        answer()
    elif command == "orphan":
        r, w = os.pipe()
        if os.fork() == 0:
            child = os.fork()
            if child:
                os.write(w, str(child).encode())
                os._exit(0)
            os.close(0)
            burn(float(argument))
            os.write(w, b" done")
            signal.pause()
        os.wait()
        text = b""
        while not text.endswith(b"done"):
            text += os.read(r, 64)
        answer(text.split()[0].decode())
    elif command == "exit":
        os._exit(0)
"""


class Worker:
    """A process of its own session, with everything that descends from it."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-S", "-c", _WORKER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self._answer() == "ready"

    @property
    def pid(self) -> int:
        return self.process.pid

    def desktop(self, name: str) -> Desktop:
        return Desktop(name, Endpoint("http://localhost"), pids=(self.pid,))

    def ask(self, command: str) -> str:
        self.tell(command)
        return self._answer()

    def tell(self, command: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()

    def end(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()

    def _answer(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()


@pytest.fixture
def worker() -> Iterator[Callable[[], Worker]]:
    workers: list[Worker] = []

    def start() -> Worker:
        workers.append(Worker())
        return workers[-1]

    yield start
    for one in workers:
        one.end()


@pytest.fixture
def stage() -> Iterator[Stage]:
    """A server that answers what is laid out for it."""
    with Stage() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def scraping(stage: Stage) -> Scraping:
    """What lets the stage play a Prometheus that scrapes one exporter."""
    return Scraping(stage)
