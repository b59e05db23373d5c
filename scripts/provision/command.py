"""The set-up command: one at a time in a checkout, phases timed, faults said in words."""

from __future__ import annotations

import argparse
import fcntl
import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from provision import apt, capabilities, environment, native
from provision.console import SetupError, say

__all__ = ["run"]

INTERRUPTED = 130


def run(argv: Sequence[str]) -> int:
    """Prepare the checkout that this file belongs to; return the exit code."""
    parser = argparse.ArgumentParser(prog="scripts/setup.py", description="Prepare this checkout.")
    parser.add_argument("--for", dest="purpose", choices=("report", "test"), default="test", help="what for")
    purpose = parser.parse_args(argv).purpose
    root = Path(__file__).resolve().parents[2]
    try:
        with _alone(root):
            _prepare(root, purpose)
    except SetupError as error:
        print(f"set-up: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("\nset-up: interrupted: run it again, it starts over where that is needed", file=sys.stderr)
        return INTERRUPTED
    return 0


def _prepare(root: Path, purpose: str) -> None:
    phases: list[dict[str, object]] = []
    started = time.monotonic()
    lacking = capabilities.missing(capabilities.needed(purpose))
    note = apt.install(lacking, root / ".cache" / "setup-apt.log") if lacking else "warm: nothing missing"
    left = capabilities.missing(lacking)
    if left:
        names = ", ".join(c.name for c in left)
        raise SetupError(f"apt-get ended well but these are still missing: {names}: install them by hand", 3)
    phases.append({"name": "apt", "seconds": round(time.monotonic() - started, 3), "note": note})
    if lacking:
        say(f"system packages: {note} in {phases[-1]['seconds']:.1f} s")
    started = time.monotonic()
    note = environment.prepare(root, root / ".cache" / "setup-pip.log")
    phases.append({"name": "pip", "seconds": round(time.monotonic() - started, 3), "note": note})
    if not note.startswith("warm"):
        say(f"python environment: {note} in {phases[-1]['seconds']:.1f} s")
    started = time.monotonic()
    note = native.prepare(root, root / ".cache" / "setup-native.log", required=purpose == "test")
    phases.append({"name": "native", "seconds": round(time.monotonic() - started, 3), "note": note})
    if note == "built":
        say(f"native receiver: {note} in {phases[-1]['seconds']:.1f} s")
    (root / ".venv" / "setup.json").write_text(json.dumps(phases, indent=1) + "\n")


@contextmanager
def _alone(root: Path) -> Iterator[None]:
    """Hold the checkout's set-up lock; the system frees it when this process ends, however it ends."""
    cache = root / ".cache"
    try:
        cache.mkdir(exist_ok=True)
        lock = (cache / "setup.lock").open("w")
    except OSError as error:
        raise SetupError(f"{root} cannot be written ({error.strerror}): use a checkout of your own") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another set-up of this checkout is running, waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
