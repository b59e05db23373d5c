"""Where a metric can exist: what each dialect of Selkies gives, and why it does not give the rest. Data only.

Two kinds of absence are kept apart. *Not applicable*: there is no such thing (TCP loses no packet), so an objective on
it is listed and never counted. *No data*: there is such a thing, but nothing on the wire tells it, so an objective on
it cannot pass.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

__all__ = [
    "DIALECTS",
    "ENCODER_STAMPS",
    "EVERYWHERE",
    "NEEDS_CLICK_TRACK",
    "NEEDS_DESK",
    "NEEDS_DESK_AND_STAMPS",
    "NEEDS_TRACER_OR_STATS",
    "ONE_DATAGRAM_AFTER_ANOTHER",
    "STAMPS",
    "STATS",
    "TRACER_ONLY",
    "YES",
    "Presence",
    "Reach",
]

GSTREAMER, WEBRTC, WEBSOCKET = DIALECTS = ("selkies-1-webrtc", "selkies-2-webrtc", "selkies-2-websocket")


class Presence(StrEnum):
    """Whether a dialect has a metric."""

    YES = "yes"
    NO_DATA = "no data"
    NOT_APPLICABLE = "not applicable"


@dataclass(frozen=True, slots=True)
class Reach:
    """Whether a dialect has a metric.

    :param note: what it takes, or why there is none.
    """

    presence: Presence
    note: str = ""

    def __str__(self) -> str:
        if self.presence is Presence.YES:
            return self.note or "yes"
        return f"{self.presence} ({self.note})" if self.note else str(self.presence)


YES = Reach(Presence.YES)


def _each(gstreamer: Reach, webrtc: Reach, websocket: Reach) -> Mapping[str, Reach]:
    return MappingProxyType({GSTREAMER: gstreamer, WEBRTC: webrtc, WEBSOCKET: websocket})


def _alike(note: str) -> Mapping[str, Reach]:
    return _each(*[Reach(Presence.YES, note)] * 3)


_NO_STAMP = Reach(Presence.NO_DATA, "frames carry no time stamp")
_WRONG_REPORTS = Reach(Presence.NO_DATA, "its sender reports are wrong")
_TCP = Reach(Presence.NOT_APPLICABLE, "TCP")
_TRACER = Reach(Presence.YES, "tracer")
_STATS = Reach(Presence.YES, "stats")

EVERYWHERE = _each(YES, YES, YES)
NEEDS_DESK = _alike("needs desk")
NEEDS_CLICK_TRACK = _alike("needs desk and its click track")
NEEDS_DESK_AND_STAMPS = _each(_WRONG_REPORTS, Reach(Presence.YES, "needs desk"), _NO_STAMP)
STAMPS = _each(_WRONG_REPORTS, YES, _NO_STAMP)
_VIDEO_TIMING = Reach(Presence.YES, "video-timing, a few frames a second")
ENCODER_STAMPS = _each(
    Reach(Presence.NO_DATA, "frames carry no time stamp; the tracer has durations"), _VIDEO_TIMING, _NO_STAMP
)
ONE_DATAGRAM_AFTER_ANOTHER = _each(YES, YES, _TCP)
NEEDS_TRACER_OR_STATS = _each(_TRACER, _STATS, _STATS)
STATS = _each(Reach(Presence.NO_DATA, "the server does not tell"), _STATS, _STATS)
_NO_GSTREAMER = Reach(Presence.NOT_APPLICABLE, "no GStreamer")
TRACER_ONLY = _each(_TRACER, _NO_GSTREAMER, _NO_GSTREAMER)
