"""Control messages of Selkies 2.x: the data channels' grammar, which its WebSocket shares. Sans-I/O.

Client verbs are text; server messages are JSON text, or gzip of it once compression was agreed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from vdibench.errors import ProtocolViolation
from vdibench.selkies.compression import inflate_text

__all__ = [
    "HEARTBEAT_SECONDS",
    "ControlMessage",
    "Keysym",
    "compression_offer",
    "decode_control",
    "frame_acknowledgement",
    "key_down",
    "key_heartbeat",
    "key_up",
    "pointer",
    "pong",
    "request_key_frame",
    "resize_request",
    "start_video",
    "stats_subscription",
    "stop_video",
    "stream_info",
    "wheel",
]

# The server releases a held key when heartbeats stay away for 0.3 s.
HEARTBEAT_SECONDS = 0.1


class Keysym(IntEnum):
    """X keysyms that the measuring client presses.

    A letter is held until ``ku``; a digit or sign would be typed by the server as one atomic tap.
    """

    A = 0x61
    F13 = 0xFFCA


@dataclass(frozen=True, slots=True)
class ControlMessage:
    """A server message: its type and whatever it carries."""

    type: str
    data: Any

    @property
    def action(self) -> str:
        """The verb of a ``system`` message (``resolution`` of ``resolution,1920x1080``), else empty."""
        return self._system()[0]

    @property
    def argument(self) -> str:
        """What follows the verb of a ``system`` message, else empty."""
        return self._system()[1]

    def _system(self) -> tuple[str, str]:
        if self.type != "system" or not isinstance(self.data, dict):
            return "", ""
        verb, _, argument = str(self.data.get("action", "")).partition(",")
        return verb, argument


def decode_control(payload: str | bytes) -> ControlMessage | None:
    """Read a server message; None for the few that are not JSON objects (compression echo).

    :raises ProtocolViolation: binary that is not gzip, or of too much text.
    """
    if isinstance(payload, bytes):
        payload = inflate_text(payload) if payload else ""
    if not payload.startswith("{"):
        return None
    try:
        document = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise ProtocolViolation(
            f"control message that is not JSON: {payload[:40]!r}", "check that the server is Selkies 2.x"
        ) from error
    kind = str(document.pop("type", ""))
    return ControlMessage(kind, document["data"] if set(document) == {"data"} else document)


def stream_info(messages: Mapping[str, ControlMessage]) -> dict[str, Any]:
    """What a desktop says of its encoder; empty where it says nothing, or nothing that can be read.

    :param messages: the latest of each kind.
    """
    message = messages.get("stream_info")
    if message is None or not isinstance(message.data, dict):
        return {}
    info = message.data.get("info", message.data)
    return info if isinstance(info, dict) else {}


def key_down(keysym: int) -> str:
    """Press a key. While it is held, :func:`key_heartbeat` is due every :data:`HEARTBEAT_SECONDS`."""
    return f"kd,{keysym}"


def key_up(keysym: int) -> str:
    """Release a key."""
    return f"ku,{keysym}"


def key_heartbeat(keysyms: Iterable[int]) -> str:
    """Say which keys are still held."""
    return ",".join(["kh", *(str(keysym) for keysym in keysyms)])


def pointer(x: int, y: int, *, buttons: int = 0, scroll: int = 0) -> str:
    """Absolute pointer position in pixels; bit 0 of ``buttons`` is the left button."""
    return f"m,{x},{y},{buttons},{scroll}"


def wheel(x: int, y: int, *, down: bool) -> tuple[str, str]:
    """One notch of the wheel at a position in pixels: its bit goes on and off again, or the next is not seen."""
    # The server's own names of the two bits say the opposite.
    return pointer(x, y, buttons=1 << (3 if down else 4), scroll=1), pointer(x, y)


def pong(start_time: float) -> str:
    """Answer a ``ping`` at once; the server then states half of the round trip that it saw."""
    return f"pong,{start_time:.3f}"


def request_key_frame() -> str:
    """Ask for an IDR picture (the server allows about one a second)."""
    return "REQUEST_KEYFRAME"


def resize_request(width: int, height: int) -> str:
    """Ask for a size in pixels; only the display's owner is heard, and the desktop may round it."""
    return f"r,{width}x{height}"


def stats_subscription(*, on: bool) -> str:
    """Subscribe to the server's own figures; only a controller gets them."""
    return f"_stats,{int(on)}"


# Only over WebSocket.


def start_video() -> str:
    """Let the desktop capture and send again; frames are numbered from 0, the first is a key frame."""
    return "START_VIDEO"


def stop_video() -> str:
    """Pause the video; from the display's owner, the capture as well."""
    return "STOP_VIDEO"


def compression_offer() -> str:
    """Say that we read compressed text; the server echoes it and compresses from 512 bytes on."""
    return "_gz,1"


def frame_acknowledgement(frame_id: int, held_seconds: float) -> str:
    """Acknowledge the newest frame, and say how long ago it arrived; for the display's owner alone."""
    return f"CLIENT_FRAME_ACK {frame_id} {round(held_seconds * 1000)}"
