"""A link of known rate, full to the brim: does the client count what came through? I/O."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

from vdibench.client import DesktopSession, Mode, SessionOptions
from vdibench.links import DIRECT, LinkProfile, RelayRoute
from vdibench.records import Accuracy, Desktop, Endpoint
from vdibench.replay.process import ReplayServer
from vdibench.selftest.comparison import counted
from vdibench.selftest.plan import Plan
from vdibench.selftest.samples import Samples
from vdibench.selkies import Dialect

__all__ = ["measure_rate"]

_BOUND_RATIO = 0.02
# What the relay counts with each datagram beside its payload: IPv4 and UDP headers.
_UDP_HEADER_BYTES = 28
# Until the queue is full and what stood in it before is through.
_FILL_SECONDS = 1.0


async def measure_rate(source: ReplayServer, route: RelayRoute, plan: Plan, say: Callable[[str], None]) -> Accuracy:
    """Let less through than the source sends; what the client received in a second is that rate.

    :raises VdibenchError: the source cannot be watched.
    """
    limit = plan.rate_ratio * source.bitrate_bps
    say(f"{Dialect.SELKIES_2_WEBRTC}: rate limited to {limit / 1e6:.3g} Mbit/s")
    session = DesktopSession(
        Desktop("source", Endpoint(source.url)), Samples(), SessionOptions(mode=Mode.METER, route=route)
    )
    try:
        await session.connect()
        await session.first_frame()
        overhead = source.count()["overhead_bytes"] + _UDP_HEADER_BYTES
        route.set_profile(LinkProfile("selftest", replace(DIRECT.down, rate_bps=limit), DIRECT.up))
        await session.watch(_FILL_SECONDS)
        loop = asyncio.get_running_loop()
        before, began = session.read(), loop.time()
        await session.watch(plan.rate_seconds)
        after, seconds = session.read(), loop.time() - began
    finally:
        await session.leave()
    packets = after.packets_received - before.packets_received
    measured = (after.bytes_received - before.bytes_received + packets * overhead) * 8 / seconds
    return counted(
        "bitrate_bits_per_second",
        str(Dialect.SELKIES_2_WEBRTC),
        limit,
        measured,
        "bits/second",
        int(packets),
        _BOUND_RATIO * limit,
    )
