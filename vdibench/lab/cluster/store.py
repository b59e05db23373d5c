"""containerd's images, imported once and shown to every cluster lab. Linux only, as root.

An import unpacks an image, which takes half a minute for a desktop. What comes out never changes, so a lab mounts the
unpacked layers and copies only the databases, which it changes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from vdibench.errors import LabError
from vdibench.lab.cluster.mounts import bind
from vdibench.store.caches import cache_root, entry, entry_name

__all__ = ["image_store", "lay_store"]

_SNAPSHOTS = Path("io.containerd.snapshotter.v1.overlayfs") / "snapshots"


def image_store(packages: Path, archives: Mapping[str, Path], say: Callable[[str], None] = lambda line: None) -> Path:
    """A containerd root with those images; made now if there is none of exactly them.

    :param packages: the unpacked programs of the node, containerd among them.
    :param archives: digest -> archive of an image.
    :raises LabError: an image cannot be imported.
    """

    def make(folder: Path) -> None:
        say(f"importing {len(archives)} images (once)")
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="vdibench-import-", dir=folder.parent) as scratch:
            line = ["unshare", "--net", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child"]
            line += ["--mount-proc", sys.executable, "-m", "vdibench.lab.cluster.importing"]
            line += ["--packages", str(packages), "--root", str(folder), "--scratch", scratch]
            line += [str(archive) for archive in archives.values()]
            done = subprocess.run(line, capture_output=True, text=True, check=False)
        if done.returncode:
            said = done.stderr.strip().splitlines()
            raise LabError(said[-1] if said else f"the import ended with {done.returncode}", "see above")
        say(f"imported {len(archives)} images in {time.monotonic() - began:.0f} s")

    name = entry_name("images", (str(packages), *sorted(archives)))
    return entry(cache_root() / "cluster", name, make)


def lay_store(store: Path, root: Path) -> None:
    """Make an empty folder a containerd root with all that a store holds.

    Called in the mount namespace of the node: the layers are mounted there.

    :param store: a containerd root of which no process is left.
    """
    for folder, names, files in os.walk(store):
        here = Path(folder).relative_to(store)
        (root / here).mkdir(mode=0o711, parents=True, exist_ok=True)
        if here == _SNAPSHOTS:
            for name in sorted(names):
                (root / here / name).mkdir()
                bind(store / here / name, root / here / name)
            names.clear()
            continue
        for file in files:
            source, target = store / here / file, root / here / file
            if "blobs" in here.parts:
                # Blobs are only ever added and removed.
                try:
                    os.link(source, target)
                    continue
                except OSError:  # another file system
                    pass
            shutil.copy2(source, target)
