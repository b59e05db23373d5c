"""A screen with a desk on it, and servers of Selkies 1.6's dialect that show it: a stand-in, or the original."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from vdibench.desk import DESK_FILE
from vdibench.records import Credentials, Desktop, Display, Endpoint

# The stand-in is a module of this folder, and a program; the sink that keeps everything is the protocol tests'.
sys.path.insert(0, str(Path(__file__).parents[1] / "protocol"))
sys.path.insert(0, str(Path(__file__).parent))

from free_ports import free_port
from hands import Hands
from original import original, program
from standin_1 import Behaviour, LegacyStandIn
from watching import Samples

SESSION_ID = 7
SIZE = (800, 600)
PATIENCE = 20.0


@contextmanager
def _ready_pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    try:
        yield reader, writer
    finally:
        os.close(reader)


@pytest.fixture(scope="session")
def display() -> Iterator[str]:
    """An X screen with a desk that draws marker and patches."""
    with ExitStack() as stack:
        reader, writer = stack.enter_context(_ready_pipe())
        command = ["Xvfb", "-screen", "0", "{}x{}x24".format(*SIZE), "-nolisten", "tcp", "-noreset"]
        server = subprocess.Popen([*command, "-displayfd", str(writer)], pass_fds=[writer], stderr=subprocess.DEVNULL)
        stack.callback(_end, server)
        os.close(writer)
        name = f":{os.read(reader, 16).decode().strip()}"
        reader, writer = stack.enter_context(_ready_pipe())
        options = ["--display", name, "--session-id", str(SESSION_ID), "--ready-fd", str(writer)]
        desk = subprocess.Popen([sys.executable, "-I", "-S", str(DESK_FILE), *options], pass_fds=[writer])
        stack.callback(_end, desk)
        os.close(writer)
        assert os.read(reader, 16) == b"ready\n"
        yield name


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    process.wait(PATIENCE)


@pytest.fixture
def stand_in(display: str, tmp_path: Path) -> Iterator[Callable[..., LegacyStandIn]]:
    """Start a stand-in with some behaviour; ended with the test."""
    with ExitStack() as stack:

        def start(**changes: Any) -> LegacyStandIn:
            behaviour = replace(Behaviour(), **changes)
            return stack.enter_context(LegacyStandIn(display, tmp_path / "clients.json", behaviour))

        yield start


@pytest.fixture
def hands(display: str) -> Iterator[Hands]:
    """Somebody at the desktop's own keyboard, who leaves no key down."""
    hands = Hands(display)
    yield hands
    held = hands.held()
    for keysym in held:
        hands.key(keysym, down=False)
    hands.close()


def _serving(kind: str, display: str, folder: Path) -> AbstractContextManager[str]:
    if kind == "original":
        return original(display, folder)

    @contextmanager
    def stand_in() -> Iterator[str]:
        with LegacyStandIn(display, folder / "clients.json") as server:
            yield server.url

    return stand_in()


@pytest.fixture(scope="session", params=["stand-in", *(["original"] if program() else [])])
def url(request: pytest.FixtureRequest, display: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server that behaves, for all tests that do it no harm; the original too when there is one."""
    with _serving(request.param, display, tmp_path_factory.mktemp(request.param)) as address:
        yield address


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def turn_port(tmp_path: Path) -> Iterator[int]:
    """A TURN server for user ``u`` with password ``p``."""
    port = free_port(socket.SOCK_DGRAM)
    options = ["-n", "--listening-ip=127.0.0.1", "--relay-ip=127.0.0.1", f"--listening-port={port}", "--no-tls"]
    options += ["--no-dtls", "--lt-cred-mech", "--user=u:p", "--realm=test", "--fingerprint", "--no-cli"]
    options += ["--allow-loopback-peers", "--log-file=stdout", f"--pidfile={tmp_path}/turn.pid"]
    with (tmp_path / "turn.log").open("wb") as log:
        server = subprocess.Popen(["turnserver", *options], cwd=tmp_path, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + PATIENCE
        while not _listens(port):
            assert server.poll() is None, (tmp_path / "turn.log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)  # a poll, with the deadline above
        yield port
    finally:
        _end(server)


@pytest.fixture
def desktop() -> Callable[..., Desktop]:
    """A desktop record for a URL."""

    def make(url: str, *, size: tuple[int, int] = SIZE, user: str = "", password: str = "") -> Desktop:
        credentials = Credentials(user, password) if user else None
        return Desktop("desktop-0", Endpoint(url, credentials), display=Display(*size, 30), marker_id=SESSION_ID)

    return make


@pytest.fixture
def samples() -> Samples:
    return Samples()
