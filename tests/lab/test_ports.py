"""Port leases: nobody else gets them, in this process or another, and they end with their holder."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from vdibench.errors import LabError
from vdibench.lab import ports
from vdibench.lab.ports import LEASE_NAME, PortLeases


def test_leases_do_not_overlap() -> None:
    leases = [PortLeases() for _ in range(4)]
    taken = [port for each in leases for block in (each.lease(), each.lease(50)) for port in block]
    assert len(taken) == len(set(taken)) == 4 * 51
    assert leases[0].held == tuple(sorted(taken[:51]))
    low, high = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    assert not [port for port in taken if low <= port <= high]
    for each in leases:
        each.close()


def test_leased_or_used_ports_are_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = PortLeases()
    block = ours.lease(6)
    ours.close()
    first = block.start
    monkeypatch.setattr(ports, "_FIRST", first)
    monkeypatch.setattr(ports, "_LAST", first + 5)
    with (
        socket.socket(socket.AF_UNIX) as lease,
        socket.create_server(("127.0.0.1", first + 1)),
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams,
    ):
        lease.bind(LEASE_NAME.format(port=first))
        datagrams.bind(("127.0.0.1", first + 2))
        assert ours.lease(3) == range(first + 3, first + 6)
        with pytest.raises(LabError, match=r"no block of 1 free ports .*: take other labs down"):
            ours.lease()
    ours.close()


def test_a_killed_holder_gives_its_ports_back() -> None:
    script = "from vdibench.lab.ports import PortLeases; print(PortLeases().lease().start, flush=True); input()"
    script = script.replace("PortLeases().lease()", "(held := PortLeases()).lease()")
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        name = LEASE_NAME.format(port=int(holder.stdout.readline()))
        with socket.socket(socket.AF_UNIX) as rival, pytest.raises(OSError, match="Address already in use"):
            rival.bind(name)
        holder.kill()
        holder.wait()
        with socket.socket(socket.AF_UNIX) as rival:
            rival.bind(name)
