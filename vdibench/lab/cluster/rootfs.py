"""The file systems of the images that are more than one program: the desktop and coturn. Runs apt, pip and programs.

What the desktop has is said by ``manifests/session/image``, for this way and for the Containerfile there alike.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import vdibench
from vdibench.errors import LabError
from vdibench.lab.cluster.archives import File, Folder, Member, tree
from vdibench.lab.cluster.libraries import extract_programs, linker, missing_libraries
from vdibench.lab.cluster.packages import unpacked, with_dependencies
from vdibench.lab.cluster.wheels import install_wheels
from vdibench.store.caches import cache_root, entry, entry_name

__all__ = [
    "FORM",
    "SITE",
    "USER",
    "DesktopSource",
    "compile_library",
    "compile_packages",
    "desktop_members",
    "desktop_roots",
    "extracted",
    "listed",
    "own_source",
    "python_packages",
]

USER = 1000
_PYTHON = "3.11"
SITE = f"/usr/local/lib/python{_PYTHON}/dist-packages"
"""Where Debian's Python looks for packages that are not Debian's."""

FORM = "2"
"""Counted up when the steps below change what comes out."""

_PASSWD = f"root:x:0:0:root:/root:/bin/sh\nuser:x:{USER}:{USER}:user:/home/user:/bin/bash\n".encode()
_GROUP = f"root:x:0:\nuser:x:{USER}:\n".encode()


class DesktopSource:
    """The folder that says what a desktop's image is made of.

    :raises LabError: it is not there, as in an installation without the repository.
    """

    def __init__(self, folder: Path) -> None:
        self.entrypoint = folder / "entrypoint.py"
        self.desk = Path(vdibench.__file__).with_name("desk") / "desk.py"
        try:
            self.packages = listed(folder / "packages.txt")
            left_out = listed(folder / "left-out.txt")
            self.left_out = tuple(name for name in left_out if not name.startswith("/"))
            self.left_out_files = tuple(name for name in left_out if name.startswith("/"))
            self.requirements = (folder / "requirements.txt").read_text()
            self.files = (self.entrypoint.read_bytes(), self.desk.read_bytes())
        except OSError as error:
            raise LabError(
                f"the description of the desktop's image is not here: {error.filename}",
                "run the cluster lab from a checkout of the repository",
            ) from error


def own_source() -> DesktopSource:
    """The repository's."""
    return DesktopSource(Path(vdibench.__file__).parents[1] / "manifests" / "session" / "image")


def listed(file: Path) -> tuple[str, ...]:
    """The words of a list with one a line, without what follows ``#``."""
    lines = (line.partition("#")[0].strip() for line in file.read_text().splitlines())
    return tuple(line for line in lines if line)


def extracted(kind: str, package: str, program: str, say: Callable[[str], None]) -> Path:
    """A root with one program of a Debian package and the libraries that it needs.

    :param program: its path, as in ``usr/bin/turnserver``.
    """
    packages = with_dependencies([package])

    def make(into: Path) -> None:
        extract_programs(unpacked(f"{kind}-packages", packages, say), [program], into)

    return entry(cache_root() / "cluster", entry_name(kind, (*map(str, packages), program, FORM)), make)


def desktop_roots(source: DesktopSource, say: Callable[[str], None]) -> tuple[Path, Path]:
    """The desktop's Debian, and the folder of its Python packages.

    :raises LabError: a library that something in it needs was left out.
    """
    chosen = with_dependencies(source.packages, source.left_out)
    debian = unpacked("desktop", chosen, say, partial(_finish, source), recipe=(*source.left_out_files, FORM))
    return debian, python_packages("desktop", source.requirements, debian, say)


def python_packages(image: str, requirements: str, debian: Path, say: Callable[[str], None]) -> Path:
    """The folder of an image's Python packages, compiled.

    :param image: its short name.
    :param requirements: lines of a requirements file, each with its digests.
    :param debian: the root that they will run in.
    :raises LabError: one cannot be fetched, or needs a library that the root has not.
    """
    name = entry_name(f"{image}-python", (requirements, debian.name, FORM))
    make = partial(_install_python, image, requirements, debian, say)
    return entry(cache_root() / "cluster", name, make)


def desktop_members(source: DesktopSource, debian: Path, python: Path) -> Iterator[Member]:
    """Everything in the desktop's layer."""
    yield from tree(debian)
    yield from tree(python, SITE)
    entrypoint, desk = source.files
    yield File("/usr/local/bin/desktop-session", entrypoint, 0o755)
    yield File("/usr/local/lib/vdibench/desk.py", desk)
    yield File("/etc/passwd", _PASSWD)
    yield File("/etc/group", _GROUP)
    for path, mode in (("/home/user", 0o700), ("/run/user", 0o700)):
        yield Folder(path, mode, USER, USER)


def _install_python(image: str, requirements: str, debian: Path, say: Callable[[str], None], into: Path) -> None:
    say(f"fetching the Python packages of {image}")
    install_wheels(requirements, into, _PYTHON)
    # Scripts that name the Python that pip ran with; everything is started as a module.
    shutil.rmtree(into / "bin", ignore_errors=True)
    compile_packages(debian, into, SITE)
    if missing := missing_libraries(debian, (into,)):
        said = "; ".join(f"{file} needs {', '.join(names)}" for file, names in sorted(missing.items()))
        remedy = "write their packages into packages.txt, or take them out of left-out.txt"
        raise LabError(f"the image {image} lacks libraries: {said}", remedy)


def _finish(source: DesktopSource, root: Path) -> None:
    """Remove what was left out, and compile: the image's root is read-only, so nothing could be kept later."""
    for pattern in source.left_out_files:
        found = list(root.glob(pattern.lstrip("/")))
        if not found:
            raise LabError(f"left-out.txt names {pattern}, and no package brings it", "take it out of left-out.txt")
        for path in found:
            path.unlink()
    compile_library(root)


def compile_library(root: Path) -> None:
    """Compile the standard library of a root's Python.

    :raises LabError: a file of it is no Python.
    """
    compile_packages(root, root / "usr" / "lib" / f"python{_PYTHON}", f"/usr/lib/python{_PYTHON}")


def compile_packages(root: Path, folder: Path, place: str) -> None:
    """Compile with the root's own Python, whatever runs here; the files' times do not count, only their content.

    :param place: where the folder will be in the image.
    :raises LabError: a file is no Python.
    """
    python = root / "usr" / "bin" / f"python{_PYTHON}"
    command = [*linker(root), str(python), "-I", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"]
    command += ["-s", str(folder), "-p", place, str(folder)]
    environment = {"PYTHONHOME": str(root / "usr"), "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = (done.stdout + done.stderr).strip().splitlines()
        raise LabError(f"cannot compile {folder.name}: {lines[-1] if lines else done.returncode}", "report this")
