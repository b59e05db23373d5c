"""``seal.json``: the SHA-256 of everything that a run's verdict rests on, written when the run ends. I/O.

It tells a run that was changed later from one that was not. It proves nothing of who made it: a signature does.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from vdibench.errors import StoreError
from vdibench.records.subjects import SUBJECTS_FILE
from vdibench.store.files import TEMPORARY_SUFFIX, replace
from vdibench.store.selftests import SELFTEST_FILE

__all__ = ["SEAL_FILE", "SEAL_SCHEMA", "broken", "covers", "seal", "seal_digest"]

SEAL_FILE = "seal.json"
# History of the schema of seal.json:
# 1  first
SEAL_SCHEMA = 1

_DOCUMENTS = ("run.json", "verdict.json", SUBJECTS_FILE, SELFTEST_FILE)
_SAMPLES = "samples"


def seal(folder: Path) -> Path:
    """Write the seal of what is in the folder now, whole or not at all.

    :returns: its file.
    :raises StoreError: a file cannot be read, or the disk refuses.
    """
    try:
        files = {name: _digest(path) for name, path in _covered(folder).items()}
    except OSError as error:
        raise StoreError(
            f"cannot read {error.filename or folder}: {error.strerror}", "check the permissions of the folder"
        ) from error
    path = folder / SEAL_FILE
    text = json.dumps({"schema": SEAL_SCHEMA, "files": files}, indent=2, sort_keys=True, ensure_ascii=False)
    replace(path, f"{text}\n".encode())
    return path


def broken(folder: Path) -> tuple[str, ...]:
    """What is not as it was sealed, a line for each file; nothing where all is. A run without a seal is one line."""
    try:
        sealed = _sealed(folder / SEAL_FILE)
    except FileNotFoundError:
        return (f"there is no {SEAL_FILE}: an older vdibench wrote the run, or its end was cut short",)
    except (OSError, ValueError) as error:
        return (f"{SEAL_FILE} cannot be read: {error}",)
    lines = {name: f"{name} is missing" for name in sealed}
    for name, path in _covered(folder).items():
        lines.pop(name, None)
        if name not in sealed:
            lines[name] = f"{name} was added after the run had ended"
            continue
        try:
            if _digest(path) != sealed[name]:
                lines[name] = f"{name} was changed after the run had ended"
        except OSError as error:
            lines[name] = f"{name} cannot be read: {error.strerror}"
    return tuple(lines[name] for name in sorted(lines))


def seal_digest(folder: Path) -> str:
    """SHA-256 of the seal itself, in hexadecimal digits: with it nothing of the run can change unnoticed.

    :raises StoreError: there is none, or it cannot be read.
    """
    path = folder / SEAL_FILE
    try:
        return _digest(path)
    except FileNotFoundError as error:
        raise StoreError(f"{folder} has no {SEAL_FILE}", "measure again: a run is sealed when it ends") from error
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror}", "check the permissions of the folder") from error


def covers(folder: Path, path: Path) -> bool:
    """Whether a seal of the folder speaks of that file, whether the file exists or not."""
    relative = path.resolve().relative_to(folder.resolve())
    return relative.as_posix() in (SEAL_FILE, *_DOCUMENTS) or relative.parts[:1] == (_SAMPLES,)


def _covered(folder: Path) -> dict[str, Path]:
    found = [folder / name for name in _DOCUMENTS] + list((folder / _SAMPLES).rglob("*"))
    # What a killed process left half-written has another name than any sample, and nobody reads it.
    return {
        path.relative_to(folder).as_posix(): path
        for path in found
        if path.is_file() and not (path.name.startswith(".") and path.name.endswith(TEMPORARY_SUFFIX))
    }


def _sealed(path: Path) -> dict[str, str]:
    """What a seal says.

    :raises ValueError: it is damaged, or of a newer vdibench.
    """
    document = json.loads(path.read_bytes())
    if not isinstance(document, dict) or not isinstance(document.get("schema"), int):
        raise ValueError("it has no schema version")
    if document["schema"] > SEAL_SCHEMA:
        raise ValueError(f"it has schema {document['schema']}, this vdibench reads up to {SEAL_SCHEMA}")
    files = document.get("files")
    if not isinstance(files, dict):
        raise ValueError("it names no files")
    return {str(name): str(digest) for name, digest in files.items()}


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
