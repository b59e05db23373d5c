"""A real desktop in the WebSocket dialect: watched, pressed, resized, taken over and left."""

from __future__ import annotations

import math
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from vdibench.client import DesktopSession, InputKind, SessionOptions
from vdibench.errors import StreamLost
from vdibench.lab import DesktopSpec, Lab, LabSpec
from vdibench.records import Desktop, Display, Workload
from vdibench.selkies import Dialect, Role

# What it watches with is the protocol tests'.
sys.path.insert(0, str(Path(__file__).parents[1] / "protocol"))

from watching import Samples, until

CONTROLLER = SessionOptions(role=Role.CONTROLLER)
SPEC = DesktopSpec(
    display=Display(1280, 720, 60),
    workload=Workload.TEXT,
    basic_auth=False,
    dialect=Dialect.SELKIES_2_WEBSOCKET,
    resizable=True,
)


@pytest.fixture(scope="module")
def desktop() -> Iterator[Desktop]:
    with Lab.up(LabSpec((SPEC,), turn=False), name="websocket", owned=True) as lab:
        yield lab.desktops[0]


async def test_watched_pressed_and_left(desktop: Desktop) -> None:
    samples = Samples()
    async with DesktopSession(desktop, samples, CONTROLLER) as session:
        await session.first_frame()
        for kind in (InputKind.KEY, InputKind.CLICK) * 3:
            await session.press(kind)
        await until(lambda: any(row.get("name") == "round_trip_seconds" for _, row in samples.rows))
        await until(lambda: "stream_info" in session.messages)
        assert session.connection.video_codec == "H264"
        await until(lambda: session.connection.audio_codec == "opus")
        assert session.picture.size == (1280, 720)
    assert samples.milestones["first_frame"] - samples.milestones["signalled"] < 5
    marked = [frame for frame in samples.frames if not math.isnan(frame.marker_unix_seconds)]
    assert len(marked) > 0.9 * len(samples.frames)
    for frame in marked:
        assert frame.marker_unix_seconds < frame.arrival_unix_seconds < frame.decoded_unix_seconds
    photons = [record.photon_unix_seconds - record.sent_unix_seconds for record in samples.inputs]
    assert 0.003 < statistics.median(photons) < 0.25
    assert ("stream.encoder", "x264") in samples.facts
    names = {row["name"] for table, row in samples.rows if table == "server"}
    assert {"encode_seconds", "pipeline_seconds", "send_seconds", "frames_per_second"} <= names


async def test_resized(desktop: Desktop) -> None:
    samples = Samples()
    async with DesktopSession(desktop, samples, CONTROLLER) as session:
        await session.first_frame()
        assert await session.resize(1024, 640) == (1024, 640)
        seen = len(samples.frames)
        await until(lambda: len(samples.frames) > seen + 30)
    assert not any(math.isnan(frame.decoded_unix_seconds) for frame in samples.frames)


async def test_a_viewer_alone_and_beside_a_controller(desktop: Desktop) -> None:
    alone, owner, beside = Samples(), Samples(), Samples()
    async with DesktopSession(desktop, alone, SessionOptions()) as session:
        await session.first_frame()
    async with DesktopSession(desktop, owner, CONTROLLER) as controller:
        await controller.first_frame()
        async with DesktopSession(desktop, beside, SessionOptions()) as viewer:
            await viewer.first_frame()
            before = len(owner.frames)
            await until(lambda: len(owner.frames) > before + 30 and len(beside.frames) > 30)
    assert not any(row.get("name") == "frames_skipped" for _, row in beside.rows)


async def test_taken_over(desktop: Desktop) -> None:
    """By one who names no tab: the first is told so, and closed with a plain 1000."""
    samples = Samples()

    async def watch() -> None:
        async with DesktopSession(desktop, samples, CONTROLLER) as session:
            await session.first_frame()
            await until(lambda: samples.milestones["first_frame"] + 0.6 < samples.frames[-1].arrival_unix_seconds)
            url = desktop.endpoint.url.replace("http", "ws") + "/api/websockets"
            async with aiohttp.ClientSession() as client, client.ws_connect(url) as other:
                await other.send_str('SETTINGS,{"displayId": "primary", "audioRedundancy": true}')
                await session.watch(5)

    with pytest.raises(StreamLost, match="another client took the desktop over"):
        await watch()
