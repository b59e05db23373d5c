"""Traces of lab desktops, recorded once and kept: ``$XDG_CACHE_HOME/vdibench/traces``. I/O; blocking.

A trace belongs to a version of Selkies, a display, a bit rate and a workload. It is a cache: a file that is damaged or
of an older version is recorded anew, and whoever removes the folder loses ten seconds.
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

__all__ = ["LabTrace", "cached_trace", "record_lab", "trace_folder"]

RECORD_SECONDS = 10.0
_TRIES = 3
# A slow trace is recorded again by who asks for it later than this.
_AGAIN_SECONDS = 3600.0
_FAST_ENOUGH = 0.95

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
        if kept is None or (_is_slow(kept, wanted) and time.time() - path.stat().st_mtime > _AGAIN_SECONDS):
            found = _best(wanted, seconds, say)
            slower = kept is not None and found.frames_per_second < kept.frames_per_second
            save_trace(kept if kept is not None and slower else found, path)
    return path


def _kept(path: Path) -> Trace | None:
    try:
        return load_trace(path)
    except UsageError:
        return None


def _is_slow(trace: Trace, wanted: LabTrace) -> bool:
    return trace.frames_per_second < _FAST_ENOUGH * wanted.display.framerate


def _best(wanted: LabTrace, seconds: float, say: Callable[[str], None]) -> Trace:
    """What is kept must not be slow only because this machine was busy for a moment."""
    best = record_lab(wanted, seconds, say)
    for _ in range(_TRIES - 1):
        if not _is_slow(best, wanted):
            break
        say(f"only {best.frames_per_second:.1f} frames a second: this machine is busy")
        best = max(best, record_lab(wanted, seconds, say), key=lambda trace: trace.frames_per_second)
    return best


def _selkies() -> str:
    try:
        return metadata.version("selkies")
    except metadata.PackageNotFoundError:
        return "none"
