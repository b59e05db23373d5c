"""Conversation of ``selkies-2-websocket``: one WebSocket carries control, video and audio. Sans-I/O.

The beginning::

    client                          server
                              <-    MODE websockets
                              <-    AUTH_SUCCESS,{..}  MK_ACCESS,1       (only in secure mode)
                              <-    DISPLAY_CONFIG_UPDATE,{..}  cursor,{..}
                              <-    {"type": "server_settings", ..}
    SETTINGS,{..}             ->                                         (of a viewer: only what sound it reads)
                              <-    {"type": "stream_resolution", ..}, then video

Binary messages are read in :mod:`vdibench.selkies.websocket_frames`, acknowledged by
:mod:`vdibench.selkies.websocket_acks`.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
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
from vdibench.selkies.control import (
    ControlMessage,
    compression_offer,
    decode_control,
    stats_subscription,
)
from vdibench.selkies.signalling import Role

__all__ = [
    "TOO_FAST",
    "WEBSOCKET_PATH",
    "MessageReceived",
    "PictureSized",
    "PipelineReset",
    "SettingsStated",
    "StreamWishes",
    "WebSocketConversation",
    "WebSocketEvent",
]

WEBSOCKET_PATH = "/api/websockets"
TOO_FAST = 4029

_TYPICAL_PAGE = (1920, 1080)


@dataclass(frozen=True, slots=True)
class StreamWishes:
    """What a controller asks of the stream; what is left open is taken from the desktop.

    A desktop keeps the settings of its last client for the next one, so encoder, rate and bit rate are always sent.

    :param size: width and height in pixels that the desktop is to take.
    :param encoder: as in ``SELKIES_ENCODER``; empty for the desktop's.
    :param framerate: frames per second; 0 for the desktop's.
    :param bitrate_bps: bits per second; 0 for the desktop's.
    """

    size: tuple[int, int] | None = None
    encoder: str = ""
    framerate: float = 0
    bitrate_bps: float = 0


@dataclass(frozen=True, slots=True)
class SettingsStated:
    """The desktop said its settings: from now on it hears us."""


@dataclass(frozen=True, slots=True)
class PictureSized:
    """Size of the picture from now on, in pixels."""

    width: int
    height: int


@dataclass(frozen=True, slots=True)
class PipelineReset:
    """The stream starts anew; a key frame follows, and ids from before mean nothing."""


@dataclass(frozen=True, slots=True)
class MessageReceived:
    """Any message, this one's other events included."""

    message: ControlMessage


WebSocketEvent = SettingsStated | PictureSized | PipelineReset | MessageReceived


class WebSocketConversation:
    """One conversation. Feed it text with :meth:`receive`, send what :meth:`pending` hands out.

    :param role: a viewer says nothing that changes the stream.
    :param tab_id: identity of a controller; a second one with the same takes the display over from the first.
    """

    def __init__(self, role: Role, tab_id: str, wishes: StreamWishes | None = None) -> None:
        self._role = role
        self._tab_id = tab_id
        self._wishes = wishes or StreamWishes()
        self._pending: list[str] = []
        self._size: tuple[int, int] | None = None
        self._settings: dict[str, Any] = {}
        self._greeted = False
        self._granted = ""
        self._killed: str | None = None

    @property
    def query(self) -> dict[str, str]:
        """Parameters of the URL."""
        return {"role": str(Role.VIEWER)} if self._role is Role.VIEWER else {}

    @property
    def greeted(self) -> bool:
        """Whether the desktop said anything: in secure mode it is silent until it was given its tokens."""
        return self._greeted

    def pending(self) -> list[str]:
        """Text to send now, in order; each is handed out once."""
        texts, self._pending = self._pending, []
        return texts

    def receive(self, text: str) -> list[WebSocketEvent]:
        """Take one text message.

        :raises ProtocolViolation: not what Selkies 2.x sends.
        """
        self._greeted = True
        message = _read(text)
        events: list[WebSocketEvent] = [MessageReceived(message)]
        if message.type == "auth_success":
            # A token's role wins over ours: as a controller's, a viewer's settings would take the display over.
            self._granted = str(message.data.get("role", "")) if isinstance(message.data, dict) else ""
        elif message.type == "kill":
            self._killed = str(message.data)
        elif message.type == "display_owner":
            # The owner left and the desktop made us the next: it waits for our settings.
            if self._role is Role.CONTROLLER:
                self._send_settings()
        elif message.type == "pipeline_resetting":
            events.append(PipelineReset())
        elif message.type == "server_settings":
            first = not self._settings
            self._settings = _settings(message.data)
            if first:
                self._begin()
                events.append(SettingsStated())
        elif message.type == "display_config_update":
            self._resized(_layout(message.data), events)
        elif message.type == "stream_resolution":
            self._resized(_size(message.data), events)
        return events

    def _resized(self, size: tuple[int, int] | None, events: list[WebSocketEvent]) -> None:
        if size is not None and size != self._size:
            self._size = size
            events.append(PictureSized(*size))

    def _begin(self) -> None:
        if self._role is Role.VIEWER:
            # Of a viewer the desktop takes none of it but what sound it can read: after a second without, nobody
            # would get redundant sound any more. It also begins to capture, where nobody has the display.
            if self._granted in ("", str(Role.VIEWER)):
                said = {"displayId": "primary", "audioRedundancy": True}
                self._pending.append(f"SETTINGS,{json.dumps(said)}")
            return
        self._send_settings()
        self._pending += [compression_offer(), stats_subscription(on=True)]

    def _send_settings(self) -> None:
        wishes = self._wishes
        width, height = wishes.size or self._size or _TYPICAL_PAGE
        document = {
            "displayId": "primary",
            "initialClientWidth": width,
            "initialClientHeight": height,
            "manual_resolution": False,
            "tabId": self._tab_id,
            # As the desktop's own page does: without, no client of this desktop would get redundant audio.
            "audioRedundancy": True,
            "encoder": wishes.encoder or self._stated("encoder", "value"),
            "framerate": wishes.framerate or self._stated("framerate", "default"),
            # Kilobits per second on the wire.
            "video_bitrate": wishes.bitrate_bps / 1000 or self._stated("video_bitrate", "default"),
        }
        known = {name: value for name, value in document.items() if value is not None}
        self._pending.append(f"SETTINGS,{json.dumps(known)}")

    def _stated(self, name: str, what: str) -> Any:
        entry = self._settings.get(name)
        value = entry.get(what) if isinstance(entry, dict) else None
        return value if isinstance(value, str | int | float) else None

    def close_reason(self, code: int | None, text: str = "") -> VdibenchError:
        """What the desktop meant by closing with ``code`` (RFC 6455 and Selkies' own), given what it said before."""
        said = f" ({self._killed or text})" if self._killed or text else ""
        if self._killed is not None and code != 1008:
            # A display that is taken over closes with the code of a normal end.
            return TakenOver(
                f"another client took the desktop over{said}", "watch as a viewer, or end the other client first"
            )
        if code not in _CLOSES:
            number = f" (code {code})" if code is not None else ""
            return Disconnected(f"the connection broke{said or number}", _CUT_REMEDY)
        kind, cause, remedy = _CLOSES[code]
        return kind(cause + said, remedy)


