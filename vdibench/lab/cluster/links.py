"""The one interface that a cluster lab has on the host, and its end. Linux only, as root.

It goes with the cluster's network namespace, and that goes when the last connection in it is over: one whose other end
has vanished is tried for a minute. So it is removed by name, at once.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

__all__ = ["note_link", "remove_link", "remove_noted_link"]

_NOTE = "cluster-link"


def note_link(directory: Path, name: str) -> None:
    """Write down a lab's interface before it is made, so that it is found after the death of everybody else."""
    (directory / _NOTE).write_text(name)


def remove_noted_link(directory: Path) -> None:
    """Remove the interface of the lab in that directory, where it has one."""
    try:
        name = (directory / _NOTE).read_text()
    except OSError:
        return
    remove_link(name)


def remove_link(name: str) -> None:
    """Remove an interface, with its addresses and routes; one that is gone is none."""
    if (Path("/sys/class/net") / name).exists():
        subprocess.run(["ip", "link", "delete", name], capture_output=True, check=False)
