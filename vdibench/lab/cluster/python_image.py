"""The file systems of images that are Python and a wheel of this repository. Runs apt, pip and hatchling.

What is in one is said by ``packages.txt`` and ``wheels.txt`` of a folder, for this way and for the Containerfile there
alike; versions and digests are those of ``requirements.lock``.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import vdibench
from vdibench.errors import LabError
from vdibench.lab.cluster.archives import File, Folder, Member, tree
from vdibench.lab.cluster.packages import unpacked, with_dependencies
from vdibench.lab.cluster.rootfs import FORM, SITE, compile_library, compile_packages, listed, python_packages
from vdibench.lab.cluster.wheels import build_wheel, install_wheels

__all__ = ["CHECKER", "LOAD", "OPERATOR", "Project", "PythonSource", "python_members", "python_roots", "selected"]

# No part of a wheel, or of no importance to it.
_PASSED_OVER = {"__pycache__", ".ipynb_checkpoints", "native"}
_USER = 65532
_PASSWD = f"root:x:0:0:root:/root:/bin/sh\nnonroot:x:{_USER}:{_USER}:nonroot:/tmp:/bin/sh\n".encode()
_GROUP = f"root:x:0:\nnonroot:x:{_USER}:\n".encode()
# As Debian's base system has it. Without it glibc asks the DNS alone, and a pod's hostAliases are in vain.
_NAMES = b"passwd: files\ngroup: files\nhosts: files dns\n"
# Debian 12's Python, for markers of the lock, whatever Python runs here.
_MARKERS = {
    "implementation_name": "cpython",
    "os_name": "posix",
    "platform_machine": "x86_64",
    "platform_python_implementation": "CPython",
    "platform_system": "Linux",
    "python_full_version": "3.11.2",
    "python_version": "3.11",
    "sys_platform": "linux",
}


@dataclass(frozen=True, slots=True)
class Project:
    """A distribution of this repository.

    :param folder: of its ``pyproject.toml``, below the repository's root.
    :param parts: files and folders in it that its wheel is made of.
    """

    folder: str
    parts: tuple[str, ...]


_VDIBENCH = Project(".", ("pyproject.toml", "README.md", "LICENSE", "vdibench", "manifests", "notebooks"))
_VDI_OPERATOR = Project("operator", ("pyproject.toml", "README.md", "vdi_operator"))
_VDI_CHECKER = Project("operator/checker", ("pyproject.toml", "vdi_checker"))

LOAD = ("load", "manifests/load", (_VDIBENCH,))
"""Short name, folder of the lists, and projects, of the image of a load's master and workers."""
OPERATOR = ("operator", "operator", (_VDI_OPERATOR,))
"""The same of the operator's."""
CHECKER = ("checker", "operator/checker", (_VDIBENCH, _VDI_CHECKER))
"""The same of the frame checker's."""


class PythonSource:
    """The checkout that says what an image is made of.

    :param name: short name of the image.
    :param folder: of its lists, below the checkout's root.
    :param projects: whose wheels are in it.
    :raises LabError: it is not there, as in an installation without the repository; or the lock lacks a wheel.
    """

    def __init__(self, name: str, folder: str, projects: tuple[Project, ...], root: Path | None = None) -> None:
        self.name = name
        self.projects = projects
        self.root = root or Path(vdibench.__file__).parents[1]
        place = self.root / folder
        try:
            self.packages = listed(place / "packages.txt")
            lock = (self.root / "requirements.lock").read_text()
            self.requirements = selected(lock, listed(place / "wheels.txt"))
            self.digest = _digest(self.root, projects)
        except OSError as error:
            raise LabError(
                f"the description of the image {name} is not here: {error.filename}",
                "run the cluster lab from a checkout of the repository",
            ) from error


def selected(lock: str, names: Iterable[str]) -> str:
    """Entries of a lock as lines of a requirements file, those for Debian 12's Python.

    :param lock: text of ``requirements.lock``: a name with its version, then digests, each in a line of its own.
    :raises LabError: a name is not in it.
    """
    # Not above: whoever imports the lab need not have it, and the checker's image has not.
    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.utils import canonicalize_name

    found: dict[str, list[str]] = {}
    taken: list[str] = []
    for line in lock.splitlines():
        text = line.strip().rstrip("\\ ")
        if text.startswith("--hash="):
            taken.append(text)
        elif text and not text.startswith("#"):
            taken = []
            try:
                requirement = Requirement(text)
            except InvalidRequirement as error:
                raise LabError(f"requirements.lock has a line that is no entry: {text}", "run 'make lock'") from error
            if requirement.marker is None or requirement.marker.evaluate(_MARKERS):
                taken.append(f"{requirement.name}{requirement.specifier}")
                found[canonicalize_name(requirement.name)] = taken
    wanted = [str(canonicalize_name(name)) for name in names]
    missing = [name for name in wanted if name not in found]
    if missing:
        raise LabError(f"requirements.lock lacks {', '.join(missing)}", "run 'make lock', or mend wheels.txt")
    return "".join(f"{' '.join(found[name])}\n" for name in wanted)


def python_roots(source: PythonSource, say: Callable[[str], None]) -> tuple[Path, Path]:
    """The image's Debian, and the folder of the Python packages that its projects need.

    :raises LabError: something cannot be fetched, or lacks a library.
    """
    debian = unpacked(source.name, with_dependencies(source.packages), say, compile_library, recipe=(FORM,))
    return debian, python_packages(source.name, source.requirements, debian, say)


def python_members(source: PythonSource, debian: Path, python: Path) -> Iterator[Member]:
    """Everything in the layer.

    :raises LabError: a project's wheel cannot be made.
    """
    yield from tree(debian)
    yield from tree(python, SITE)
    yield from _own_members(source, debian)
    yield File("/etc/passwd", _PASSWD)
    yield File("/etc/group", _GROUP)
    yield File("/etc/nsswitch.conf", _NAMES)
    yield Folder("/tmp", 0o1777)


def _own_members(source: PythonSource, debian: Path) -> list[Member]:
    """The projects as their wheels install them; read whole, since they change with every source file."""
    with tempfile.TemporaryDirectory(prefix="vdibench-wheel-") as place:
        site = Path(place) / "site"
        for number, project in enumerate(source.projects):
            into = Path(place) / str(number)
            into.mkdir()
            wheel = build_wheel((source.root / project.folder).resolve(), into)
            digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
            install_wheels(f"{wheel.name.partition('-')[0]} @ {wheel.as_uri()} --hash=sha256:{digest}\n", site)
        shutil.rmtree(site / "bin", ignore_errors=True)
        compile_packages(debian, site, SITE)
        return [_held(member) for member in tree(site, SITE)]


def _held(member: Member) -> Member:
    if isinstance(member, File) and isinstance(member.content, Path):
        return replace(member, content=member.content.read_bytes())
    return member


def _digest(root: Path, projects: Iterable[Project]) -> str:
    """Of every file that the wheels are made of, and of what stands above."""
    found = hashlib.sha256(Path(__file__).read_bytes())
    for project in projects:
        for name in project.parts:
            place = root / project.folder / name
            for path in (place,) if place.is_file() else sorted(place.rglob("*")):
                inside = path.relative_to(root)
                if _PASSED_OVER.isdisjoint(inside.parts) and path.is_file():
                    found.update(f"{inside}\0{path.stat().st_size}\0".encode())
                    found.update(path.read_bytes())
    return found.hexdigest()
