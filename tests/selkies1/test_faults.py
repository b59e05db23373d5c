"""What Selkies 1.6 does wrong, and the client bears or names."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from standin_1 import AUDIO, PASSWORD, USER, VIDEO, LegacyStandIn
from watching import Samples, until

from vdibench.client import DesktopSession, InputKind, SessionOptions, http, webrtc1
from vdibench.errors import AuthenticationError, StreamLost, TargetUnavailable, VdibenchError
from vdibench.records import Desktop
from vdibench.selkies import HEALTH_PATHS, SIGNALLING_PATH_1, Role

CONTROLLER = SessionOptions(role=Role.CONTROLLER)
StandIns = Callable[..., LegacyStandIn]
Desktops = Callable[..., Desktop]


async def test_an_offer_without_h264_parameters(stand_in: StandIns, desktop: Desktops, samples: Samples) -> None:
    server = stand_in(drop_parameters=True)
    async with DesktopSession(desktop(server.url), samples) as session:
        await session.first_frame()


async def test_a_server_that_sleeps_in_front_of_waiting_legs(
    stand_in: StandIns, desktop: Desktops, samples: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both legs are opened at once, and greet at once: one after the other would take twice as many of its sleeps.

    So are the pages that tell the dialect.
    """
    monkeypatch.setattr(http, "PATIENCE_SECONDS", 0.05)
    server = stand_in(stall_seconds=0.1)
    async with DesktopSession(desktop(server.url), samples) as session:
        await session.first_frame()
    asked = [server.log.index(path) for path in HEALTH_PATHS]
    assert server.log[min(asked) : max(asked)].count("sleeps") <= 2
    opened = [index for index, line in enumerate(server.log) if line == SIGNALLING_PATH_1]
    greeted = [server.log.index("HELLO 1"), server.log.index("HELLO 3")]
    assert len(opened) == 2
    assert max(opened) < min(greeted)
    assert server.log[max(opened) : max(greeted)].count("sleeps") <= 3


