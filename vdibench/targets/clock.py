"""How far a desktop's clock may be from ours. I/O: asks the resolver."""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import urlsplit

import psutil

from vdibench.targets.address import TargetAddress

__all__ = ["UNKNOWN_CLOCK_SECONDS", "clock_bound_seconds", "is_here", "peer_is_here"]

# Two hosts whose clocks were not compared: any one-way figure may be wrong by this much, so none can pass.
UNKNOWN_CLOCK_SECONDS = 86_400.0


def clock_bound_seconds(address: TargetAddress) -> float:
    """How far the desktop's clock may be from ours: zero on this host, unknown elsewhere."""
    if address.kind == "lab":
        return 0.0
    return 0.0 if is_here(urlsplit(address.name).hostname or "") else UNKNOWN_CLOCK_SECONDS


def peer_is_here(address: str) -> bool:
    """Whether the peer at ``address`` (``host:port`` of a candidate) is this host.

    The page alone says too little: behind a port-forward it is on loopback while the picture comes from elsewhere.
    """
    return is_here(address.rpartition(":")[0])


def is_here(host: str) -> bool:
    """Whether ``host``, a name or an IP address, is this host and nothing else. A name may block on the resolver."""
    try:
        found = {str(info[4][0]).partition("%")[0] for info in socket.getaddrinfo(host, None)}
    except (OSError, UnicodeError):
        return False
    ours = {item.address.partition("%")[0] for items in psutil.net_if_addrs().values() for item in items}
    return bool(found) and all(ipaddress.ip_address(ip).is_loopback or ip in ours for ip in found)
