"""What a cluster must not change of the machine that it runs on. Linux only, as root."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

__all__ = ["host_state"]

# Counters, and what moves by itself on an idle machine.
_MOVING = ("kernel.random.", "kernel.ns_last_pid", "fs.dentry-state", "fs.file-nr", "fs.inode-", "kernel.pty.nr")
_MOVING += ("fs.quota.", "net.netfilter.nf_conntrack_count")


def host_state() -> dict[str, str]:
    """Interfaces, routes, packet filter, settings, mounts, control groups and modules' switches of the machine."""
    return {
        "interfaces": _output("ip", "-oneline", "link"),
        "addresses": _output("ip", "-oneline", "address"),
        "routes": _output("ip", "route", "show", "table", "all"),
        "rules": _output("ip", "rule"),
        "filter": "\n".join(Path(f"/proc/net/{name}").read_text() for name in _tables()),
        "settings": _settings(),
        "mounts": Path("/proc/self/mountinfo").read_text(),
        "groups": "\n".join(sorted(_groups())),
    }


def _tables() -> list[str]:
    return [name for name in ("ip_tables_names", "ip6_tables_names") if Path(f"/proc/net/{name}").exists()]


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
