"""Images imported into a containerd root: process 1 of short-lived namespaces. Linux only, as root.

Started by :func:`vdibench.lab.cluster.store.image_store` as ``python -m vdibench.lab.cluster.importing``; it says what
failed on standard error, in one line, and ends.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

from vdibench.errors import LabError
from vdibench.lab.cluster import commands
from vdibench.lab.cluster.mounts import arrange

__all__ = ["main"]

_UP_SECONDS, _DOWN_SECONDS = 20.0, 20.0
_LOOK_SECONDS = 0.05


def main() -> None:
    """Import archives into an empty root."""
    line = argparse.ArgumentParser(prog="vdibench-lab-importing")
    line.add_argument("--packages", type=Path, required=True)
    line.add_argument("--root", type=Path, required=True)
    line.add_argument("--scratch", type=Path, required=True)
    line.add_argument("archives", type=Path, nargs="+")
    options = line.parse_args()
    try:
        arrange(options.packages, options.scratch, keep=(options.root, *(one.parent for one in options.archives)))
        _import(options.root, options.scratch, options.archives)
    except (LabError, OSError) as error:
        sys.exit(str(error))


def _import(root: Path, scratch: Path, archives: list[Path]) -> None:
    configuration = scratch / "containerd.toml"
    configuration.write_text(commands.containerd(root, scratch))
    with (scratch / "containerd.log").open("wb") as log:
        daemon = subprocess.Popen(["containerd", f"--config={configuration}"], stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + _UP_SECONDS
        while _ctr("version"):
            if daemon.poll() is not None or time.monotonic() > deadline:
                lines = (scratch / "containerd.log").read_text(errors="replace").splitlines()
                raise LabError(f"containerd does not start: {lines[-1] if lines else 'it said nothing'}", "see its log")
            time.sleep(_LOOK_SECONDS)  # it comes up within a second
        for archive in archives:
            if said := _ctr("--namespace=k8s.io", "images", "import", str(archive)):
                raise LabError(f"cannot import {archive.name}: {said}", "remove it from the cache and try again")
    finally:
        # Asked to end, it leaves its databases closed.
        daemon.terminate()
        daemon.wait(_DOWN_SECONDS)


def _ctr(*words: str) -> str:
    """What went wrong; empty when nothing did."""
    done = subprocess.run(
        ["ctr", f"--address={commands.CONTAINERD_SOCKET}", *words], capture_output=True, text=True, check=False
    )
    if not done.returncode:
        return ""
    lines = done.stderr.strip().splitlines()
    return lines[-1] if lines else f"exit {done.returncode}"


if __name__ == "__main__":
    main()
