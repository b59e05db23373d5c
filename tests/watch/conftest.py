"""A real desktop, and `vdibench watch` in a process of its own, as a user starts it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from vdibench.lab import DesktopSpec, Lab, LabSpec
from vdibench.records import Desktop, Display

SMALL = LabSpec(desktops=(DesktopSpec(display=Display(640, 360, 30)),))
COMMAND = (sys.executable, "-m", "vdibench.cli", "watch")
PATIENCE = 30.0


class Watcher:
    """A running `vdibench watch`."""

    def __init__(self, *arguments: str, password: str = "", **options: Any) -> None:
        environment = {key: value for key, value in os.environ.items() if key != "VDIBENCH_PASSWORD"}
        if password:
            environment["VDIBENCH_PASSWORD"] = password
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | options
        self.process = subprocess.Popen((*COMMAND, *arguments), env=environment, stdin=subprocess.DEVNULL, **streams)

    def line(self) -> str:
        """The next line of its output, without the line's end."""
        assert self.process.stdout is not None
        line = str(self.process.stdout.readline())
        assert line, self.end()
        return line.rstrip("\n")

    def lines_until(self, text: str) -> list[str]:
        """Lines up to one that contains ``text``."""
        lines = [self.line()]
        while text not in lines[-1]:
            lines.append(self.line())
        return lines

    def record(self, kind: str) -> dict[str, Any]:
        """The next JSON line of that kind."""
        while True:
            record: dict[str, Any] = json.loads(self.line())
            if record["kind"] == kind:
                return record

    def interrupt(self, number: signal.Signals = signal.SIGINT) -> None:
        self.process.send_signal(number)

    def end(self) -> tuple[int, str, str]:
        """Wait for it: exit code, the rest of its output, its errors."""
        try:
            out, errors = self.process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            out, errors = self.process.communicate()
            errors += "\nit did not end"
        return self.process.returncode, out or "", errors or ""

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()
        self.process.wait()


@pytest.fixture
def watch() -> Iterator[Callable[..., Watcher]]:
    """Starts watchers, and ends those that are left."""
    started: list[Watcher] = []

    def start(*arguments: str, **options: Any) -> Watcher:
        started.append(Watcher(*arguments, **options))
        return started[-1]

    yield start
    for watcher in started:
        watcher.stop()


@pytest.fixture(scope="module")
def desktop() -> Iterator[Desktop]:
    """A small real desktop with a desk."""
    with Lab.up(SMALL, owned=True) as lab:
        yield lab.desktops[0]


@pytest.fixture
def on(desktop: Desktop, watch: Callable[..., Watcher]) -> Callable[..., Watcher]:
    """Starts a watcher of the desktop."""
    credentials = desktop.endpoint.credentials
    assert credentials is not None

    def start(*arguments: str, **options: Any) -> Watcher:
        return watch(
            desktop.endpoint.url, "--user", credentials.user, *arguments, password=credentials.password, **options
        )

    return start


@pytest.fixture(scope="session")
def guide() -> str:
    """The user's guide to the command."""
    return (Path(__file__).resolve().parents[2] / "docs" / "howto" / "watch.md").read_text()
