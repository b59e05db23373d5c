"""The WebSocket dialect against a stand-in: start, frames, acknowledgements, input, sizes, sound."""

from __future__ import annotations

import asyncio
import itertools
import math
import statistics
import time
from collections.abc import Callable
from typing import Any

import pytest
from standin_websocket import WebSocketStandIn

from vdibench.client import DesktopSession, InputKind, SessionOptions
from vdibench.client.mode import Mode
from vdibench.records import Display
from vdibench.selkies import Dialect, Role, key_down
from vdibench.selkies.control import start_video, stop_video

CONTROLLER = SessionOptions(role=Role.CONTROLLER)
VIEWER = SessionOptions()
DISPLAY = Display(640, 360, 30)

Start = Callable[..., WebSocketStandIn]


def server_rows(samples: Any, name: str) -> list[float]:
    return [row["value"] for table, row in samples.rows if table == "server" and row["name"] == name]


async def test_first_frame_and_what_is_told_of_it(
    stand_in_websocket: Start, desktop: Any, samples: Any, wait_until: Any
) -> None:
    server = stand_in_websocket()
    async with DesktopSession(desktop(server.url, display=DISPLAY), samples, CONTROLLER) as session:
        await session.first_frame()
        await session.watch(0.6)
        counters = session.read()
        assert session.dialect is Dialect.SELKIES_2_WEBSOCKET
        assert session.connection.video_codec == "H264"
        assert session.pair is None
        assert session.ice_servers == ()
        assert session.picture.size == (640, 360)
    steps = ("started", "reachable", "signalled", "channel_open", "first_packet", "first_frame", "leaving", "left")
    instants = [samples.milestones[step] for step in steps]
    assert instants == sorted(instants)
    assert not {"offered", "ice_connected", "connected"} & set(samples.milestones)
    assert counters.packets_received >= 15
    assert counters.bytes_received > 1000
    for absent in (counters.packets_lost, counters.jitter_seconds, counters.nack_count, counters.pli_count):
        assert math.isnan(absent)
    assert [frame.rtp_timestamp for frame in samples.frames] == list(range(len(samples.frames))), "the frames' numbers"
    for frame in samples.frames:
        assert (frame.packets, frame.complete) == (1, True)
        assert frame.first_arrival_unix_seconds <= frame.arrival_unix_seconds <= frame.decoded_unix_seconds
        assert math.isnan(frame.capture_unix_seconds)
    assert samples.frames[0].key_frame
    await wait_until(lambda: server.client.close_code == 1000)


async def test_an_injected_delay_is_measured(stand_in_websocket: Start, desktop: Any, samples: Any) -> None:
    server = stand_in_websocket(backdate_seconds=0.08)
    async with DesktopSession(desktop(server.url, display=DISPLAY), samples, CONTROLLER) as session:
        await session.first_frame()
        await session.watch(1.0)
    delays = [frame.decoded_unix_seconds - frame.marker_unix_seconds for frame in samples.frames]
    assert min(delays) >= 0.08
    assert statistics.median(delays) == pytest.approx(0.08, abs=0.01)


async def test_settings_say_what_would_be_inherited(stand_in_websocket: Start, desktop: Any, samples: Any) -> None:
    """The server keeps the settings of its last client: encoder, rate and bit rate are never left open."""
    server = stand_in_websocket()
    async with DesktopSession(desktop(server.url, display=DISPLAY), samples, CONTROLLER):
        pass
    async with DesktopSession(desktop(server.url, encoder="h264enc-striped"), samples.__class__(), CONTROLLER):
        pass
    known, unknown = (client.settings() for client in server.clients)
    assert (known["encoder"], known["framerate"], known["video_bitrate"]) == ("h264enc", 30, 8000)
    assert (known["initialClientWidth"], known["initialClientHeight"]) == (640, 360)
    assert known["displayId"] == "primary"
    assert known["audioRedundancy"] is True
    assert unknown["encoder"] == "h264enc-striped"
    assert unknown["framerate"] == 30.0
    assert len(known["tabId"]) == 32
    assert known["tabId"] != unknown["tabId"]
    assert server.clients[0].texts[1:3] == ["_gz,1", "_stats,1"]