_CLOSES: dict[int, tuple[type[VdibenchError], str, str]] = {
    1000: (StreamLost, "the desktop ended the session", "look into its log"),
    1001: (StreamLost, "the desktop ended this session", "its operator disconnected us, or it was stopped"),
    1002: (ProtocolViolation, "the desktop did not understand us", "check its version against the docs"),
    1008: (
        TargetUnavailable,
        "the desktop refused us",
        "allow sharing and this slot there (SELKIES_ENABLE_SHARED), or watch as a controller",
    ),
    1009: (ProtocolViolation, "the desktop got too large a message from us", "report this as a defect of vdibench"),
    4000: (
        StreamLost,
        "the desktop stopped serving WebSockets",
        "look into its log: it was stopped, or switched to WebRTC",
    ),
    4001: (AuthenticationError, "the desktop refused our token", "ask for a valid client token"),
    4002: (AuthenticationError, "the desktop revoked our token", "ask for a new client token"),
    TOO_FAST: (
        TargetUnavailable,
        "the desktop takes one connection in half a second from one address and refused ours",
        "start fewer clients at once; behind a proxy all of them share its address",
    ),
}
_CUT_REMEDY = "look into the desktop's log: it died or found us too slow, or a proxy between cut us off"


def _read(text: str) -> ControlMessage:
    if text.startswith("{"):
        message = decode_control(text)
        assert message is not None  # only what is no object has none
        return message
    # VERB, or VERB,argument, or VERB argument.
    end = min((text.find(sign) for sign in ", " if sign in text), default=len(text))
    verb, argument = text[:end].lower(), text[end + 1 :]
    if argument.startswith("{"):
        with suppress(ProtocolViolation):  # no JSON after all: text
            document = decode_control(argument)
            return ControlMessage(verb, document.data if document is not None else argument)
    return ControlMessage(verb, argument)


def _settings(data: Any) -> dict[str, Any]:
    settings = data.get("settings") if isinstance(data, dict) else None
    if not isinstance(settings, dict) or not settings:
        raise ProtocolViolation("the desktop's settings are none", "check that the server is Selkies 2.x")
    return settings


def _size(data: Any) -> tuple[int, int] | None:
    if not isinstance(data, dict) or data.get("displayId", "primary") != "primary":
        return None
    width, height = data.get("width"), data.get("height")
    if not isinstance(width, int) or not isinstance(height, int) or width <= 0 or height <= 0:
        return None
    return width, height


def _layout(data: Any) -> tuple[int, int] | None:
    layouts = data.get("layouts") if isinstance(data, dict) else None
    primary = layouts.get("primary") if isinstance(layouts, dict) else None
    return _size({"width": primary.get("w"), "height": primary.get("h")}) if isinstance(primary, dict) else None
