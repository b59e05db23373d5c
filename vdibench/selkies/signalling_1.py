"""Signalling of ``selkies-1-webrtc`` (Selkies-GStreamer 1.6): one WebSocket for each of two legs. Sans-I/O.

The server calls, for each leg by itself; a client only says who it is and answers::

    client                              server
    HELLO <1 or 3> [base64 of JSON] ->
                                   <-   HELLO                     or: close 1002, another client has this leg
                                   <-   {"sdp": {"type": "offer", ...}}
                                   <-   {"ice": {"candidate": ..., "sdpMLineIndex": 0}}    and no end of them
    {"sdp": {"type": "answer", ...}} ->

A client never sends ``SESSION``: the server would rewire a running session of somebody else.
"""

from __future__ import annotations

import json
from base64 import b64encode
from dataclasses import dataclass
from enum import IntEnum

from vdibench.errors import Disconnected, ProtocolViolation, StreamLost, VdibenchError
from vdibench.selkies.signalling import CandidateReceived, OfferReceived, Registered

__all__ = [
    "RTC_CONFIGURATION_PATH_1",
    "SIGNALLING_PATH_1",
    "ComplaintReceived",
    "Leg",
    "LegEvent",
    "LegSignalling",
    "leg_close_reason",
    "leg_is_taken",
]

SIGNALLING_PATH_1 = "/webrtc/signalling/"
RTC_CONFIGURATION_PATH_1 = "/turn"

_PROTOCOL_ERROR = 1002
_INTERNAL_ERROR = 1011


class Leg(IntEnum):
    """The client's two legs by the peer ids that the server calls."""

    VIDEO = 1
    AUDIO = 3


@dataclass(frozen=True, slots=True)
class ComplaintReceived:
    """An ``ERROR`` of the server: worth telling, but it ends nothing."""

    text: str


LegEvent = Registered | OfferReceived | CandidateReceived | ComplaintReceived


class LegSignalling:
    """One leg's conversation. Feed it text with :meth:`receive`, send what :meth:`pending` hands out.

    :param page_size: width and height in pixels. A desktop that allows resizing takes this size when the session
        starts, and an odd one would end its encoder: it is rounded down to even numbers. None leaves the desktop
        as it is.
    """

    def __init__(self, leg: Leg, page_size: tuple[int, int] | None = None) -> None:
        self.leg = leg
        self._registered = False
        self._pending = [f"HELLO {leg:d}{_meta(page_size)}"]

    def pending(self) -> list[str]:
        """Text frames to send now, in order; each is handed out once."""
        frames, self._pending = self._pending, []
        return frames

    def receive(self, frame: str) -> list[LegEvent]:
        """Take one text frame.

        :raises ProtocolViolation: a frame that no Selkies 1.6 server sends.
        """
        if frame == "HELLO" and not self._registered:
            self._registered = True
            return [Registered()]
        if frame.startswith("ERROR"):
            return [ComplaintReceived(frame.removeprefix("ERROR").strip())]
        if self._registered and frame.startswith("{"):
            return _receive_json(frame)
        raise ProtocolViolation(
            f"unexpected signalling frame {frame[:40]!r}", "check that the server is Selkies-GStreamer 1.6"
        )

    def answer(self, sdp: str) -> None:
        """Queue our answer, with all our candidates in it."""
        self._pending.append(json.dumps({"sdp": {"type": "answer", "sdp": sdp}}))


def _meta(page_size: tuple[int, int] | None) -> str:
    if page_size is None:
        return ""
    width, height = (length - length % 2 for length in page_size)
    # The server reads both keys where it allows resizing.
    document = json.dumps({"res": f"{width}x{height}", "scale": 1})
    return " " + b64encode(document.encode()).decode()


def _receive_json(text: str) -> list[LegEvent]:
    try:
        body = json.loads(text)
        if "sdp" in body:
            return [OfferReceived(str(body["sdp"]["sdp"]))] if body["sdp"]["type"] == "offer" else []
        if "ice" in body:
            candidate = dict(body["ice"])
            return [CandidateReceived(candidate)] if candidate.get("candidate") else []
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ProtocolViolation(
            f"signalling frame without a description: {text[:60]!r}", "look into the desktop's log"
        ) from error
    return []


def leg_is_taken(code: int | None, text: str) -> bool:
    """Whether the server closed because this leg's id is in use: by another client, or by one it has not given up."""
    return code == _PROTOCOL_ERROR and "uid" in text


def leg_close_reason(code: int | None, text: str = "") -> VdibenchError:
    """What the server meant by closing a leg's WebSocket with ``code`` (RFC 6455 §7.4)."""
    said = f" ({text})" if text else ""
    if leg_is_taken(code, text):
        return StreamLost(
            f"another client has the desktop{said}", "end it first: Selkies 1.6 serves one client at a time"
        )
    if code == _PROTOCOL_ERROR:
        return ProtocolViolation(f"the desktop did not understand us{said}", "check its version against the docs")
    if code == _INTERNAL_ERROR:
        return StreamLost(f"the desktop's signalling failed{said}", "look into its log")
    if code in (1000, 1001):
        return StreamLost(f"the desktop ended the session{said}", "look into its log; it may have been restarted")
    number = f" (code {code})" if code is not None else ""
    kind = StreamLost if said else Disconnected
    return kind(
        f"the signalling connection broke{said or number}",
        "look into the desktop's log: it died or was restarted, or a proxy between cut us off",
    )
