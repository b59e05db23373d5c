"""The files of a chart, from its folder or from the archive that ``helm package`` made of it; nothing is unpacked.

Links are not followed and an archive's members are read in memory, so no name in either leads out of the chart.
"""

from __future__ import annotations

import os
import posixpath
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from vdibench.errors import UsageError

__all__ = ["Contents", "load_yaml", "read_chart"]

# Far more than a chart without images needs.
_MOST_BYTES = 64 * 2**20
_MOST_FILES = 10_000
# What PyYAML raises of texts that are no YAML: its constructors trust the form of dates, numbers and booleans.
_NO_YAML = (yaml.YAMLError, ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)


@dataclass(frozen=True, slots=True)
class Contents:
    """What a chart holds.

    :param files: by path below the chart.
    :param odd: one line for each thing that no chart has: links, devices, names that lead out, damage.
    """

    files: Mapping[str, bytes]
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


def load_yaml(data: bytes) -> Any:
    """What a YAML document says. Pure.

    :raises ValueError: it is none.
    """
    try:
        return yaml.safe_load(data)
    except _NO_YAML as error:
        lines = str(error).splitlines()
        raise ValueError(lines[0] if lines else type(error).__name__) from error


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
    return Contents(MappingProxyType(files), tuple(sorted(odd)))


def _archive(chart: Path) -> Contents:
    files: dict[str, bytes] = {}
    odd: list[str] = []
    tops: set[str] = set()
    try:
        with tarfile.open(chart, "r:gz") as archive:
            for member in _members(archive, odd):
                top, _, below = member.name.partition("/")
                tops.add(top)
                if member.isdir():
                    continue
                stream = archive.extractfile(member)
                if below in files:
                    odd.append(f"{below} is there twice")
                elif stream is not None:
                    files[below] = stream.read()
    except (tarfile.TarError, EOFError, OSError, ValueError, zlib.error) as error:
        odd.append(f"{chart.name} cannot be read to its end: {error}")
    if len(tops) > 1:
        odd.append(f"{chart.name} holds {len(tops)} folders instead of one")
    return Contents(MappingProxyType(files), tuple(odd))


def _members(archive: tarfile.TarFile, odd: list[str]) -> Iterator[tarfile.TarInfo]:
    """Those that can be part of a chart; of the others a line each, and no more than a chart can have."""
    room = _MOST_BYTES
    for number, member in enumerate(archive):
        room -= member.size
        if room < 0 or number >= _MOST_FILES:
            odd.append("it holds more than a chart does")
            return
        if not _plain(member.name):
            odd.append(f"{member.name} is no plain path into the chart")
        elif not (member.isreg() or member.isdir()):
            odd.append(f"{member.name} is neither file nor folder")
        elif member.isreg() and "/" not in member.name:
            odd.append(f"{member.name} is not in the chart's folder")
        else:
            yield member


def _plain(name: str) -> bool:
    """Helm cleans names; one that is not clean already is somebody's attempt to have it read otherwise."""
    return posixpath.normpath(name) == name and not name.startswith(("/", "..")) and "\\" not in name
