"""Recording the video of a desktop as a trace, through an ordinary session that decodes nothing. I/O.

Packets are stamped by this host's kernel when they arrive: record on the desktop's host, or what the network does to
the pacing is recorded too.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import vdibench
from vdibench.client import DesktopSession, FrameRecord, InputRecord, Mode, NetworkRecord, SessionOptions
from vdibench.client.assembly import AssembledFrame
from vdibench.client.connection import ConnectionObserver
from vdibench.client.h264 import find_sps, parse_sps
from vdibench.errors import TargetUnavailable, UsageError
from vdibench.records import Desktop
from vdibench.replay.trace import Provenance, Trace, TraceFrame
from vdibench.selkies import Dialect, Role
from vdibench.selkies.control import stream_info

__all__ = ["RecordingNote", "record"]

# Frame rates that encoders are asked for; a measured rate is one of them, or itself.
_USUAL_RATES = (8, 10, 15, 20, 24, 25, 30, 48, 50, 60, 72, 75, 90, 100, 120, 144, 165, 240)
_RATE_TOLERANCE = 0.1
# Until the encoder's rate control has got over the session's beginning.
_SETTLE_SECONDS = 2.0
_KEY_TRIES, _KEY_STEP_SECONDS = 5, 1.0


@dataclasses.dataclass(frozen=True, slots=True)
class RecordingNote:
    """What only the caller knows of the desktop.

    :param source: one line for people; no address that is nobody's business.
    :param server: name and version of its server.
    :param bitrate_bps: asked of its encoder; 0 where nobody knows.
    """

    source: str
    server: str = ""
    bitrate_bps: int = 0


class _Nothing:
    """A sink: what is recorded is the stream itself."""

    def __init__(self) -> None:
        self.facts: dict[str, str] = {}

    def frame(self, session: str, record: FrameRecord) -> None:
        """The frame itself is kept."""

    def input(self, session: str, record: InputRecord) -> None:
        """Nothing is pressed."""

    def network(self, session: str, record: NetworkRecord) -> None:
        """Counters are read at the end."""

    def milestone(self, session: str, event: str, unix_seconds: float) -> None:
        """Connecting is not what is recorded."""

    def fact(self, session: str, key: str, value: str) -> None:
        """What the desktop is goes into the provenance."""
        self.facts[key] = value

    def row(self, session: str, table: str, values: Mapping[str, Any]) -> None:
        """Nothing else is kept."""


class _RecordingSession(DesktopSession):
    """Keeps every frame that it hands on."""

    def __init__(self, desktop: Desktop, sink: _Nothing, options: SessionOptions) -> None:
        self.frames: list[AssembledFrame] = []
        super().__init__(desktop, sink, options)

    def _observer(self) -> ConnectionObserver:
        observer = super()._observer()

        def keep(frame: AssembledFrame) -> None:
            self.frames.append(frame)
            observer.frame(frame)

        return dataclasses.replace(observer, frame=keep)


async def record(desktop: Desktop, seconds: float, note: RecordingNote, dialect: Dialect | None = None) -> Trace:
    """Watch ``desktop`` and give its video as a trace, from a key frame on, so many seconds long.

    A desktop that is ours is taken under control; of others nothing is changed, but a key frame is asked for: one in
    mid-stream goes out in the rhythm of all others, while the first of a session has waited for it to begin.

    :raises UsageError: another codec than H.264, or one that sends the picture in stripes.
    :raises TargetUnavailable: no video, or frames of it were lost.
    """
    sink = _Nothing()
    role = Role.CONTROLLER if desktop.owned else Role.VIEWER
    session = _RecordingSession(desktop, sink, SessionOptions(mode=Mode.DEPACKETISE, role=role, dialect=dialect))
    async with session:
        await session.first_frame()
        await session.watch(_SETTLE_SECONDS)
        session.frames.clear()
        await session.connection.request_key_frame()
        for _ in range(_KEY_TRIES):
            await session.watch(_KEY_STEP_SECONDS)
            if _usable(session.frames):
                break
            await session.connection.request_key_frame()
        await session.watch(seconds)
        frames = _cut(_usable(session.frames), seconds)
        info = stream_info(session.messages)
        said = session.dialect
    if sink.facts.get("synthetic"):
        raise UsageError("this is a replay already", "copy its trace instead of recording it")
    return Trace(_provenance(desktop, frames, note, info, said), _trace_frames(frames))


def _usable(frames: Sequence[AssembledFrame]) -> list[AssembledFrame]:
    """Frames from the first key frame on.

    :raises UsageError: they cannot be replayed.
    :raises TargetUnavailable: one of them is missing.
    """
    begin = next((number for number, frame in enumerate(frames) if frame.key and frame.data), None)
    if begin is None:
        return []
    kept = list(frames[begin:])
    if any(frame.codec != "h264" or frame.stripe or frame.rest for frame in kept):
        raise UsageError("only whole pictures in H.264 can be recorded", "set SELKIES_ENCODER=h264enc there")
    if not all(frame.decodable and frame.data for frame in kept):
        raise TargetUnavailable("frames were lost while the desktop was recorded", "record it again, on its own host")
    return kept


def _cut(frames: list[AssembledFrame], seconds: float) -> list[AssembledFrame]:
    return [frame for frame in frames if _first(frame) - _first(frames[0]) < seconds]


def _trace_frames(frames: Sequence[AssembledFrame]) -> list[TraceFrame]:
    if not frames:
        raise TargetUnavailable("the desktop sent no key frame", "look into its encoder's log")
    zero = _first(frames[0])
    found: list[TraceFrame] = []
    left = 0.0
    for frame in frames:
        first, last = _first(frame) - zero, frame.arrival_unix_seconds - zero
        # The kernel stamps packets in their order, but for a clock that was set meanwhile.
        left = max(left, first)
        found.append(
            TraceFrame(
                captured=frame.timing.capture_unix_seconds - zero,
                first=left,
                last=max(left, last),
                packets=frame.packets,
                key=frame.key,
                access_unit=frame.data,
            )
        )
    return _with_captures(found)


def _first(frame: AssembledFrame) -> float:
    first = frame.first_arrival_unix_seconds
    return frame.arrival_unix_seconds if math.isnan(first) else first


def _with_captures(frames: list[TraceFrame]) -> list[TraceFrame]:
    """Captures of all frames or of none.

    What says when a picture was taken comes with the first reports: frames before it have the capture rhythm of the
    frames after it, and where nothing ever said it, none has one.
    """
    known = [frame for frame in frames if not math.isnan(frame.captured)]
    if len(known) < len(frames) / 2:
        return [dataclasses.replace(frame, captured=math.nan) for frame in frames]
    usual = sorted(frame.first - frame.captured for frame in known)[len(known) // 2]
    return [
        dataclasses.replace(frame, captured=frame.first - usual) if math.isnan(frame.captured) else frame
        for frame in frames
    ]


def _provenance(
    desktop: Desktop,
    frames: Sequence[AssembledFrame],
    note: RecordingNote,
    info: Mapping[str, Any],
    dialect: Dialect | None,
) -> Provenance:
    if len(frames) < 2:
        raise TargetUnavailable("the desktop sent fewer than two frames", "give it something to show, or more time")
    nal = find_sps(frames[0].data)
    if nal is None:
        raise TargetUnavailable("the desktop's key frame has no parameter set", "record another desktop")
    try:
        picture = parse_sps(nal)
    except ValueError as error:
        raise TargetUnavailable(f"the desktop's parameter set is broken: {error}", "record another desktop") from error
    display = desktop.display
    span = frames[-1].arrival_unix_seconds - frames[0].arrival_unix_seconds
    rate = (len(frames) - 1) / span if span > 0 else 1.0
    return Provenance(
        source=note.source,
        recorded=True,
        server=note.server,
        dialect=str(dialect or ""),
        encoder=str(info.get("encoder") or desktop.encoder),
        width=picture.width,
        height=picture.height,
        framerate=display.framerate if display is not None else _nominal(rate),
        bitrate_bps=note.bitrate_bps,
        workload=str(desktop.workload or ""),
        marker_id=-1 if desktop.marker_id is None else desktop.marker_id,
        recorded_unix_seconds=_first(frames[0]),
        vdibench=vdibench.__version__,
    )


def _nominal(rate: float) -> int:
    near = min(_USUAL_RATES, key=lambda usual: abs(usual - rate))
    return near if abs(near - rate) <= _RATE_TOLERANCE * near else max(1, round(rate))
