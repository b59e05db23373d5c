"""Wheels for an image: of PyPI by digest, whatever Python runs here, and vdibench's own. Runs pip and hatchling."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tempfile
from pathlib import Path

from vdibench.errors import LabError

__all__ = ["build_wheel", "install_wheels"]

_LAST_LINES = 3
# Debian 12 has glibc 2.36; pip takes only the platforms that it is told, and some wheels have a name of before those.
_PLATFORMS = ("manylinux2014", *(f"manylinux_2_{minor}" for minor in (5, 12, 17, 24, 26, 27, 28, 31, 34, 35, 36)))


def install_wheels(requirements: str, into: Path, python: str = "3.11") -> None:
    """Unpack these wheels into a folder, as for x86-64 Linux with that Python.

    :param requirements: lines of a requirements file, each with its digests.
    :raises LabError: one cannot be fetched, or is another one than its digest says.
    """
    platforms = [f"--platform={name}_x86_64" for name in _PLATFORMS]
    options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--require-hashes", "--no-compile"]
    options += ["--only-binary=:all:", "--implementation=cp", f"--python-version={python}", *platforms]
    with tempfile.TemporaryDirectory(prefix="vdibench-wheels-") as place:
        file = Path(place) / "requirements.txt"
        file.write_text(requirements)
        command = [sys.executable, "-m", "pip", "install", *options, f"--target={into}", f"--requirement={file}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise LabError(f"cannot fetch wheels from PyPI: {_said(done)}", "check the network, or give pip its index")


def build_wheel(project: Path, into: Path) -> Path:
    """The wheel of a project whose build backend is hatchling, which must be installed: nothing is fetched for it.

    :param project: the folder of its ``pyproject.toml``.
    :raises LabError: hatchling is not here, or refuses.
    """
    if importlib.util.find_spec("hatchling") is None:
        raise LabError("hatchling is not installed, which makes vdibench's wheel", "install the extra vdibench[dev]")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(into)]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    if done.returncode:
        raise LabError(f"cannot make the wheel of {project.name}: {_said(done)}", "mend pyproject.toml")
    (wheel,) = into.glob("*.whl")
    return wheel


def _said(done: subprocess.CompletedProcess[str]) -> str:
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    return " / ".join(lines[-_LAST_LINES:]) or f"exit {done.returncode}"
