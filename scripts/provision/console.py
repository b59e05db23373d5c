"""Progress on a terminal, single lines elsewhere, and a log file for each long command."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = ["SetupError", "logged", "say", "tail"]

TAIL_LINES = 25
REFRESH_SECONDS = 0.5
WIDTH = 100


class SetupError(Exception):
    """Set-up cannot go on; the text names the cause and what to do about it.

    :param text: may have several lines.
    :param exit_code: what the command ends with.
    """

    def __init__(self, text: str, exit_code: int = 1) -> None:
        self.exit_code = exit_code
        super().__init__(text)


def say(text: str) -> None:
    """Print one line of progress, at once."""
    print(f"set-up: {text}", flush=True)


def tail(log: Path, lines: int = TAIL_LINES) -> str:
    """Return the last lines of a log, indented, for an error message."""
    kept = log.read_text(errors="replace").splitlines()[-lines:]
    return "\n".join(f"  | {line}" for line in kept)


def logged(
    argv: Sequence[str], log: Path, doing: str, *, env: Mapping[str, str] | None = None, append: bool = False
) -> int:
    """Run a command with its output in `log`; return its exit code.

    While it runs a terminal shows `doing`, the seconds so far and the command's last line. An interrupt
    reaches the command too (it is in the same process group) and is raised again when the command has ended.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    live = sys.stdout.isatty()
    started = time.monotonic()
    if not live:
        say(doing)
    with log.open("a" if append else "w") as sink:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT, env=env)
        try:
            while True:
                try:
                    return process.wait(REFRESH_SECONDS)
                except subprocess.TimeoutExpired:
                    if live:
                        _redraw(doing, time.monotonic() - started, log)
        except KeyboardInterrupt:
            process.wait()
            raise
        finally:
            if live:
                print("\r\033[K", end="", flush=True)


def _redraw(doing: str, seconds: float, log: Path) -> None:
    with log.open("rb") as source:
        source.seek(max(0, log.stat().st_size - 400))
        last = source.read().decode(errors="replace").strip().splitlines()
    line = f"set-up: {doing}  {seconds:.0f} s  {last[-1].strip() if last else ''}"
    print(f"\r\033[K{line[:WIDTH]}", end="", flush=True)
