"""How far a desktop's clock may be from ours. I/O: asks the resolver."""

from __future__ import annotations

import ipaddress
import math
import socket
from urllib.parse import urlsplit

import psutil

from vdibench.targets.address import TargetAddress

__all__ = ["UNKNOWN_CLOCK_SECONDS", "clock_bound_seconds", "is_here", "peer_is_here"]

# Two hosts whose clocks were not compared: any one-way figure may be wrong by this much, so none can pass.
UNKNOWN_CLOCK_SECONDS = 86_400.0


def clock_bound_seconds(address: TargetAddress, measured: float | None = None, *, peer: str = "") -> float:
    """How far the desktop's clock may be from where we put it.

    :param measured: bound of the estimates in table ``clock``; None where nothing was compared.
    :param peer: ``host:port`` that the picture comes from, where that is known.
    :return: zero on this host, by construction; the measured bound elsewhere; else what makes every one-way figure
        unfit for an objective.
    """
    ours = address.kind != "url"
    here = ours or is_here(urlsplit(address.name).hostname or "")
    if here and (not peer or ours or peer_is_here(peer)):
        return 0.0
    return UNKNOWN_CLOCK_SECONDS if measured is None or not math.isfinite(measured) else measured


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
