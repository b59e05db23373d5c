"""The control groups of a cluster lab: one below the root of each hierarchy. Linux only, as root.

Version 1, where each controller may have a tree of its own, and version 2 with its one tree.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

__all__ = ["cgroup_name", "make_cgroups", "remove_cgroups"]

_ROOT = Path("/sys/fs/cgroup")
_EMPTY_SECONDS, _LOOK_SECONDS = 3.0, 0.02


def cgroup_name(mark: str) -> str:
    """The group of the lab with that mark, from the root."""
    return f"/vdibench-{mark[:8]}"


def make_cgroups(name: str) -> None:
    """Make the group in every hierarchy, so that the kubelet makes all its groups below it."""
    if (_ROOT / "cgroup.controllers").exists():
        group = _ROOT / name.lstrip("/")
        group.mkdir(exist_ok=True)
        for controller in (group / "cgroup.controllers").read_text().split():
            with contextlib.suppress(OSError):  # what cannot be handed on here is missing in the node's report
                (group / "cgroup.subtree_control").write_text(f"+{controller}")
        return
    for hierarchy in _hierarchies():
        (hierarchy / name.lstrip("/")).mkdir(exist_ok=True)


def remove_cgroups(name: str) -> None:
    """Remove the group and all below it; the processes of it have been killed."""
    deadline = time.monotonic() + _EMPTY_SECONDS
    while _remove(name) and time.monotonic() < deadline:
        time.sleep(_LOOK_SECONDS)  # a killed process leaves its group a moment after it is gone


def _remove(name: str) -> bool:
    """Whether something of it is still there."""
    left = False
    for hierarchy in [_ROOT, *_hierarchies()]:
        group = hierarchy / name.lstrip("/")
        for folder, _, _ in os.walk(group, topdown=False):
            with contextlib.suppress(OSError):  # busy still, or gone already: looked at below
                Path(folder).rmdir()
        left = left or group.is_dir()
    return left


def _hierarchies() -> list[Path]:
    # A link, such as cpu -> cpu,cpuacct, is a second name of one.
    return [entry for entry in _ROOT.iterdir() if entry.is_dir() and not entry.is_symlink()] if _ROOT.is_dir() else []
