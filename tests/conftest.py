"""What holds for a whole test session: no skips, nothing left running, Ctrl-C and SIGTERM clean up.

Tests that only compute come first. Meanwhile what the lab's clusters are made of is built beside them, where it is not
kept yet: from cold caches that is a quarter of an hour of two cores in which nothing else could be tested.

Shared fixtures do not live here: each folder has its own conftest.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

SESSION_VARIABLE = "VDIBENCH_TEST_SESSION"
LAB_VARIABLE = "VDIBENCH_LAB"
GRACE_SECONDS = 3.0

TESTS = Path(__file__).parent
# They need no cluster, and nothing of them is timed.
COMPUTING = tuple(TESTS / name for name in ("unit", "report", "fuzz"))
# But these ask programs that are built with a cluster's.
ASKING = TESTS / "unit" / "graduation"
NICENESS = 10

_builders: list[subprocess.Popen[bytes]] = []
_not_run: dict[str, str] = {}
_survivors: list[str] = []


def pytest_configure(config: pytest.Config) -> None:
    """Mark everything that this session starts, and make SIGTERM unwind fixtures as Ctrl-C does."""
    os.environ[SESSION_VARIABLE] = str(uuid.uuid4())
    os.environ.pop("KUBECONFIG", None)

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What only computes first; all else stays in its order."""
    items.sort(key=lambda item: not _computes(item.path))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build ahead what clusters are made of, if both kinds of tests will run."""
    ahead = any(_computes(item.path) for item in session.items)
    if session.config.option.collectonly or not ahead:
        return
    if any(item.path.is_relative_to(TESTS / "cluster") for item in session.items):
        # Whoever needs it waits for it, and says what is wrong if it fails.
        quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        line = ["nice", f"-n{NICENESS}", sys.executable, "-m", "vdibench.lab.cluster.prepared"]
        builder = subprocess.Popen(line, start_new_session=True, **quiet)
        _builders.append(builder)
        # Reaped when it ends: tests that look at this process's children shall not meet a dead one.
        threading.Thread(target=builder.wait, daemon=True).start()


def _computes(path: Path) -> bool:
    return any(path.is_relative_to(one) for one in COMPUTING) and not path.is_relative_to(ASKING)


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
    for builder in _builders:
        if builder.poll() is None:
            os.killpg(builder.pid, signal.SIGINT)  # so that it removes its temporary folders
        try:
            builder.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(builder.pid, signal.SIGKILL)
            builder.wait()
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
