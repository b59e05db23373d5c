"""The graduated chart: a copy of the operator's chart, and a folder ``graduated`` in it. File I/O; runs ``helm``."""

from __future__ import annotations

import fnmatch
import re
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from vdibench.errors import StoreError, UsageError

__all__ = ["EVIDENCE", "GRADUATED", "chart_files", "packaged", "write_chart", "yaml_list"]

GRADUATED = "graduated"
# Evidence speaks of all other files, so it is none of those that it speaks of.
EVIDENCE = "evidence*.json"

_CHART = "Chart.yaml"
_IGNORE = ".helmignore"
_WIDEST = 1_000_000
# Plain, YAML's readers differ on these: "12e3" is text to one and a number to another, "y" may be a yes.
_DOUBTFUL = re.compile(r"[-+.0-9].*|[yYnN]", re.DOTALL)


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: object) -> bool:
        """Always: what is the same twice is written twice, whether or not it is one object here."""
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    style = "|" if "\n" in text else "'" if _DOUBTFUL.fullmatch(text) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def yaml_list(objects: Sequence[Mapping[str, Any]], *, run: str) -> bytes:
    """Objects as one YAML list, which helm's template reads; the same objects give the same bytes.

    :param run: name of the run that they come from.
    """
    head = f"# Written by `vdibench graduate` from the run {run}. Not to be edited: the evidence has its digest.\n"
    body: str = yaml.dump(list(objects), Dumper=_Dumper, sort_keys=True, width=_WIDEST, allow_unicode=True)
    return (head + body).encode()


def write_chart(source: Path, target: Path, graduated: Mapping[str, bytes]) -> None:
    """Copy a chart and put files into its folder ``graduated``: whole, or not at all.

    What ``.helmignore`` names stays behind, by shell patterns alone: its lines with ``!`` are not looked at.

    :param target: where it shall be: nothing yet, an empty folder, or a graduated chart, which is replaced.
    :param graduated: file name -> content.
    :raises UsageError: ``source`` is no chart, or ``target`` is something that must not be replaced.
    :raises StoreError: the file system refuses.
    """
    if not (source / _CHART).is_file():
        raise UsageError(f"there is no chart at {source}", f"name a folder that has a {_CHART}")
    for name in graduated:
        if name in ("", "..") or PurePosixPath(name).name != name:
            raise ValueError(f"{name!r} is no name of a file")
    target = target.absolute()
    _refuse(source, target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        # Beside the target: a rename within one file system is one step.
        with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as place:
            made = Path(place, "made")
            _fill(source, made, graduated)
            if target.is_dir():
                _exchange(target, made, Path(place, "before"))
            else:
                made.rename(target)
    except OSError as error:
        raise StoreError(
            f"cannot write the chart {target}: {error.strerror or error}", "choose a folder that you may write to"
        ) from error


def chart_files(chart: Path) -> dict[str, bytes]:
    """Path within the chart -> content, of every file but the evidence itself; sorted by path.

    :raises UsageError: there is no chart, or a part of it is a link, which could lead anywhere.
    :raises StoreError: a file cannot be read.
    """
    if not (chart / _CHART).is_file():
        raise UsageError(f"there is no chart at {chart}", f"name a folder that has a {_CHART}")
    try:
        return {
            str(name): file.read_bytes()
            for name, file in sorted(_files(chart, (), PurePosixPath()), key=lambda found: str(found[0]))
            if not (name.parent == PurePosixPath(GRADUATED) and fnmatch.fnmatchcase(name.name, EVIDENCE))
        }
    except OSError as error:
        raise StoreError(
            f"cannot read the chart {chart}: {error.strerror or error}", "check that you may read all of it"
        ) from error


def packaged(chart: Path, folder: Path, helm: Path) -> Path:
    """The chart as one file for ``helm install``.

    :param folder: where it is written; made where it is not there.
    :param helm: the program.
    :raises UsageError: helm finds fault with the chart.
    """
    done = subprocess.run(
        [helm, "package", chart, "--destination", folder], capture_output=True, text=True, check=False
    )
    if done.returncode:
        said = done.stderr.strip().replace("\n", " / ") or f"exit {done.returncode}"
        raise UsageError(f"helm cannot pack {chart}: {said}", "try helm lint on it")
    document = yaml.safe_load((chart / _CHART).read_text())
    return folder / f"{document['name']}-{document['version']}.tgz"


def _refuse(source: Path, target: Path) -> None:
    """:raises UsageError: something is there that is not a graduated chart, or it is in the way of the source."""
    remedy = "name a new folder, or one that was graduated before"
    here, there = source.resolve(), target.resolve()
    if here == there or here in there.parents or there in here.parents:
        raise UsageError(f"{target} and the chart {source} are in one another", "name a folder beside it")
    if target.is_symlink():
        raise UsageError(f"{target} is a link", remedy)
    if target.is_dir():
        if any(target.iterdir()) and not ((target / _CHART).is_file() and (target / GRADUATED).is_dir()):
            raise UsageError(f"{target} is there and is no graduated chart", remedy)
    elif target.exists():
        raise UsageError(f"{target} is there and is no folder", remedy)


def _fill(source: Path, made: Path, graduated: Mapping[str, bytes]) -> None:
    ignored = source / _IGNORE
    lines = ignored.read_text().splitlines() if ignored.is_file() else []
    patterns = ("__pycache__/", *(line.strip() for line in lines))
    for name, file in _files(source, patterns, PurePosixPath()):
        if name.parts[0] == GRADUATED:
            continue  # of an earlier run
        data = file.read_bytes()
        _put(made / name, _as_helm_packs(data) if str(name) == _CHART else data)
    for file_name, data in graduated.items():
        _put(made / GRADUATED / file_name, data)


def _put(file: Path, data: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)


def _as_helm_packs(data: bytes) -> bytes:
    """``helm package`` writes this one file anew. Written so from the start, a chart unpacks to the same bytes."""
    text: str = yaml.safe_dump(yaml.safe_load(data), sort_keys=True, width=80, allow_unicode=True)
    return text.encode()


def _exchange(target: Path, made: Path, before: Path) -> None:
    target.rename(before)
    try:
        made.rename(target)
    except OSError:
        before.rename(target)
        raise


def _files(folder: Path, patterns: Sequence[str], inside: PurePosixPath) -> Iterator[tuple[PurePosixPath, Path]]:
    """Path within the chart and file, of all that no pattern names."""
    for entry in folder.iterdir():
        name = inside / entry.name
        if entry.is_symlink():
            raise UsageError(f"{entry} is a link", "put what it leads to in its place: a chart is whole by itself")
        if _is_ignored(name, entry.is_dir(), patterns):
            continue
        if entry.is_dir():
            yield from _files(entry, patterns, name)
        else:
            yield name, entry


def _is_ignored(name: PurePosixPath, folder: bool, patterns: Sequence[str]) -> bool:
    for pattern in patterns:
        if not pattern or pattern.startswith(("#", "!")) or (pattern.endswith("/") and not folder):
            continue
        wanted = pattern.strip("/")
        # With a slash inside or in front it is a path from the chart's folder.
        whole = "/" in pattern.rstrip("/")
        if fnmatch.fnmatchcase(str(name) if whole else name.name, wanted):
            return True
    return False
