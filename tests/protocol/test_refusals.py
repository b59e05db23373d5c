"""Connecting to what refuses, hangs or is something else: class, exit code, one line with cause and remedy, in time."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from certificates import self_signed, server_side
from standin import PASSWORD, USER, StandIn

from vdibench.client import DesktopSession, SessionOptions, open_http
from vdibench.errors import (
    AuthenticationError,
    NotADesktop,
    ProtocolViolation,
    StreamLost,
    TakenOver,
    TargetUnavailable,
    UsageError,
    VdibenchError,
)
from vdibench.selkies import Dialect

QUICK = SessionOptions(connect_timeout_seconds=3.0, first_frame_timeout_seconds=0.7, stall_seconds=1.0)
NO_H264 = (
    "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=video 9 UDP/TLS/RTP/SAVPF 105 106\r\n"
    "a=rtpmap:105 VP9/90000\r\na=rtpmap:106 rtx/90000\r\n"
)
DEAD_RELAY = [{"urls": "turn:127.0.0.1:9?transport=udp", "username": "u", "credential": "c"}]

REFUSALS: dict[str, tuple[dict[str, Any], type[VdibenchError], str, str]] = {
    "no credentials": ({"authenticate": True}, AuthenticationError, "wants a user and a password", "VDIBENCH_PASSWORD"),
    "no credentials for the proxy": (
        {"authenticate": True, "asked_everywhere": True},
        AuthenticationError,
        "wants a user and a password",
        "VDIBENCH_PASSWORD",
    ),
    "a web page": ({"status": "<html>", "health": "<html>"}, NotADesktop, "no Selkies desktop", "check the URL"),
    "nothing below the URL": ({"pages_status": 404}, NotADesktop, "/api/status 404", "check the URL"),
    "an empty ingress": ({"pages_status": 503}, NotADesktop, "no Selkies desktop yet", "ingress"),
    "a redirect": (
        {"pages_status": 308, "location": "https://desktop.example.com/"},
        NotADesktop,
        "a redirect to https://desktop.example.com/",
        "give the address",
    ),
    "WebSocket mode": (
        {"status": {"current_mode": "websockets"}},
        NotADesktop,
        "Selkies 2.x in WebSocket mode",
        "measure it as selkies-2-websocket",
    ),
    "Selkies 1.6": (
        {"generation": 1, "health": "OK\n"},
        NotADesktop,
        "Selkies 1.6",
        "measure it as selkies-1-webrtc",
    ),
    "refused for good": ({"close_at_hello": (4000, "taken over")}, TargetUnavailable, "(taken over)", "sharing"),
    "superseded": ({"close_at_hello": (4001, "Superseded")}, TakenOver, "took the desktop over", "as a viewer"),
    "bad token": (
        {"close_at_hello": (4001, "Bad token")},
        AuthenticationError,
        "refused our session token",
        "VDIBENCH_TOKEN",
    ),
    "told to wait": ({"close_at_hello": (4029, "")}, TargetUnavailable, "wants us to wait", "half a second"),
    "not understood": ({"close_at_hello": (1002, "bad hello")}, ProtocolViolation, "(bad hello)", "version"),
    "going away": ({"close_at_hello": (1001, "")}, StreamLost, "went away", "log"),
    "garbage signalling": ({"garbage_frame": "<?xml"}, ProtocolViolation, "'<?xml'", "Selkies 2.x in WebRTC mode"),
    "a broken offer": ({"broken_offer": "v=0\r\nm=x"}, ProtocolViolation, "offer cannot be answered", "version"),
    "no H.264 on offer": ({"broken_offer": NO_H264}, TargetUnavailable, "neither H.264 nor VP8 video (VP9)", "h264enc"),
    "video declined": (
        {"decline": "video/VP9", "video": False},
        TargetUnavailable,
        "declined video (video/VP9)",
        "H.264",
    ),
    "no video": ({"video": False}, TargetUnavailable, "sends no video within 0.7 s", "encoder"),
    "undecodable video": ({"undecodable": True}, TargetUnavailable, "no decodable frame", "encoder"),
}

# The time limit leaves a busy machine room for the steps before the one that hangs.
HANGS: dict[str, tuple[float, dict[str, Any], str, str]] = {
    "HTTP": (0.5, {"answer_http": False}, "did not answer HTTP", "firewall"),
    "signalling": (0.7, {"silent_signalling": True}, "did not signal", "log"),
    "its own peer": (0.7, {"peer_not_found": 1000}, "did not signal", "log"),
    "ICE": (1.5, {"deaf_to_answer": True}, "did not connect by ICE", "TURN"),
    "the data channel": (2.0, {"channels": ("pointer",)}, "did not open the data channel", "SCTP"),
}


async def refusal(desktop: Any, samples: Any, options: SessionOptions = QUICK) -> VdibenchError:
    began = time.monotonic()
    with pytest.raises(VdibenchError) as caught:
        async with DesktopSession(desktop, samples, options) as session:
            await session.first_frame()
    assert time.monotonic() - began < 5.0
    error = caught.value
    assert error.cause
    assert error.remedy
    assert str(error) == f"{error.cause}: {error.remedy}"
    assert "\n" not in str(error)
    assert samples.milestones["left"] >= samples.milestones["leaving"]
    return error


@pytest.mark.parametrize("name", REFUSALS)
async def test_refusal(name: str, stand_in: Callable[..., StandIn], desktop: Any, samples: Any) -> None:
    behaviour, kind, cause, remedy = REFUSALS[name]
    server = stand_in(**behaviour)
    error = await refusal(desktop(server.url), samples, dataclasses.replace(QUICK, dialect=Dialect.SELKIES_2_WEBRTC))
    assert type(error) is kind
    assert error.exit_code == (2 if kind is AuthenticationError else 98)
    assert cause in error.cause
    assert remedy in error.remedy


@pytest.mark.parametrize("name", HANGS)
async def test_what_hangs_is_named(name: str, stand_in: Callable[..., StandIn], desktop: Any, samples: Any) -> None:
    limit, behaviour, cause, remedy = HANGS[name]
    server = stand_in(**behaviour)
    error = await refusal(desktop(server.url), samples, SessionOptions(connect_timeout_seconds=limit))
    assert type(error) is TargetUnavailable
    assert cause in error.cause
    assert error.cause.endswith(f"within {limit:g} s")
    assert remedy in error.remedy


async def test_wrong_password(stand_in: Callable[..., StandIn], desktop: Any, samples: Any) -> None:
    server = stand_in(authenticate=True)
    error = await refusal(desktop(server.url, USER, "wrong"), samples)
    assert type(error) is AuthenticationError
    assert f"refused user {USER!r}" in error.cause
    assert "wrong" not in str(error)


async def test_right_password(stand_in: Callable[..., StandIn], desktop: Any, samples: Any) -> None:
    server = stand_in(authenticate=True)
    async with DesktopSession(desktop(server.url, USER, PASSWORD), samples, QUICK) as session:
        await session.first_frame()


async def test_nothing_listens(desktop: Any, samples: Any, unused_tcp_port: int) -> None:
    error = await refusal(desktop(f"http://127.0.0.1:{unused_tcp_port}"), samples)
    assert type(error) is TargetUnavailable
    assert "connection refused" in error.cause


@pytest.mark.parametrize("url", ["127.0.0.1:8080", "desktop", "http://", "ftp://127.0.0.1", "http://127.0.0.1:99999"])
async def test_not_a_url(url: str, desktop: Any, samples: Any) -> None:
    error = await refusal(desktop(url), samples)
    assert type(error) is UsageError
    assert "is not a URL" in error.cause
    assert "https://" in error.remedy


async def test_unknown_host(desktop: Any, samples: Any) -> None:
    error = await refusal(desktop("http://desktop.invalid"), samples)
    assert type(error) is TargetUnavailable
    assert "has no address" in error.cause


async def test_something_that_is_not_http(desktop: Any, samples: Any) -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail ready\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        error = await refusal(desktop(f"http://127.0.0.1:{port}"), samples)
    assert type(error) is NotADesktop
    assert "does not speak HTTP" in error.cause


@pytest.mark.parametrize("servers", [[], [{"urls": "stun:127.0.0.1:9"}]])
async def test_relay_only_without_a_relay(
    servers: Any, stand_in: Callable[..., StandIn], desktop: Any, samples: Any
) -> None:
    server = stand_in(ice_servers=servers)
    error = await refusal(desktop(server.url), samples, SessionOptions(relay_only=True))
    assert "names no TURN server" in error.cause
    assert not server.sessions


async def test_relay_of_another_transport(stand_in: Callable[..., StandIn], desktop: Any, samples: Any) -> None:
    server = stand_in(ice_servers=DEAD_RELAY)
    error = await refusal(desktop(server.url), samples, SessionOptions(relay_only=True, relay_transport="tcp"))
    assert "names no tcp TURN server" in error.cause


async def test_relay_that_refuses(stand_in: Callable[..., StandIn], desktop: Any, samples: Any) -> None:
    servers = [{**DEAD_RELAY[0], "urls": "turn:127.0.0.1:9?transport=tcp"}]
    server = stand_in(ice_servers=servers)
    error = await refusal(desktop(server.url), samples, SessionOptions(relay_only=True))
    assert "did not connect by ICE through the TURN relay" in error.cause
    assert "credentials' expiry" in error.remedy


async def test_a_desktop_that_is_still_starting(stand_in: Callable[..., StandIn], desktop: Any, samples: Any) -> None:
    server = stand_in(unavailable=3, peer_not_found=2)
    async with DesktopSession(desktop(server.url), samples, QUICK) as session:
        await session.first_frame()
    assert server.behaviour.unavailable == server.behaviour.peer_not_found == 0


async def test_a_reply_in_two_parts_is_read_whole(stand_in: Callable[..., StandIn], desktop: Any) -> None:
    entries = [{"urls": ["stun:192.0.2.1:3478"]}, {"urls": ["turn:192.0.2.1:3478"], "username": "u", "credential": "c"}]
    server = stand_in(ice_servers=entries, torn_turn_reply=True)
    async with open_http(desktop(server.url).endpoint) as http:
        servers = await http.ice_servers()
    assert [found.url for found in servers] == ["stun:192.0.2.1:3478", "turn:192.0.2.1:3478"]


async def test_own_authority(tmp_path: Path, desktop: Any, samples: Any) -> None:
    certificate, key = self_signed(tmp_path)
    with StandIn(tls=server_side(certificate, key)) as server:
        error = await refusal(desktop(server.url), samples)
        assert type(error) is TargetUnavailable
        assert "no trusted TLS connection" in error.cause
        assert "--ca-file" in error.remedy
        for accepted in (desktop(server.url, ca_file=str(certificate)), desktop(server.url, insecure=True)):
            async with DesktopSession(accepted, type(samples)(), QUICK) as session:
                await session.first_frame()
        missing = desktop(server.url, ca_file=str(tmp_path / "missing.pem"))
        error = await refusal(missing, type(samples)())
        assert type(error) is UsageError
        assert "cannot read the CA file" in error.cause