async def test_what_a_viewer_sends(stand_in_websocket: Start, desktop: Any, samples: Any) -> None:
    """What sound it reads, or everybody's would change; an acknowledgement would be taken for the owner's."""
    server = stand_in_websocket()
    other = samples.__class__()
    async with DesktopSession(desktop(server.url, display=DISPLAY), other, CONTROLLER) as owner:
        await owner.first_frame()
        async with DesktopSession(desktop(server.url, display=Display(320, 240, 9)), samples, VIEWER) as session:
            await session.first_frame()
            await session.watch(1.2)
    viewer = server.clients[1]
    assert viewer.role == "viewer"
    assert [text for _, text in viewer.verbs] == ['SETTINGS,{"displayId": "primary", "audioRedundancy": true}']
    assert len(samples.frames) > 20


async def test_a_viewer_alone_begins_the_capture(stand_in_websocket: Start, desktop: Any, samples: Any) -> None:
    server = stand_in_websocket()
    async with DesktopSession(desktop(server.url), samples, VIEWER) as session:
        await session.first_frame()
    assert server.client.texts == ['SETTINGS,{"displayId": "primary", "audioRedundancy": true}']
    assert server.client.acks == []


async def test_a_viewer_without_video_asks_for_it(
    stand_in_websocket: Start, desktop: Any, samples: Any, wait_until: Any
) -> None:
    server = stand_in_websocket(deaf_to_viewers=True)
    async with DesktopSession(desktop(server.url), samples, VIEWER) as session:
        await session.first_frame()
    assert server.client.texts[1:] == ["START_VIDEO"]


async def test_one_who_joins_late_asks_for_a_key_frame(
    stand_in_websocket: Start, desktop: Any, samples: Any, wait_until: Any
) -> None:
    """A stream has one key frame, at its start."""
    server = stand_in_websocket(join_with_key=False)
    other = samples.__class__()
    async with DesktopSession(desktop(server.url, display=DISPLAY), other, CONTROLLER) as owner:
        await owner.first_frame()
        async with DesktopSession(desktop(server.url), samples, VIEWER) as session:
            await session.first_frame()
            await wait_until(lambda: bool(samples.frames) and not math.isnan(samples.frames[-1].decoded_unix_seconds))
    assert server.clients[1].texts[1:] == ["REQUEST_KEYFRAME"]
    assert math.isnan(samples.frames[0].decoded_unix_seconds)
    assert not samples.frames[0].key_frame
    first = next(frame for frame in samples.frames if not math.isnan(frame.decoded_unix_seconds))
    assert first.key_frame


async def test_acknowledgements(stand_in_websocket: Start, desktop: Any, samples: Any) -> None:
    """The newest id each 50 ms; the gate of the server, which they hold open, never shuts."""
    server = stand_in_websocket(fps=60.0, gate=True)
    async with DesktopSession(desktop(server.url, display=DISPLAY), samples, CONTROLLER) as session:
        await session.first_frame()
        await session.watch(1.5)
    acks = server.client.acks
    steps = [later[0] - earlier[0] for earlier, later in itertools.pairwise(acks)]
    assert statistics.median(steps) == pytest.approx(0.05, abs=0.01)
    identifiers = [identifier for _, identifier, _ in acks]
    assert identifiers == sorted(set(identifiers))
    assert statistics.median(held for _, _, held in acks) < 0.017
    assert len(samples.frames) >= 80


