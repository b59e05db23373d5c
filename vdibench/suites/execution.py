"""One notebook executed by papermill in a process of its own, interrupted and ended cleanly. I/O.

A process of its own, because papermill drives an event loop that an interrupt would leave half-way; and a session of
its own, so that Ctrl-C reaches only the runner, which then interrupts the kernel: the suite in it keeps its samples and
ends its desktops.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import yaml

from vdibench.errors import VdibenchError

__all__ = ["NotebookFailed", "NotebookRun", "execute_notebook"]

KERNEL = "python3"
_POLL_SECONDS = 0.2
_GRACE_SECONDS = 25.0
_SCRATCH = "vdibench-kernel-"


@dataclass(frozen=True, slots=True)
class NotebookRun:
    """What to execute.

    :param source: the notebook.
    :param executed: where the executed copy goes; its parameters and log stand beside it.
    """

    source: Path
    executed: Path
    parameters: Mapping[str, Any]

    @property
    def log(self) -> Path:
        """papermill's and the kernel's own words."""
        return self.executed.with_suffix(".log")


class NotebookFailed(VdibenchError):
    """A cell failed; the run folder may know more (:mod:`vdibench.suites.failure`)."""


def execute_notebook(run: NotebookRun, *, deadline: float | None, tick: Callable[[], None]) -> None:
    """Execute and wait.

    :param deadline: on the monotonic clock; None for no limit.
    :param tick: called several times a second while waiting.
    :raises NotebookFailed: a cell failed, or papermill itself.
    :raises TimeoutError: the deadline passed; the kernel was interrupted first.
    """
    parameters = run.executed.with_suffix(".parameters.yaml")
    try:
        run.executed.parent.mkdir(parents=True, exist_ok=True)
        parameters.write_text(yaml.safe_dump(dict(run.parameters), sort_keys=False))
    except OSError as error:
        raise NotebookFailed(f"cannot write {parameters.name}: {error.strerror}", "free room on the disk") from error
    command = [
        *(sys.executable, "-m", "vdibench.tether", str(os.getpid()), "papermill", str(run.source), str(run.executed)),
        *("-f", str(parameters), "-k", KERNEL, "--no-progress-bar", "--no-log-output", "--log-level", "WARNING"),
    ]
    # Connection files and history stay out of the user's home, and go with us.
    _sweep()
    with tempfile.TemporaryDirectory(prefix=f"{_SCRATCH}{os.getpid()}-") as scratch, run.log.open("wb") as log:
        environment = os.environ | {
            "JUPYTER_RUNTIME_DIR": str(Path(scratch, "runtime")),
            "IPYTHONDIR": str(Path(scratch, "ipython")),
            "JUPYTER_PREFER_ENV_PATH": "1",
            # A frozen-modules warning of the debugger would stand in every executed notebook.
            "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        }
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )
        try:
            while child.poll() is None:
                if deadline is not None and time.monotonic() > deadline:
                    raise TimeoutError
                tick()
                time.sleep(_POLL_SECONDS)  # waiting for a process, several times a second, is what this loop is
        finally:
            _end(child)
    if child.returncode != 0:
        raise NotebookFailed(f"{run.source.name} failed: {_last_line(run.log)}", f"see {run.log}")


def _sweep() -> None:
    """Remove what a killed runner could not: its kernels' scratch folders."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_SCRATCH}*-*"):
        pid = folder.name.removeprefix(_SCRATCH).partition("-")[0]
        if pid.isdecimal() and not psutil.pid_exists(int(pid)):
            shutil.rmtree(folder, ignore_errors=True)  # another user's stays, and is theirs to sweep


def _end(child: subprocess.Popen[bytes]) -> None:
    """Interrupt the kernel, give it time to clean up, then end whatever is left of the tree."""
    if child.poll() is not None:
        return
    try:
        tree = psutil.Process(child.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        tree = []
    kernels = [process for process in tree if "ipykernel_launcher" in " ".join(_arguments(process))]
    for kernel in kernels:
        _signal(kernel, signal.SIGINT)
    if kernels:
        with contextlib.suppress(subprocess.TimeoutExpired):  # ended by force below
            child.wait(_GRACE_SECONDS)
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(3)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
    _, alive = psutil.wait_procs(kernels, timeout=3)
    for process in alive:
        _signal(process, signal.SIGKILL)


def _arguments(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.Error:
        return []


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):  # ended meanwhile
        process.send_signal(number)


def _last_line(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else "papermill said nothing"
