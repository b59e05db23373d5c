"""The recorded trace and servers that replay it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from vdibench.replay.process import ReplayServer
from vdibench.selkies import Dialect

TRACE = Path(__file__).parents[1] / "data" / "replay" / "text.trace"


@pytest.fixture
def trace() -> Path:
    return TRACE


@pytest.fixture(scope="module")
def webrtc() -> Iterator[ReplayServer]:
    with ReplayServer(TRACE, log=True) as server:
        yield server


@pytest.fixture(scope="module")
def websocket() -> Iterator[ReplayServer]:
    with ReplayServer(TRACE, dialect=Dialect.SELKIES_2_WEBSOCKET, log=True) as server:
        yield server
