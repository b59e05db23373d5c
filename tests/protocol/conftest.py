"""Fixtures of the protocol tests: stand-in desktops, a sink that keeps everything, a watch on what is left behind."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from vdibench.records import Credentials, Desktop, Endpoint

# The stand-in is a module of this folder, and a program.
sys.path.insert(0, str(Path(__file__).parent))

from standin import Behaviour, StandIn
from standin_websocket import Behaviour as WebSocketBehaviour
from standin_websocket import WebSocketStandIn
from watching import Samples, until


@pytest.fixture
def samples() -> Samples:
    return Samples()


@pytest.fixture
def stand_in() -> Iterator[Callable[..., StandIn]]:
    """Start a stand-in with some behaviour; ended with the test."""
    with ExitStack() as stack:
        yield lambda **changes: stack.enter_context(StandIn(replace(Behaviour(), **changes)))


@pytest.fixture
def stand_in_websocket() -> Iterator[Callable[..., WebSocketStandIn]]:
    """Start a stand-in of the WebSocket dialect with some behaviour; ended with the test."""
    with ExitStack() as stack:
        yield lambda **changes: stack.enter_context(WebSocketStandIn(replace(WebSocketBehaviour(), **changes)))


@pytest.fixture
def desktop() -> Callable[..., Desktop]:
    """A desktop record for a URL."""

    def make(url: str, user: str = "", password: str = "", **rest: Any) -> Desktop:
        credentials = Credentials(user, password) if user else None
        tls = {key: rest.pop(key) for key in ("ca_file", "insecure") if key in rest}
        return Desktop("desktop-0", Endpoint(url, credentials, **tls), **rest)

    return make


@pytest.fixture
def wait_until() -> Callable[..., Any]:
    return until
