"""What the frames table says: latency, loss and recovery, audio, markers that are not ours, against known causes."""

from __future__ import annotations

import asyncio
import itertools
import math
import statistics
from collections.abc import Callable
from typing import Any

import pytest
from standin import StandIn
from vanilla import latencies

from vdibench.client import DesktopSession, FrameRecord, Mode, SessionOptions
from vdibench.errors import StoreError, VdibenchError

PAUSE_SECONDS = 0.3


def glass_to_glass(frames: list[FrameRecord]) -> list[float]:
    return [frame.decoded_unix_seconds - frame.marker_unix_seconds for frame in frames]


async def test_a_frame_does_not_wait_for_the_next(stand_in: Callable[..., StandIn], desktop: Any, samples: Any) -> None:
    """After every fifth frame the stand-in pauses: whoever waits for the next frame counts the pause as latency."""
    server = stand_in(pause_every=5, pause_seconds=PAUSE_SECONDS)
    async with DesktopSession(desktop(server.url), samples) as session:
        await session.first_frame()
        await session.watch(1.3)
    ours = glass_to_glass(samples.frames)
    vanilla = await latencies(server.url, 11)
    assert len(ours) >= 12
    assert max(ours) < PAUSE_SECONDS / 2
    assert sum(latency >= PAUSE_SECONDS for latency in vanilla) >= 2


async def test_an_injected_delay_is_measured(
    stand_in: Callable[..., StandIn], desktop: Any, samples: Any, wait_until: Any
) -> None:
    injected = 0.080
    server = stand_in(fps=60.0)
    async with DesktopSession(desktop(server.url), samples) as session:
        await session.first_frame()
        await wait_until(lambda: len(samples.frames) >= 60)
        server.behaviour.backdate_seconds = injected
        await wait_until(lambda: len(samples.frames) >= 130)
    measured = glass_to_glass(samples.frames)
    plain, delayed = statistics.median(measured[:60]), statistics.median(measured[-60:])
    assert delayed - plain == pytest.approx(injected, abs=0.005)
    assert 0 < plain < 0.03
    assert not any(frame.marker_repeated for frame in samples.frames)


async def test_every_frame_is_kept(stand_in: Callable[..., StandIn], desktop: Any, samples: Any) -> None:
    server = stand_in(audio=True, noise=160)
    async with DesktopSession(desktop(server.url), samples) as session:
        await session.first_frame()
        await session.watch(2.2)
        assert session.connection.audio_codec == "opus"
        assert session.picture.size == (640, 360)
        assert session.pair is not None
        assert session.pair.local_type == "host"
    frames = samples.frames
    assert 0 <= server.session.track.sent - len(frames) <= 2
    assert all(frame.complete for frame in frames)
    assert all(frame.arrival_unix_seconds <= frame.decoded_unix_seconds for frame in frames)
    assert [frame.key_frame for frame in frames] == [True, *[False] * (len(frames) - 1)]
    assert all(frame.size_bytes > frame.packets for frame in frames)
    steps = [(b.rtp_timestamp - a.rtp_timestamp) % 2**32 / 90_000 for a, b in itertools.pairwise(frames)]
    assert statistics.median(steps) == pytest.approx(1 / 30, abs=0.005)
    readings = samples.networks
    assert len(readings) == 2
    assert readings[-1].packets_lost == readings[-1].nack_count == readings[-1].pli_count == 0
    assert readings[-1].audio_packets_received == pytest.approx(100, abs=25)
    until_then = [frame for frame in frames if frame.arrival_unix_seconds <= readings[-1].unix_seconds]
    assert readings[-1].bytes_received == pytest.approx(sum(f.size_bytes for f in until_then), rel=0.05)
    order = ["started", "reachable", "signalled", "offered", "ice_connected", "connected", "first_packet"]
    instants = [samples.milestones[event] for event in [*order, "first_frame", "leaving", "left"]]
    assert instants == sorted(instants)
    assert samples.milestones["connected"] <= samples.milestones["channel_open"]
    assert ("stream.encoder", "x264") in samples.facts


