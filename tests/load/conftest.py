"""Stand-in desktops for loads, run folders, and drivers that are ended with their test."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from vdibench.load.driver import LoadDriver, LoadOptions
from vdibench.records import Desktop, Endpoint, Run
from vdibench.store import RunFolder

# The stand-in is a module of the protocol tests, and a program.
sys.path.insert(0, str(Path(__file__).parents[1] / "protocol"))

from standin import Behaviour, StandIn

SUITE = "gpu_density"


@pytest.fixture(scope="session")
def stand_in_url() -> Iterator[str]:
    """A well-behaved desktop that takes any number of clients, 640×360 at 15 frames a second."""
    with StandIn(Behaviour(fps=15)) as stand_in:
        yield stand_in.url


@pytest.fixture
def stand_in() -> Iterator[Callable[..., StandIn]]:
    """Start a stand-in with some behaviour; ended with the test."""
    with ExitStack() as stack:
        yield lambda **changes: stack.enter_context(StandIn(Behaviour(**changes)))


@pytest.fixture
def desktops(stand_in_url: str) -> Callable[[int], list[Desktop]]:
    """So many desktops, all the same one."""

    def make(count: int) -> list[Desktop]:
        return [Desktop(f"desktop-{index}", Endpoint(stand_in_url), marker_id=7) for index in range(count)]

    return make


@pytest.fixture
def run_folder(tmp_path: Path) -> Iterator[RunFolder]:
    """A run that is being written."""
    run = Run(name="", suite=SUITE, profile="test", target="url", started_unix_seconds=time.time())
    with RunFolder.create(tmp_path, run) as folder:
        yield folder


@pytest.fixture
def drive(run_folder: RunFolder) -> Iterator[Callable[..., LoadDriver]]:
    """Start a load; it is ended with the test."""
    with ExitStack() as stack:

        def start(desktops: list[Desktop], **options: Any) -> LoadDriver:
            options = {"spawn_rate": 10.0, **options}
            driver = LoadDriver(run_folder.path, desktops, LoadOptions(**options), suite=SUITE)
            return stack.enter_context(driver)

        yield start
