"""Labs for the tests of this folder, in a runtime directory of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from vdibench.lab import Lab, LabSpec

from .footprints import SMALL, Owner
from .runtime_directory import runtime_directory


@pytest.fixture(scope="session", autouse=True)
def state_root() -> Iterator[Path]:
    """The runtime directory."""
    with runtime_directory() as root:
        yield root


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
