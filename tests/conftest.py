"""What holds for a whole test session: no skips, nothing left running, Ctrl-C and SIGTERM clean up.

Where tests run in several processes, the first of these answers for all: the others carry its mark.

Shared fixtures do not live here: each folder has its own conftest.
"""

from __future__ import annotations

import os
import signal
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import pytest
from hypothesis import settings

# A machine that does something else meanwhile makes no test wrong.
settings.register_profile("vdibench", deadline=None)
settings.load_profile("vdibench")

SESSION_VARIABLE = "VDIBENCH_TEST_SESSION"
LAB_VARIABLE = "VDIBENCH_LAB"
GRACE_SECONDS = 3.0

_not_run: dict[str, str] = {}
_survivors: list[str] = []


def pytest_configure(config: pytest.Config) -> None:
    """Mark everything that this session starts, and make SIGTERM unwind fixtures as Ctrl-C does."""
    if not _works_for_another(config):
        os.environ[SESSION_VARIABLE] = str(uuid.uuid4())
    os.environ.pop("KUBECONFIG", None)

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Remember tests that did not say yes or no."""
    if report.skipped or hasattr(report, "wasxfail"):
        _not_run[report.nodeid] = _reason(report)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """Remember modules that skipped themselves."""
    if report.skipped:
        _not_run[report.nodeid] = _reason(report)


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> Iterator[None]:
    """Fail a session that skipped something or left something running."""
    result = yield
    if _works_for_another(session.config):
        return result
    _survivors.extend(_end_survivors())
    gated = bool(_not_run) and os.environ.get("VDIBENCH_ALLOW_SKIPS") != "1"
    if (gated or _survivors) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    return result


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name what failed the session, before pytest's own last line."""
    if _not_run and os.environ.get("VDIBENCH_ALLOW_SKIPS") != "1":
        terminalreporter.section("skipped tests fail this session (VDIBENCH_ALLOW_SKIPS=1 lifts that)", red=True)
        for nodeid, reason in sorted(_not_run.items()):
            terminalreporter.line(f"{nodeid}: {reason}")
    if _survivors:
        terminalreporter.section("processes outlived the tests that started them, and were ended", red=True)
        for survivor in _survivors:
            terminalreporter.line(survivor)


def _works_for_another(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    expected = getattr(report, "wasxfail", None)
    if expected is not None:
        return f"expected to fail: {expected}"
    return str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr)


def _end_survivors() -> list[str]:
    """Kill what this session started and is still there after a grace; return a line for each."""
    deadline = time.monotonic() + GRACE_SECONDS
    pause = threading.Event()
    while _ours() and time.monotonic() < deadline:
        pause.wait(0.1)
    found = _ours()
    for pid in found:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    return [f"pid {pid}: {command}" for pid, command in found.items()]


def _ours() -> dict[int, str]:
    """Return pid and command of living processes that carry this session's mark.

    A lab is always counted; of the rest, what Python's own multiprocessing keeps until its parent ends is not.
    """
    mark = f"{SESSION_VARIABLE}={os.environ[SESSION_VARIABLE]}".encode()
    found: dict[int, str] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        if int(folder.name) == os.getpid():
            continue
        try:
            variables = (folder / "environ").read_bytes().split(b"\0")
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        except OSError:  # ended meanwhile, or another user's
            continue
        in_lab = any(v.startswith(LAB_VARIABLE.encode() + b"=") for v in variables)
        if mark in variables and command and (in_lab or "multiprocessing" not in command):
            found[int(folder.name)] = command[:200]
    return found
