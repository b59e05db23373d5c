"""What a check says of desktops and routes that fail: a closed word, the cause and what to do, and never a password."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from aiohttp import web
from certificates import self_signed
from standin import PASSWORD, USER, Behaviour, StandIn
from standin_websocket import Behaviour as WebSocketBehaviour
from standin_websocket import WebSocketStandIn
from watching import until

from vdi_checker.check import Site, transport
from vdibench.client import CandidatePair
from vdibench.selkies import Dialect, IceServer

from .conftest import wanted

ANY_PATH = Site(relay_only=False)
HOST = "alice.vdi.test"
RELAYS = [{"urls": "turn:192.0.2.9:3478?transport=udp", "username": "u", "credential": "c"}]


@pytest.fixture
def stand_in() -> Iterator[Callable[..., StandIn]]:
    with ExitStack() as stack:
        yield lambda tls=None, **changes: stack.enter_context(StandIn(replace(Behaviour(), **changes), tls))


@pytest.fixture
def stand_in_websocket() -> Iterator[Callable[..., WebSocketStandIn]]:
    with ExitStack() as stack:
        yield lambda **changes: stack.enter_context(WebSocketStandIn(replace(WebSocketBehaviour(), **changes)))


async def found(checker, body: dict[str, Any], site: Site = ANY_PATH) -> dict[str, Any]:
    ask = await checker(site)
    answer = await ask(**body)
    assert answer.status == 200
    document: dict[str, Any] = await answer.json()
    assert body["password"] not in str(document)
    assert document["ok"] == (document["outcome"] == "frame")
    assert "\n" not in document["message"]
    return document


async def test_a_frame_of_webrtc(checker, stand_in) -> None:
    server = stand_in(authenticate=True)
    said = await found(checker, wanted(server.url, username=USER, password=PASSWORD))
    assert said["outcome"] == "frame", said["message"]
    assert (said["codec"], said["encoder"], said["hardware"]) == ("H264", "x264", False)
    assert (said["width"], said["height"]) == (640, 360)
    assert said["transport"].startswith("webrtc over udp, host to ")
    assert said["profile"]
    assert 0 < said["firstFrameSeconds"] <= said["seconds"]
    # It came as a controller with the template's size, and left before it answered.
    assert server.session.hello["client_type"] == "controller"
    assert server.session.hello["page_size"] == [640, 360]
    # The stand-in has answered the close by now, but writes it down in a thread of its own.
    await until(lambda: "socket closed" in server.session.events)


async def test_a_frame_of_websockets(checker, stand_in_websocket) -> None:
    server = stand_in_websocket(fps=20.0, cell=8)
    body = wanted(server.url, dialect="selkies-2-websocket", width=480, height=320, framerate=25, bitrate=4_000_000)
    said = await found(checker, body)
    assert said["outcome"] == "frame", said["message"]
    assert (said["transport"], said["hardware"]) == ("websocket over tcp", None)
    assert (said["width"], said["height"]) == (480, 320)
    assert "set to 8000 kbit/s although the template says 4000" in said["message"]
    settings = server.client.settings()
    sent = [settings[name] for name in ("initialClientWidth", "initialClientHeight", "framerate", "encoder")]
    assert sent == [480, 320, 25, "h264enc"]
    assert server.client.close_code == 1000


async def test_a_host_is_met_at_another_address_by_its_own_name(checker, stand_in, tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path, hosts=[HOST], addresses=[])
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate, key)
    server = stand_in(tls=tls)
    port = urlsplit(server.url).port
    site = replace(ANY_PATH, authority=str(certificate))
    for address in (f"127.0.0.1:{port}", f"localhost:{port}"):
        said = await found(checker, wanted(f"https://{HOST}/", connect=address), site)
        assert said["outcome"] == "frame", said["message"]
    said = await found(checker, wanted("https://bob.vdi.test/", connect=f"127.0.0.1:{port}"), site)
    assert said["outcome"] == "certificate"
    assert "not valid for 'bob.vdi.test'" in said["message"]
    said = await found(checker, wanted(f"https://{HOST}/", connect=f"127.0.0.1:{port}"), ANY_PATH)
    assert said["outcome"] == "certificate"
    assert "--authority" in said["message"]


CAUSES: dict[str, tuple[dict[str, Any], str, str]] = {
    "another password": ({"authenticate": True}, "password", "refused user 'user' and the password given"),
    "an empty route": ({"pages_status": 503}, "not-up", "/api/status 503"),
    "no route": ({"pages_status": 404}, "route", "IngressRoute"),
    "another page": ({"status": "<html>", "health": "<html>"}, "not-a-desktop", "no Selkies desktop"),
    "another dialect": ({"status": {"current_mode": "websockets"}}, "not-a-desktop", "WebSocket mode"),
    "no video": ({"video": False}, "no-frame", "sends no video"),
    "undecodable": ({"undecodable": True}, "no-frame", "no decodable frame"),
    "no ICE": ({"deaf_to_answer": True}, "ice", "did not connect by ICE"),
    "no signalling": ({"silent_signalling": True}, "connection", "did not signal"),
}


@pytest.mark.parametrize("name", CAUSES)
async def test_a_cause_is_named(checker, stand_in, name: str) -> None:
    behaviour, outcome, said = CAUSES[name]
    server = stand_in(**behaviour)
    answer = await found(checker, wanted(server.url, timeoutSeconds=3))
    assert (answer["outcome"], answer["ok"]) == (outcome, False), answer["message"]
    assert said in answer["message"]
    assert ": " in answer["message"], "a remedy follows"


async def test_a_page_that_is_no_desktop(checker) -> None:
    async def page(_: web.BaseRequest) -> web.Response:
        return web.Response(text="hello")

    runner = web.ServerRunner(web.Server(page))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        answer = await found(checker, wanted(f"http://127.0.0.1:{runner.addresses[0][1]}"))
    finally:
        await runner.cleanup()
    assert answer["outcome"] == "not-a-desktop"


async def test_a_dead_address(checker, unused_tcp_port: int) -> None:
    answer = await found(checker, wanted(f"http://127.0.0.1:{unused_tcp_port}"))
    assert answer["outcome"] == "unreachable"
    assert "connection refused" in answer["message"]
    body = wanted(f"https://{HOST}", connect=f"nobody.invalid:{unused_tcp_port}")
    answer = await found(checker, body)
    assert answer["outcome"] == "name"
    assert "nobody.invalid" in answer["message"]


async def test_something_that_never_answers_takes_the_time_it_is_given(checker) -> None:
    held: list[asyncio.StreamWriter] = []

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held.append(writer)
        await reader.read()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    async with server:
        answer = await found(
            checker, wanted(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", timeoutSeconds=1)
        )
        for writer in held:
            writer.close()
    assert answer["outcome"] == "unreachable"
    assert "did not answer HTTP within 1 s" in answer["message"]


async def test_only_the_sites_own_relay(checker, stand_in) -> None:
    server = stand_in(ice_servers=RELAYS)
    answer = await found(checker, wanted(server.url), replace(ANY_PATH, relays=frozenset({"192.0.2.1"})))
    assert answer["outcome"] == "relay"
    assert "turn:192.0.2.9:3478" in answer["message"]
    answer = await found(checker, wanted(server.url), replace(ANY_PATH, relays=frozenset({"192.0.2.9"})))
    assert answer["outcome"] == "frame", answer["message"]


async def test_users_have_no_way_but_the_relay(checker, stand_in) -> None:
    answer = await found(checker, wanted(stand_in().url), Site())
    assert answer["outcome"] == "relay"
    assert "names no TURN server" in answer["message"]


UDP = IceServer("turn:192.0.2.9:3478?transport=udp", "u", "c")
TCP = IceServer("turn:192.0.2.9:3478?transport=tcp", "u", "c")
STUN = IceServer("stun:192.0.2.9:3478")


@pytest.mark.parametrize(
    ("dialect", "types", "servers", "said"),
    [
        (Dialect.SELKIES_2_WEBSOCKET, None, (), "websocket over tcp"),
        (Dialect.SELKIES_2_WEBRTC, None, (), "webrtc"),
        (Dialect.SELKIES_2_WEBRTC, ("host", "host"), (), "webrtc over udp, host to host"),
        (Dialect.SELKIES_2_WEBRTC, ("relay", "relay"), (STUN, UDP), "webrtc over udp by relay, relay to relay"),
        (Dialect.SELKIES_1_WEBRTC, ("relay", "host"), (TCP, UDP), "webrtc over tcp by relay, relay to host"),
        (Dialect.SELKIES_2_WEBRTC, ("host", "relay"), (TCP,), "webrtc over udp by relay, host to relay"),
    ],
)
def test_what_carries_the_media(dialect, types, servers, said: str) -> None:
    pair = CandidatePair(types[0], "192.0.2.2:1", types[1], "192.0.2.3:2") if types else None
    assert transport(dialect, pair, servers) == said