async def test_an_unchanged_id_is_repeated_each_second(
    stand_in_websocket: Start, desktop: Any, samples: Any, wait_until: Any
) -> None:
    server = stand_in_websocket(still_after=3)
    async with DesktopSession(desktop(server.url, display=DISPLAY), samples, CONTROLLER) as session:
        await session.first_frame()
        await wait_until(lambda: sum(identifier == 2 for _, identifier, _ in server.client.acks) >= 3)
    last = [(at, held) for at, identifier, held in server.client.acks if identifier == 2]
    assert [later[0] - earlier[0] for earlier, later in itertools.pairwise(last)] == pytest.approx(
        [1.0] * (len(last) - 1), abs=0.1
    )
    assert last[-1][1] == pytest.approx(last[-1][0] - samples.frames[-1].arrival_unix_seconds, abs=0.05)


async def test_held_keys_are_kept_alive_and_let_go(
    stand_in_websocket: Start, desktop: Any, samples: Any, wait_until: Any
) -> None:
    """The server lets go of a key 0.31 s after its last heartbeat."""
    server = stand_in_websocket()
    async with DesktopSession(desktop(server.url, display=DISPLAY), samples, CONTROLLER) as session:
        await session.first_frame()
        session.connection.send(key_down(97))
        await wait_until(lambda: len([text for text in server.client.texts if text == "kh,97"]) >= 4)
    verbs = [(at, text) for at, text in server.client.verbs if text[:2] in {"kd", "kh", "ku"}]
    assert verbs[0][1] == "kd,97"
    assert verbs[-1][1] == "ku,97"
    assert max(later[0] - earlier[0] for earlier, later in itertools.pairwise(verbs)) < 0.25


async def test_the_goodbye_arrives_while_video_comes(
    stand_in_websocket: Start, desktop: Any, samples: Any, wait_until: Any
) -> None:
    """A socket that is closed with video unread takes what it sent last with it: the release of a key, say."""
    server = stand_in_websocket(fps=120.0, width=1280, height=720, encoder="jpeg")
    for number in range(1, 6):
        desk = desktop(server.url, display=Display(1280, 720, 120), encoder="jpeg")
        async with DesktopSession(desk, samples.__class__(), CONTROLLER) as session:
            await session.first_frame()
            session.connection.send(key_down(97))
        await wait_until(lambda: server.client.close_code is not None)
        assert len(server.clients) == number
        assert server.client.close_code == 1000
        assert server.client.texts[-1] == "ku,97"


async def test_input_to_photon(stand_in_websocket: Start, desktop: Any, samples: Any) -> None:
    server = stand_in_websocket(fps=60.0)
    async with DesktopSession(desktop(server.url, display=DISPLAY), samples, CONTROLLER) as session:
        await session.first_frame()
        for _ in range(5):
            await session.press(InputKind.KEY)
    delays = [record.photon_unix_seconds - record.sent_unix_seconds for record in samples.inputs]
    assert 0 < statistics.median(delays) < 0.04


async def test_resize_restarts_ids(stand_in_websocket: Start, desktop: Any, samples: Any) -> None:
    server = stand_in_websocket()
    async with DesktopSession(desktop(server.url, display=DISPLAY), samples, CONTROLLER) as session:
        await session.first_frame()
        await session.watch(0.3)
        assert await session.resize(800, 600) == (800, 600)
        await session.watch(0.3)
    assert "r,800x600" in server.client.texts
    assert [frame.key_frame for frame in samples.frames].count(True) == 2
    assert not any(math.isnan(frame.decoded_unix_seconds) for frame in samples.frames)
    assert server_rows(samples, "frames_skipped") == []


async def test_ids_wrap(stand_in_websocket: Start, desktop: Any, samples: Any, wait_until: Any) -> None:
    server = stand_in_websocket(first_id=65_530)
    async with DesktopSession(desktop(server.url, display=DISPLAY), samples, CONTROLLER) as session:
        await session.first_frame()
        await wait_until(lambda: len(samples.frames) > 20)
        await wait_until(lambda: server.client.acks[-1][1] < 100)
    assert [frame.key_frame for frame in samples.frames].count(True) == 1
    assert not any(math.isnan(frame.decoded_unix_seconds) for frame in samples.frames)
    assert server_rows(samples, "frames_skipped") == []


