"""Images that no cluster lab has by itself, brought into a running one. Linux only, as root.

``python -m vdibench.lab.cluster.adding --lab NAME IMAGE…``: outside of ``lab up``, because whoever wants a cluster
should not wait for an image that only few need, and outside of the store that all labs share, because this image
changes with every source file.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable

from vdibench.errors import LabError, VdibenchError
from vdibench.lab import DEFAULT_NAME, Lab
from vdibench.lab.cluster.access import ClusterAccess
from vdibench.lab.cluster.commands import CONTAINERD_SOCKET
from vdibench.lab.cluster.images import ON_REQUEST, Image, images

__all__ = ["add_images", "main"]


def add_images(
    cluster: ClusterAccess, names: Iterable[str] = ON_REQUEST, say: Callable[[str], None] = lambda line: None
) -> tuple[Image, ...]:
    """Import images into a cluster, made now as far as they are not kept; they go with it.

    :param names: short ones, as in ``load``.
    :param say: called with a line per step that takes its time.
    :raises LabError: one cannot be made or imported.
    """
    made = images(say, only=names)
    for image in made:
        _forget_older(image)
        say(f"importing {image.name}")
        # By its standard input: a folder below /run or /var may not be seen inside.
        line = ["ctr", f"--address={CONTAINERD_SOCKET}", "--namespace=k8s.io", "images", "import", "-"]
        with image.path.open("rb") as archive:
            done = subprocess.run(
                cluster.inside(line),
                stdin=archive,
                env=cluster.environment(),
                capture_output=True,
                text=True,
                check=False,
            )
        if done.returncode:
            said = done.stderr.strip().splitlines()
            raise LabError(
                f"cannot import {image.name}: {said[-1] if said else f'exit {done.returncode}'}",
                "check the free space, and that the lab is up",
            )
    return made


def _forget_older(image: Image) -> None:
    """One archive is the better part of a gigabyte, and each change of a source file makes another one."""
    kept = image.path.parent
    for other in kept.parent.glob(f"{kept.name.rpartition('-')[0]}-*"):
        if other != kept and other.is_dir():
            shutil.rmtree(other, ignore_errors=True)


def main() -> None:
    """Bring images into a lab's cluster."""
    line = argparse.ArgumentParser(prog="python -m vdibench.lab.cluster.adding")
    line.add_argument("--lab", default=DEFAULT_NAME, metavar="NAME", help="the lab's name")
    line.add_argument("images", nargs="+", choices=ON_REQUEST, help="which")
    options = line.parse_args()
    try:
        cluster = Lab.find(options.lab).cluster
        if cluster is None:
            raise LabError(f"the lab {options.lab!r} has no cluster", "start one with 'vdibench lab up --cluster'")
        for image in add_images(cluster, options.images, lambda line: print(line, file=sys.stderr, flush=True)):
            print(image.name)
    except VdibenchError as error:
        print(f"vdibench: error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
