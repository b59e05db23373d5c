"""Fixtures of the link tests: a relay, and ends to speak through it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from vdibench.links import LinkProfile, Relay, RelayRoute, profile

from .ends import DatagramPair, EchoServer


@pytest.fixture
def relay() -> Iterator[Relay]:
    with Relay() as relay:
        yield relay


@pytest.fixture
def route(relay: Relay) -> Callable[..., RelayRoute]:
    """A link by what a user would write, ``direct`` by default."""

    def make(link: str | LinkProfile = "direct", seed: int = 1) -> RelayRoute:
        return relay.route(profile(link) if isinstance(link, str) else link, seed)

    return make


@pytest.fixture
def pair() -> Iterator[Callable[[RelayRoute], DatagramPair]]:
    """A client and a server that have met over UDP through a route."""
    with ExitStack() as stack:
        yield lambda route: stack.enter_context(DatagramPair(route))


@pytest.fixture
def echo() -> Iterator[EchoServer]:
    with EchoServer() as server:
        yield server