@pytest.mark.parametrize("mode", list(Mode))
async def test_modes(mode: Mode, stand_in_websocket: Start, desktop: Any, samples: Any) -> None:
    server = stand_in_websocket()
    options = SessionOptions(role=Role.CONTROLLER, mode=mode)
    async with DesktopSession(desktop(server.url, display=DISPLAY), samples, options) as session:
        await session.first_frame()
        await session.watch(3.0 if mode is Mode.SAMPLED else 0.5)
    decoded = sum(not math.isnan(frame.decoded_unix_seconds) for frame in samples.frames)
    asked = server.client.texts.count("REQUEST_KEYFRAME")
    if mode is Mode.SAMPLED:
        assert 2 <= asked <= 5
        assert 2 <= decoded <= asked + 1
    else:
        assert asked == 0
        assert decoded == (len(samples.frames) if mode is Mode.DECODE else 0)


async def test_frames_left_out_are_counted_and_repaired(
    stand_in_websocket: Start, desktop: Any, samples: Any, wait_until: Any
) -> None:
    server = stand_in_websocket(leave_out=lambda count: count in {5, 6})
    async with DesktopSession(desktop(server.url, display=DISPLAY), samples, CONTROLLER) as session:
        await session.first_frame()
        await wait_until(lambda: len([frame for frame in samples.frames if frame.key_frame]) == 2)
    assert server_rows(samples, "frames_skipped") == [2]
    assert server.client.texts.count("REQUEST_KEYFRAME") == 1
    fates = [math.isnan(frame.decoded_unix_seconds) for frame in samples.frames]
    assert fates[:6] == [False] * 5 + [True]


async def test_ids_may_have_gaps_where_nothing_is_missing(
    stand_in_websocket: Start, desktop: Any, samples: Any, wait_until: Any
) -> None:
    """Each frame says what it refers to: that came, so there is nothing to repair."""
    server = stand_in_websocket(skip=lambda count: count in {5, 6})
    async with DesktopSession(desktop(server.url, display=DISPLAY), samples, CONTROLLER) as session:
        await session.first_frame()
        await wait_until(lambda: len(samples.frames) > 12)
    assert "REQUEST_KEYFRAME" not in server.client.texts
    assert not any(math.isnan(frame.decoded_unix_seconds) for frame in samples.frames)


async def test_a_reset_pipeline(stand_in_websocket: Start, desktop: Any, samples: Any, wait_until: Any) -> None:
    """Later SETTINGS of anybody reset the pipeline; what was acknowledged before means nothing after it."""
    server = stand_in_websocket()
    async with DesktopSession(desktop(server.url, display=DISPLAY), samples, CONTROLLER) as session:
        await session.first_frame()
        session.connection.send(next(text for text in server.client.texts if text.startswith("SETTINGS")))
        await wait_until(lambda: "pipeline_resetting" in session.messages)
        await wait_until(lambda: len([frame for frame in samples.frames if frame.key_frame]) == 2)
    assert not any(math.isnan(frame.decoded_unix_seconds) for frame in samples.frames)


async def test_video_stops_and_starts(stand_in_websocket: Start, desktop: Any, samples: Any, wait_until: Any) -> None:
    server = stand_in_websocket()
    async with DesktopSession(desktop(server.url, display=DISPLAY), samples, CONTROLLER) as session:
        await session.first_frame()
        session.connection.send(stop_video())
        await wait_until(lambda: "video_stopped" in session.messages)
        stopped = len(samples.frames)
        await asyncio.sleep(0.3)  # long enough for nine frames, had they come
        assert len(samples.frames) <= stopped + 1
        session.connection.send(start_video())
        await wait_until(lambda: len(samples.frames) > stopped + 5)
    assert server_rows(samples, "frames_skipped") == []
    assert not any(math.isnan(frame.decoded_unix_seconds) for frame in samples.frames)