@pytest.mark.parametrize("place", ["first", "middle", "last"])
async def test_lost_for_good(
    place: str, stand_in: Callable[..., StandIn], desktop: Any, samples: Any, wait_until: Any
) -> None:
    """One packet that no retransmission brings back costs its frame and all up to the key frame that was asked for."""

    def lose(frame: int, packet: int, marker: bool) -> bool:
        return frame == 20 and {"first": packet == 0, "middle": packet == 2, "last": marker}[place]

    server = stand_in(lose=lose, lose_retransmissions=True)
    async with DesktopSession(desktop(server.url), samples) as session:
        await session.first_frame()
        await wait_until(lambda: len(samples.frames) > 25 and samples.frames[-1].key_frame)
        await wait_until(lambda: len(samples.frames) > 45)
        assert session.read().pli_count == server.session.plis == 1
        assert session.read().nack_count >= 1
        assert session.read().packets_lost == server.behaviour.lost == 1
    frames = samples.frames
    (torn,) = [index for index, frame in enumerate(frames) if not frame.complete]
    assert torn == 20
    assert frames[19].packets - 1 <= frames[torn].packets + 1
    key = next(index for index in range(torn, len(frames)) if frames[index].key_frame)
    assert 21 < key < 45
    for index, frame in enumerate(frames):
        assert math.isnan(frame.decoded_unix_seconds) == (torn <= index < key), index


async def test_lost_and_sent_again(
    stand_in: Callable[..., StandIn], desktop: Any, samples: Any, wait_until: Any
) -> None:
    server = stand_in(lose=lambda frame, packet, marker: frame in (10, 20) and packet == 1)
    async with DesktopSession(desktop(server.url), samples) as session:
        await session.first_frame()
        await wait_until(lambda: len(samples.frames) > 30)
        assert session.read().nack_count == server.session.nacks >= 2
        assert session.read().pli_count == 0
        assert session.read().packets_lost == server.behaviour.lost == 2
    assert all(frame.complete for frame in samples.frames)
    assert not any(math.isnan(frame.decoded_unix_seconds) for frame in samples.frames)


@pytest.mark.parametrize("mode", list(Mode))
async def test_every_mode_sees_every_frame_and_every_loss(
    mode: Mode, stand_in: Callable[..., StandIn], desktop: Any, samples: Any, wait_until: Any
) -> None:
    """Two packets that are repaired, one that is not; and what each mode decodes."""
    server = stand_in(lose=lambda frame, packet, marker: frame in (10, 20, 30) and packet == 1, audio=True)
    async with DesktopSession(desktop(server.url), samples, SessionOptions(mode=mode)) as session:
        await session.first_frame()
        await wait_until(lambda: len(samples.frames) > 27)
        server.behaviour.lose_retransmissions = True
        await wait_until(lambda: len(samples.frames) > 45)
        if mode is Mode.SAMPLED:  # its second picture is asked for by chance, up to 1.3 s after the first
            await wait_until(lambda: sum(not math.isnan(frame.decoded_unix_seconds) for frame in samples.frames) > 1)
        counters = session.read()
        assert session.connection.video_codec == "H264"
    frames = sorted(samples.frames, key=lambda frame: frame.arrival_unix_seconds)
    assert 0 <= server.session.track.sent - len(frames) <= 12
    assert [index for index, frame in enumerate(frames) if not frame.complete] == [30]
    assert counters.packets_lost == server.behaviour.lost == 3
    assert counters.nack_count >= 3
    assert counters.socket_drops == 0
    assert counters.audio_packets_received > 30
    assert (counters.pli_count >= 2) if mode is Mode.SAMPLED else (counters.pli_count == 1)
    assert server.session.plis == counters.pli_count
    decoded = sum(not math.isnan(frame.decoded_unix_seconds) for frame in frames)
    keys = sum(frame.key_frame for frame in frames)
    if mode is Mode.DECODE:
        assert len(frames) - 12 <= decoded < len(frames)
    elif mode is Mode.SAMPLED:
        assert 1 < decoded <= keys <= 4
    else:
        assert decoded == 0
        assert keys == (2 if mode is Mode.DEPACKETISE else 0)
    kinds = {Mode.METER: "arrived", Mode.DEPACKETISE: "assembled"}
    assert ("first_frame.kind", kinds.get(mode, "decoded")) in samples.facts


