"""A trace: the encoded video of one desktop, its pacing and where it came from; and its file. Pure but for the file.

The file (``docs/reference/trace.md``): magic and version, the provenance as JSON, then each frame's instants and its
access unit in Annex B form. The provenance holds the SHA-256 of what follows it: a torn or changed file is refused.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

from vdibench.errors import StoreError, UsageError
from vdibench.records import Display
from vdibench.replay.payloads import PAYLOAD_BYTES, payloads
from vdibench.store.files import replace

__all__ = ["TRACE_VERSION", "Provenance", "Trace", "TraceFrame", "load_trace", "save_trace"]

# History of the file:
# 1  first
TRACE_VERSION = 1

_MAGIC = b"vdibench-trace\n"
_HEAD = struct.Struct(">HI")
_FRAME = struct.Struct(">qIIHBI")
_KEY = 0x01
_MICRO = 1e6
_NOT_KNOWN = -(1 << 63)
# Of a screen of any size: more is no header, or no picture.
_MAX_PROVENANCE_BYTES = 1 << 16
_MAX_FRAME_BYTES = 32 << 20
_MOST_FRAMES_PER_SECOND = 1000
_KINDS: dict[str, type | tuple[type, ...]] = {"str": str, "bool": bool, "int": int, "float": (int, float)}


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a trace came from.

    :param source: one line for people: ``a lab desktop``, the address of a desktop, or how it was made.
    :param recorded: a real desktop sent this; False for a picture that was only encoded for it.
    :param server: name and version of the desktop's server; empty where it did not say.
    :param dialect: in which it was recorded.
    :param bitrate_bps: that the encoder was asked for; 0 where nobody knows.
    :param marker_id: of the desk in the picture, whose instants are those of the recording; -1 for none known.
    :param recorded_unix_seconds: when the first frame was sent.
    """

    source: str
    recorded: bool
    server: str
    dialect: str
    encoder: str
    width: int
    height: int
    framerate: int
    bitrate_bps: int
    workload: str
    marker_id: int
    recorded_unix_seconds: float
    vdibench: str

    @property
    def display(self) -> Display:
        """Size and nominal rate of the picture."""
        return Display(self.width, self.height, self.framerate)

    def describe(self) -> str:
        """One line for people, which says that it is no live desktop."""
        kind = "recorded" if self.recorded else "canned"
        rate = f", {self.bitrate_bps / 1e6:g} Mbit/s" if self.bitrate_bps else ""
        what = f", {self.workload}" if self.workload else ""
        return f"{kind} H.264 {self.display}{rate}{what}"


@dataclass(frozen=True, slots=True)
class TraceFrame:
    """One frame; instants are seconds after the first frame's first packet left.

    :param captured: the picture was taken from the screen; NaN where the desktop did not say.
    :param first: its first packet left, ``last`` its last one.
    :param packets: RTP packets that carried it; 1 where there was no RTP.
    :param key: an IDR picture.
    """

    captured: float
    first: float
    last: float
    packets: int
    key: bool
    access_unit: bytes


class Trace:
    """Frames in order, the first of them an IDR picture.

    :raises UsageError: too few frames, none to begin with, or instants that run backwards.
    """

    def __init__(self, provenance: Provenance, frames: Sequence[TraceFrame]) -> None:
        self.provenance = provenance
        self.frames = tuple(frames)
        if len(self.frames) < 2 or not self.frames[0].key:
            raise UsageError(
                "a trace needs a key frame to begin with and another frame", "record a desktop for some seconds"
            )
        if any(after.first < before.first or after.last < after.first for before, after in pairwise(self.frames)):
            raise UsageError("the instants of the trace run backwards", "record it again")
        #: Whether the desktop said when each picture was taken.
        self.timed = not any(math.isnan(frame.captured) for frame in self.frames)
        if not 0 < self.seconds < math.inf or self.frames_per_second > _MOST_FRAMES_PER_SECOND:
            raise UsageError("the trace says no instants that a desktop could have", "record it again")

    @cached_property
    def payloads(self) -> tuple[tuple[bytes, ...], ...]:
        """RTP payloads of each frame, about as many as carried it when it was recorded."""
        return tuple(_like(frame) for frame in self.frames)

    @property
    def captures(self) -> tuple[float, ...]:
        """When each picture was taken; where nobody said, when its first packet left."""
        return tuple(frame.captured if self.timed else frame.first for frame in self.frames)

    @property
    def seconds(self) -> float:
        """From the first capture to that of the frame that would follow the last."""
        captures = self.captures
        span = captures[-1] - captures[0]
        return span * len(captures) / (len(captures) - 1)

    @property
    def packets_per_second(self) -> float:
        """Mean, when it is sent at its own pace."""
        return sum(map(len, self.payloads)) / self.seconds

    @property
    def payload_bps(self) -> float:
        """RTP payload, mean, in bits per second."""
        return 8 * sum(len(payload) for frame in self.payloads for payload in frame) / self.seconds

    @property
    def frames_per_second(self) -> float:
        """Mean."""
        return len(self.frames) / self.seconds


