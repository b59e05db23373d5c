"""Turns at one address: in one process and across processes, of the dialect that wants them, and of no other."""

from __future__ import annotations

import asyncio
import itertools
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from vdibench.client.admission import ConnectGate
from vdibench.client.spacing import SPACING_SECONDS
from vdibench.errors import TargetUnavailable, UsageError
from vdibench.records import Desktop, Endpoint
from vdibench.replay.process import ReplayServer
from vdibench.selkies import Dialect

URL = "http://127.0.0.1:9"
WEBSOCKET = Desktop("desktop-0", Endpoint(URL), dialect=Dialect.SELKIES_2_WEBSOCKET)
WEBRTC = Desktop("desktop-0", Endpoint(URL), dialect=Dialect.SELKIES_2_WEBRTC)


async def admitted(gate: ConnectGate, desktop: Desktop) -> float:
    await gate.admit(desktop)
    return time.monotonic()


async def test_turns_are_half_a_second_apart(tmp_path: Path) -> None:
    gate = ConnectGate(tmp_path)
    instants = sorted(await asyncio.gather(*(admitted(gate, WEBSOCKET) for _ in range(4))))
    gaps = [after - before for before, after in itertools.pairwise(instants)]
    assert all(gap > SPACING_SECONDS - 0.05 for gap in gaps), gaps


async def test_other_addresses_and_webrtc_have_no_turns(tmp_path: Path) -> None:
    gate = ConnectGate(tmp_path)
    elsewhere = [Desktop("d", Endpoint(f"{URL}/{n}"), dialect=Dialect.SELKIES_2_WEBSOCKET) for n in range(3)]
    began = time.monotonic()
    await asyncio.gather(*(gate.admit(desktop) for desktop in [WEBRTC, WEBRTC, WEBRTC, *elsewhere]))
    assert time.monotonic() - began < SPACING_SECONDS


PROCESS = """
import asyncio, sys, time
from pathlib import Path
from vdibench.client.admission import ConnectGate
from vdibench.records import Desktop, Endpoint
async def main():
    gate = ConnectGate(Path(sys.argv[1]))
    desktop = Desktop("d", Endpoint(sys.argv[2]), dialect="selkies-2-websocket")
    for _ in range(2):
        await gate.admit(desktop)
        print(time.monotonic(), flush=True)
asyncio.run(main())
"""


def test_processes_share_their_turns(tmp_path: Path) -> None:
    line = [sys.executable, "-c", PROCESS, str(tmp_path), URL]
    running = [subprocess.Popen(line, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    said = [process.communicate(timeout=60)[0] for process in running]
    assert all(process.returncode == 0 for process in running)
    instants = sorted(float(word) for text in said for word in text.split())
    assert len(instants) == 6
    assert instants[-1] - instants[0] > 5 * (SPACING_SECONDS - 0.05)


async def test_a_queue_beyond_patience_is_refused_and_takes_no_turn(tmp_path: Path) -> None:
    gate = ConnectGate(tmp_path, patience_seconds=0.6)
    ends = await asyncio.gather(*(gate.admit(WEBSOCKET) for _ in range(3)), return_exceptions=True)
    refused = [end for end in ends if isinstance(end, TargetUnavailable)]
    assert len(refused) == 1, ends
    assert "one in half a second" in str(refused[0])
    assert await gate.admit(WEBSOCKET) <= 0.6


@pytest.mark.parametrize("left", ["", "nonsense", "1e300", "-5", "nan"])
def test_what_was_left_behind_delays_nobody(tmp_path: Path, left: str) -> None:
    gate = ConnectGate(tmp_path)
    assert asyncio.run(gate.admit(WEBSOCKET)) == 0
    (file,) = (path for path in tmp_path.iterdir() if not path.suffix)
    file.write_text(left)
    assert asyncio.run(gate.admit(WEBSOCKET)) == 0


async def test_without_a_folder_turns_are_of_the_process() -> None:
    gate = ConnectGate(Path("/proc/self/vdibench"))  # where nobody makes one
    assert await gate.admit(WEBSOCKET) == 0
    assert await gate.admit(WEBSOCKET) > 0


def _open_to_all(folder: Path) -> None:
    folder.mkdir(parents=True)
    folder.chmod(0o777)


def _elsewhere(folder: Path) -> None:
    target = folder.with_name("elsewhere")
    target.mkdir(mode=0o700, parents=True)
    folder.symlink_to(target)


def _nowhere(folder: Path) -> None:
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.symlink_to(folder.with_name("nowhere"))


def _no_folder(folder: Path) -> None:
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.touch()


@pytest.mark.parametrize("level", ["", "admission"])
@pytest.mark.parametrize(
    ("plant", "why"),
    [
        (_open_to_all, "others may use it"),
        (_elsewhere, "it is a link"),
        (_nowhere, "it is a link"),
        (_no_folder, "it is no folder"),
    ],
)
async def test_a_folder_that_somebody_else_could_have_made_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, level: str, plant: Callable[[Path], None], why: str
) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    plant(tmp_path / f"vdibench-{os.getuid()}" / level)
    with pytest.raises(UsageError, match=f"cannot be trusted: {why}.*XDG_RUNTIME_DIR"):
        await ConnectGate().admit(WEBSOCKET)


async def test_somebody_elses_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = ConnectGate(tmp_path)
    monkeypatch.setattr(os, "getuid", lambda: tmp_path.stat().st_uid + 1)
    with pytest.raises(UsageError, match="belongs to user"):
        await gate.admit(WEBSOCKET)


@pytest.mark.parametrize("suffix", ["", ".lock"])
async def test_a_file_that_is_a_link_is_not_followed(tmp_path: Path, suffix: str) -> None:
    folder, victim = tmp_path / "turns", tmp_path / "victim"
    victim.write_text("precious")
    await ConnectGate(folder).admit(WEBSOCKET)
    (file,) = (path for path in folder.iterdir() if path.suffix == suffix)
    file.unlink()
    file.symlink_to(victim)
    with pytest.raises(UsageError, match="it is a link"):
        await ConnectGate(folder).admit(WEBSOCKET)
    assert victim.read_text() == "precious"


async def test_the_users_own_folder_is_closed_to_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime, temporary = tmp_path / "runtime", tmp_path / "temporary"
    runtime.mkdir(mode=0o700)
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    below = temporary / f"vdibench-{os.getuid()}" / "admission"
    for given, used in ((runtime, runtime / "vdibench" / "admission"), (tmp_path / "none", below)):
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(given))
        await ConnectGate().admit(WEBSOCKET)
        assert len(list(used.iterdir())) == 2
        assert all(path.stat().st_mode & 0o077 == 0 for path in (used.parent, used))
        assert all(path.stat().st_mode & 0o022 == 0 for path in used.iterdir())


async def test_dialect_is_found_out_once(tmp_path: Path) -> None:
    with ReplayServer(width=320, height=180, framerate=30, dialect=Dialect.SELKIES_2_WEBSOCKET) as server:
        gate, desktop = ConnectGate(tmp_path), Desktop("d", Endpoint(server.url))
        waited = await asyncio.gather(gate.admit(desktop), gate.admit(desktop))
    assert max(waited) > SPACING_SECONDS - 0.05
    # It is gone, and what it spoke is still known.
    assert await gate.admit(desktop) > 0


async def test_nothing_there_is_the_sessions_to_say(tmp_path: Path) -> None:
    assert await ConnectGate(tmp_path).admit(Desktop("d", Endpoint(URL))) == 0
