"""The encoder that a desktop says it uses. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from vdibench.selkies import ControlMessage, Dialect
from vdibench.selkies.control import stream_info

__all__ = ["StatedEncoder", "stated_encoder"]

# How 1.6 calls those that need no GPU.
_SOFTWARE = ("x264", "x265", "openh264", "vp8", "vp9", "svtav1", "rav1", "av1enc")


@dataclass(frozen=True, slots=True)
class StatedEncoder:
    """An encoder by a desktop's own words.

    :param hardware: whether a GPU encodes; None where the desktop does not say.
    :param codec: what it makes, empty where the desktop does not say.
    :param reason: why it was taken, or where the statement comes from.
    """

    name: str
    hardware: bool | None
    codec: str = ""
    reason: str = ""


def stated_encoder(messages: Mapping[str, ControlMessage], dialect: Dialect) -> StatedEncoder | None:
    """What the desktop said until now; None where it said nothing. 2.x tells controllers alone.

    :param messages: the latest of each kind, ``system`` messages under ``system:<verb>``.
    """
    if dialect is Dialect.SELKIES_1_WEBRTC:
        message = messages.get("system:encoder")
        name = message.argument if message is not None else ""
        if not name:
            return None
        reason = "system message, as configured: 1.6 has no fall-back"
        return StatedEncoder(name, not name.startswith(_SOFTWARE), reason=reason)
    info = stream_info(messages)
    name, hardware = str(info.get("encoder") or ""), info.get("hardware")
    if not name:
        return None
    return StatedEncoder(
        name,
        hardware if isinstance(hardware, bool) else None,
        str(info.get("codec") or ""),
        str(info.get("encoder_reason") or "stream_info"),
    )
