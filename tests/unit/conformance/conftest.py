"""A cluster's places, as they are where everything is there."""

from __future__ import annotations

import pytest

from vdibench.conformance import Door, Places, Source, StandIn


@pytest.fixture
def places() -> Places:
    return Places(
        sources=frozenset(Source),
        session=StandIn("10.42.0.7", "token-of-the-session"),
        service="10.43.0.50",
        neighbour=StandIn("10.42.0.8", "token-of-the-neighbour"),
        outsider=StandIn("10.42.0.6", "token-of-the-outsider"),
        node="192.0.2.10",
        monitoring=StandIn("10.42.0.5", "token-of-monitoring"),
        # As the base of manifests/security has it, before an overlay's settings fill it in.
        coturn="192.0.2.10",
        dns="10.43.0.10",
        api_service=Door("10.43.0.1", 443),
        api_server=Door("192.0.2.10", 6443),
        node_port=Door("192.0.2.10", 30443),
        internet=Door("203.0.113.5", 443),
    )
