"""Comparing clocks with a stand-in whose clock is wrong: the estimate is right to within the bound that it states."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from standin import StandIn
from watching import Samples

from vdibench.client import DesktopSession, SessionOptions
from vdibench.selkies import Role

SHIFT = 3.2
CONTROLLER = SessionOptions(role=Role.CONTROLLER)
VIEWER = SessionOptions(compare_clocks=True)


def estimates(samples: Samples) -> list[dict[str, Any]]:
    return [values for table, values in samples.rows if table == "clock"]


@pytest.mark.parametrize(("down", "up"), [(0.0, 0.0), (0.08, 0.0), (0.0, 0.08)])
async def test_by_the_data_channel(
    down: float,
    up: float,
    stand_in: Callable[..., StandIn],
    desktop: Any,
    samples: Samples,
    wait_until: Callable[..., Any],
) -> None:
    server = stand_in(clock_shift=SHIFT, way_to_client=down, way_from_client=up)
    async with DesktopSession(desktop(server.url), samples, CONTROLLER) as session:
        await wait_until(lambda: len(estimates(samples)) >= 3)
        assert session.clock.steps == 0
    for found in estimates(samples):
        assert found["source"] == "data channel"
        assert abs(found["offset_seconds"] - SHIFT) <= found["bound_seconds"]
    best = estimates(samples)[-1]
    assert (down + up) / 2 <= best["bound_seconds"] < (down + up) / 2 + 0.02
    # The middle is off by half of what the two ways differ by, and no estimate can know that.
    assert abs(best["offset_seconds"] - SHIFT - (up - down) / 2) < 0.02


async def test_by_the_web_server(
    stand_in: Callable[..., StandIn], desktop: Any, samples: Samples, wait_until: Callable[..., Any]
) -> None:
    """A viewer gets no pings; whole seconds are enough."""
    server = stand_in(clock_shift=SHIFT)
    async with DesktopSession(desktop(server.url), samples, VIEWER):
        await wait_until(lambda: any(found["bound_seconds"] < 0.1 for found in estimates(samples)))
    for found in estimates(samples):
        assert found["source"] == "web server"
        assert abs(found["offset_seconds"] - SHIFT) <= found["bound_seconds"]


async def test_the_time_of_a_proxy_is_not_the_desktops(
    stand_in: Callable[..., StandIn], desktop: Any, samples: Samples
) -> None:
    server = stand_in(front="nginx")
    async with DesktopSession(desktop(server.url), samples, VIEWER) as session:
        await session.watch(1.5)
    # One of these was to find out what answers.
    assert server.log.count("/api/status") == 2, "the next one would have been due within a second"
    assert estimates(samples) == []
