"""What a dialect's connection offers to a session, and what a session wants to hear of it. No I/O here.

A connection is one dialect's signalling, media and control. It never decodes: assembled frames go to the observer.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from vdibench.client.assembly import AssembledFrame
from vdibench.client.http import DesktopHttp
from vdibench.client.options import Step
from vdibench.errors import VdibenchError
from vdibench.selkies import ControlMessage, Dialect, IceServer

__all__ = ["CandidatePair", "Connection", "ConnectionObserver", "Counters"]

_NOT_APPLICABLE = float("nan")


def _unheard(payload: bytes, timestamp: int, arrival_unix_seconds: float) -> None:
    """Nobody listens."""


@dataclass(frozen=True, slots=True)
class CandidatePair:
    """The nominated ICE candidate pair; types as in RFC 8445 (host, srflx, prflx, relay)."""

    local_type: str
    local_address: str
    remote_type: str
    remote_address: str

    def __str__(self) -> str:
        return f"{self.local_type} {self.local_address} → {self.remote_type} {self.remote_address}"


@dataclass(frozen=True, slots=True)
class Counters:
    """Cumulative counters of a session's streams, W3C inbound-rtp names in our spelling.

    NaN where the dialect has no such thing: over TCP nothing is lost, and nothing is asked for again.

    :param packets_received: RTP packets of the video stream, or WebSocket messages with video.
    :param packets_lost: packets that did not arrive as first sent.
    :param socket_drops: datagrams that this host threw away because its socket's buffer was full.
    """

    packets_received: float = 0
    packets_lost: float = _NOT_APPLICABLE
    bytes_received: float = 0
    jitter_seconds: float = _NOT_APPLICABLE
    nack_count: float = _NOT_APPLICABLE
    pli_count: float = _NOT_APPLICABLE
    audio_packets_received: float = 0
    audio_packets_lost: float = _NOT_APPLICABLE
    socket_drops: float = _NOT_APPLICABLE


@dataclass(frozen=True, slots=True)
class ConnectionObserver:
    """What a session wants to hear; all called in the event loop.

    :param reached: a milestone by its name (see :mod:`vdibench.records.tables`), now or at a Unix instant; the first
        time counts.
    :param fact: something that the desktop or the connection said of itself.
    :param frame: each assembled video frame, in order.
    :param message: each control message of the desktop.
    :param row: a row of one of the tables ``server``, ``clock`` or ``synchronisation``.
    :param step: the step that a time-out would be blamed on, from now on.
    :param end: the session is over; the first reason counts.
    :param spawn: run a coroutine until the session ends; an error in it ends the session.
    :param audio: each Opus packet: payload, RTP time stamp at 48 kHz (-1 where there is none), arrival in Unix seconds.
    """

    reached: Callable[[str, float | None], None]
    fact: Callable[[str, str], None]
    frame: Callable[[AssembledFrame], None]
    message: Callable[[ControlMessage], None]
    row: Callable[[str, Mapping[str, Any]], None]
    step: Callable[[Step], None]
    end: Callable[[VdibenchError], None]
    spawn: Callable[[Coroutine[Any, Any, None]], None]
    audio: Callable[[bytes, int, float], None] = _unheard


class Connection(Protocol):
    """One way of being connected. Made with ``(desktop, options, observer)``, opened once, closed once."""

    dialect: Dialect

    @property
    def video_codec(self) -> str:
        """Name as in SDP (``H264``); empty before the first packet."""

    @property
    def audio_codec(self) -> str:
        """Name as in SDP (``opus``); empty before the first packet."""

    @property
    def pair(self) -> CandidatePair | None:
        """The nominated candidate pair; None where there is no ICE, or not yet."""

    @property
    def ice_servers(self) -> tuple[IceServer, ...]:
        """What the desktop hands out; empty where there is no ICE."""

    async def open(self, http: DesktopHttp) -> None:
        """Connect until control verbs can be sent.

        :raises VdibenchError: refused or failed; time-outs are the caller's.
        """

    def send(self, text: str) -> None:
        """Send a control verb, in order.

        :raises ConnectionError: the channel is not open.
        """

    async def request_key_frame(self) -> None:
        """Ask for a key frame; may be asked at any time."""

    def resize(self, width: int, height: int) -> None:
        """Ask for another size of the desktop, in pixels.

        :raises ConnectionError: the channel is not open.
        """

    def read(self) -> Counters:
        """The counters now."""

    async def close(self) -> None:
        """Leave as the dialect wants it, each leg bounded in time; safe to call at any time, and twice."""
