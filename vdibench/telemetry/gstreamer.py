"""The log of GStreamer's latency tracer: what each element of a desktop's video pipeline took of each frame.

A server with a GStreamer pipeline (Selkies 1.6) writes it when started with::

    GST_TRACERS="latency(flags=pipeline+element)" GST_DEBUG=GST_TRACER:7 GST_DEBUG_FILE=/path/tracer.log

:func:`records` and :func:`rows` are pure and take lines as they come; :func:`read_tracer_log` reads a file. A log may
hold other categories, colour codes, time stamps of a container runtime before each line, and lines that were cut: what
is not a whole record of the tracer is passed over. Units in the log are nanoseconds, here seconds.

Only video counts. Elements that audio has too (``capsfilter``, ``srtpenc``) are told apart by their thread: GStreamer
pushes a frame through its elements in one thread, up to the next queue.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from vdibench.errors import TargetUnavailable

__all__ = ["Stage", "TracerRecord", "factory", "read_tracer_log", "records", "rows", "stage", "tracer_start"]

_COLOUR = re.compile(r"\x1b\[[0-9;]*[mK]")
_WALL = r"(?P<wall>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d))"
_CLOCK = r"(?P<hours>\d+):(?P<minutes>[0-5]\d):(?P<seconds>[0-5]\d\.\d{9})"
# One record: no value holds blanks, so that what follows a cut line is not taken for its end.
_RECORD = re.compile(
    rf"(?:{_WALL}\s+(?:std(?:out|err) [FP] )?)?{_CLOCK}\s+\d+\s+(?P<thread>0x[0-9a-f]+)\s+TRACE\s+GST_TRACER\s+:0::\s*"
    r"(?P<kind>element-latency|latency), (?P<fields>(?:[\w-]+=\(\w+\)[^\s,;()]+(?:, |(?=;)))+);"
)
_FIELD = re.compile(r"([\w-]+)=\(\w+\)([^\s,;()]+)")
_NONE = 2**63  # GST_CLOCK_TIME_NONE and what overflowed
_TAIL_BYTES = 65_536

_CONVERT = re.compile(
    r"(video(convert|scale|convertscale|rate|flip|crop)|(cuda|gl|va|vaapi|d3d11|nv)\w*(convert|scale|upload|postproc|conv))"
)
_ENCODE = re.compile(
    r"(x264|x265|openh264|vp8|vp9|av1|svtav1|rav1|(nv|va|vaapi|qsv|msdk|v4l2|amf|mf|omx)\w*(h264|h265|hevc|vp8|vp9|av1)\w*)(enc|lpenc)"
)
_PAYLOAD = re.compile(r"rtp(h264|h265|vp8|vp9|av1)pay")
_SEND = re.compile(r"rtp(session|bin|rtxsend|redenc|ulpfecenc|funnel|gccbwe)|srtpenc|dtlsenc|nicesink|funnel|clocksync")
_SOURCE = re.compile(r"(ximage|nvfbc|pipewire|videotest|v4l2|kms|app)src")
_LEAST_FACTORY = 3


class Stage(StrEnum):
    """The part of the way that an element stands for."""

    SOURCE = "source"
    CONVERT = "convert"
    ENCODE = "encode"
    PAYLOAD = "payload"
    SEND = "send"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class TracerRecord:
    """What one buffer took.

    :param logged_seconds: when the line was written, since GStreamer was started in that process.
    :param wall_unix_seconds: the same by the time stamp before the line; NaN where there is none.
    :param thread: the thread that pushed the buffer.
    :param element: its name in the pipeline; empty for the whole way from source to sink.
    """

    logged_seconds: float
    wall_unix_seconds: float
    thread: str
    element: str
    seconds: float


def records(lines: Iterable[str]) -> Iterator[TracerRecord]:
    """The tracer's records in the lines of a log, in order."""
    for line in lines:
        if "latency, " not in line:
            continue
        for match in _RECORD.finditer(_COLOUR.sub("", line)):
            fields = dict(_FIELD.findall(match["fields"]))
            whole = match["kind"] == "latency"
            try:
                nanoseconds = int(fields["time"])
                element = "" if whole else fields["element"]
                wall = datetime.fromisoformat(match["wall"]).timestamp() if match["wall"] else math.nan
            except (KeyError, ValueError, OverflowError):
                continue
            if not 0 <= nanoseconds < _NONE:
                continue
            yield TracerRecord(_since_start(match), wall, match["thread"], element, nanoseconds / 1e9)


def factory(element: str) -> str:
    """An element's kind from its name: GStreamer names ``x264enc0`` what the program did not name."""
    kind = element.rstrip("0123456789").rstrip("_")
    # A short name that the program gave (``x11``) is not a kind with a number.
    return kind if len(kind) >= _LEAST_FACTORY else element


