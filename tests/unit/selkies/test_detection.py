from __future__ import annotations

import itertools

import pytest

from vdibench.selkies import Detection, Dialect, Probe, classify, next_path

# Recorded from Selkies 2.1.
STATUS = '{"current_mode": "webrtc", "available_modes": ["webrtc", "websockets"], "enable_dual_mode": true}'
WEBSOCKETS = STATUS.replace('_mode": "webrtc"', '_mode": "websockets"')
BASIC = 'Basic realm="Selkies Restricted", charset="UTF-8"'
BEARER = 'Bearer realm="Selkies Restricted"'
SIGNALLING, STREAM = "/api/webrtc/signaling", "/api/websockets"

Reply = tuple[int, str] | tuple[int, str, str, str]
WEBRTC_2, WEBSOCKET_2, WEBRTC_1 = Dialect.SELKIES_2_WEBRTC, Dialect.SELKIES_2_WEBSOCKET, Dialect.SELKIES_1_WEBRTC


def conversation(replies: dict[str, Reply]) -> list[Probe]:
    """Ask as the client does; what is not in ``replies`` is 404."""
    probes: list[Probe] = []
    while (path := next_path(probes)) is not None:
        probes.append(Probe(path, *replies.get(path, (404, ""))))
        assert len(probes) < 8
    return probes


@pytest.mark.parametrize(
    ("replies", "dialect", "words", "asked"),
    [
        ({"/api/status": (200, STATUS)}, WEBRTC_2, "Selkies 2.x in WebRTC mode", 2),
        ({"/api/status": (200, WEBSOCKETS)}, WEBSOCKET_2, "Selkies 2.x in WebSocket mode", 2),
        (
            {"/api/status": (200, STATUS), "/api/tokens": (401, "", "", BEARER)},
            WEBRTC_2,
            "Selkies 2.x in WebRTC mode, secured by session tokens",
            2,
        ),
        ({"/api/status": (200, STATUS), "/api/tokens": (401, "", "", BASIC)}, WEBRTC_2, "WebRTC mode", 2),
        ({"/api/health": (200, "OK"), SIGNALLING: (204, "")}, WEBRTC_2, "WebRTC mode", 4),
        ({"/api/health": (200, "OK"), SIGNALLING: (409, ""), STREAM: (204, "")}, WEBSOCKET_2, "WebSocket mode", 5),
        (
            {"/api/health": (200, "OK"), SIGNALLING: (409, ""), STREAM: (503, "")},
            None,
            f"Selkies 2.x that is still starting ({SIGNALLING} 409, {STREAM} 503)",
            5,
        ),
        ({"/api/health": (200, "OK")}, None, "Selkies 2.x whose mode cannot be told", 5),
        ({"/health": (200, "OK\n")}, WEBRTC_1, "Selkies 1.6 (GStreamer)", 3),
        ({"/api/status": (200, '{"current_mode": "quic"}')}, None, "unknown mode, 'quic'", 2),
        (dict.fromkeys(("/api/status", "/api/health", "/health"), (200, "<html>")), None, "no Selkies desktop", 4),
        ({"/api/status": (401, "")}, None, "/api/status 401", 4),
        ({"/api/status": (401, "", "", BASIC), "/": (401, "", "", BASIC)}, None, "/api/status 401", 4),
        ({"/api/status": (502, "")}, None, "no Selkies desktop yet", 4),
        # Behind a route that lets no health through, of a Service that leads nowhere.
        ({"/api/status": (503, ""), "/": (503, "")}, None, "no Selkies desktop yet", 4),
    ],
)
def test_what_answers(replies: dict[str, Reply], dialect: Dialect | None, words: str, asked: int) -> None:
    probes = conversation(replies)
    assert len(probes) == asked
    for order in itertools.permutations(probes):
        detection = classify(order)
        assert detection.dialect is dialect
        assert detection.secure == ("session tokens" in words)
        assert detection.starting == ("yet" in words or "starting" in words)
    assert words in classify(probes).statement


def test_nobody_was_asked() -> None:
    assert classify([]) == Detection(None, "no Selkies desktop (no answer)")


@pytest.mark.parametrize(
    ("path", "location", "page"),
    [
        ("/api/status", "https://desktop.example.com/api/status", "https://desktop.example.com"),
        ("/api/status", "https://desktop.example.com/desk/api/status", "https://desktop.example.com/desk"),
        ("/api/status", "https://login.example.com/start", "https://login.example.com/start"),
        ("/", "/desk/", "/desk/"),
        ("/", "desk/", "/desk/"),
    ],
)
def test_a_redirect_says_where(path: str, location: str, page: str) -> None:
    detection = classify(conversation({path: (301, "", location, "")}))
    assert detection.dialect is None
    assert detection.location == page
    assert page in detection.statement


@pytest.mark.parametrize(
    "body", ["", "[]", "null", "5", '"webrtc"', "{}", '{"current_mode": 5}', '{"current_mode"', "{" * 99, "[" * 99_999]
)
def test_a_status_that_is_none(body: str) -> None:
    assert classify(conversation({"/api/status": (200, body)})).dialect is None
