"""Signalling of ``selkies-2-webrtc``: one WebSocket, text frames, the server makes the offer. Sans-I/O.

The conversation::

    client                      server
    HELLO client {json}   ->
                          <-    HELLO
    SESSION server        ->
                          <-    SESSION_OK server-<uuid>     or: ERROR peer server not found (ask again)
                          <-    server-<uuid> {"sdp": {"type": "offer", ...}}
    server-<uuid> {"sdp": {"type": "answer", ...}}  ->
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from vdibench.errors import (
    AuthenticationError,
    Disconnected,
    ProtocolViolation,
    StreamLost,
    TakenOver,
    TargetUnavailable,
    VdibenchError,
)

__all__ = [
    "SIGNALLING_PATH",
    "CandidateReceived",
    "OfferReceived",
    "PeerNotReady",
    "Registered",
    "Role",
    "SessionGranted",
    "Signalling",
    "SignallingEvent",
    "close_reason",
]

SIGNALLING_PATH = "/api/webrtc/signaling"

_TOKEN_REMEDY = "set VDIBENCH_TOKEN or --token-file to one that its token table has"


class Role(StrEnum):
    """A viewer harms nobody; a controller takes the desktop over from whoever controls it."""

    VIEWER = "viewer"
    CONTROLLER = "controller"


@dataclass(frozen=True, slots=True)
class Registered:
    """The server knows us."""


@dataclass(frozen=True, slots=True)
class SessionGranted:
    """The server's side of the session, by its peer id."""

    peer: str


@dataclass(frozen=True, slots=True)
class PeerNotReady:
    """The server is still starting its side; call :meth:`Signalling.ask_again` in a moment."""


@dataclass(frozen=True, slots=True)
class OfferReceived:
    """An SDP offer. It holds all candidates: the server does not trickle."""

    sdp: str


@dataclass(frozen=True, slots=True)
class CandidateReceived:
    """A trickled candidate, W3C ``RTCIceCandidateInit``."""

    candidate: dict[str, Any]


SignallingEvent = Registered | SessionGranted | PeerNotReady | OfferReceived | CandidateReceived


class Signalling:
    """One conversation. Feed it text with :meth:`receive`, send what :meth:`pending` hands out.

    :param role: viewer or controller.
    :param tab_id: identity of a controller; a second controller with the same one replaces the first, and four
        such take-overs within five seconds are refused, so every client of a load test needs its own.
    :param page_size: width and height in pixels that a controller's page claims; the server fits the desktop to it.
    :param token: session token of a desktop in secure mode; its role there wins over ours. Empty for none.
    """

    def __init__(self, role: Role, tab_id: str, page_size: tuple[int, int] | None = None, token: str = "") -> None:
        meta: dict[str, Any] = {"client_type": str(role), "client_slot": -1, "display_id": "primary"}
        if role is Role.CONTROLLER:
            meta["client_tab_id"] = tab_id
        if page_size is not None:
            meta["page_size"] = list(page_size)
        if token:
            meta["client_token"] = token
        self._pending = [f"HELLO client {json.dumps(meta)}"]
        self._peer = ""

    def pending(self) -> list[str]:
        """Text frames to send now, in order; each is handed out once."""
        frames, self._pending = self._pending, []
        return frames

    def receive(self, frame: str) -> list[SignallingEvent]:
        """Take one text frame.

        :raises ProtocolViolation: a frame that no Selkies 2.x server sends.
        """
        word, _, rest = frame.partition(" ")
        if word == "HELLO":
            self.ask_again()
            return [Registered()]
        if word in {"SESSION_OK", "RESUMED"} and rest:
            self._peer = rest.strip()
            return [SessionGranted(self._peer)]
        if word == "ERROR":
            if "not found" in rest:
                return [PeerNotReady()]
            raise ProtocolViolation(f"the desktop refused the session: {rest}", "look into the desktop's log")
        if self._peer and word == self._peer:
            return self._receive_json(rest)
        raise ProtocolViolation(
            f"unexpected signalling frame {frame[:40]!r}",
            "check that the server is Selkies 2.x in WebRTC mode",
        )

    def _receive_json(self, text: str) -> list[SignallingEvent]:
        try:
            body = json.loads(text)
            if "sdp" in body:
                return [OfferReceived(str(body["sdp"]["sdp"]))] if body["sdp"]["type"] == "offer" else []
            if "ice" in body:
                return [CandidateReceived(dict(body["ice"]))]
        except (ValueError, TypeError, KeyError) as error:
            raise ProtocolViolation(
                f"signalling frame without a description: {text[:60]!r}", "look into the desktop's log"
            ) from error
        return []

    def ask_again(self) -> None:
        """Ask for a session with the server's side."""
        self._pending.append("SESSION server")

    def answer(self, sdp: str) -> None:
        """Queue our answer to the offer."""
        self._pending.append(f"{self._peer} {json.dumps({'sdp': {'type': 'answer', 'sdp': sdp}})}")


def close_reason(code: int | None, text: str = "") -> VdibenchError:
    """What the server meant by closing the WebSocket with ``code`` (RFC 6455 and Selkies' own 4xxx)."""
    said = f" ({text})" if text else ""
    number = f" (code {code})" if code is not None else ""
    if code == 4001 and "token" in text.lower():
        return AuthenticationError(f"the desktop refused our session token{said}", _TOKEN_REMEDY)
    if code == 4002:
        return AuthenticationError(f"the desktop revoked our session token{said}", _TOKEN_REMEDY)
    if code == 4001:
        return TakenOver(
            f"another controller took the desktop over{said}",
            "watch as a viewer, or end the other client first",
        )
    if code == 4000:
        return TargetUnavailable(
            f"the desktop refused us for good{said}",
            "it may have been taken over too often, or sharing is off",
        )
    if code == 4029:
        return TargetUnavailable(
            f"the desktop wants us to wait{said}", "leave half a second between clients of one address"
        )
    if code == 1002:
        return ProtocolViolation(f"the desktop did not understand us{said}", "check its version against the docs")
    if code == 1001:
        return StreamLost(f"the desktop went away{said}", "look into its log; it was stopped or restarted")
    if code == 1000:
        return StreamLost(f"the desktop ended the session{said}", "look into its log")
    kind = StreamLost if said else Disconnected
    return kind(
        f"the signalling connection broke{said or number}",
        "look into the desktop's log: it died or was restarted, or a proxy between cut us off",
    )