def stage(element: str) -> Stage:
    """The stage that an element stands for, by its kind."""
    kind = factory(element)
    for found, pattern in (
        (Stage.ENCODE, _ENCODE),
        (Stage.PAYLOAD, _PAYLOAD),
        (Stage.CONVERT, _CONVERT),
        (Stage.SEND, _SEND),
        (Stage.SOURCE, _SOURCE),
    ):
        if pattern.fullmatch(kind):
            return found
    return Stage.OTHER


def rows(found: Iterable[TracerRecord], started_unix_seconds: float = math.nan) -> list[dict[str, Any]]:
    """Rows of the table ``server``: ``unix_seconds``, ``name`` and ``value``, in order of the log.

    Each element of the video gives ``element.<factory>_seconds``; the encoder also ``encode_seconds``, and the whole
    way from source to sink ``pipeline_seconds``.

    :param started_unix_seconds: when GStreamer was started, for lines without a time stamp of their own; a record that
        has neither is left out.
    """
    known = list(found)
    video = {one.thread for one in known if stage(one.element) in (Stage.CONVERT, Stage.ENCODE, Stage.PAYLOAD)}
    made: list[dict[str, Any]] = []
    for one in known:
        instant = one.wall_unix_seconds
        if math.isnan(instant):
            instant = started_unix_seconds + one.logged_seconds
        if one.thread not in video or math.isnan(instant):
            continue
        names = [f"element.{factory(one.element)}_seconds"] if one.element else ["pipeline_seconds"]
        if stage(one.element) is Stage.ENCODE:
            names.append("encode_seconds")
        made.extend({"unix_seconds": instant, "name": name, "value": one.seconds} for name in names)
    return made


def tracer_start(path: Path) -> float:
    """When GStreamer was started in the process that wrote the log, in Unix seconds; NaN when no line says.

    The file's last line was written when the file was last changed: the one by the process's clock, the other by the
    host's. Good to about 10 ms (each line is flushed, and a kernel stamps files every 4 ms) as long as nothing else
    touches the file: a copy must keep its time (``cp -p``).

    :raises TargetUnavailable: it cannot be read.
    """
    try:
        with path.open("rb") as log:
            changed = os.fstat(log.fileno()).st_mtime
            size = log.seek(0, os.SEEK_END)
            log.seek(max(0, size - _TAIL_BYTES))
            tail = _COLOUR.sub("", log.read().decode(errors="replace"))
    except OSError as error:
        raise _unreadable(path, error) from error
    # Any category will do; the last line may be cut.
    stamps = list(re.finditer(rf"^(?:{_WALL}\s+(?:std(?:out|err) [FP] )?)?{_CLOCK}\s", tail, re.MULTILINE))
    return changed - _since_start(stamps[-1]) if stamps else math.nan


def read_tracer_log(
    path: Path, since_unix_seconds: float, until_unix_seconds: float, *, started_unix_seconds: float | None = None
) -> list[dict[str, Any]]:
    """Rows of the table ``server`` from a log, of what was written between two instants of the desktop's clock.

    :param started_unix_seconds: when GStreamer was started in that process, where it is known better than
        :func:`tracer_start` tells it. Lines with a container runtime's time stamp need neither.
    :raises TargetUnavailable: the file cannot be read, or holds no record of the tracer at all.
    """
    started = tracer_start(path) if started_unix_seconds is None else started_unix_seconds
    kept: list[TracerRecord] = []
    traced = False
    try:
        with path.open(encoding="utf-8", errors="replace") as log:
            for one in records(log):
                traced = True
                own = one.wall_unix_seconds
                instant = started + one.logged_seconds if math.isnan(own) else own
                if since_unix_seconds <= instant <= until_unix_seconds:
                    kept.append(one)
    except OSError as error:
        raise _unreadable(path, error) from error
    if not traced:
        raise TargetUnavailable(
            f"{path} holds no record of GStreamer's latency tracer",
            'start the server with GST_TRACERS="latency(flags=pipeline+element)" GST_DEBUG=GST_TRACER:7 '
            "GST_DEBUG_FILE=<file>",
        )
    return rows(kept, started)


def _since_start(match: re.Match[str]) -> float:
    return int(match["hours"]) * 3600.0 + int(match["minutes"]) * 60.0 + float(match["seconds"])


def _unreadable(path: Path, error: OSError) -> TargetUnavailable:
    return TargetUnavailable(
        f"cannot read the tracer's log {path}: {error.strerror or error}",
        "name the file that GST_DEBUG_FILE of the server names",
    )
