from __future__ import annotations

import json

import pytest

from vdibench.errors import ProtocolViolation
from vdibench.selkies import IceServer, parse_rtc_configuration

# As Selkies 2.1 answers with a TURN server of its own.
CONFIGURATION = {
    "lifetimeDuration": "86400s",
    "blockStatus": "NOT_BLOCKED",
    "iceTransportPolicy": "all",
    "iceServers": [
        {"urls": ["stun:192.0.2.1:3478", "stun:stun.example.com:19302"]},
        {
            "urls": ["turn:192.0.2.1:3478?transport=udp", "turns:turn.example.com?transport=tcp"],
            "username": "1700000000:selkies",
            "credential": "not-a-real-one",
        },
    ],
}


def test_one_server_for_each_url_in_order() -> None:
    servers = parse_rtc_configuration(json.dumps(CONFIGURATION))
    assert [(s.url, s.username, s.credential) for s in servers] == [
        ("stun:192.0.2.1:3478", "", ""),
        ("stun:stun.example.com:19302", "", ""),
        ("turn:192.0.2.1:3478?transport=udp", "1700000000:selkies", "not-a-real-one"),
        ("turns:turn.example.com?transport=tcp", "1700000000:selkies", "not-a-real-one"),
    ]


def test_the_recorded_configuration_without_servers() -> None:
    text = '{"lifetimeDuration":"86400s","blockStatus":"NOT_BLOCKED","iceTransportPolicy":"all","iceServers":[]}\n'
    assert parse_rtc_configuration(text) == ()


def test_one_url_as_text() -> None:
    assert parse_rtc_configuration('{"iceServers": [{"urls": "stun:192.0.2.1"}]}') == (IceServer("stun:192.0.2.1"),)


@pytest.mark.parametrize(
    ("url", "turn", "host", "transport"),
    [
        ("stun:192.0.2.1", False, "192.0.2.1", "udp"),
        ("stun:stun.example.com:19302", False, "stun.example.com", "udp"),
        ("turn:[2001:db8::1]:3478?transport=udp", True, "2001:db8::1", "udp"),
        ("turn:[2001:db8::1]", True, "2001:db8::1", "udp"),
        ("turn:turn.example.com:3478?transport=tcp", True, "turn.example.com", "tcp"),
        ("turns:turn.example.com:5349?transport=tcp", True, "turn.example.com", "tcp"),
        ("turn:turn.example.com", True, "turn.example.com", "udp"),
    ],
)
def test_what_a_url_says(url: str, turn: bool, host: str, transport: str) -> None:
    server = IceServer(url)
    assert (server.is_turn, server.host, server.transport) == (turn, host, transport)


def test_the_credential_stays_out_of_sight() -> None:
    assert "secret" not in repr(IceServer("turn:192.0.2.1", "user", "secret"))


@pytest.mark.parametrize(
    "text", ["", "<html>", "[]", "{}", "null", '{"iceServers": 5}', '{"iceServers": [5]}', '{"iceServers": [{}]}']
)
def test_garbage(text: str) -> None:
    with pytest.raises(ProtocolViolation, match="/api/turn answers something else") as caught:
        parse_rtc_configuration(text)
    assert caught.value.remedy
