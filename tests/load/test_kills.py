"""Whatever of a load is killed: a named error, an exit code, nothing left running, samples up to then."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from commands import busy
from free_ports import free_port

from vdibench.errors import EngineLost, LoadError, MasterLost, WorkerLost
from vdibench.load.driver import LoadDriver
from vdibench.load.roster import PRIVATE_PREFIX, ROSTER_VARIABLE, Roster, write_roster
from vdibench.records import Desktop
from vdibench.store import Recording, RunFolder

OWNER = Path(__file__).with_name("owner.py")
LOCUSTFILE = Path(__file__).parents[2] / "vdibench" / "load" / "locustfile.py"
GONE_SECONDS = 3.0
# For a machine that is busy with other things.
PATIENCE_SECONDS = 15.0
# What a killed engine had not written yet: the store writes every two seconds.
LOST_SECONDS = 4.0


def gone(processes: list[psutil.Process], seconds: float = GONE_SECONDS) -> list[psutil.Process]:
    """Those that are still there after so long; a busy machine has more time."""
    began, left = time.monotonic(), processes
    while left and time.monotonic() - began < max(seconds, PATIENCE_SECONDS):
        if time.monotonic() - began > seconds and not busy():
            break
        left = [one for one in left if _lives(one)]
        time.sleep(0.05)  # they are not our children: nothing tells of their end
    return left


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:  # it ended between the two questions
        return False


def processes_of(pids: dict[str, list[int]]) -> list[psutil.Process]:
    return [psutil.Process(pid) for group in pids.values() for pid in group]


def recorded_until(folder: Path) -> float:
    """The last arrival of the session that was recorded the shortest."""
    recording = Recording.open(folder)
    frames = recording.table("frames")
    assert recording.damage == []
    assert set(frames["session"]) == {"desktop-0", "desktop-1"}
    return float(frames.groupby("session")["arrival_unix_seconds"].max().min())


@pytest.mark.parametrize(
    ("victim", "error"), [("engines", EngineLost), ("workers", WorkerLost), ("master", MasterLost)]
)
def test_a_killed_part_ends_the_load_by_name(
    victim: str,
    error: type[LoadError],
    drive: Callable[..., LoadDriver],
    desktops: Callable[[int], list[Desktop]],
    run_folder: RunFolder,
) -> None:
    driver = drive(desktops(2), workers=2)
    driver.move(level=2, trial=0, phase="steady")
    assert driver.scale(2) == {}
    assert driver.hold(3.0) == {}
    processes = processes_of(driver.pids)
    assert len(processes) == 5
    killed = time.time()
    os.kill(driver.pids[victim][0], signal.SIGKILL)
    with pytest.raises(error) as caught:
        driver.hold(60.0)
    assert caught.value.exit_code != 0
    assert caught.value.remedy
    driver.close()
    assert gone(processes, 0.1) == []
    assert recorded_until(run_folder.path) > killed - LOST_SECONDS


@pytest.fixture
def owner(stand_in_url: str, run_folder: RunFolder) -> Any:
    """A process that owns a load, once its users show video."""
    process = subprocess.Popen(
        [sys.executable, str(OWNER), stand_in_url, str(run_folder.path)],
        stdout=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(run_folder.path.parent)},
    )
    assert process.stdout is not None
    said = json.loads(process.stdout.readline())
    assert said["failed"] == []
    yield process, processes_of(said["pids"]), said["pids"]
    if process.poll() is None:
        process.kill()
    process.wait()
    process.stdout.close()


def test_a_killed_owner_takes_everything_with_it(owner: Any, run_folder: RunFolder) -> None:
    process, others, _ = owner
    time.sleep(1.0)  # let it record something
    killed = time.time()
    process.kill()
    assert gone(others) == [], f"nothing is left {GONE_SECONDS:g} s later"
    assert recorded_until(run_folder.path) > killed - 1.0, "engines whose owner is gone write what they have"
    assert list(run_folder.path.parent.glob(f"{PRIVATE_PREFIX}*")) == []


@pytest.mark.parametrize(
    ("victim", "error"), [("engines", EngineLost), ("workers", WorkerLost), ("master", MasterLost)]
)
def test_an_owner_that_loses_a_part_ends_with_its_code_and_says_which(
    victim: str, error: type[LoadError], owner: Any, run_folder: RunFolder
) -> None:
    process, others, pids = owner
    time.sleep(3.0)  # let it record something, and write it: a killed engine's last two seconds are lost
    killed = time.time()
    os.kill(pids[victim][0], signal.SIGKILL)
    said = json.loads(process.stdout.readline())
    assert said["error"] == error.__name__
    assert process.wait(30.0) == error("", "").exit_code != 0
    assert gone(others) == [], f"nothing is left {GONE_SECONDS:g} s later"
    assert recorded_until(run_folder.path) > killed - LOST_SECONDS


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_owner_ends_in_order(number: signal.Signals, owner: Any, run_folder: RunFolder) -> None:
    process, others, _ = owner
    time.sleep(1.0)  # let it record something
    interrupted = time.time()
    process.send_signal(number)
    assert process.wait(30.0) == 130
    assert gone(others, 0.1) == []
    assert recorded_until(run_folder.path) > interrupted - 0.5
    milestones = Recording.open(run_folder.path).table("milestones")
    assert (milestones["event"] == "left").sum() == 2, "sessions left in order"


@pytest.fixture
def plain_locust(desktops: Callable[[int], list[Desktop]], run_folder: RunFolder, tmp_path: Path) -> Any:
    """Locust with two workers of its own making, started by hand, and its processes."""
    roster = tmp_path / "roster.json"
    write_roster(roster, Roster(str(run_folder.path), "gpu_density", tuple(desktops(2))))
    log = (tmp_path / "locust.log").open("w+")
    arguments = ["-f", str(LOCUSTFILE), "--headless", "-u", "2", "-r", "10", "--processes", "2", "--only-summary"]
    process = subprocess.Popen(
        [sys.executable, "-m", "locust", *arguments, *_ports()],
        env={**os.environ, ROSTER_VARIABLE: str(roster)},
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    try:
        _await_frames(run_folder.path, process, Path(log.name))
        yield process, psutil.Process(process.pid).children(recursive=True), Path(log.name)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        log.close()


def _ports() -> list[str]:
    port = str(free_port())
    return ["--master-bind-host", "127.0.0.1", "--master-bind-port", port, "--master-port", port]


def _await_frames(folder: Path, process: subprocess.Popen[bytes], log: Path, seconds: float = 90.0) -> None:
    deadline = time.monotonic() + seconds
    while Recording.open(folder).table("frames")["session"].nunique() < 2:
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.2)  # other processes write them


@pytest.mark.parametrize("victim", ["engine", "worker", "master"])
def test_plain_locust_loses_a_part(victim: str, plain_locust: Any, run_folder: RunFolder) -> None:
    process, others, log = plain_locust
    engines = [one for one in others if "vdibench.load.engine" in one.cmdline()]
    workers = [one for one in others if one not in engines]
    assert len(engines) == len(workers) == 2
    killed = time.time()
    {"engine": engines[0], "worker": workers[0], "master": psutil.Process(process.pid)}[victim].kill()
    code = process.wait(PATIENCE_SECONDS)
    assert code != 0
    assert gone(others) == []
    name = {"engine": "EngineLost", "worker": "WorkerLost", "master": "MasterLost"}[victim]
    assert name in log.read_text()
    assert recorded_until(run_folder.path) > killed - LOST_SECONDS


def test_plain_locust_is_interrupted(plain_locust: Any, run_folder: RunFolder) -> None:
    process, others, _ = plain_locust
    interrupted = time.time()
    process.send_signal(signal.SIGINT)
    process.wait(PATIENCE_SECONDS)
    assert gone(others) == []
    assert recorded_until(run_folder.path) > interrupted - 0.5
