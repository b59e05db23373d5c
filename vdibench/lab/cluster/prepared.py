"""Everything that a cluster lab is started from, made before it starts. Runs programs; minutes once, then nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from vdibench.lab.cluster.binaries import binaries, module_files
from vdibench.lab.cluster.images import images
from vdibench.lab.cluster.packages import node_packages
from vdibench.lab.cluster.store import image_store
from vdibench.lab.cluster.versions import GO_FILES

__all__ = ["Prepared", "prepare"]


@dataclass(frozen=True, slots=True)
class Prepared:
    """Where everything lies.

    :param packages: the unpacked programs of the node.
    :param store: the imported images.
    :param programs: name -> file, of Kubernetes and the add-ons.
    :param files: what modules carry beside their programs: name -> files.
    """

    packages: Path
    store: Path
    programs: Mapping[str, Path]
    files: Mapping[str, tuple[Path, ...]]

    def to_json(self) -> dict[str, Any]:
        """As JSON types."""
        return {
            "packages": str(self.packages),
            "store": str(self.store),
            "programs": {name: str(path) for name, path in self.programs.items()},
            "files": {name: [str(path) for path in paths] for name, paths in self.files.items()},
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Self:
        """The inverse of :meth:`to_json`."""
        return cls(
            packages=Path(document["packages"]),
            store=Path(document["store"]),
            programs={name: Path(path) for name, path in document["programs"].items()},
            files={name: tuple(Path(path) for path in paths) for name, paths in document["files"].items()},
        )


def prepare(say: Callable[[str], None] = lambda line: None) -> Prepared:
    """Build and fetch what is not kept yet.

    :param say: called with a line per step that takes its time.
    :raises LabError: something cannot be had, with what to do about it.
    """
    programs = binaries(say=say)
    files = {wanted.name: tuple(module_files(wanted, say)) for wanted in GO_FILES}
    packages = node_packages(say)
    archives = {image.digest: image.path for image in images(say)}
    return Prepared(packages, image_store(packages, archives, say), programs, files)
