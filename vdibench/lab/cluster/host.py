"""What a cluster lab must leave of the machine as it was, for those who make sure. Linux only, as root."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

__all__ = ["host_state"]

# Counters, and what moves by itself on an idle machine.
_MOVING = (
    "kernel.random.",
    "kernel.ns_last_pid",
    "kernel.pty.nr",
    "fs.dentry-state",
    "fs.file-nr",
    "fs.inode-",
    "fs.quota.",
    "net.netfilter.nf_conntrack_count",
)


def host_state(packages: Path) -> dict[str, str]:
    """Interfaces, routes, packet filter, settings, mounts and control groups of the machine, as text to be compared.

    :param packages: the unpacked programs of the node: a machine need not have ``nft`` itself.
    """
    return {
        "interfaces": _output("ip", "-oneline", "link"),
        "addresses": _output("ip", "-oneline", "address"),
        "routes": _output("ip", "route", "show", "table", "all"),
        "rules": _output("ip", "rule"),
        "filter": _rules(packages),
        "settings": _settings(),
        "mounts": Path("/proc/self/mountinfo").read_text(),
        "groups": "\n".join(sorted(_groups())),
    }


def _rules(packages: Path) -> str:
    libraries = ":".join(str(folder) for folder in (packages / "usr" / "lib").glob("*-linux-gnu"))
    program = packages / "usr" / "sbin" / "nft"
    environment = {**os.environ, "LD_LIBRARY_PATH": libraries}
    done = subprocess.run([program, "list", "ruleset"], env=environment, capture_output=True, text=True, check=True)
    return done.stdout


def _output(*words: str) -> str:
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


def _settings() -> str:
    """Every setting of the kernel, of interfaces apart: those come and go with them."""
    found = []
    for folder, _, files in os.walk("/proc/sys"):
        for name in files:
            path = Path(folder, name)
            label = str(path.relative_to("/proc/sys")).replace("/", ".")
            if label.startswith(_MOVING) or ".conf." in label or ".neigh." in label:
                continue
            try:
                found.append(f"{label}={path.read_text().strip()}")
            except (OSError, UnicodeDecodeError):
                continue
    return "\n".join(sorted(found))


def _groups() -> list[str]:
    """Those of labs; what is inside a living one comes and goes with its pods."""
    root = Path("/sys/fs/cgroup")
    return [
        str(found) for depth in ("vdibench-*", "*/vdibench-*", "kubepods", "*/kubepods") for found in root.glob(depth)
    ]
