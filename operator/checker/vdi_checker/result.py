"""What a check found, and the words for what went wrong. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

__all__ = ["REMEDIES", "Outcome", "Result"]


class Outcome(StrEnum):
    """How a check ended. Metrics count by these words, so none is made up at run time."""

    FRAME = "frame"
    PASSWORD = "password"
    FORBIDDEN = "forbidden"
    ROUTE = "route"
    NOT_UP = "not-up"
    CERTIFICATE = "certificate"
    NAME = "name"
    UNREACHABLE = "unreachable"
    NOT_A_DESKTOP = "not-a-desktop"
    RELAY = "relay"
    ICE = "ice"
    CONNECTION = "connection"
    NO_FRAME = "no-frame"
    LOST = "lost"
    FAULT = "fault"


# What a person can do, as an imperative without a full stop.
REMEDIES = {
    Outcome.FRAME: "",
    Outcome.PASSWORD: "start the desktop anew: a desktop reads its password once, and its Secret may be younger",
    Outcome.FORBIDDEN: "look at the route's middlewares: one of them keeps the checker out",
    Outcome.ROUTE: "look at the session's IngressRoute, and at Traefik's log: it knows no such host or path",
    Outcome.NOT_UP: "look at the session's Service and pod: Traefik has nothing to lead to yet",
    Outcome.CERTIFICATE: "give Traefik a certificate for this host, or the checker its authority (--authority)",
    Outcome.NAME: "give the sessions' domain a wildcard in the DNS, or the operator a checkerAddress",
    Outcome.UNREACHABLE: "check Traefik, its Service, and the network policy between the checker and it",
    Outcome.NOT_A_DESKTOP: "compare the template's dialect with its image, and look into the desktop's log",
    Outcome.RELAY: "give the operator the address and the secret of the site's own TURN server",
    Outcome.ICE: "check the TURN server's address, its secret and log, and the way to it from desktop and checker",
    Outcome.CONNECTION: "look into the desktop's log",
    Outcome.NO_FRAME: "look into the desktop's log: its encoder or its screen fails",
    Outcome.LOST: "look into the desktop's log",
    Outcome.FAULT: "look into the checker's log",
}


@dataclass(frozen=True, slots=True)
class Result:
    """One check.

    :param message: what was seen, or what was wrong and what to do about it, in one line.
    :param codec: as in SDP (``H264``).
    :param profile: of the sequence parameter set, with its level; empty where there is none.
    :param hardware: whether a GPU encodes; None where the desktop does not say.
    :param transport: what carried the media, such as ``webrtc over udp by relay``.
    :param first_frame_seconds: from the first request to the first decoded frame.
    :param seconds: of the whole check, the leaving included.
    """

    outcome: Outcome
    message: str
    codec: str = ""
    profile: str = ""
    encoder: str = ""
    hardware: bool | None = None
    transport: str = ""
    width: int = 0
    height: int = 0
    first_frame_seconds: float = 0.0
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """A frame was decoded."""
        return self.outcome is Outcome.FRAME

    def document(self) -> dict[str, Any]:
        """As the answer has it."""
        return {
            "ok": self.ok,
            "outcome": str(self.outcome),
            "message": self.message,
            "codec": self.codec,
            "profile": self.profile,
            "encoder": self.encoder,
            "hardware": self.hardware,
            "transport": self.transport,
            "width": self.width,
            "height": self.height,
            "firstFrameSeconds": round(self.first_frame_seconds, 6),
            "seconds": round(self.seconds, 6),
        }
