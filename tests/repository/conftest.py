"""The checkout as the tests of this folder look at it."""

from __future__ import annotations

import os
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


@pytest.fixture(scope="session")
def committed() -> list[Path]:
    """Every file that git tracks or would track, as paths below the root."""
    argv = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    listed = subprocess.run(argv, cwd=ROOT, capture_output=True, check=True, env=env).stdout.decode()
    return [Path(name) for name in listed.split("\0") if name and (ROOT / name).is_file()]
