"""The file systems of a cluster lab's node, seen by its own mount namespace alone. Linux only, as root.

To be called by a process in a fresh mount namespace whose mounts propagate nowhere.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable
from pathlib import Path

from vdibench.errors import LabError

__all__ = ["KERNEL_SETTINGS", "arrange", "bind", "mask_kernel_settings"]

# What the kubelet sets on a node, for the whole machine. It finds these values and leaves the machine's alone.
KERNEL_SETTINGS = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}


def arrange(programs: Path, scratch: Path, keep: Iterable[Path] = ()) -> None:
    """Lay a node's programs over ``/usr``, and give ``/run`` and ``/var`` places of their own.

    :param programs: unpacked packages of Debian, with ``usr`` inside.
    :param scratch: folder for what is written below ``/var``.
    :param keep: folders that stay what they are also where they lie below ``/run`` or ``/var``.
    :raises LabError: a mount is refused.
    """
    for name in ("var-upper", "var-work"):
        (scratch / name).mkdir(mode=0o755)
    covered = [folder for folder in (scratch, *keep) if folder.is_relative_to("/run") or folder.is_relative_to("/var")]
    # An open folder stays reachable when something is mounted over the way to it.
    held = [os.open(folder, os.O_PATH | os.O_DIRECTORY) for folder in covered]
    _mount("-t", "overlay", "overlay", "-o", f"lowerdir={programs / 'usr'}:/usr", "/usr")
    layers = f"lowerdir=/var,upperdir={scratch / 'var-upper'},workdir={scratch / 'var-work'}"
    _mount("-t", "overlay", "overlay", "-o", layers, "/var")
    _mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run")
    Path("/run/lock").mkdir()
    for folder, descriptor in zip(covered, held, strict=True):
        folder.mkdir(parents=True, exist_ok=True)
        _mount("--no-canonicalize", "--bind", f"/proc/self/fd/{descriptor}", str(folder), pass_fds=(descriptor,))
        os.close(descriptor)
    # Volumes with mount propagation need a shared tree; it is shared in here only.
    _mount("--make-rshared", "/")


def mask_kernel_settings(scratch: Path) -> None:
    """Show :data:`KERNEL_SETTINGS` to this namespace as what a kubelet wants, without changing the machine's."""
    folder = scratch / "kernel"
    folder.mkdir(mode=0o755)
    for name, value in KERNEL_SETTINGS.items():
        shown = Path("/proc/sys") / name
        if shown.exists():
            stand_in = folder / name.replace("/", "-")
            stand_in.write_text(f"{value}\n")
            bind(stand_in, shown)


def bind(source: Path, target: Path) -> None:
    """Show a file or folder at another place too."""
    _mount("--bind", str(source), str(target))


def _mount(*words: str, pass_fds: tuple[int, ...] = ()) -> None:
    done = subprocess.run(["mount", *words], capture_output=True, text=True, check=False, pass_fds=pass_fds)
    if done.returncode:
        raise LabError(f"cannot mount {words[-1]}: {done.stderr.strip()}", "run as root, outside of a container")
