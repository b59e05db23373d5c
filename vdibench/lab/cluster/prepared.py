"""Everything that a cluster lab is started from, made before it starts. Runs programs; minutes once, then nothing.

``python -m vdibench.lab.cluster.prepared`` makes it ahead of the first lab.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from vdibench.errors import LabError, VdibenchError
from vdibench.lab.cluster.binaries import binaries, module_files
from vdibench.lab.cluster.images import images
from vdibench.lab.cluster.packages import node_packages
from vdibench.lab.cluster.store import image_store
from vdibench.lab.cluster.versions import GO_FILES
from vdibench.store.caches import cache_root, entry, entry_name

__all__ = ["Prepared", "main", "manifests_folder", "prepare"]


@dataclass(frozen=True, slots=True)
class Prepared:
    """Where everything lies.

    :param packages: the unpacked programs of the node.
    :param store: the imported images.
    :param programs: name -> file, of Kubernetes and the add-ons.
    :param files: what modules carry beside their programs: name -> files.
    :param platform: the objects of ``manifests/overlays/lab``.
    """

    packages: Path
    store: Path
    programs: Mapping[str, Path]
    files: Mapping[str, tuple[Path, ...]]
    platform: Path

    def to_json(self) -> dict[str, Any]:
        """As JSON types."""
        return {
            "packages": str(self.packages),
            "store": str(self.store),
            "programs": {name: str(path) for name, path in self.programs.items()},
            "files": {name: [str(path) for path in paths] for name, paths in self.files.items()},
            "platform": str(self.platform),
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Self:
        """The inverse of :meth:`to_json`."""
        return cls(
            packages=Path(document["packages"]),
            store=Path(document["store"]),
            programs={name: Path(path) for name, path in document["programs"].items()},
            files={name: tuple(Path(path) for path in paths) for name, paths in document["files"].items()},
            platform=Path(document["platform"]),
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
    platform = _rendered(programs["kubectl"], manifests_folder() / "overlays" / "lab")
    return Prepared(packages, image_store(packages, archives, say), programs, files, platform)


def manifests_folder() -> Path:
    """Where the manifests are: beside the package in a checkout, inside it when installed.

    :raises LabError: neither is there.
    """
    package = Path(__file__).resolve().parents[2]
    for folder in (package.parent / "manifests", package / "manifests"):
        if (folder / "overlays").is_dir():
            return folder
    raise LabError("the manifests of vdibench are missing", "install it again")


def _rendered(kubectl: Path, folder: Path) -> Path:
    """What kustomize makes of a folder, as a file of the cache that is named after its content."""
    done = subprocess.run([kubectl, "kustomize", folder], capture_output=True, check=False)
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()
        raise LabError(f"cannot build {folder}: {said}", "mend the manifests")

    def write(into: Path) -> None:
        (into / "objects.yaml").write_bytes(done.stdout)

    return entry(cache_root() / "cluster", entry_name("platform", (done.stdout,)), write) / "objects.yaml"


def main() -> None:
    """Make it, and say what is made."""
    try:
        prepare(lambda line: print(line, file=sys.stderr, flush=True))
    except VdibenchError as error:
        print(f"vdibench: error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
