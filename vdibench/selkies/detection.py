"""Which dialect answers at a URL, from the replies to a few plain GETs. Pure.

Ask :func:`next_path` what to GET, append the reply as a :class:`Probe`, until it says None; then :func:`classify`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urljoin

from vdibench.selkies.signalling import SIGNALLING_PATH

__all__ = ["HEALTH_PATHS", "SLOW_PATHS", "Detection", "Dialect", "Probe", "classify", "next_path"]

STATUS_PATH = "/api/status"
HEALTH_PATH = "/api/health"
HEALTH_PATH_1 = "/health"
WEBSOCKET_PATH = "/api/websockets"
TOKENS_PATH = "/api/tokens"
PAGE_PATH = "/"

# Asked in this order; 1.6 answers its /health late, because its signalling loop sleeps (facts: up to 4 s).
HEALTH_PATHS = (STATUS_PATH, HEALTH_PATH, HEALTH_PATH_1)
SLOW_PATHS = frozenset({HEALTH_PATH_1})

_NOT_UP = (502, 503, 504)
_MAX_SYNTHETIC = 200


class Dialect(StrEnum):
    """The three ways in which Selkies desktops speak."""

    SELKIES_1_WEBRTC = "selkies-1-webrtc"
    SELKIES_2_WEBRTC = "selkies-2-webrtc"
    SELKIES_2_WEBSOCKET = "selkies-2-websocket"


_MODES = {
    "webrtc": (Dialect.SELKIES_2_WEBRTC, "Selkies 2.x in WebRTC mode"),
    "websockets": (Dialect.SELKIES_2_WEBSOCKET, "Selkies 2.x in WebSocket mode"),
}


@dataclass(frozen=True, slots=True)
class Probe:
    """The reply to ``GET path``.

    :param body: its start.
    :param location: where a redirect points.
    :param challenge: what ``WWW-Authenticate`` asks for.
    """

    path: str
    status: int
    body: str
    location: str = ""
    challenge: str = ""

    @property
    def wants_token(self) -> bool:
        """Refused for want of a session token, not of a password."""
        return self.status == 401 and self.challenge.lower().startswith("bearer")


@dataclass(frozen=True, slots=True)
class Detection:
    """What was found.

    :param dialect: None when no known desktop answers.
    :param statement: what was found, in one line, for people.
    :param starting: what answers says that it, or what stands behind it, is not up (502, 503, 504).
    :param location: address of the page that it redirects to, when nothing but a redirect answers.
    :param secure: it is in secure mode: viewers need a session token.
    :param synthetic: what it replays, where it is no desktop but says that it stands for one: its pictures are old.
    """

    dialect: Dialect | None
    statement: str
    starting: bool = False
    location: str = ""
    secure: bool = False
    synthetic: str = ""


def next_path(probes: Iterable[Probe]) -> str | None:
    """What to GET next, below the desktop's URL; None when the replies say all there is to know."""
    replies = {probe.path: probe for probe in probes}
    for path in (STATUS_PATH, *_rest(replies)):
        if path not in replies:
            return path
    return None


def _rest(replies: Mapping[str, Probe]) -> tuple[str, ...]:
    if _mode(replies):
        return (TOKENS_PATH,)
    if _is_healthy(replies, HEALTH_PATH):
        if _answers(replies, SIGNALLING_PATH) == 204:
            return (TOKENS_PATH,)
        return (SIGNALLING_PATH, WEBSOCKET_PATH, TOKENS_PATH)
    if HEALTH_PATH in replies and _is_healthy(replies, HEALTH_PATH_1):
        return ()
    return (HEALTH_PATH, HEALTH_PATH_1, PAGE_PATH)


def classify(probes: Iterable[Probe]) -> Detection:
    """Name the dialect from the replies to what :func:`next_path` asked for (fewer are enough)."""
    replies = {probe.path: probe for probe in probes}
    tokens = replies.get(TOKENS_PATH)
    secure = tokens is not None and tokens.wants_token
    mode = _mode(replies)
    if mode in _MODES:
        synthetic = _stated(replies, "synthetic")[:_MAX_SYNTHETIC]
        dialect, statement = _MODES[mode]
        if synthetic:
            return Detection(dialect, f"{statement}, a replay ({synthetic})", secure=secure, synthetic=synthetic)
        return _found(dialect, statement, secure=secure)
    if mode:
        return Detection(None, f"Selkies 2.x in an unknown mode, {mode!r}", secure=secure)
    if _is_healthy(replies, HEALTH_PATH):
        return _by_sockets(replies, secure=secure)
    if _is_healthy(replies, HEALTH_PATH_1):
        return Detection(Dialect.SELKIES_1_WEBRTC, "Selkies 1.6 (GStreamer)")
    answers = ", ".join(f"{probe.path} {probe.status}" for probe in replies.values()) or "no answer"
    if any(probe.status in _NOT_UP for probe in replies.values()):
        return Detection(None, f"no Selkies desktop yet ({answers})", starting=True)
    moved = next((probe for probe in replies.values() if probe.location), None)
    if moved is not None:
        location = _page(moved)
        return Detection(None, f"a redirect to {location}", location=location)
    return Detection(None, f"no Selkies desktop ({answers})")


def _found(dialect: Dialect, statement: str, *, secure: bool) -> Detection:
    return Detection(dialect, f"{statement}, secured by session tokens" if secure else statement, secure=secure)


def _by_sockets(replies: Mapping[str, Probe], *, secure: bool) -> Detection:
    """The mode of a 2.x that does not state it: the socket of the active one answers 204, the other 409."""
    signalling, websocket = _answers(replies, SIGNALLING_PATH), _answers(replies, WEBSOCKET_PATH)
    if signalling == 204:
        return _found(*_MODES["webrtc"], secure=secure)
    if websocket == 204:
        return _found(*_MODES["websockets"], secure=secure)
    answers = ", ".join(
        f"{path} {replies[path].status}" for path in (SIGNALLING_PATH, WEBSOCKET_PATH) if path in replies
    )
    starting = signalling in _NOT_UP or websocket in _NOT_UP
    how = "that is still starting" if starting else "whose mode cannot be told"
    return Detection(None, f"Selkies 2.x {how} ({answers or 'nobody asked'})", starting=starting, secure=secure)


def _answers(replies: Mapping[str, Probe], path: str) -> int:
    return replies[path].status if path in replies else 0


def _is_healthy(replies: Mapping[str, Probe], path: str) -> bool:
    reply = replies.get(path)
    return reply is not None and reply.status == 200 and reply.body.strip() == "OK"


def _page(moved: Probe) -> str:
    """Where the page went, from where one of its pages went: ``/desk/api/status`` is of ``/desk/``."""
    path = moved.path.rstrip("/")
    location = moved.location
    return location.removesuffix(path) or "/" if path else urljoin(moved.path, location)


def _mode(replies: Mapping[str, Probe]) -> str:
    return _stated(replies, "current_mode")


def _stated(replies: Mapping[str, Probe], name: str) -> str:
    """What the status page says under a name; empty when that is no text."""
    status = replies.get(STATUS_PATH)
    if status is None or status.status != 200:
        return ""
    try:
        document = json.loads(status.body)
    except (ValueError, RecursionError):
        return ""
    value = document.get(name) if isinstance(document, dict) else None
    return value if isinstance(value, str) else ""
