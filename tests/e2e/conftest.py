"""One full run of the smoke profile on real desktops, shared by all tests that look at its results."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from vdibench.lab import DesktopSpec, Lab, LabSpec
from vdibench.records import Display
from vdibench.store import Recording, resolve

from .commands import vdibench


@dataclass(frozen=True)
class FullRun:
    """A finished ``vdibench run``."""

    process: subprocess.CompletedProcess[str]
    folder: Path

    @property
    def recording(self) -> Recording:
        """Its folder, read."""
        return Recording.open(self.folder)


@pytest.fixture(scope="session")
def full_run(tmp_path_factory: pytest.TempPathFactory) -> FullRun:
    """Notebooks 01, 02, 03, 04 and 06 with the smoke profile, as ``make report`` runs them."""
    home = tmp_path_factory.mktemp("full")
    # As on a machine that never tested itself.
    process = vdibench("run", "--profile", "smoke", cwd=home, env={"XDG_STATE_HOME": str(home / "state")}, timeout=480)
    return FullRun(process, resolve(home / "results", "latest"))


@pytest.fixture(scope="module")
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """A small named lab of one desktop."""
    spec = LabSpec(desktops=(DesktopSpec(display=Display(640, 360, 30)),))
    with Lab.up(spec, owned=True) as found:
        yield found
