"""Which shared libraries the programs of an unpacked root need, as its own dynamic linker says. Runs that linker."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

from vdibench.errors import LabError

__all__ = ["extract_programs", "linker", "missing_libraries"]

_FOLDER = "usr/lib/x86_64-linux-gnu"
_LINKER = f"{_FOLDER}/ld-linux-x86-64.so.2"
_FOUND = re.compile(r"^\s*(\S+) => (/\S+) \(", re.MULTILINE)
_MISSING = re.compile(r"^\s*(\S+) => not found", re.MULTILINE)


def linker(root: Path, also: Iterable[Path] = ()) -> list[str]:
    """The start of a command that runs a program of that root with that root's libraries, outside of it.

    :param also: further folders of libraries.
    """
    # PulseAudio's modules need one another, and are found by the program that loads them.
    folders = [root / _FOLDER, root / _FOLDER / "pulseaudio", *sorted(root.glob("usr/lib/pulse-*/modules")), *also]
    return [str(root / _LINKER), "--inhibit-cache", "--library-path", ":".join(map(str, folders))]


def extract_programs(root: Path, programs: Iterable[str], into: Path) -> None:
    """Copy these programs with the libraries that they need, and nothing else.

    :param programs: paths in the root, as in ``usr/bin/turnserver``.
    :raises LabError: a library is not there.
    """
    files = {_LINKER}
    for program in programs:
        libraries, missing = _needed(root, root / program, (root,))
        if missing:
            raise LabError(f"{program} needs {', '.join(missing)}, which its packages do not bring", "report this")
        files |= {program, *(str(path.relative_to(root)) for path in libraries)}
    for name in sorted(files):
        (into / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(root / name, into / name)
    (into / "usr/lib64").mkdir(exist_ok=True)
    for name in ("bin", "lib", "lib64"):
        (into / name).symlink_to(f"usr/{name}")
    (into / "usr/lib64" / Path(_LINKER).name).symlink_to(f"/{_LINKER}")


def missing_libraries(root: Path, also: Iterable[Path] = ()) -> dict[str, list[str]]:
    """File -> libraries that it needs and that the root does not have, for all its programs and libraries.

    :param also: further folders whose libraries will run in that root.
    """
    missing = {}
    folders = (root, *also)
    for folder in folders:
        for path in _elf_files(folder):
            # A wheel's grafted library need not say where its neighbours are: who loads it looks in their folder.
            names = [name for name in _needed(root, path, folders)[1] if not (path.parent / name).is_file()]
            if names:
                missing[str(path.relative_to(folder))] = names
    return missing


def _elf_files(folder: Path) -> Iterator[Path]:
    for place, _, names in os.walk(folder):
        for name in sorted(names):
            path = Path(place) / name
            if path.is_symlink() or not path.is_file():
                continue
            with path.open("rb") as file:
                if file.read(4) == b"\x7fELF":
                    yield path


def _needed(root: Path, program: Path, folders: Iterable[Path]) -> tuple[list[Path], list[str]]:
    """The libraries that it finds below those folders, and the names of those that it does not; none if it is static.

    The linker also looks into the folders of the machine that it runs on: what it finds there is not in the image.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LD_")}
    # As ldd asks: --list would stop at the first that is missing, without a list.
    environment["LD_TRACE_LOADED_OBJECTS"] = "1"
    # What wheels bring lies in one folder each, which the module that loads it names, and not each for the others.
    beside = (program.parent,) if program.parent.suffix == ".libs" else ()
    command = [*linker(root, beside), str(program)]
    said = subprocess.run(command, env=environment, capture_output=True, text=True, check=False).stdout
    found, missing = [], set(_MISSING.findall(said))
    for name, path in _FOUND.findall(said):
        if any(Path(path).is_relative_to(folder) for folder in folders):
            found.append(Path(path))
        else:
            missing.add(name)
    return found, sorted(missing)
