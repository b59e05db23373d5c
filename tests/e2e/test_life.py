"""Runs that do not end by themselves: interrupted, terminated, killed, timed out, contended."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import psutil
import pytest

from vdibench.lab import Lab
from vdibench.records import Outcome, RunState
from vdibench.store import Recording, resolve

from .commands import await_steady, called, living, short_run, start, vdibench

pytestmark = pytest.mark.timeout(240)


def await_gone(mark: str, seconds: float = 30) -> None:
    """Wait until no process names ``mark`` any more."""
    deadline = time.monotonic() + seconds
    while living(mark):
        assert time.monotonic() < deadline, living(mark)
        time.sleep(0.2)  # the next look


def lab_processes() -> set[int]:
    """Processes of labs: they carry a mark in their environment."""
    found = set()
    for process in psutil.process_iter():
        try:
            if "VDIBENCH_LAB" in process.environ():
                found.add(process.pid)
        except psutil.Error:
            continue
    return found


def await_labs(before: set[int], seconds: float = 30) -> None:
    """Wait until every lab process that came since is gone."""
    deadline = time.monotonic() + seconds
    while left := lab_processes() - before:
        assert time.monotonic() < deadline, left
        time.sleep(0.2)  # the next look


def listening(root: int) -> set[int]:
    """Ports that a process or anything below it listens on, TCP and UDP."""
    tree = {root, *(child.pid for child in psutil.Process(root).children(recursive=True))}
    return {
        connection.laddr.port
        for connection in psutil.net_connections("inet")
        if connection.pid in tree and not connection.raddr and connection.laddr
    }


ENDINGS = {
    "interrupt": (signal.SIGINT, 130, RunState.INTERRUPTED),
    "terminate": (signal.SIGTERM, 130, RunState.INTERRUPTED),
    "kill": (signal.SIGKILL, -signal.SIGKILL, RunState.INTERRUPTED),
}


@pytest.mark.parametrize(
    ("mode", "ending"),
    [
        ("papermill", "interrupt"),
        ("papermill", "kill"),
        ("in-process", "terminate"),
    ],
)
def test_an_ended_run_keeps_its_samples_and_leaves_nothing(tmp_path: Path, mode: str, ending: str) -> None:
    number, code, state = ENDINGS[ending]
    before = lab_processes()
    process = start(
        "run", "02", *short_run(steady_seconds="90.0"), *(["--without-notebooks"] if mode == "in-process" else []),
        cwd=tmp_path,
    )  # fmt: skip
    try:
        folder = await_steady(tmp_path / "results", process)
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == code, err
    assert "Traceback" not in err
    await_labs(before)
    await_gone(str(tmp_path))
    recording = Recording.open(folder)
    assert recording.run.state is state
    assert recording.verdict.outcome is Outcome.NO_DATA
    assert len(recording.table("frames")) > 20
    if number != signal.SIGKILL:
        assert "interrupted" in err
        assert (folder / "report.html").exists()
    else:
        # Nobody was left to draw it. Whatever happened, it can be.
        drawn = called("report", folder.name, cwd=tmp_path)
        assert drawn.returncode == 0, drawn.stderr
    assert called("verdict", folder.name, cwd=tmp_path).returncode == 98


def test_the_time_limit_ends_a_run(tmp_path: Path) -> None:
    before = lab_processes()
    began = time.monotonic()
    done = vdibench("run", "02", "--timeout", "9", *short_run(steady_seconds="90.0"), cwd=tmp_path)
    assert time.monotonic() - began < 60
    assert done.returncode == 98, done.stderr
    assert "the time limit of 9 s passed" in done.stderr
    await_labs(before)
    assert Recording.open(resolve(tmp_path / "results", "latest")).run.state is RunState.INTERRUPTED


def test_two_runs_at_once_share_nothing_and_name_each_other(tmp_path: Path) -> None:
    arguments = ("run", "02", "--without-notebooks", *short_run(steady_seconds="5.0"))
    homes = [tmp_path / "a", tmp_path / "b"]
    for home in homes:
        home.mkdir()
    before = lab_processes()
    processes = [start(*arguments, cwd=home) for home in homes]
    try:
        folders = [await_steady(home / "results", process, 1) for home, process in zip(homes, processes, strict=True)]
        ports = [listening(process.pid) for process in processes]
        assert all(ports)
        assert not ports[0] & ports[1]
        for process in processes:
            process.communicate(timeout=90)
    finally:
        for process in processes:
            process.kill()
            process.wait()
    await_labs(before)
    for folder, other, process in zip(folders, reversed(folders), processes, strict=True):
        recording = Recording.open(folder)
        assert process.returncode == 97
        assert recording.verdict.outcome is Outcome.INVALID
        assert other.name in recording.run.contention
        assert other.name in " ".join(reason for suite in recording.verdict.suites for reason in suite.reasons)


def test_a_named_lab_outlives_its_command_and_goes_with_down(tmp_path: Path) -> None:
    name = f"e2e-{os.getpid()}"
    before = lab_processes()
    up = vdibench("lab", "up", "--name", name, "--size", "640x360", "--framerate", "30", cwd=tmp_path)
    try:
        assert up.returncode == 0, up.stderr
        assert "desktop-0" in up.stdout
        status = vdibench("lab", "status", "--name", name, "--json", cwd=tmp_path)
        assert '"state": "running"' in status.stdout
        asked = vdibench("lab", "exec", "--name", name, "--", "printenv", "VDIBENCH_URL", "VDIBENCH_USER", cwd=tmp_path)
        assert asked.stdout.splitlines() == [Lab.find(name).desktops[0].endpoint.url, "lab"]
        again = vdibench("lab", "up", "--name", name, cwd=tmp_path)
        assert again.returncode == 1
        assert "vdibench lab down" in again.stderr
    finally:
        down = vdibench("lab", "down", "--name", name, cwd=tmp_path)
    assert down.returncode == 0, down.stderr
    await_labs(before)
