from __future__ import annotations

import math

import pytest

from vdibench.targets import UNKNOWN_CLOCK_SECONDS, clock_bound_seconds, parse_target

HERE, THERE = "url:http://127.0.0.1:8080", "url:http://192.0.2.1"  # the latter is nobody's: RFC 5737


@pytest.mark.parametrize(
    ("target", "measured", "peer", "bound"),
    [
        ("lab", None, "", 0.0),
        ("lab:mine", 0.004, "192.0.2.1:5000", 0.0),
        (HERE, None, "", 0.0),
        (HERE, 0.004, "", 0.0),
        (HERE, None, "127.0.0.1:5000", 0.0),
        (HERE, None, "192.0.2.1:5000", UNKNOWN_CLOCK_SECONDS),  # a port-forward: the picture comes from elsewhere
        (HERE, 0.004, "192.0.2.1:5000", 0.004),
        (THERE, None, "", UNKNOWN_CLOCK_SECONDS),
        (THERE, math.nan, "", UNKNOWN_CLOCK_SECONDS),
        (THERE, 0.004, "", 0.004),
        (THERE, 0.004, "192.0.2.1:5000", 0.004),
    ],
)
def test_how_far_the_clocks_may_be_apart(target: str, measured: float | None, peer: str, bound: float) -> None:
    assert clock_bound_seconds(parse_target(target), measured, peer=peer) == bound
