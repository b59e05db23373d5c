"""The file system of the image of a load: Python, the load's wheels, and vdibench's own. Runs apt, pip and hatchling.

What is in it is said by ``manifests/load``, for this way and for the Containerfile there alike.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import vdibench
from vdibench.errors import LabError
from vdibench.lab.cluster.archives import File, Folder, Member, tree
from vdibench.lab.cluster.packages import unpacked, with_dependencies
from vdibench.lab.cluster.rootfs import FORM, SITE, compile_library, compile_packages, listed, python_packages
from vdibench.lab.cluster.wheels import build_wheel, install_wheels

__all__ = ["LoadSource", "load_members", "load_roots"]

_PROJECT = ("pyproject.toml", "README.md", "LICENSE", "vdibench", "manifests", "notebooks")
# No part of the wheel, or of no importance to it.
_PASSED_OVER = {"__pycache__", ".ipynb_checkpoints", "native"}
_USER = 65532
_PASSWD = f"root:x:0:0:root:/root:/bin/sh\nload:x:{_USER}:{_USER}:load:/tmp:/bin/sh\n".encode()
_GROUP = f"root:x:0:\nload:x:{_USER}:\n".encode()
# As Debian's base system has it. Without it glibc asks the DNS alone, and a pod's hostAliases are in vain.
_NAMES = b"passwd: files\ngroup: files\nhosts: files dns\n"


class LoadSource:
    """The checkout that says what a load's image is made of.

    :raises LabError: it is not there, as in an installation without the repository.
    """

    def __init__(self, root: Path | None = None) -> None:
        self.root = root or Path(vdibench.__file__).parents[1]
        folder = self.root / "manifests" / "load"
        try:
            self.packages = listed(folder / "packages.txt")
            self.requirements = (folder / "requirements.txt").read_text()
            self.digest = _digest(self.root)
        except OSError as error:
            raise LabError(
                f"the description of the load's image is not here: {error.filename}",
                "run the cluster lab from a checkout of the repository",
            ) from error


def load_roots(source: LoadSource, say: Callable[[str], None]) -> tuple[Path, Path]:
    """The image's Debian, and the folder of the Python packages that vdibench needs.

    :raises LabError: something cannot be fetched, or lacks a library.
    """
    debian = unpacked("load", with_dependencies(source.packages), say, compile_library, recipe=(FORM,))
    return debian, python_packages("load", source.requirements, debian, say)


def load_members(source: LoadSource, debian: Path, python: Path) -> Iterator[Member]:
    """Everything in the layer.

    :raises LabError: vdibench's wheel cannot be made.
    """
    yield from tree(debian)
    yield from tree(python, SITE)
    yield from _own_members(source.root, debian)
    yield File("/etc/passwd", _PASSWD)
    yield File("/etc/group", _GROUP)
    yield File("/etc/nsswitch.conf", _NAMES)
    yield Folder("/tmp", 0o1777)


def _own_members(root: Path, debian: Path) -> list[Member]:
    """vdibench as its wheel installs it; read whole, since it changes with every source file and is not kept."""
    with tempfile.TemporaryDirectory(prefix="vdibench-wheel-") as place:
        wheel = build_wheel(root, Path(place))
        site = Path(place) / "site"
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        install_wheels(f"vdibench @ {wheel.as_uri()} --hash=sha256:{digest}\n", site)
        shutil.rmtree(site / "bin", ignore_errors=True)
        compile_packages(debian, site, SITE)
        return [_held(member) for member in tree(site, SITE)]


def _held(member: Member) -> Member:
    if isinstance(member, File) and isinstance(member.content, Path):
        return replace(member, content=member.content.read_bytes())
    return member


def _digest(root: Path) -> str:
    """Of every file that the wheel is made of."""
    found = hashlib.sha256()
    for name in _PROJECT:
        place = root / name
        for path in (place,) if place.is_file() else sorted(place.rglob("*")):
            inside = path.relative_to(root)
            if _PASSED_OVER.isdisjoint(inside.parts) and path.is_file():
                found.update(f"{inside}\0{path.stat().st_size}\0".encode())
                found.update(path.read_bytes())
    return found.hexdigest()
