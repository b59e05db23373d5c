"""Whole sessions by the native receiver: real ICE, DTLS and SRTP, from a replay."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from vdibench.client import DesktopSession, FrameRecord, Mode, SampleSink, SessionOptions
from vdibench.client.rounds import MANY
from vdibench.records import Desktop, Endpoint
from vdibench.replay.process import ReplayServer

WATCH_SECONDS = 2.5


class Kept(SampleSink):
    """A sink that keeps frames and facts by session."""

    def __init__(self) -> None:
        self.frames: dict[str, list[FrameRecord]] = {}
        self.facts: dict[tuple[str, str], str] = {}

    def frame(self, session: str, record: FrameRecord) -> None:
        self.frames.setdefault(session, []).append(record)

    def fact(self, session: str, key: str, value: str) -> None:
        self.facts[session, key] = value


@pytest.fixture(scope="module")
def source() -> Iterator[ReplayServer]:
    with ReplayServer(width=320, height=180, framerate=30, bitrate_bps=1_000_000) as server:
        yield server


async def watch(source: ReplayServer, count: int, **options: Any) -> tuple[Kept, list[DesktopSession]]:
    """So many sessions at once for a while, left in the end."""
    kept = Kept()
    sessions = [
        DesktopSession(Desktop(f"desktop-{n}", Endpoint(source.url)), kept, SessionOptions(**options))
        for n in range(count)
    ]
    try:
        for session in sessions:
            await session.connect()
            await session.first_frame()
        await asyncio.gather(*(session.watch(WATCH_SECONDS) for session in sessions))
    finally:
        await asyncio.gather(*(session.leave() for session in sessions))
    return kept, sessions


@pytest.mark.parametrize("count", [1, MANY + 1])
@pytest.mark.parametrize("authenticate", [False, True])
async def test_every_frame_is_whole(source: ReplayServer, count: int, authenticate: bool) -> None:
    kept, sessions = await watch(source, count, mode=Mode.METER, native=True, authenticate=authenticate)
    for session in sessions:
        frames = kept.frames[session.desktop.id]
        counters = session.read()
        assert kept.facts[session.desktop.id, "reception"].startswith("native ")
        # A loaded machine may drop some; what came is all there.
        assert len(frames) > 20
        assert sum(frame.packets for frame in frames) <= counters.packets_received
        assert all(frame.complete for frame in frames) or counters.packets_lost
        assert all(frame.first_arrival_unix_seconds <= frame.arrival_unix_seconds for frame in frames)
        assert any(frame.key_frame for frame in frames) is authenticate


async def test_sampled_pictures_are_decoded(source: ReplayServer) -> None:
    kept, (session,) = await watch(source, 1, mode=Mode.SAMPLED, native=True)
    frames = kept.frames[session.desktop.id]
    decoded = [frame for frame in frames if frame.decoded_unix_seconds == frame.decoded_unix_seconds]
    assert decoded
    assert all(frame.key_frame for frame in decoded)
    assert len(frames) > 5 * len(decoded)


async def test_python_reads_where_it_is_told_to(source: ReplayServer) -> None:
    kept, (session,) = await watch(source, 1, mode=Mode.METER, native=False)
    assert kept.facts[session.desktop.id, "reception"] == "python"
    assert len(kept.frames[session.desktop.id]) > 20


async def test_what_decodes_everything_does_without(source: ReplayServer) -> None:
    kept, (session,) = await watch(source, 1, mode=Mode.DECODE, native=True)
    assert kept.facts[session.desktop.id, "reception"] == "python"
