"""The files of a chart, from its folder or from the archive that ``helm package`` made of it; nothing is unpacked.

Links are not followed and an archive's members are read in memory, so no name in either leads out of the chart.
"""

from __future__ import annotations

import hashlib
import json
import os
import posixpath
import tarfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from vdibench.errors import UsageError
from vdibench.graduation.statement import CHART_PREFIX, CONTENT_PREFIX, ENVELOPE_FILE, EVIDENCE_FILE

__all__ = ["CHART_FILE", "Contents", "chart_digests", "load_yaml", "read_chart"]

CHART_FILE = "Chart.yaml"
# Far more than a chart without images needs.
_MOST_BYTES = 64 * 2**20
_MOST_FILES = 10_000
# What PyYAML raises of texts that are no YAML: its constructors trust the form of dates, numbers and booleans.
_NO_YAML = (yaml.YAMLError, ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)


@dataclass(frozen=True, slots=True)
class Contents:
    """What a chart holds.

    :param files: by path below the chart.
    :param packaged: read from an archive, for which helm wrote ``Chart.yaml`` anew.
    :param odd: one line for each thing that no chart has: links, devices, names that lead out, damage.
    """

    files: Mapping[str, bytes]
    packaged: bool = False
    odd: tuple[str, ...] = ()


def read_chart(chart: Path) -> Contents:
    """Everything in a chart.

    :param chart: its folder, or a ``.tgz``.
    :raises UsageError: there is neither.
    """
    if chart.is_dir():
        return _folder(chart)
    if chart.is_file():
        return _archive(chart)
    raise UsageError(f"there is no chart {chart}", "name a chart's folder or the .tgz that helm made of it")


def chart_digests(contents: Contents) -> dict[str, str]:
    """SHA-256 of every file but the evidence itself, by subject. Pure.

    ``helm package`` lays ``Chart.yaml`` out anew, so that there is a second subject for what it says: a folder is held
    against its bytes, an archive against that.
    """
    found = {
        f"{CHART_PREFIX}{path}": hashlib.sha256(data).hexdigest()
        for path, data in contents.files.items()
        if path not in (EVIDENCE_FILE, ENVELOPE_FILE)
    }
    if CHART_FILE in contents.files:
        found[f"{CONTENT_PREFIX}{CHART_FILE}"] = _content_digest(contents.files[CHART_FILE])
        if contents.packaged:
            del found[f"{CHART_PREFIX}{CHART_FILE}"]
    return found


def load_yaml(data: bytes) -> Any:
    """What a YAML document says. Pure.

    :raises ValueError: it is none.
    """
    try:
        return yaml.safe_load(data)
    except _NO_YAML as error:
        lines = str(error).splitlines()
        raise ValueError(lines[0] if lines else type(error).__name__) from error


def _content_digest(data: bytes) -> str:
    """Of what ``Chart.yaml`` says; helm leaves empty values out. Bytes that are no YAML count as they are."""
    try:
        said = load_yaml(data)
        if isinstance(said, Mapping):
            said = {key: value for key, value in said.items() if value not in (None, "", [], {}, False)}
        text = json.dumps(said, sort_keys=True, separators=(",", ":"), default=str)
    except (TypeError, ValueError):
        return hashlib.sha256(data).hexdigest()
    return hashlib.sha256(text.encode()).hexdigest()


def _folder(chart: Path) -> Contents:
    files: dict[str, bytes] = {}
    odd: list[str] = []

    def failed(error: OSError) -> None:
        odd.append(f"{error.filename} cannot be read: {error.strerror}")

    for place, folders, names in os.walk(chart, onerror=failed):
        for name in (*folders, *names):
            path = Path(place, name)
            below = path.relative_to(chart).as_posix()
            if path.is_symlink():
                odd.append(f"{below} is a link")
            elif path.is_file():
                try:
                    files[below] = path.read_bytes()
                except OSError as error:
                    failed(error)
            elif not path.is_dir():
                odd.append(f"{below} is neither file nor folder")
    return Contents(MappingProxyType(files), odd=tuple(sorted(odd)))


def _archive(chart: Path) -> Contents:
    files: dict[str, bytes] = {}
    odd: list[str] = []
    tops: set[str] = set()
    room = _MOST_BYTES
    try:
        with tarfile.open(chart, "r:gz") as archive:
            for number, member in enumerate(archive):
                room -= member.size
                if room < 0 or number >= _MOST_FILES:
                    odd.append(f"{chart.name} holds more than a chart does")
                    break
                top, _, below = member.name.partition("/")
                if _leads_out(member.name):
                    odd.append(f"{member.name} leads out of the chart")
                elif member.isdir():
                    tops.add(top)
                elif not member.isreg():
                    odd.append(f"{member.name} is neither file nor folder")
                elif not below:
                    odd.append(f"{member.name} is not in the chart's folder")
                elif below in files:
                    odd.append(f"{below} is there twice")
                else:
                    tops.add(top)
                    stream = archive.extractfile(member)
                    files[below] = stream.read() if stream is not None else b""
    except (tarfile.TarError, EOFError, OSError, ValueError, zlib.error) as error:
        odd.append(f"{chart.name} cannot be unpacked: {error}")
    if len(tops) > 1:
        odd.append(f"{chart.name} holds {len(tops)} folders instead of one")
    return Contents(MappingProxyType(files), packaged=True, odd=tuple(odd))


def _leads_out(name: str) -> bool:
    """Helm cleans names; one that is not clean already is somebody's attempt to have it read otherwise."""
    return name.startswith("/") or "\\" in name or posixpath.normpath(name) != name or ".." in name.split("/")
