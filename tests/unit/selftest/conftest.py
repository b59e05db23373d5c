"""Self-tests to look at."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

import vdibench
from vdibench.records import Accuracy, Cost, SelfTest
from vdibench.selftest.state import fingerprint

GOOD = Accuracy(
    "glass_to_glass_seconds", "selkies-2-webrtc", 0.02, 0.0204, 0.0004, "seconds", 240, 0.002, True, 0.0001, 0.0008
)
COST = Cost("decode", 4, 938.5, 0.125, 8.0, 31e6, "canned H.264 1920×1080@60")


@pytest.fixture
def selftest() -> Callable[..., SelfTest]:
    """Make a self-test of this machine that is good but for the changes."""
    whole = SelfTest(
        kind="full",
        version=vdibench.__version__,
        fingerprint=fingerprint(),
        began_unix_seconds=1_760_000_000.0,
        took_seconds=300.0,
        host={"cpu_model": "some processor", "cpu_cores_usable": 2.0},
        desktop="a lab desktop of 1280×720@60, workload text",
        accuracy=(GOOD,),
        cost=(COST,),
        floor={"receive": 0.004, "decode": 0.05},
    )

    def make(**changes: Any) -> SelfTest:
        return dataclasses.replace(whole, **changes)

    return make
