"""Running ``vdibench`` as a person does: the installed command, in a process of its own.

To start one takes two seconds of a core, of which nearly all is loading libraries. Where many calls differ only in
their words, and start nothing, :func:`called` makes them in this process: the same entry point, the same words.
"""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from unittest import mock

import psutil
import pytest

from vdibench import cli
from vdibench.records import Outcome, SuiteVerdict
from vdibench.store import Recording

__all__ = [
    "VDIBENCH",
    "await_steady",
    "called",
    "command_lines",
    "judged",
    "living",
    "short_run",
    "start",
    "vdibench",
]

VDIBENCH = Path(sys.executable).with_name("vdibench")

# One desktop, small and short: for tests that are not about the numbers.
SHORT = {
    "width": "640",
    "height": "360",
    "framerate": "30",
    "warmup_seconds": "0.5",
    "steady_seconds": "4.0",
    "inputs": "4",
    "starts": "1",
}


def short_run(**changes: str) -> list[str]:
    """Options of a short notebook 02, without a self-test before it."""
    return ["--no-selftest", *(word for name, value in (SHORT | changes).items() for word in ("-p", name, value))]


def _environment(extra: Mapping[str, str] | None) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if name != "VDIBENCH_PASSWORD"}
    return clean | dict(extra or {})


def judged(suite: SuiteVerdict, *outcomes: Outcome) -> bool:
    """Whether a suite came out as one of ``outcomes``, or this machine was too busy or uneven to say, and said so."""
    if suite.outcome is not Outcome.INVALID:
        return suite.outcome in outcomes
    of_the_machine = ("event loop was late", "decoder was late", "was busy", "end other work on this machine")
    return bool(suite.reasons) and all(any(word in reason for word in of_the_machine) for reason in suite.reasons)


def start(*arguments: str, cwd: Path, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    """Start ``vdibench`` and return at once."""
    return subprocess.Popen(
        [str(VDIBENCH), *arguments],
        cwd=cwd,
        env=_environment(env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def vdibench(
    *arguments: str, cwd: Path, env: Mapping[str, str] | None = None, timeout: float = 120
) -> subprocess.CompletedProcess[str]:
    """Run ``vdibench`` to its end."""
    return subprocess.run(
        [str(VDIBENCH), *arguments],
        cwd=cwd,
        env=_environment(env),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def called(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """What :func:`vdibench` gives, from the entry point of the command called in this process."""
    out, err = io.StringIO(), io.StringIO()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        with (
            contextlib.chdir(cwd),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            mock.patch.object(sys, "argv", [str(VDIBENCH), *arguments]),
            mock.patch.dict(os.environ, _environment(None), clear=True),
            pytest.raises(SystemExit) as ended,
        ):
            cli.main()
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    assert isinstance(ended.value.code, int)
    return subprocess.CompletedProcess(arguments, ended.value.code, out.getvalue(), err.getvalue())


def command_lines() -> set[str]:
    """The command lines of every process that can be read."""
    found = set()
    for process in psutil.process_iter(["cmdline"]):
        found.add(" ".join(process.info["cmdline"] or ()))
    return found


def living(mark: str) -> list[str]:
    """Processes whose command line names ``mark``."""
    return [line for line in command_lines() if mark in line]


def await_steady(results: Path, process: subprocess.Popen[str], rows: int = 20) -> Path:
    """Wait until a run has steady frames on the disk; its folder."""
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()
        folders = [path for path in results.glob("*") if (path / "run.json").exists()] if results.exists() else []
        for folder in folders:
            frames = Recording.open(folder).table("frames")
            if (frames.phase == "steady").sum() > rows:
                return folder
        time.sleep(0.2)  # samples are in files: nothing tells of them
    pytest.fail("no steady samples within 90 s")
