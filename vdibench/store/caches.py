"""What is slow to make and can be made again: ``$XDG_CACHE_HOME/vdibench``. File I/O.

An entry is a folder that is named after everything it was made from, so it is never changed: it is there whole, or it
is made anew. Whoever removes one loses the time to make it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from vdibench.errors import StoreError
from vdibench.store.files import exclusive

__all__ = ["cache_root", "entry", "entry_name"]

_KEY_DIGITS = 16


def cache_root() -> Path:
    """The folder of everything kept; nothing is made by asking."""
    given = os.environ.get("XDG_CACHE_HOME", "")
    # The specification has relative paths ignored.
    root = Path(given) if Path(given).is_absolute() else Path.home() / ".cache"
    return root / "vdibench"


def entry_name(kind: str, made_from: Iterable[str | bytes]) -> str:
    """``<kind>-<digest>``: the same parts in the same order give the same name, others another."""
    digest = hashlib.sha256()
    for part in made_from:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "big"))
        digest.update(data)
    return f"{kind}-{digest.hexdigest()[:_KEY_DIGITS]}"


def entry(folder: Path, name: str, make: Callable[[Path], None]) -> Path:
    """The entry ``folder/name``, made now if there is none. Two who ask at once make it once.

    :param make: fills the empty folder that it is given; when it raises, nothing stays.
    :raises StoreError: the cache cannot be written.
    """
    path = folder / name
    if path.is_dir():
        return path
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with exclusive(folder / f"{name}.lock"):
            if path.is_dir():
                return path
            _remove_abandoned(folder, name)
            fresh = Path(tempfile.mkdtemp(prefix=f".{name}.", dir=folder))
            try:
                make(fresh)
                fresh.rename(path)
            except BaseException:  # an interrupt too: what is half made must never have the entry's name
                shutil.rmtree(fresh, ignore_errors=True)
                raise
    except OSError as error:
        raise StoreError(
            f"cannot write the cache {folder}: {error.strerror or error}",
            "point XDG_CACHE_HOME at a folder that you may write to, with enough space",
        ) from error
    return path


def _remove_abandoned(folder: Path, name: str) -> None:
    """What a killed process had begun: whoever has the lock is the only one at work."""
    for begun in folder.glob(f".{name}.*"):
        shutil.rmtree(begun, ignore_errors=True)