async def test_the_servers_own_figures(stand_in_websocket: Start, desktop: Any, samples: Any, wait_until: Any) -> None:
    """In seconds; compressed on the way, as was agreed; a round trip of zero is none."""
    server = stand_in_websocket()
    async with DesktopSession(desktop(server.url, display=DISPLAY), samples, CONTROLLER):
        await wait_until(lambda: len(server_rows(samples, "send_seconds")) >= 2)
    assert server.client.gz
    assert server_rows(samples, "encode_seconds")[0] == pytest.approx(0.004)
    assert server_rows(samples, "pipeline_seconds")[0] == pytest.approx(0.005)
    assert server_rows(samples, "send_seconds")[0] == pytest.approx(0.0065)
    assert set(server_rows(samples, "frames_per_second")) == {30.0}
    assert server_rows(samples, "round_trip_seconds") == []


@pytest.mark.parametrize(("encoder", "codec"), [("h264enc-striped", "H264"), ("jpeg", "JPEG")])
async def test_stripes_are_one_frame(
    encoder: str, codec: str, stand_in_websocket: Start, desktop: Any, samples: Any
) -> None:
    server = stand_in_websocket(encoder=encoder)
    desk = desktop(server.url, display=DISPLAY, encoder=encoder)
    async with DesktopSession(desk, samples, CONTROLLER) as session:
        await session.first_frame()
        await session.watch(0.6)
        assert session.picture.size == (640, 360)
        assert session.connection.video_codec == codec
        assert session.read().packets_received >= 2 * len(samples.frames)
    assert {frame.packets for frame in samples.frames} == {2}
    assert len(samples.frames) <= server.sent
    assert not any(math.isnan(frame.marker_unix_seconds) for frame in samples.frames)


@pytest.mark.parametrize("kind", ["plain", "red"])
async def test_sound(kind: str, stand_in_websocket: Start, desktop: Any, samples: Any, wait_until: Any) -> None:
    server = stand_in_websocket(audio=kind)
    async with DesktopSession(desktop(server.url, display=DISPLAY), samples, CONTROLLER) as session:
        await wait_until(lambda: session.read().audio_packets_received >= 20)
        assert session.connection.audio_codec == "opus"


async def test_a_message_is_as_late_as_its_last_byte(
    stand_in_websocket: Start, desktop: Any, samples: Any, wait_until: Any
) -> None:
    """And it began with its first, though nothing of it could be used by then."""
    server = stand_in_websocket(still_after=5)
    async with DesktopSession(desktop(server.url, display=DISPLAY), samples, CONTROLLER) as session:
        await session.first_frame()
        await wait_until(lambda: len(samples.frames) == 5)
        payload = b"\x04\x11" + bytes([0, 9, 0, 0, 2, 128, 1, 104, 0, 9]) + bytes(1000)
        raw = b"\x82\x7e" + len(payload).to_bytes(2, "big") + payload
        server.do(server.write(raw[:500]))
        await asyncio.sleep(0.2)  # the pause inside one message is what is tested
        before = time.time()
        server.do(server.write(raw[500:]))
        await wait_until(lambda: len(samples.frames) == 6)
    slow = samples.frames[-1]
    assert slow.arrival_unix_seconds - slow.first_arrival_unix_seconds == pytest.approx(0.2, abs=0.05)
    assert slow.arrival_unix_seconds >= before - 0.01


async def test_pings_are_answered(stand_in_websocket: Start, desktop: Any, samples: Any, wait_until: Any) -> None:
    server = stand_in_websocket()
    async with DesktopSession(desktop(server.url, display=DISPLAY), samples, CONTROLLER):
        server.do(server.client.socket.ping(b"12345678"))
        await wait_until(lambda: server.client.pongs == [b"12345678"])
