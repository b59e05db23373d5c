"""Ports of loopback that nobody listens on."""

from __future__ import annotations

import socket


def free_port(kind: int = socket.SOCK_STREAM) -> int:
    """One that was free a moment ago; :param kind: for TCP, or ``SOCK_DGRAM`` for UDP."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
