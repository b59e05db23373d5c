"""How far a suite is, for whoever waits: a small file in the run folder that a runner shows, or a terminal line."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from vdibench.store import RunFolder

__all__ = ["PROGRESS_FILE", "Progress", "ProgressReading", "read_progress"]

PROGRESS_FILE = "progress.json"


@dataclass(frozen=True, slots=True)
class ProgressReading:
    """What a suite is doing.

    :param remaining_seconds: by its plan; never negative.
    """

    suite: str
    phase: str
    elapsed_seconds: float
    remaining_seconds: float

    def __str__(self) -> str:
        return (
            f"{self.suite}: {self.phase}, {_clock(self.elapsed_seconds)} elapsed, "
            f"about {_clock(self.remaining_seconds)} to go"
        )


class Progress:
    """Says what happens now.

    :param planned_seconds: how long the suite should take.
    :param show: takes each reading besides the file; by default a line on standard error when that is a terminal.
    """

    def __init__(
        self,
        folder: RunFolder,
        suite: str,
        planned_seconds: float,
        show: Callable[[ProgressReading], None] | None = None,
    ) -> None:
        self._folder = folder
        self._suite = suite
        self._planned = planned_seconds
        self._began = time.monotonic()
        self._show = show or _show_on_terminal

    def say(self, phase: str) -> None:
        """Name the phase that begins."""
        elapsed = time.monotonic() - self._began
        reading = ProgressReading(self._suite, phase, elapsed, max(0.0, self._planned - elapsed))
        self._folder.write_text(
            PROGRESS_FILE,
            json.dumps(
                {
                    "suite": reading.suite,
                    "phase": reading.phase,
                    "began_unix_seconds": time.time() - elapsed,
                    "planned_seconds": self._planned,
                }
            ),
        )
        self._show(reading)


def read_progress(run: Path) -> ProgressReading | None:
    """The latest word of a run's suite, or None when it has said nothing yet."""
    try:
        said = json.loads((run / PROGRESS_FILE).read_text())
        elapsed = max(0.0, time.time() - float(said["began_unix_seconds"]))
        return ProgressReading(
            str(said["suite"]), str(said["phase"]), elapsed, max(0.0, float(said["planned_seconds"]) - elapsed)
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _show_on_terminal(reading: ProgressReading) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{reading}", end="", file=sys.stderr, flush=True)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"
