"""The runs of a results folder: listed, found by name, removed. The only place that deletes results."""

from __future__ import annotations

import re
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from vdibench.errors import StoreError
from vdibench.records import Outcome, Run, RunState
from vdibench.store.files import write_failure
from vdibench.store.folder import CREATING_PREFIX
from vdibench.store.recording import Recording

__all__ = ["LATEST", "REFERENCE", "Entry", "prune", "resolve", "runs"]

LATEST = "latest"
REFERENCE = "reference"
_REMOVING_PREFIX = ".removing-"
_RUN_NAME = re.compile(r"\d{8}T\d{6}Z-.+")
_ABANDONED_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Entry:
    """One folder of a results folder.

    :param run: None when it cannot be read.
    :param outcome: of the verdict in force; None when it cannot be read.
    :param size_bytes: of all files in it.
    :param problem: why it cannot be read, in one line; empty otherwise.
    """

    path: Path
    run: Run | None
    outcome: Outcome | None
    size_bytes: int
    problem: str = ""


def runs(root: Path) -> list[Entry]:
    """The runs in ``root``, newest first; none when the folder does not exist.

    :raises StoreError: ``root`` cannot be read.
    """
    try:
        folders = [path for path in root.iterdir() if not path.is_symlink() and (path / "run.json").is_file()]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StoreError(f"cannot read {root}: {error.strerror}", "name a results folder") from error
    entries = [_entry(path) for path in folders if not path.name.startswith(".")]
    return sorted(entries, key=_age)


def resolve(root: Path, argument: str | Path) -> Path:
    """The run folder that a user means: ``latest``, a name in ``root``, or a path.

    ``latest`` never means the committed reference run.

    :raises StoreError: there is no such run; the nearest name is in the message.
    """
    known = runs(root)
    if str(argument) == LATEST:
        newest = next((entry.path for entry in known if entry.path.name != REFERENCE), None)
        if newest is None:
            raise StoreError(f"there is no run in {root}", "make one with `vdibench run`")
        return newest
    for path in (root / argument, Path(argument)):
        if (path / "run.json").is_file():
            return path
    if Path(argument).exists():
        raise StoreError(f"{argument} is not a run folder", "name one of those that `vdibench runs list` shows")
    near = get_close_matches(Path(argument).name, [entry.path.name for entry in known], n=1)
    remedy = f"did you mean {near[0]!r}?" if near else "`vdibench runs list` shows those that exist"
    raise StoreError(f"there is no run {str(argument)!r} in {root}", remedy)


def prune(
    root: Path, *, keep: int | None = None, older_than_seconds: float | None = None, dry_run: bool = False
) -> list[Entry]:
    """Remove old runs and return those removed (or, in a dry run, those that would be).

    The ``keep`` newest stay; of the rest go those that started longer ago than ``older_than_seconds``, or all when
    that is None. Never touched: ``reference``, a run that is going on, a link, a folder that cannot be read, and
    whatever is not named like a run.

    :raises StoreError: neither limit was given, one is negative, or the disk refuses.
    """
    if keep is None and older_than_seconds is None:
        raise StoreError("nothing says which runs to remove", "give how many to keep or an age")
    if (keep or 0) < 0 or (older_than_seconds or 0) < 0:
        raise StoreError("a number of runs or an age cannot be negative", "give 0 or more")
    candidates = [entry for entry in runs(root) if _RUN_NAME.fullmatch(entry.path.name)]
    chosen = []
    for entry in candidates[keep or 0 :]:
        if entry.run is None or entry.run.state is RunState.RUNNING:
            continue
        if older_than_seconds is None or time.time() - entry.run.started_unix_seconds > older_than_seconds:
            chosen.append(entry)
    if not dry_run:
        for entry in chosen:
            _remove(entry.path)
        _sweep(root)
    return chosen


def _entry(path: Path) -> Entry:
    size = _size(path)
    try:
        recording = Recording.open(path)
    except StoreError as error:
        return Entry(path, None, None, size, str(error))
    return Entry(path, recording.run, recording.verdict.outcome, size)


def _age(entry: Entry) -> tuple[float, int, str]:
    started = entry.run.started_unix_seconds if entry.run is not None else 0.0
    return (-started, -_ordinal(entry.path.name), entry.path.name)


def _ordinal(name: str) -> int:
    """The number that tells runs of the same second apart."""
    tail = name.rpartition("-")[2]
    return int(tail) if tail.isdecimal() else 1


def _size(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        with suppress(OSError):  # a file may go while it is counted
            total += path.lstat().st_size
    return total


def _remove(path: Path) -> None:
    doomed = path.with_name(_REMOVING_PREFIX + path.name)
    try:
        path.rename(doomed)  # first out of sight: a removal that is cut short leaves no half run
        shutil.rmtree(doomed)
    except OSError as error:
        raise write_failure(path, error) from error


def _sweep(root: Path) -> None:
    """Remove what a killed process left of a run that it was making or removing."""
    for path in root.glob(f"{_REMOVING_PREFIX}*"):
        if not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
    for path in root.glob(f"{CREATING_PREFIX}*"):
        if not path.is_symlink() and time.time() - path.stat().st_mtime > _ABANDONED_SECONDS:
            shutil.rmtree(path, ignore_errors=True)
