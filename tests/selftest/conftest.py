"""One small desktop and one source for the tests of this folder."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from vdibench.lab import DesktopSpec, Lab, LabSpec
from vdibench.records import Desktop, Display
from vdibench.replay.process import ReplayServer


@pytest.fixture(scope="module")
def desktop() -> Iterator[Desktop]:
    spec = DesktopSpec(display=Display(640, 360, 60), audible=False, dither=0.9)
    with Lab.up(LabSpec((spec,), turn=False), owned=True) as lab:
        yield lab.desktops[0]


@pytest.fixture(scope="module")
def source() -> Iterator[ReplayServer]:
    with ReplayServer(width=320, height=180, framerate=30, bitrate_bps=1_000_000) as source:
        yield source


@pytest.fixture
def burn() -> Iterator[Callable[[], None]]:
    """Take every core, in processes of our own, until the test ends."""
    started: list[subprocess.Popen[bytes]] = []

    def begin() -> None:
        for _ in range(3 * (os.cpu_count() or 1)):
            started.append(subprocess.Popen([sys.executable, "-c", "while True: pass"]))

    yield begin
    for process in started:
        process.kill()
        process.wait()
