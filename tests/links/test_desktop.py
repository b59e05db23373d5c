"""A real desktop over a link: what the client reports is what the link did."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Iterator

import pytest

from vdibench.client import DesktopSession, FrameRecord, SampleSink, SessionOptions
from vdibench.errors import StreamLost, VdibenchError
from vdibench.lab import DesktopSpec, Lab, LabSpec
from vdibench.links import DIRECT, DirectionCounters, NamespaceRoute, Relay, profile
from vdibench.links.namespace import missing
from vdibench.records import Desktop, Display
from vdibench.selkies import Role

FREEZE_SECONDS, FREEZES, SPACING_SECONDS = 0.3, 10, 0.65
# Of the lab's Selkies: Opus, H.264, and H.264 that is sent again.
AUDIO, VIDEO = 96, 97


class Frames(SampleSink):
    """Keeps what a session saw."""

    def __init__(self) -> None:
        self.frames: list[FrameRecord] = []

    def frame(self, session: str, record: FrameRecord) -> None:
        self.frames.append(record)


@pytest.fixture(scope="module")
def desktop() -> Iterator[Desktop]:
    with Lab.up(LabSpec((DesktopSpec(display=Display(640, 360, 30)),)), name="links", owned=True) as lab:
        yield lab.desktops[0]


def sent_and_lost(down: DirectionCounters, kind: int) -> tuple[int, int]:
    return down.media_passed.get(kind, 0), down.media_dropped.get(kind, 0)


async def test_loss_is_reported_as_it_was_and_freezes_are_found(desktop: Desktop) -> None:
    sink = Frames()
    async with Relay() as relay:
        route = relay.route(profile("down.loss=1%"), seed=3)
        options = SessionOptions(role=Role.CONTROLLER, route=route)
        async with DesktopSession(desktop, sink, options) as session:
            await session.first_frame()
            await session.watch(4.0)
            # Without loss what was lost before is certain; a second lets the last packets arrive.
            route.set_profile(DIRECT)
            await session.watch(1.0)
            reported, down = session.read(), route.counters().down
            passed, lost = sent_and_lost(down, VIDEO)
            assert lost > 0
            assert reported.packets_lost == pytest.approx(lost, abs=2)
            assert reported.packets_received == pytest.approx(passed, abs=50)  # some are on the way
            assert reported.audio_packets_lost == pytest.approx(sent_and_lost(down, AUDIO)[1], abs=2)
            assert reported.socket_drops == down.dropped["socket"] == 0

            frozen = [route.freeze(FREEZE_SECONDS, after=0.2 + number * SPACING_SECONDS) for number in range(FREEZES)]
            await session.watch(0.2 + FREEZES * SPACING_SECONDS)
            assert session.read().packets_lost == reported.packets_lost
    gaps = [
        (before, after)
        for before, after in itertools.pairwise(frame.arrival_unix_seconds for frame in sink.frames)
        if after - before >= FREEZE_SECONDS
    ]
    for start in frozen:
        # A frame may come just as it begins; the next come just as it ends.
        (found,) = [gap for gap in gaps if gap[0] < start + FREEZE_SECONDS / 2 < gap[1]]
        assert found[1] - found[0] == pytest.approx(FREEZE_SECONDS, abs=0.15)


async def test_a_link_that_is_cut_ends_the_session_with_its_reason(desktop: Desktop) -> None:
    async with Relay() as relay:
        route = relay.route(DIRECT)
        options = SessionOptions(role=Role.CONTROLLER, route=route, stall_seconds=1.0)
        async with DesktopSession(desktop, Frames(), options) as session:
            await session.first_frame()
            route.cut()
            began = time.monotonic()
            with pytest.raises(StreamLost):
                async with asyncio.timeout(15.0):
                    await session.watch(15.0)
            assert time.monotonic() - began < 10.0
        assert route.counters().down.dropped["cut"] > 0


async def test_a_namespace_carries_a_whole_session(desktop: Desktop) -> None:
    if (lacks := missing()) is not None:
        with pytest.raises(VdibenchError) as raised:
            async with NamespaceRoute(DIRECT):
                pass
        assert str(raised.value) == str(lacks)
        return
    sink = Frames()
    async with NamespaceRoute(DIRECT) as route:
        options = SessionOptions(role=Role.CONTROLLER, route=route)
        async with DesktopSession(desktop, sink, options) as session:
            await session.first_frame()
            await session.watch(1.0)
            assert session.pair is not None
            assert session.pair.local_address.startswith(f"{route.namespace.address}:")
            assert session.pair.remote_address.startswith(f"{route.namespace.host_address}:")
    assert len(sink.frames) > 10
