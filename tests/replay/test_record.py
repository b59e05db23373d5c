"""``vdibench record``: a place that cannot be written is told before anything is connected to."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

VDIBENCH = Path(sys.executable).with_name("vdibench")


@pytest.mark.parametrize(
    ("output", "why"),
    [
        ("nowhere/desktop.trace", "No such file or directory"),
        ("file/desktop.trace", "is no folder"),
        ("/proc/desktop.trace", ""),
        ("closed/desktop.trace", ""),
    ],
    ids=["no folder", "a file", "not even root's", "read-only"],
)
def test_a_place_that_cannot_be_written(tmp_path: Path, output: str, why: str) -> None:
    (tmp_path / "file").touch()
    closed = tmp_path / "closed"
    closed.mkdir()
    closed.chmod(0o500)
    if output.startswith("closed") and _writable(closed):
        closed.rmdir()  # root may write anywhere: then it is not there
    with socket.create_server(("127.0.0.1", 0)) as desktop:
        desktop.setblocking(False)
        url = f"http://127.0.0.1:{desktop.getsockname()[1]}"
        done = subprocess.run(
            [str(VDIBENCH), "record", url, "--output", output],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        with pytest.raises(BlockingIOError):
            desktop.accept()
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"vdibench: error: cannot write {output}: ")
    assert why in line
    assert line.endswith("name an existing folder that you may write to with --output")


def test_nothing_stays_of_the_attempt(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        done = subprocess.run(
            [str(VDIBENCH), "record", url],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 98, done.stderr
    assert list(tmp_path.iterdir()) == []


def _writable(folder: Path) -> bool:
    try:
        (folder / "tried").touch()
    except PermissionError:
        return False
    (folder / "tried").unlink()
    return True
