"""``vdibench load`` as a process, against a replayed trace: real Locust, engines and media, no desktops needed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import psutil

TRACE = Path(__file__).parents[1] / "data" / "replay" / "text.trace"
# A self-made profile would hide what people get; the trace has 30 frames a second.
SIZE = ("-p", "framerate", "30")
LIMIT_SECONDS = 150.0


class LoadCommand:
    """One command, ended by its own id."""

    def __init__(self, results: Path, *arguments: str, target: str = f"replay:{TRACE}") -> None:
        self.results = results
        argv = [sys.executable, "-m", "vdibench.cli", "load", "--target", target, "--results", str(results), *SIZE]
        self.process = subprocess.Popen(
            [*argv, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        self.lines: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(40)
            except subprocess.TimeoutExpired:
                self.process.kill()
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()
        self.process.wait()

    def until(self, word: str) -> str:
        """The first line of progress with ``word``."""
        assert self.process.stderr is not None
        deadline = time.monotonic() + LIMIT_SECONDS
        while time.monotonic() < deadline and (line := self.process.stderr.readline()):
            self.lines.append(line.rstrip())
            if word in line:
                return line
        raise AssertionError(f"no {word!r} in {self.lines}")

    def end(self) -> tuple[int, str, str]:
        """Wait; returns exit code, output and errors."""
        out, err = self.process.communicate(timeout=LIMIT_SECONDS)
        return self.process.returncode, out, "\n".join(self.lines) + err

    def family(self) -> list[psutil.Process]:
        """Everything that it started, while it runs."""
        return psutil.Process(self.process.pid).children(recursive=True)

    @property
    def run(self) -> Path:
        """The run folder."""
        (found,) = self.results.glob("*-load-*")
        return found


def loaded(results: Path, *arguments: str) -> tuple[int, str, str]:
    """One command from its begin to its end."""
    with LoadCommand(results, *arguments) as command:
        return command.end()


def reasons(run: Path) -> list[str]:
    """What the verdict of a run gives as reasons."""
    suites = json.loads((run / "verdict.json").read_text())["suites"]
    return [reason for suite in suites if suite["suite"] == "load" for reason in suite["reasons"]]


def until(met: Callable[[], Any], seconds: float = 10.0) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < deadline, "it did not come in time"
        time.sleep(0.05)  # another process tells of it


def busy() -> bool:
    """Whether this machine is too busy for what is measured on it to be anybody's fault."""
    return os.getloadavg()[0] > (os.cpu_count() or 1)
