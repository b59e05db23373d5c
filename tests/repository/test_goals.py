"""What make adds to the commands: exit codes that make can carry, signals handed on, help for each goal."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

# Says through the pipe that it is there, and reports the signal that it then waits for.
WAITING = """#!{python}
import pathlib, signal
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
pathlib.Path("pipe").write_text("ready")
print(signal.sigwait([signal.SIGTERM]).name)
raise SystemExit(97)
"""


@pytest.fixture
def checkout(tmp_path: Path, root: Path) -> Path:
    """A checkout whose vdibench ends as the test says."""
    (tmp_path / "scripts").mkdir()
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    shutil.copy(root / "scripts" / "report.py", tmp_path / "scripts")
    return tmp_path


def vdibench(checkout: Path, text: str) -> list[str]:
    program = checkout / ".venv" / "bin" / "vdibench"
    program.write_text(text)
    program.chmod(0o755)
    return [sys.executable, str(checkout / "scripts" / "report.py"), "run", "--profile", "smoke"]


@pytest.mark.parametrize(("code", "expected"), [(0, 0), (99, 0), (98, 98), (97, 97), (2, 2), (1, 1)])
def test_report_succeeds_when_there_is_a_verdict(checkout: Path, code: int, expected: int) -> None:
    argv = vdibench(checkout, f'#!/bin/sh\necho "verdict of $*"\nexit {code}\n')
    done = subprocess.run(argv, capture_output=True, text=True)
    assert done.returncode == expected
    assert done.stdout == "verdict of run --profile smoke\n"
    assert (f"(exit {code})" in done.stderr) is (expected != 0)


def test_report_hands_a_termination_on(checkout: Path) -> None:
    argv = vdibench(checkout, WAITING.format(python=sys.executable))
    os.mkfifo(checkout / "pipe")
    process = subprocess.Popen(argv, cwd=checkout, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert (checkout / "pipe").read_text() == "ready"
    process.send_signal(signal.SIGTERM)
    output, errors = process.communicate(timeout=30)
    assert (process.returncode, output) == (97, "SIGTERM\n")
    assert "the run is invalid" in errors


def test_every_goal_is_listed(root: Path) -> None:
    env = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    listed = subprocess.run(["make"], cwd=root, env=env, capture_output=True, text=True, check=True).stdout
    phony = re.search(r"^\.PHONY: (.*)$", (root / "Makefile").read_text(), flags=re.M)
    assert phony
    internal = {"setup-report"}
    assert set(re.findall(r"^  make ([a-z-]+) ", listed, flags=re.M)) == set(phony[1].split()) - internal


def outside_make() -> dict[str, str]:
    """The environment without what a make around these tests leaves in it."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS", "ARGS"))}


@pytest.mark.parametrize("goal", ["report", "test", "notebooks", "setup", "lint", "lock"])
def test_goals_prepare_what_they_need_and_hide_a_cluster(root: Path, goal: str) -> None:
    env = {**outside_make(), "KUBECONFIG": "/nonexistent", "PYTHONPATH": "/nonexistent"}
    probe = "probe: ; @echo config=$$KUBECONFIG path=$$PYTHONPATH"
    done = subprocess.run(
        ["make", "-s", "-f", "Makefile", "--eval", probe, "probe"], cwd=root, env=env, capture_output=True, text=True
    )
    assert done.stdout == "config= path=\n"
    plan = subprocess.run(["make", "-n", goal], cwd=root, env=env, capture_output=True, text=True, check=True).stdout
    assert re.search(r"scripts/(setup|lock)\.py", plan.splitlines()[0])


def test_notebooks_open_for_root_too(root: Path) -> None:
    plan = subprocess.run(
        ["make", "-n", "notebooks"], cwd=root, env=outside_make(), capture_output=True, text=True, check=True
    ).stdout
    assert ("--allow-root" in plan) is (os.geteuid() == 0)
