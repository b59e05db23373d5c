"""How a session is watched, and the steps of connecting that can hang. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from vdibench.client.mode import Mode
from vdibench.client.route import Route
from vdibench.selkies import Dialect, Role

__all__ = ["CONNECT_SECONDS", "LEGACY_CONNECT_SECONDS", "SessionOptions", "Step"]

# How long connecting may take where the caller does not say: 1.6's signalling sleeps for seconds at a time, and its
# place may be taken for most of a minute after a client that was lost.
CONNECT_SECONDS, LEGACY_CONNECT_SECONDS = 20.0, 75.0


class Step(Enum):
    """A step of connecting: what the desktop did not do when it hangs, and what to do about it."""

    HTTP = ("answer HTTP", "check address, route and firewall")
    SIGNALLING = ("signal", "look into the desktop's log: its signalling or its own peer hangs")
    ADMISSION = ("let us in", "in secure mode give it its table of tokens (POST /api/tokens); else look into its log")
    SETTINGS = ("say its settings", "look into the desktop's log: its stream server hangs")
    PLACE = ("give us a place", "end the client that has it: Selkies 1.6 serves one at a time")
    OFFER = ("offer video", "look into the desktop's log: its encoder or its screen fails")
    ICE = ("connect by ICE", "check UDP between here and the desktop, or use TURN")
    RELAYED_ICE = (
        "connect by ICE through the TURN relay",
        "check the TURN server's address, its credentials' expiry and its log",
    )
    CHANNEL = ("open the data channel", "look into the desktop's log: DTLS or SCTP hangs")

    @property
    def missing(self) -> str:
        """What did not happen."""
        return self.value[0]

    @property
    def remedy(self) -> str:
        """What to do about it."""
        return self.value[1]


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """How to watch.

    :param role: viewer, or controller where the desktop is ours or the user said so.
    :param relay_only: no path but through the TURN relay.
    :param relay_transport: ``udp`` or ``tcp`` towards the relay; empty for the first that the desktop names.
    :param connect_timeout_seconds: from the first request to the open control channel; None for as long as the
        dialect may need: 20 s, and 75 s for 1.6, whose signalling sleeps and whose place may still be taken.
    :param first_frame_timeout_seconds: from the open channel to the first frame.
    :param stall_seconds: no video for so long ends the session: a dead relay leaves ICE "connected" for half a minute.
    :param mode: how much of the stream is looked at.
    :param route: the way of the packets; None for the direct one.
    :param dialect: insist on one; None takes whichever answers.
    :param native: whether the modes that decrypt nothing read by the native receiver: None for where it is installed.
    :param authenticate: decrypt every packet in those modes too: forged ones count for nothing, key frames are known.
    :param compare_clocks: the desktop may be on another host: where its dialect has no exchange that compares the
        clocks, ask its web server, about once in five seconds.
    """

    role: Role = Role.VIEWER
    relay_only: bool = False
    relay_transport: str = ""
    connect_timeout_seconds: float | None = None
    first_frame_timeout_seconds: float = 10.0
    stall_seconds: float = 5.0
    mode: Mode = Mode.DECODE
    route: Route | None = None
    dialect: Dialect | None = None
    native: bool | None = None
    authenticate: bool = False
    compare_clocks: bool = False