async def test_no_sound_server(
    stand_in: StandIns, desktop: Desktops, samples: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sound's leg is never offered: told, and no failure."""
    monkeypatch.setattr(webrtc1, "SOUND_SECONDS", 1.0)
    server = stand_in(sound=False)
    async with DesktopSession(desktop(server.url), samples) as session:
        await session.first_frame()
        await until(lambda: "audio.leg" in dict(samples.facts))
        assert session.read().audio_packets_received == 0
    assert "not offered within 1 s" in dict(samples.facts)["audio.leg"]


async def test_no_video(
    stand_in: StandIns, desktop: Desktops, samples: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webrtc1, "OFFER_SECONDS", 1.0)
    server = stand_in(offer_video=False)
    with pytest.raises(TargetUnavailable, match="did not offer video within 1 s"):
        async with DesktopSession(desktop(server.url), samples):
            pass


async def test_a_codec_that_cannot_be_taken(stand_in: StandIns, desktop: Desktops, samples: Samples) -> None:
    server = stand_in(codec="VP9")
    with pytest.raises(TargetUnavailable, match=r"neither H\.264 nor VP8 video \(VP9\): set SELKIES_ENCODER=x264enc"):
        async with DesktopSession(desktop(server.url), samples):
            pass


async def test_an_odd_page_does_not_end_the_encoder(stand_in: StandIns, desktop: Desktops, samples: Samples) -> None:
    server = stand_in(resize=True)
    async with DesktopSession(desktop(server.url, size=(801, 601)), samples, CONTROLLER) as session:
        await session.first_frame()
        assert session.picture.size == (800, 600)


async def test_resizing_leaves_no_trace(stand_in: StandIns, desktop: Desktops, samples: Samples) -> None:
    """What clients change is written to a file there, and holds at the next start."""
    server = stand_in()
    async with DesktopSession(desktop(server.url), samples, CONTROLLER) as session:
        await session.first_frame()
        await session.press(InputKind.KEY)
        assert server.persisted == {}
        assert await session.resize(641, 481) == (640, 480)
        assert server.persisted == {"resize": True}
        assert await session.resize(800, 600) == (800, 600)
    assert server.persisted == {"resize": False}
    settings = {verb.split(",")[0] for verb in server.verbs}
    assert settings <= {"pong", "kd", "ku", "m", "r", "_arg_resize"}


async def test_the_wrong_order_of_leaving_costs_the_sound(
    stand_in: StandIns, desktop: Desktops, samples: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That the stand-in has this fault, and so that the session's order is what avoids it."""
    monkeypatch.setattr(webrtc1, "_BETWEEN_LEGS_SECONDS", 0.0)
    server = stand_in()
    async with DesktopSession(desktop(server.url), samples) as session:
        await session.first_frame()
    await until(lambda: "left 1" in server.log)
    assert server.audio_is_lost


async def test_video_goes_last(stand_in: StandIns, desktop: Desktops, samples: Samples) -> None:
    server = stand_in()
    async with DesktopSession(desktop(server.url), samples) as session:
        await session.first_frame()
    await until(lambda: "left 1" in server.log)
    assert [line for line in server.log if line.startswith("left")] == ["left 3", "left 1"]
    assert not server.audio_is_lost
    assert not any(line.startswith("SESSION") for line in server.log)


async def test_a_complaint_is_told(stand_in: StandIns, desktop: Desktops, samples: Samples) -> None:
    server = stand_in(complaint="peer '9' not found")
    async with DesktopSession(desktop(server.url), samples) as session:
        await session.first_frame()
    assert dict(samples.facts)["signalling.complaint.1"] == "peer '9' not found"


@pytest.mark.parametrize(
    ("code", "text", "words"),
    [
        (1011, "", "signalling failed"),
        (1001, "", "ended the session"),
        (1002, "invalid protocol", "did not understand"),
    ],
)
async def test_the_video_leg_decides(
    stand_in: StandIns, desktop: Desktops, samples: Samples, code: int, text: str, words: str
) -> None:
    server = stand_in()
    with pytest.raises(VdibenchError, match=words):  # noqa: PT012  # the session is what raises
        async with DesktopSession(desktop(server.url), samples) as session:
            await session.first_frame()
            await until(lambda: session.read().audio_packets_received > 0)
            server.hang_up(AUDIO, 1011)
            await until(lambda: "audio.leg" in dict(samples.facts))
            await session.watch(0.2)  # sound's end is not the session's
            server.hang_up(VIDEO, code, text)
            await session.watch(10)


async def test_a_server_that_dies(stand_in: StandIns, desktop: Desktops, samples: Samples) -> None:
    server = stand_in()
    started = time.monotonic()
    with pytest.raises(StreamLost):  # noqa: PT012  # the session is what raises
        async with DesktopSession(desktop(server.url), samples) as session:
            await session.first_frame()
            server.die()
            await session.watch(20)
    assert time.monotonic() - started < 15


async def test_basic_credentials(stand_in: StandIns, desktop: Desktops, samples: Samples) -> None:
    server = stand_in(authenticate=True)
    for user, password in (("", ""), (USER, "wrong")):
        with pytest.raises(AuthenticationError):
            async with DesktopSession(desktop(server.url, user=user, password=password), Samples()):
                pass
    async with DesktopSession(desktop(server.url, user=USER, password=PASSWORD), samples) as session:
        await session.first_frame()


async def test_relay_servers_come_as_plain_text(stand_in: StandIns, desktop: Desktops, samples: Samples) -> None:
    """With short-lived credentials the content type is not JSON's."""
    configuration = (
        '{"iceServers": [{"urls": ["turn:192.0.2.7:3478?transport=udp"], "username": "1:x", "credential": "y"}]}'
    )
    server = stand_in(rtc_configuration=configuration, rtc_content_type="text/plain")
    with pytest.raises(TargetUnavailable, match="names no tcp TURN server"):
        async with DesktopSession(desktop(server.url), samples, SessionOptions(relay_only=True, relay_transport="tcp")):
            pass


async def test_through_a_relay_alone(stand_in: StandIns, desktop: Desktops, samples: Samples, turn_port: int) -> None:
    """The server's libnice takes seconds to settle on its relay (5.5 s measured); it is waited for."""
    configuration = (
        f'{{"iceServers": [{{"urls": ["turn:127.0.0.1:{turn_port}"], "username": "u", "credential": "p"}}]}}'
    )
    server = stand_in(rtc_configuration=configuration, turn=f"turn://u:p@127.0.0.1:{turn_port}")
    async with DesktopSession(desktop(server.url), samples, SessionOptions(relay_only=True)) as session:
        await session.first_frame()
        assert session.pair is not None
        assert session.pair.local_type == "relay"
