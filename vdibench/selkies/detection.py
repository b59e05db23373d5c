"""Which dialect answers at a URL, from the replies to a few plain GETs. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

__all__ = ["HEALTH_PATHS", "Detection", "Dialect", "Probe", "classify"]

STATUS_PATH = "/api/status"
HEALTH_PATH = "/api/health"
HEALTH_PATH_1 = "/health"

# Asked in this order; 1.6 answers its /health late, because its signalling loop sleeps (facts: up to 4 s).
HEALTH_PATHS = (STATUS_PATH, HEALTH_PATH, HEALTH_PATH_1)


class Dialect(StrEnum):
    """The three ways in which Selkies desktops speak."""

    SELKIES_1_WEBRTC = "selkies-1-webrtc"
    SELKIES_2_WEBRTC = "selkies-2-webrtc"
    SELKIES_2_WEBSOCKET = "selkies-2-websocket"


@dataclass(frozen=True, slots=True)
class Probe:
    """The reply to ``GET path``: HTTP status, the start of the body, and where a redirect points."""

    path: str
    status: int
    body: str
    location: str = ""


@dataclass(frozen=True, slots=True)
class Detection:
    """What was found.

    :param dialect: None when no known desktop answers.
    :param statement: what was found, in one line, for people.
    :param starting: what answers says that it, or what stands behind it, is not up (502, 503, 504).
    :param location: where it redirects to, when nothing but a redirect answers.
    """

    dialect: Dialect | None
    statement: str
    starting: bool = False
    location: str = ""


def classify(probes: Iterable[Probe]) -> Detection:
    """Name the dialect from the replies to :data:`HEALTH_PATHS` (fewer are enough)."""
    replies = {probe.path: probe for probe in probes}
    status = replies.get(STATUS_PATH)
    if status is not None and status.status == 200:
        mode = _current_mode(status.body)
        if mode == "webrtc":
            return Detection(Dialect.SELKIES_2_WEBRTC, "Selkies 2.x in WebRTC mode")
        if mode == "websockets":
            return Detection(Dialect.SELKIES_2_WEBSOCKET, "Selkies 2.x in WebSocket mode")
        if mode:
            return Detection(None, f"Selkies 2.x in an unknown mode, {mode!r}")
    health = replies.get(HEALTH_PATH)
    if health is not None and health.status == 200 and health.body.strip() == "OK":
        return Detection(Dialect.SELKIES_2_WEBRTC, "Selkies 2.x of unstated mode")
    health = replies.get(HEALTH_PATH_1)
    if health is not None and health.status == 200 and health.body.strip() == "OK":
        return Detection(Dialect.SELKIES_1_WEBRTC, "Selkies 1.6 (GStreamer)")
    answers = ", ".join(f"{probe.path} {probe.status}" for probe in replies.values()) or "no answer"
    if any(probe.status in (502, 503, 504) for probe in replies.values()):
        return Detection(None, f"no Selkies desktop yet ({answers})", starting=True)
    location = next((probe.location for probe in replies.values() if probe.location), "")
    if location:
        return Detection(None, f"a redirect to {location}", location=location)
    return Detection(None, f"no Selkies desktop ({answers})")


def _current_mode(body: str) -> str:
    try:
        document = json.loads(body)
    except ValueError:
        return ""
    mode = document.get("current_mode") if isinstance(document, dict) else None
    return mode if isinstance(mode, str) else ""