@pytest.mark.parametrize("packets", [range(1), range(100)], ids=["beginning", "whole"])
async def test_the_only_key_frame_is_lost(
    packets: range, stand_in: Callable[..., StandIn], desktop: Any, samples: Any
) -> None:
    """A desktop sends one key frame at the start and no other unasked: a client that missed it must ask."""
    server = stand_in(lose=lambda frame, packet, marker: frame == 0 and packet in packets, lose_retransmissions=True)
    async with DesktopSession(desktop(server.url), samples, SessionOptions(first_frame_timeout_seconds=2)) as session:
        await session.first_frame()
    assert server.session.plis >= 1


async def test_a_request_for_a_key_frame_that_gets_lost_is_repeated(
    stand_in: Callable[..., StandIn], desktop: Any, samples: Any
) -> None:
    server = stand_in(lose=lambda frame, packet, marker: frame == 0, lose_retransmissions=True, ignore_plis=1)
    async with DesktopSession(desktop(server.url), samples, SessionOptions(first_frame_timeout_seconds=4)) as session:
        await session.first_frame()
    assert server.session.plis == 2


async def test_the_picture_changes_its_size(
    stand_in: Callable[..., StandIn], desktop: Any, samples: Any, wait_until: Any
) -> None:
    server = stand_in()
    async with DesktopSession(desktop(server.url), samples) as session:
        await session.first_frame()
        server.behaviour.width, server.behaviour.height, server.behaviour.cell = 480, 272, 8
        await wait_until(lambda: session.picture.size == (480, 272))
        await session.watch(0.2)
    assert not any(math.isnan(frame.marker_unix_seconds) for frame in samples.frames)
    assert [value for key, value in samples.facts if key == "picture.size"] == ["640×360", "480×272"]


async def test_a_marker_of_another_desk_is_not_ours(
    stand_in: Callable[..., StandIn], desktop: Any, samples: Any
) -> None:
    server = stand_in(session_id=8)
    async with DesktopSession(desktop(server.url, marker_id=7), samples) as session:
        await session.first_frame()
        await session.watch(0.3)
        assert not session.picture.marker_seen
    assert len(samples.frames) > 5
    assert all(math.isnan(frame.marker_unix_seconds) for frame in samples.frames)
    assert not any(math.isnan(frame.decoded_unix_seconds) for frame in samples.frames)
    assert [value for key, value in samples.facts if key == "marker.foreign"] == ["8"]


async def test_without_a_desk_there_is_no_latency(stand_in: Callable[..., StandIn], desktop: Any, samples: Any) -> None:
    server = stand_in(cell=0)
    async with DesktopSession(desktop(server.url), samples) as session:
        await session.first_frame()
        await session.watch(0.2)
    assert samples.frames
    assert all(math.isnan(frame.marker_unix_seconds) for frame in samples.frames)


async def test_a_slow_stream_is_no_stall(stand_in: Callable[..., StandIn], desktop: Any, samples: Any) -> None:
    server = stand_in(fps=3.0)
    async with DesktopSession(desktop(server.url), samples, SessionOptions(stall_seconds=0.8)) as session:
        await session.first_frame()
        await session.watch(1.5)
    assert 4 <= len(samples.frames) <= 7


async def test_a_sink_that_refuses_ends_the_session(
    stand_in: Callable[..., StandIn], desktop: Any, samples: Any
) -> None:
    class Full(type(samples)):
        def frame(self, session: str, record: FrameRecord) -> None:
            raise StoreError("the results folder is full", "free some space")

    server = stand_in()
    with pytest.raises(VdibenchError, match="the results folder is full"):
        async with DesktopSession(desktop(server.url), Full()) as session:
            await session.watch(5)


async def test_two_sessions_in_one_loop(stand_in: Callable[..., StandIn], desktop: Any, samples: Any) -> None:
    servers = [stand_in(session_id=number) for number in (1, 2)]
    sinks = [type(samples)() for _ in servers]

    async def watch(server: StandIn, sink: Any, number: int) -> None:
        async with DesktopSession(desktop(server.url, marker_id=number), sink) as session:
            await session.first_frame()
            await session.watch(0.5)

    await asyncio.gather(
        *(watch(server, sink, n + 1) for n, (server, sink) in enumerate(zip(servers, sinks, strict=True)))
    )
    for sink in sinks:
        assert len(sink.frames) > 8
        assert not any(math.isnan(frame.marker_unix_seconds) for frame in sink.frames)