def _like(frame: TraceFrame) -> tuple[bytes, ...]:
    """Cut as it was cut: Selkies makes fragments of equal size. It puts parameter sets into one packet; we do not.

    None is larger than a packet carries, if that takes one or two more.
    """
    size = max(3, -(-len(frame.access_unit) // max(1, frame.packets)))
    while size < PAYLOAD_BYTES and len(found := payloads(frame.access_unit, size)) > frame.packets:
        size += 2
    return found if size < PAYLOAD_BYTES else payloads(frame.access_unit, PAYLOAD_BYTES)


def save_trace(trace: Trace, path: Path) -> None:
    """Write it; a file of that name is replaced as a whole.

    :raises StoreError: it cannot be written.
    """
    body = b"".join(_pack(frame) for frame in trace.frames)
    head = dataclasses.asdict(trace.provenance) | {
        "sha256": hashlib.sha256(body).hexdigest(),
        "frames": len(trace.frames),
        "seconds": round(trace.seconds, 6),
    }
    text = json.dumps(head, ensure_ascii=False).encode()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"cannot make {path.parent}: {error.strerror}", "choose another place") from error
    replace(path, _MAGIC + _HEAD.pack(TRACE_VERSION, len(text)) + text + body)


def load_trace(path: Path) -> Trace:
    """Read a trace.

    :raises UsageError: there is none, it is no trace, of a newer version, or damaged.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read trace {path}: {error.strerror}", "make one with vdibench record") from error
    try:
        return _parse(data)
    except (ValueError, KeyError, TypeError, RecursionError, struct.error) as error:
        raise UsageError(f"{path} is no trace of ours, or damaged: {error}", "record it again") from error


def _pack(frame: TraceFrame) -> bytes:
    captured = _NOT_KNOWN if math.isnan(frame.captured) else round(frame.captured * _MICRO)
    first, last = round(frame.first * _MICRO), round(frame.last * _MICRO)
    unit = frame.access_unit
    return _FRAME.pack(captured, first, last - first, frame.packets, _KEY * frame.key, len(unit)) + unit


def _parse(data: bytes) -> Trace:
    if not data.startswith(_MAGIC):
        raise ValueError("its first line is another")
    version, size = _HEAD.unpack_from(data, len(_MAGIC))
    if version != TRACE_VERSION:
        raise ValueError(f"version {version} is not {TRACE_VERSION}")
    begin = len(_MAGIC) + _HEAD.size
    if size > _MAX_PROVENANCE_BYTES:
        raise ValueError("its provenance is too long")
    head = json.loads(data[begin : begin + size])
    if not isinstance(head, dict):
        raise ValueError("its provenance is none")
    body = memoryview(data)[begin + size :]
    if hashlib.sha256(body).hexdigest() != head.pop("sha256"):
        raise ValueError("its checksum does not match")
    return Trace(_came(head), _frames(body))


def _came(head: dict[str, Any]) -> Provenance:
    values = {field.name: head[field.name] for field in dataclasses.fields(Provenance)}
    for field in dataclasses.fields(Provenance):
        if not isinstance(values[field.name], _KINDS[str(field.type)]):
            raise ValueError(f"{field.name} of its provenance is of another kind")
    found = Provenance(**values)
    if min(found.width, found.height, found.framerate) <= 0:
        raise ValueError("its picture has no size or no rate")
    return found


def _frames(body: memoryview) -> list[TraceFrame]:
    frames, position = [], 0
    while position < len(body):
        captured, first, spread, packets, flags, size = _FRAME.unpack_from(body, position)
        position += _FRAME.size
        if not 0 < size <= min(_MAX_FRAME_BYTES, len(body) - position):
            raise ValueError("a frame does not fit")
        frames.append(
            TraceFrame(
                captured=math.nan if captured == _NOT_KNOWN else captured / _MICRO,
                first=first / _MICRO,
                last=(first + spread) / _MICRO,
                packets=packets,
                key=bool(flags & _KEY),
                access_unit=bytes(body[position : position + size]),
            )
        )
        position += size
    return frames
