"""What a run says of where it was made. I/O: asks git and the resolver, both bounded in time."""

from __future__ import annotations

import ipaddress
import socket
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from vdibench.targets import TargetAddress

__all__ = ["UNKNOWN_CLOCK_SECONDS", "clock_bound_seconds", "git_commit"]

# Two hosts whose clocks were not compared: any one-way figure may be wrong by this much, so none can pass.
UNKNOWN_CLOCK_SECONDS = 86_400.0


def git_commit() -> str:
    """The commit of the checkout that vdibench runs from, with ``-dirty``; empty when it is no checkout."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return ""
    try:
        done = subprocess.run(
            ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def clock_bound_seconds(address: TargetAddress) -> float:
    """How far the desktop's clock may be from ours: zero on this host, unknown elsewhere."""
    if address.kind == "lab":
        return 0.0
    host = urlsplit(address.name).hostname or ""
    try:
        found = {info[4][0] for info in socket.getaddrinfo(host, None)}
    except OSError:
        return UNKNOWN_CLOCK_SECONDS
    ours = {item.address.partition("%")[0] for items in psutil.net_if_addrs().values() for item in items}
    here = all(ipaddress.ip_address(str(ip).partition("%")[0]).is_loopback or ip in ours for ip in found)
    return 0.0 if found and here else UNKNOWN_CLOCK_SECONDS
