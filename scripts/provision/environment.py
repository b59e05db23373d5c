"""The checkout's own `.venv`, filled from `requirements.lock`.

A stamp, written last, says for which lock, pyproject, Python and folder the environment was built; while it
fits nothing is done. A marker stands while pip works: where it is found, an earlier set-up was cut off in the
middle and the environment is built anew, because a half-written package looks installed.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from provision.console import SetupError, logged, say, tail

__all__ = ["fingerprint", "install", "prepare"]

RECIPE = "1"
# Distributions of the checkout: vdibench, and beside it the operator and its checker.
PROJECTS = (".", "operator", "operator/checker")
STAMP = "setup.stamp"
MARKER = "setup.incomplete"
INSTALL = ("install", "--disable-pip-version-check", "--no-input", "--progress-bar", "off")


def fingerprint(root: Path) -> str:
    """Return what the environment depends on, as a digest."""
    parts = (
        RECIPE.encode(),
        sys.version.encode(),
        sys.base_prefix.encode(),
        str(root).encode(),
        (root / "requirements.lock").read_bytes(),
        *((folder / "pyproject.toml").read_bytes() for folder in _projects(root)),
    )
    return hashlib.sha256(b"\0".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()


def prepare(root: Path, log: Path) -> str:
    """Make `.venv` fit the lock; return a note for the report.

    :raises SetupError: when the environment cannot be created or pip fails; the marker stays, so that the
        next set-up starts afresh.
    """
    folder = root / ".venv"
    stamp, marker = folder / STAMP, folder / MARKER
    wanted = fingerprint(root)
    usable = _works(folder)
    if usable and _recorded(stamp).get("fingerprint") == wanted:
        return "warm: nothing changed"
    note = "brought up to date"
    if marker.exists() or not usable:
        note = "built"
        if folder.exists():
            say("python environment: .venv is incomplete or belongs to another Python, building it anew")
            note = "rebuilt"
            shutil.rmtree(folder)
        folder.mkdir()
        marker.touch()
        argv = [sys.executable, "-m", "venv", str(folder)]
        code = logged(argv, log, "python environment: creating .venv")
        if code:
            raise SetupError(f"no virtual environment could be made (exit {code}), see {log}:\n{tail(log)}")
    stamp.unlink(missing_ok=True)
    marker.touch()
    locked = ("--require-hashes", "--requirement", str(root / "requirements.lock"))
    _pip(folder, log, "python environment: installing the locked packages", *locked)
    own = [word for project in _projects(root) for word in ("--editable", str(project))]
    _pip(folder, log, "python environment: installing vdibench", "--no-deps", "--no-build-isolation", *own)
    marker.unlink()
    stamp.write_text(json.dumps({"fingerprint": wanted}) + "\n")
    return note


def install(folder: Path, log: Path, doing: str, *arguments: str) -> int:
    """Let the environment's own pip install; return its exit code."""
    argv = [str(folder / "bin" / "python"), "-m", "pip", *INSTALL, *arguments]
    return logged(argv, log, doing, env=_pip_environment(), append=True)


def _projects(root: Path) -> list[Path]:
    return [root / name for name in PROJECTS if (root / name / "pyproject.toml").exists()]


def _pip(folder: Path, log: Path, doing: str, *arguments: str) -> None:
    code = install(folder, log, doing, *arguments)
    if code:
        raise SetupError(
            f"pip failed (exit {code}), see {log}:\n{tail(log)}\n"
            "check the network and pip's configuration (`pip config list`), then try again"
        )


def _pip_environment() -> dict[str, str]:
    """Keep the user's index, proxy and certificates; drop what would send packages elsewhere."""
    elsewhere = {"PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_REQUIRE_HASHES", "PYTHONPATH", "PYTHONHOME"}
    kept = {name: value for name, value in os.environ.items() if name not in elsewhere}
    return {**kept, "PIP_USER": "0"}


def _recorded(stamp: Path) -> dict[str, str]:
    try:
        found = json.loads(stamp.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _works(folder: Path) -> bool:
    python = folder / "bin" / "python"
    if not python.exists():
        return False
    probe = subprocess.run(
        [python, "-I", "-S", "-c", "import sys; print(sys.version, sys.base_prefix, sep='\\n')"],
        capture_output=True,
        text=True,
        check=False,
    )
    fits = probe.stdout.rstrip("\n") == f"{sys.version}\n{sys.base_prefix}"
    return fits and any(folder.glob("lib*/python3*/site-packages/pip/__main__.py"))
