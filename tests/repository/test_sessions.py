"""The rules of tests/conftest.py, seen from outside: a session of its own for each."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

SKIPS = """
import pytest
def test_runs(): pass
@pytest.mark.{mark}
def test_does_not(): assert False
"""
LEAKS = """
import subprocess
def test_leaves_something():
    child = subprocess.Popen(["sleep", "600"], env={"VDIBENCH_LAB": "x", **__import__("os").environ})
    open("pid", "w").write(str(child.pid))
    child.returncode = 0  # no ResourceWarning: it is meant to be forgotten
"""
WAITS = """
import pathlib, pytest
@pytest.fixture
def resource():
    yield
    pathlib.Path("cleaned").touch()
def test_waits(resource):
    pathlib.Path("pipe").read_bytes()
"""


def argv() -> list[str]:
    return [sys.executable, "-m", "pytest", "-q", "-c", os.devnull, "--rootdir", ".", "-p", "no:cacheprovider", "."]


def session(folder: Path, root: Path, text: str, **changes: str) -> subprocess.CompletedProcess[str]:
    shutil.copy(root / "tests" / "conftest.py", folder)
    (folder / "test_it.py").write_text(text)
    env = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", **changes}
    return subprocess.run(argv(), cwd=folder, env=env, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("mark", ["skip(reason='too hard')", "xfail(reason='too hard')"])
def test_test_that_does_not_run_fails_the_session(tmp_path: Path, root: Path, mark: str) -> None:
    text = SKIPS.format(mark=mark)
    done = session(tmp_path, root, text)
    assert done.returncode == 1
    assert "skipped tests fail this session" in done.stdout
    assert "test_it.py::test_does_not" in done.stdout
    assert "too hard" in done.stdout
    assert "1 passed" in done.stdout.splitlines()[-1]
    assert session(tmp_path, root, text, VDIBENCH_ALLOW_SKIPS="1").returncode == 0


def test_module_that_skips_itself_fails_the_session(tmp_path: Path, root: Path) -> None:
    text = "import pytest\npytest.importorskip('absent_module')\n"
    (tmp_path / "test_other.py").write_text("def test_runs(): pass\n")
    done = session(tmp_path, root, text)
    assert done.returncode != 0
    assert "skipped tests fail this session" in done.stdout


def test_clean_session_passes(tmp_path: Path, root: Path) -> None:
    done = session(tmp_path, root, "def test_runs(): pass\n")
    assert (done.returncode, done.stdout.splitlines()[-1][:8]) == (0, "1 passed")


def test_process_that_outlives_its_test_fails_the_session_and_is_ended(tmp_path: Path, root: Path) -> None:
    done = session(tmp_path, root, LEAKS)
    pid = int((tmp_path / "pid").read_text())
    assert done.returncode == 1
    assert f"pid {pid}: sleep 600" in done.stdout
    stat = Path(f"/proc/{pid}/stat")
    assert not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z"


def test_terminated_session_cleans_up(tmp_path: Path, root: Path) -> None:
    shutil.copy(root / "tests" / "conftest.py", tmp_path)
    (tmp_path / "test_it.py").write_text(WAITS)
    os.mkfifo(tmp_path / "pipe")
    env = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    process = subprocess.Popen(argv(), cwd=tmp_path, env=env, stdout=subprocess.DEVNULL)
    with (tmp_path / "pipe").open("wb"):  # returns when the test waits
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == pytest.ExitCode.INTERRUPTED
    assert (tmp_path / "cleaned").exists()
