"""Traces of lab desktops, recorded once and kept: ``$XDG_CACHE_HOME/vdibench/traces``. I/O; blocking.

A trace belongs to a version of Selkies, a display, a bit rate and a workload. It is a cache: a file that is damaged or
of an older version is recorded anew, and whoever removes the folder loses ten seconds. What fell short of the rates
that it is named for is recorded anew too, and what still does is kept and said to (:func:`shortfall`).
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from vdibench.errors import StoreError, UsageError
from vdibench.lab import DesktopSpec, Lab, LabSpec
from vdibench.records import Display, Workload
from vdibench.replay.recording import RecordingNote, record
from vdibench.replay.trace import TRACE_VERSION, Trace, load_trace, save_trace
from vdibench.selkies import Dialect
from vdibench.store.files import exclusive

__all__ = ["LabTrace", "cached_trace", "record_lab", "shortfall", "trace_folder"]

RECORD_SECONDS = 10.0
_TRIES = 3
# A slow trace is recorded again by who asks for it later than this.
_AGAIN_SECONDS = 3600.0
_FAST_ENOUGH = 0.95
# Of the bit rate, where the picture takes all that it is given: Selkies' x264 sends 0.76 of what it is asked.
_RICH_ENOUGH = 0.7
_TAKES_ALL = {Workload.VIDEO}

_DISPLAY = Display(1920, 1080, 60)


@dataclass(frozen=True, slots=True)
class LabTrace:
    """Which desktop to record."""

    display: Display = _DISPLAY
    bitrate_bps: int = 8_000_000
    workload: Workload = Workload.TEXT

    @property
    def file_name(self) -> str:
        """Of its trace in the cache."""
        shown = f"{self.display.width}x{self.display.height}-{self.display.framerate}fps-{self.bitrate_bps}bps"
        return f"selkies-{_selkies()}-{shown}-{self.workload}.v{TRACE_VERSION}.trace"


def trace_folder() -> Path:
    """Where traces are kept; nothing is made by asking."""
    given = os.environ.get("XDG_CACHE_HOME", "")
    # The specification has relative paths ignored.
    root = Path(given) if Path(given).is_absolute() else Path.home() / ".cache"
    return root / "vdibench" / "traces"


def record_lab(
    wanted: LabTrace, seconds: float = RECORD_SECONDS, say: Callable[[str], None] = lambda line: None
) -> Trace:
    """Bring a lab desktop up, record it over WebRTC, and take it down.

    Call it outside of an event loop.

    :raises LabError: it does not come up.
    :raises TargetUnavailable: it cannot be recorded.
    """
    say(f"starting a desktop to record: {wanted.display}, {wanted.bitrate_bps / 1e6:g} Mbit/s, {wanted.workload}")
    spec = DesktopSpec(display=wanted.display, workload=wanted.workload, bitrate_bps=wanted.bitrate_bps, audible=False)
    note = RecordingNote("a lab desktop of vdibench", f"selkies {_selkies()}", wanted.bitrate_bps)
    with Lab.up(LabSpec((spec,), turn=False), owned=True) as lab:
        say(f"recording it for {seconds:g} s")
        return asyncio.run(record(lab.desktops[0], seconds, note, Dialect.SELKIES_2_WEBRTC))


def cached_trace(
    wanted: LabTrace, say: Callable[[str], None] = lambda line: None, *, seconds: float = RECORD_SECONDS
) -> Path:
    """The file with that trace; recorded now if there is none. Two who ask at once record once.

    A busy machine may give a slow one: see :func:`shortfall`, which ``say`` is told, too.

    :raises StoreError: the cache cannot be written.
    :raises VdibenchError: there is none, and none can be recorded.
    """
    path = trace_folder() / wanted.file_name
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"cannot make {path.parent}: {error.strerror}", "point XDG_CACHE_HOME at a folder that you may write to"
        ) from error
    with exclusive(path.with_suffix(".lock")):
        kept = _kept(path)
        if kept is None or (shortfall(kept, wanted) and time.time() - path.stat().st_mtime > _AGAIN_SECONDS):
            found = _best(wanted, seconds, say)
            kept = found if kept is None or _reached(found, wanted) >= _reached(kept, wanted) else kept
            save_trace(kept, path)
    if short := shortfall(kept, wanted):
        say(f"{path.name}: {short}")
    return path


def shortfall(trace: Trace, wanted: LabTrace) -> str:
    """Why what is measured with a trace must not be taken for that of the rates it is named for; empty where it may.

    At 1080p60 and 11 Mbit/s these are 57 frames a second and, of a picture that takes all bits it is given, 7.7 Mbit/s.
    """
    found = []
    if trace.frames_per_second < _FAST_ENOUGH * wanted.display.framerate:
        found.append(f"{trace.frames_per_second:.1f} of {wanted.display.framerate} frames a second")
    if wanted.workload in _TAKES_ALL and trace.payload_bps < _RICH_ENOUGH * wanted.bitrate_bps:
        found.append(f"{trace.payload_bps / 1e6:.2f} of {wanted.bitrate_bps / 1e6:g} Mbit/s")
    return f"the recorded video has only {' and '.join(found)}" if found else ""


def _reached(trace: Trace, wanted: LabTrace) -> float:
    """Share of the rates, the lesser of both; 1 where none falls short."""
    bits = trace.payload_bps / wanted.bitrate_bps / _RICH_ENOUGH if wanted.workload in _TAKES_ALL else 1.0
    return min(1.0, trace.frames_per_second / wanted.display.framerate / _FAST_ENOUGH, bits)


def _kept(path: Path) -> Trace | None:
    try:
        return load_trace(path)
    except UsageError:
        return None


def _best(wanted: LabTrace, seconds: float, say: Callable[[str], None]) -> Trace:
    """What is kept must not be slow only because this machine was busy for a moment."""
    best = record_lab(wanted, seconds, say)
    for _ in range(_TRIES - 1):
        if not (short := shortfall(best, wanted)):
            break
        say(f"{short}: this machine is busy")
        best = max(best, record_lab(wanted, seconds, say), key=lambda trace: _reached(trace, wanted))
    return best


def _selkies() -> str:
    try:
        return metadata.version("selkies")
    except metadata.PackageNotFoundError:
        return "none"
