from __future__ import annotations

import itertools

import pytest

from vdibench.selkies import HEALTH_PATHS, Dialect, Probe, classify

# Recorded from Selkies 2.1.
STATUS = '{"current_mode": "webrtc", "available_modes": ["webrtc", "websockets"], "enable_dual_mode": true}'


def replies(*statuses_and_bodies: tuple[int, str]) -> list[Probe]:
    return [Probe(path, *reply) for path, reply in zip(HEALTH_PATHS, statuses_and_bodies, strict=False)]


@pytest.mark.parametrize(
    ("probes", "dialect", "words"),
    [
        (replies((200, STATUS)), Dialect.SELKIES_2_WEBRTC, "WebRTC mode"),
        (
            replies((200, STATUS.replace('_mode": "webrtc"', '_mode": "websockets"'))),
            Dialect.SELKIES_2_WEBSOCKET,
            "WebSocket mode",
        ),
        (replies((404, ""), (200, "OK")), Dialect.SELKIES_2_WEBRTC, "unstated mode"),
        (replies((404, ""), (404, ""), (200, "OK\n")), Dialect.SELKIES_1_WEBRTC, "Selkies 1.6"),
        (replies((200, '{"current_mode": "quic"}')), None, "unknown mode, 'quic'"),
        (replies((200, "<html>"), (200, "<html>"), (200, "<html>")), None, "no Selkies desktop"),
        (replies((401, ""), (401, ""), (401, "")), None, "/api/status 401"),
        (replies((502, ""), (502, ""), (502, "")), None, "no Selkies desktop yet"),
        ([], None, "no answer"),
    ],
)
def test_what_answers(probes: list[Probe], dialect: Dialect | None, words: str) -> None:
    for order in itertools.permutations(probes):
        detection = classify(order)
        assert detection.dialect is dialect
        assert words in detection.statement
    assert detection.starting == ("yet" in words)


def test_a_redirect_says_where() -> None:
    detection = classify([Probe("/api/status", 301, "", "https://desktop.example.com/api/status")])
    assert detection.dialect is None
    assert detection.location == "https://desktop.example.com/api/status"


@pytest.mark.parametrize(
    "body", ["", "[]", "null", "5", '"webrtc"', "{}", '{"current_mode": 5}', '{"current_mode"', "{" * 99]
)
def test_a_status_that_is_none(body: str) -> None:
    assert classify([Probe("/api/status", 200, body)]).dialect is None
