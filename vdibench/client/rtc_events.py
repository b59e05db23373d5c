"""What both WebRTC dialects make of their peer's events: milestones, ends, control messages, answers to pings.

All methods are called in the event loop, most by aiortc, whose loops must not be torn by what a desktop says.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

from vdibench.client.connection import CandidatePair, ConnectionObserver
from vdibench.client.failure import as_our_error
from vdibench.client.options import SessionOptions, Step
from vdibench.errors import Disconnected, TargetUnavailable
from vdibench.records import Desktop
from vdibench.selkies import ControlMessage, decode_control, pong
from vdibench.selkies.server_figures import server_figures

__all__ = ["RtcEvents"]

# What a peer connection's last state means once it had been connected, and what to do unless something better is known.
_ENDS = {
    "failed": ("the media connection failed", "check what filters UDP between here and the desktop"),
    "closed": ("the media connection was closed", "look into the desktop's log: it ended the session"),
}


class RtcEvents:
    """The events of the peer connection that carries video and control.

    :param send: sends a control verb on the ordered channel.
    :param pair: gives the nominated candidate pair.
    :param opened: called once the ordered channel is open.
    :param heard: called with each control message, after the observer.
    """

    def __init__(
        self,
        desktop: Desktop,
        options: SessionOptions,
        observer: ConnectionObserver,
        *,
        send: Callable[[str], None],
        pair: Callable[[], CandidatePair | None],
        opened: Callable[[], None] = lambda: None,
        heard: Callable[[ControlMessage], None] = lambda message: None,
    ) -> None:
        self.connected = asyncio.Event()
        self.channel_open = asyncio.Event()
        self.ice_step = Step.RELAYED_ICE if options.relay_only else Step.ICE
        self._url = desktop.endpoint.url
        self._observer = observer
        self._send = send
        self._pair = pair
        self._opened = opened
        self._heard = heard

    def stuck(self, step: Step, how: str) -> TargetUnavailable:
        """The error for a step that the desktop did not take."""
        return TargetUnavailable(f"{self._url} did not {step.missing} {how}", step.remedy)

    def state_changed(self, kind: str, state: str) -> None:
        """``iceConnectionState`` (kind ``ice``) or ``connectionState`` changed."""
        if kind == "ice" and state in {"connected", "completed"}:
            self._observer.reached("ice_connected", None)
        elif kind == "connection" and state == "connected":
            self._observer.reached("connected", None)
            self.connected.set()
            if (pair := self._pair()) is not None:
                self._observer.fact("ice.pair", str(pair))
        elif kind == "connection" and state in {"failed", "closed"}:
            if self.connected.is_set():
                self._observer.end(Disconnected(*_ENDS[state]))
            else:
                self._observer.end(self.stuck(self.ice_step, "on any path"))

    def channel_opened(self, label: str) -> None:
        """A data channel opened."""
        if label == "input":
            self._observer.reached("channel_open", None)
            self.channel_open.set()
            self._opened()

    def message(self, payload: str | bytes) -> None:
        """A message came on a data channel."""
        try:
            self._heed(payload)
        except Exception as error:  # whatever it is, it must not tear the DTLS loop that calls this
            self._observer.end(as_our_error(error))

    def _heed(self, payload: str | bytes) -> None:
        message = decode_control(payload)
        if message is None:
            return
        for name, value in server_figures(message).items():
            self._observer.row("server", {"unix_seconds": time.time(), "name": name, "value": value})
        # The clock reads the ping first: what it sees must have happened before our answer leaves.
        self._observer.message(message)
        if message.type == "ping" and isinstance(message.data, dict):
            start = message.data.get("start_time")
            if isinstance(start, int | float):
                with suppress(ConnectionError, OverflowError):  # the channel closes, or no float holds the time
                    self._send(pong(float(start)))
        self._heard(message)
