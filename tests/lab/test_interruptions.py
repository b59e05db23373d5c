"""Real desktops that break in mid-stream: a short cut is a freeze of its length, what dies is named, and comes back."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from vdibench.client import DesktopSession, SessionOptions
from vdibench.errors import StreamLost
from vdibench.lab import DesktopSpec, Lab, LabSpec
from vdibench.links import DIRECT, Relay
from vdibench.metrics.pacing import freezes
from vdibench.records import Display
from vdibench.selkies import Dialect, Role

# What it watches with is the protocol tests'.
sys.path.insert(0, str(Path(__file__).parents[1] / "protocol"))

from watching import Again, Samples, until

CUT_SECONDS = 2.0
DIALECTS = (Dialect.SELKIES_2_WEBRTC, Dialect.SELKIES_2_WEBSOCKET)


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """One desktop of each dialect; the tests kill parts of them."""
    specs = tuple(DesktopSpec(display=Display(640, 360, 30), dialect=dialect) for dialect in DIALECTS)
    with Lab.up(LabSpec(specs), name="interrupted", owned=True) as lab:
        yield lab


async def test_a_cut_of_two_seconds_is_one_freeze_of_two_seconds(lab: Lab) -> None:
    samples = Samples()
    async with Relay() as relay:
        route = relay.route(DIRECT)
        options = SessionOptions(role=Role.CONTROLLER, route=route)
        async with DesktopSession(lab.desktops[0], samples, options) as session:
            await session.first_frame()
            await session.watch(2.0)
            lost = session.read().packets_lost
            cut = route.cut(CUT_SECONDS)
            await session.watch(CUT_SECONDS + 2.0)
            lost = session.read().packets_lost - lost
            dropped = sum(route.counters().down.media_dropped.values())
    arrivals = np.sort([frame.arrival_unix_seconds for frame in samples.frames if frame.complete])
    durations = np.diff(arrivals)
    frozen = freezes(durations) & (arrivals[1:] > cut)
    assert durations[frozen] == pytest.approx([CUT_SECONDS], rel=0.05)
    assert 0 < lost < dropped
    assert samples.frames[-1].decoded_unix_seconds > cut + CUT_SECONDS + 1.5


class Mortal:
    """A process of a lab's: killed as by the system, started again as it was."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._start = self._process.cmdline(), self._process.environ(), self._process.cwd()

    def kill(self) -> None:
        self._process.kill()

    def start_again(self) -> subprocess.Popen[bytes]:
        command, environment, folder = self._start
        null = subprocess.DEVNULL
        return subprocess.Popen(command, env=environment, cwd=folder, stdout=null, stderr=null)


@pytest.fixture(scope="module")
def started() -> Iterator[list[subprocess.Popen[bytes]]]:
    """What tests started in a part's place; ended after the last of them."""
    processes: list[subprocess.Popen[bytes]] = []
    yield processes
    for process in processes:
        process.kill()
        process.wait()


@pytest.mark.parametrize("number", range(2), ids=DIALECTS)
async def test_a_server_that_is_killed_and_comes_back(
    lab: Lab, number: int, started: list[subprocess.Popen[bytes]]
) -> None:
    samples, desktop = Again(), lab.desktops[number]
    (pid,) = [part.pid for part in lab.status().desktops[number].parts if part.name == "selkies"]
    assert pid is not None
    selkies = Mortal(pid)
    async with DesktopSession(desktop, samples, SessionOptions(role=Role.CONTROLLER)) as session:
        await session.first_frame()
        await until(lambda: len(samples.frames) > 20)
        began, before = time.monotonic(), len(samples.frames)
        selkies.kill()
        with pytest.raises(StreamLost, match=r"broke .* takes no connections any more: .* being restarted"):
            await session.watch(10.0)
        assert time.monotonic() - began < 2.0
        assert len(samples.frames) >= before
        started.append(await asyncio.to_thread(selkies.start_again))
        await session.reconnect(20.0)
        before = len(samples.frames)
        await until(lambda: len(samples.frames) > before + 20)


async def test_a_turn_server_that_is_killed(lab: Lab) -> None:
    """The last test of this module: the lab has no other."""
    samples, part = Samples(), lab.status().turn_part
    assert part is not None
    assert part.pid is not None
    options = SessionOptions(role=Role.CONTROLLER, relay_only=True, stall_seconds=1.0)
    lab_turn = f"{lab.turn[0]}:{lab.turn[1]}" if lab.turn is not None else ""
    async with DesktopSession(lab.desktops[0], samples, options) as session:
        await session.first_frame()
        await until(lambda: len(samples.frames) > 20)
        psutil.Process(part.pid).kill()
        began = time.monotonic()
        with pytest.raises(StreamLost, match="the way is a TURN relay") as caught:
            await session.watch(10.0)
        assert f"turn:{lab_turn}" in caught.value.cause
        assert "no longer answers" in caught.value.cause
        assert "start the TURN server" in caught.value.remedy
        assert time.monotonic() - began < 3.5
