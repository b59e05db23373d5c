"""Fixtures of the store's tests: a run to create, rows to append, and a process that writes runs for real."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from vdibench.records import Run

WRITER = Path(__file__).with_name("writer.py")


@pytest.fixture
def run() -> Run:
    return Run(name="", suite="pipeline", profile="smoke", target="lab", started_unix_seconds=time.time())


@pytest.fixture
def rows() -> Callable[..., list[dict[str, Any]]]:
    def make(count: int, first: int = 0, **changes: Any) -> list[dict[str, Any]]:
        return [
            {
                "suite": "stream_validation",
                "level": 1,
                "trial": 0,
                "phase": "steady",
                "session": "desktop-0",
                "arrival_unix_seconds": 1e9 + number / 60,
                "rtp_timestamp": number,
                "packets": 3,
                "size_bytes": 4000,
                "key_frame": False,
                "complete": True,
                "decoded_unix_seconds": None,
                "marker_repeated": False,
                **changes,
            }
            for number in range(first, first + count)
        ]

    return make


class Writer:
    """A process that forks a child for each command and tells what the child says, line by line."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(WRITER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def command(self, *words: object) -> int:
        """Start a child; return its pid."""
        assert self._process.stdin is not None
        self._process.stdin.write(" ".join(map(str, words)) + "\n")
        self._process.stdin.flush()
        kind, pid = self.line()
        assert kind == "child"
        return int(pid)

    def line(self) -> tuple[str, str]:
        """The next line: its first word and the rest."""
        assert self._process.stdout is not None
        text = self._process.stdout.readline()
        assert text, "the writer ended"
        kind, _, rest = text.rstrip("\n").partition(" ")
        return kind, rest

    def until(self, wanted: str) -> list[tuple[str, str]]:
        """All lines up to one that starts with ``wanted``."""
        lines = [self.line()]
        while lines[-1][0] != wanted:
            lines.append(self.line())
        return lines

    def close(self) -> None:
        self._process.communicate(timeout=30)


@pytest.fixture
def writer() -> Iterator[Writer]:
    process = Writer()
    yield process
    process.close()


@pytest.fixture
def second_writer() -> Iterator[Writer]:
    process = Writer()
    yield process
    process.close()
