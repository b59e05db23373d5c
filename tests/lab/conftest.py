"""Labs for the tests of this folder, in a runtime directory of their own."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from vdibench.lab import Lab, LabSpec

from .footprints import SMALL, Owner


@pytest.fixture(scope="session", autouse=True)
def state_root() -> Iterator[Path]:
    """A runtime directory of the tests' own, with a path short enough for sockets."""
    root = Path(tempfile.mkdtemp(prefix="vdibench-test-"))
    before = os.environ.get("XDG_RUNTIME_DIR")
    os.environ["XDG_RUNTIME_DIR"] = str(root)
    yield root
    if before is None:
        del os.environ["XDG_RUNTIME_DIR"]
    else:
        os.environ["XDG_RUNTIME_DIR"] = before
    # Other programs of the session (a browser, say) may keep state in a runtime directory too.
    remains = list((root / "vdibench" / "labs").rglob("*"))
    shutil.rmtree(root)
    assert not remains, f"the labs of the tests left {remains}"


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """A lab of two small desktops, for tests that only look at it."""
    with Lab.up(LabSpec((SMALL, SMALL)), name="shared", owned=True) as lab:
        yield lab


@pytest.fixture
def owner() -> Iterator[Callable[..., Owner]]:
    """Makes owners, and ends them."""
    made: list[Owner] = []

    def make(**options: object) -> Owner:
        made.append(Owner(**options))  # type: ignore[arg-type]  # the test knows which
        return made[-1]

    yield make
    for one in made:
        one.end()
