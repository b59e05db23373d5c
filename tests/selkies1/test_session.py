"""A session with Selkies 1.6's dialect and Debian's media: what is measured, how one leaves, who comes next."""

from __future__ import annotations

import asyncio
import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from hands import Hands
from watching import Samples, until

from vdibench.client import DesktopSession, FrameRecord, InputKind, SessionOptions
from vdibench.errors import TargetUnavailable, UsageError
from vdibench.records import Desktop, Display, Endpoint
from vdibench.selkies import Keysym, Role

CONTROLLER = SessionOptions(role=Role.CONTROLLER, connect_timeout_seconds=60.0)
SECONDS = 6.0
PRESSES = 5


@dataclass
class Watched:
    """One session of a few seconds, with keys and clicks, and what it left."""

    samples: Samples
    messages: dict[str, Any]
    counters: Any
    codecs: tuple[str, str]
    frames_by_then: int


@pytest.fixture(scope="module")
def watched(url: str) -> Watched:
    samples = Samples()
    here = Desktop("desktop-0", Endpoint(url), display=Display(800, 600, 30), marker_id=7)

    async def watch() -> Watched:
        async with DesktopSession(here, samples, CONTROLLER) as session:
            await session.first_frame()
            for _ in range(PRESSES):
                for kind in InputKind:
                    await session.press(kind)
            await session.watch(SECONDS)
            codecs = session.connection.video_codec, session.connection.audio_codec
            return Watched(samples, session.messages, session.read(), codecs, len(samples.frames))

    return asyncio.run(watch())


def marked(frames: list[FrameRecord]) -> list[FrameRecord]:
    return [frame for frame in frames if not math.isnan(frame.marker_unix_seconds)]


def test_the_picture_comes_whole(watched: Watched) -> None:
    frames = watched.samples.frames
    assert len(frames) > 20 * SECONDS
    assert all(frame.complete for frame in frames)
    assert len(marked(frames)) >= 0.95 * len(frames)
    assert ("sps.reorder_frames", "0") in watched.samples.facts
    assert ("picture.size", "800×600") in watched.samples.facts


def test_both_legs_carry_media(watched: Watched) -> None:
    assert watched.codecs[0] == "H264"
    assert watched.codecs[1].lower() == "opus"
    # Sound is sent always, silent or not: a packet every 10 ms.
    assert watched.counters.audio_packets_received > 80 * SECONDS
    assert watched.counters.packets_received >= watched.frames_by_then


def test_glass_to_glass_is_that_of_a_loopback(watched: Watched) -> None:
    delays = [frame.decoded_unix_seconds - frame.marker_unix_seconds for frame in marked(watched.samples.frames)]
    assert min(delays) > 0
    assert statistics.median(delays) < 0.1


def test_key_and_click_show_in_the_picture(watched: Watched) -> None:
    for kind in InputKind:
        delays = [
            record.photon_unix_seconds - record.sent_unix_seconds
            for record in watched.samples.inputs
            if record.kind == kind
        ]
        assert len(delays) == PRESSES
        assert all(0 < delay < 0.5 for delay in delays)


def test_no_capture_instant_is_made_of_reports_with_a_wrong_clock(watched: Watched) -> None:
    """Debian 12's GStreamer doubles the RTP clock in its sender reports; newer ones may be right."""
    for frame in watched.samples.frames:
        captured = frame.capture_unix_seconds
        assert math.isnan(captured) or 0 <= frame.arrival_unix_seconds - captured < 1


def test_milestones_tell_the_wait_from_the_work(watched: Watched) -> None:
    """The server's sleep lies before the offer, and is reported apart from what follows."""
    at = watched.samples.milestones
    order = ["started", "reachable", "signalled", "offered", "ice_connected", "connected", "channel_open", "left"]
    assert [at[name] for name in order] == sorted(at[name] for name in order)
    assert at["first_frame"] - at["offered"] < 2.0


def test_what_the_server_says(watched: Watched) -> None:
    facts = dict(watched.samples.facts)
    assert facts["dialect"] == "selkies-1-webrtc"
    assert facts["stream.encoder"] == "x264enc"
    assert facts["stream.framerate"] == "30"
    assert {"ping", "latency_measurement", "system_stats", "system:video_bitrate"} <= watched.messages.keys()
    # Only what answers a pong says it: we did answer.
    assert 0 <= watched.messages["latency_measurement"].data["latency_ms"] < 100


async def test_the_next_session_has_sound_again(
    url: str, watched: Watched, desktop: Callable[..., Desktop], samples: Samples
) -> None:
    """Closing the legs in the wrong order would have cost it."""
    async with DesktopSession(desktop(url), samples, CONTROLLER) as session:
        await session.first_frame()
        await until(lambda: session.read().audio_packets_received > 20, 20)


async def test_nothing_stays_pressed(url: str, desktop: Callable[..., Desktop], samples: Samples, hands: Hands) -> None:
    """The server lets go of nothing when a client leaves."""
    async with DesktopSession(desktop(url), samples, CONTROLLER) as session:
        await session.first_frame()
        session.connection.send(f"kd,{Keysym.A:d}")
        session.connection.send("m,400,300,1,0")
        await until(lambda: hands.held() == [Keysym.A] and hands.buttons() == 1)
    assert hands.held() == []
    assert hands.buttons() == 0


async def test_a_second_client_waits_for_its_place(url: str, desktop: Callable[..., Desktop]) -> None:
    first, second = Samples(), Samples()
    async with DesktopSession(desktop(url), first, CONTROLLER) as session:
        await session.first_frame()
        impatient = SessionOptions(connect_timeout_seconds=2.5)
        with pytest.raises(TargetUnavailable, match=r"did not give us a place within 2\.5 s"):
            async with DesktopSession(desktop(url), Samples(), impatient):
                pass
        waiting = DesktopSession(desktop(url), second, CONTROLLER)
        connecting = asyncio.create_task(waiting.connect())
        await until(lambda: any(key == "signalling.taken.1" for key, _ in second.facts))
        await session.watch(0.5)  # the first is not harmed
        assert not connecting.done()
    try:
        await connecting
        await waiting.first_frame()
    finally:
        await waiting.leave()


async def test_a_viewer_sends_nothing(url: str, desktop: Callable[..., Desktop], samples: Samples) -> None:
    options = SessionOptions(connect_timeout_seconds=60.0)
    async with DesktopSession(desktop(url), samples, options) as session:
        await session.first_frame()
        with pytest.raises(UsageError):
            await session.press(InputKind.KEY)
        with pytest.raises(UsageError):
            await session.resize(640, 480)
