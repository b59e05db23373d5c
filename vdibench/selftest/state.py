"""Self-tests of this machine, kept between runs in the user's state directory. I/O on one JSON file.

``$XDG_STATE_HOME/vdibench/selftest.json`` (``~/.local/state`` without the variable). A result belongs to a machine, its
libraries and a version of vdibench: another kernel, processor or decoder has another error. The file is replaced as a
whole, and one that cannot be read counts as none.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import vdibench
from vdibench.errors import StoreError
from vdibench.records import SELFTEST_SCHEMA, SelfTest
from vdibench.store import selftest_document, selftest_from
from vdibench.store.files import exclusive, replace
from vdibench.telemetry import host_facts, versions

__all__ = ["fingerprint", "keep", "kept", "state_file"]

# What a processor, a kernel or a library does to a time stamp.
_HOST = ("cpu_model", "cpu_cores_usable", "memory_bytes", "kernel", "architecture", "clock_source", "virtualisation")
_LIBRARIES = ("python", "aiohttp", "aiortc", "aioice", "av", "libavcodec", "numpy")
# A machine changes in ways that no fingerprint shows.
MAX_AGE_SECONDS = 30 * 86400.0
_MOST = 16


def fingerprint(host: Mapping[str, Any] | None = None, libraries: Mapping[str, str] | None = None) -> str:
    """Twelve hexadecimal digits that stay while the machine and the libraries that matter do."""
    host = host_facts() if host is None else host
    libraries = versions() if libraries is None else libraries
    said = [[name, str(host.get(name, ""))] for name in _HOST]
    said += [[name, libraries.get(name, "")] for name in _LIBRARIES]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:12]


def state_file() -> Path:
    """Where self-tests are kept; nothing is made by asking."""
    given = os.environ.get("XDG_STATE_HOME", "")
    # The specification has relative paths ignored.
    root = Path(given) if Path(given).is_absolute() else Path.home() / ".local" / "state"
    return root / "vdibench" / "selftest.json"


def kept(now: float | None = None) -> SelfTest | None:
    """The self-test that holds for this machine and version: the newest full one, else the newest quick one.

    :param now: Unix seconds; those older than 30 days count no more.
    """
    now = time.time() if now is None else now
    own = fingerprint()
    found = [
        one
        for one in _read(state_file())
        if one.fingerprint == own
        and one.version == vdibench.__version__
        and 0 <= now - one.began_unix_seconds <= MAX_AGE_SECONDS
    ]
    return max(found, key=lambda one: (one.kind == "full", one.began_unix_seconds), default=None)


def keep(found: SelfTest) -> Path:
    """Keep a self-test beside those of other machines; the older one of its kind goes.

    One that is invalid or without a figure is not kept: it says nothing of the machine, and the next run shall try.

    :returns: the file.
    :raises StoreError: it cannot be written.
    """
    path = state_file()
    if found.invalid or not found.accuracy:
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"cannot make {path.parent}: {error.strerror}", "point XDG_STATE_HOME at a folder that you may write to"
        ) from error
    with exclusive(path.with_suffix(".lock")):
        others = [one for one in _read(path) if _place(one) != _place(found)]
        newest = sorted([*others, found], key=lambda one: one.began_unix_seconds)[-_MOST:]
        document = {"schema": SELFTEST_SCHEMA, "selftests": [selftest_document(one) for one in newest]}
        replace(path, (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode())
    return path


def _place(found: SelfTest) -> tuple[str, str, str]:
    return found.fingerprint, found.version, found.kind


def _read(path: Path) -> list[SelfTest]:
    try:
        listed = json.loads(path.read_bytes())["selftests"]
        return [one for document in listed if (one := _one(document)) is not None]
    except (OSError, ValueError, KeyError, TypeError):
        return []  # a cache: what cannot be read is measured anew


def _one(document: Mapping[str, Any]) -> SelfTest | None:
    try:
        return selftest_from(document)
    except ValueError:
        return None
