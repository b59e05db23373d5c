"""containerd's images, imported once and shown to every cluster lab. Linux only, as root.

An import unpacks an image, which takes half a minute for a desktop. What comes out never changes, so a lab mounts the
unpacked layers and copies only the databases, which it changes.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from vdibench.lab.cluster.mounts import bind

__all__ = ["lay_store"]

_SNAPSHOTS = Path("io.containerd.snapshotter.v1.overlayfs") / "snapshots"


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
