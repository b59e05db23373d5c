"""Leases on loopback ports: no two labs of a machine, of whatever user, get the same. Linux only when called.

A lease is a bound abstract unix socket ``\\0vdibench/port/<n>``: taking it is atomic, and it ends with the
processes that hold it, however they end. Ports lie outside the kernel's ephemeral range, so that no client
socket takes one in between.
"""

from __future__ import annotations

import contextlib
import random
import socket
from collections.abc import Iterator
from pathlib import Path

from vdibench.errors import LabError

__all__ = ["LEASE_NAME", "PortLeases"]

LEASE_NAME = "\0vdibench/port/{port}"

# Above the ports of common services, below Kubernetes node ports (30000) and the usual ephemeral range.
_FIRST, _LAST = 17000, 29999


class PortLeases:
    """The ports that one lab holds; they go when it is closed or when the process ends."""

    def __init__(self) -> None:
        self._held: dict[int, socket.socket] = {}

    @property
    def held(self) -> tuple[int, ...]:
        """The leased ports, ascending."""
        return tuple(sorted(self._held))

    @property
    def descriptors(self) -> tuple[int, ...]:
        """The sockets behind the leases, for a process that shall prolong them."""
        return tuple(lease.fileno() for lease in self._held.values())

    def lease(self, count: int = 1) -> range:
        """Take a block of adjoining ports that nobody holds or listens on, on TCP and UDP.

        :raises LabError: there is no such block.
        """
        for start in _starts(count):
            block = range(start, start + count)
            if self._take(block):
                return block
        raise LabError(
            f"no block of {count} free ports between {_FIRST} and {_LAST}",
            "take other labs down with 'vdibench lab down' (see 'vdibench lab status')",
        )

    def close(self) -> None:
        """Give all ports back."""
        for lease in self._held.values():
            lease.close()
        self._held.clear()

    def _take(self, block: range) -> bool:
        taken: dict[int, socket.socket] = {}
        for port in block:
            lease = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                lease.bind(LEASE_NAME.format(port=port))
                _test_bind(port)
            except OSError:
                lease.close()
                for other in taken.values():
                    other.close()
                return False
            taken[port] = lease
        self._held |= taken
        return True


def _test_bind(port: int) -> None:
    """:raises OSError: somebody uses the port."""
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            if kind == socket.SOCK_STREAM:
                # Connections of an earlier lab that linger in TIME-WAIT are no reason to avoid a port.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("", port))


def _starts(count: int) -> Iterator[int]:
    """First ports of possible blocks, from a random place on, so that labs seldom meet."""
    low, high = _ephemeral_range()
    starts = [start for start in range(_FIRST, _LAST + 2 - count) if start + count <= low or start > high]
    # A machine whose ephemeral range covers everything leaves no choice; the lease and the test still hold.
    starts = starts or list(range(_FIRST, _LAST + 2 - count))
    turn = random.randrange(len(starts))
    yield from starts[turn:]
    yield from starts[:turn]


def _ephemeral_range() -> tuple[int, int]:
    with contextlib.suppress(OSError, ValueError):  # not to be read in some sandboxes: Linux's defaults
        low, high = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()
        return int(low), int(high)
    return 32768, 60999
