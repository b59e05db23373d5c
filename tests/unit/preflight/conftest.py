"""Contexts for the checks, and a real TURN server."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from vdibench.preflight import HostContext, TurnServer
from vdibench.preflight.turn_checks import temporary_turn_server
from vdibench.records import Display


@pytest.fixture
def context(tmp_path: Path) -> HostContext:
    return HostContext(tmp_path / "results", display=Display(640, 360, 30), check_seconds=20)


@pytest.fixture(scope="session")
def turn() -> Iterator[TurnServer]:
    """coturn on loopback, on leased ports."""
    with temporary_turn_server(time.monotonic() + 30) as server:
        yield server
