"""A network namespace of our own: real sockets inside, nothing left behind; and what is said where it cannot be."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vdibench.errors import VdibenchError
from vdibench.links import DIRECT, PROFILES, Direction, NamespaceRoute, available, profile
from vdibench.links.namespace import Namespace, missing, sweep
from vdibench.links.netem import netem_arguments

from .ends import EchoServer

KILLED = """
import os, signal
from vdibench.links.namespace import Namespace
namespace = Namespace().__enter__()
print(namespace.name, namespace.device, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
UNPRIVILEGED = "from vdibench.links import available; print(available())"

# Where namespaces cannot be made the tests hold the refusal to its word instead.
LACKS = missing()


def left_behind() -> list[str]:
    devices = [path.name for path in Path("/sys/class/net").iterdir() if path.name.startswith("vdb")]
    return devices + [path.name for path in Path("/run/netns").glob(f"vdibench-*-{os.getpid()}-*")]


def refused() -> bool:
    """Whether this machine lacks what a namespace needs; then it must say so."""
    if LACKS is None:
        return False
    with pytest.raises(VdibenchError) as raised, NamespaceRoute(DIRECT):
        pass
    assert str(raised.value) == str(LACKS)
    assert "use the relay" in raised.value.remedy
    assert str(available()) == str(LACKS)
    return True


async def test_sockets_inside_reach_this_machine_and_nothing_is_left(echo: EchoServer) -> None:
    if refused():
        return
    async with NamespaceRoute(DIRECT) as route:
        assert route.hides_client
        (inside,) = route.addresses() or []
        assert inside == route.namespace.address != route.namespace.host_address
        with route.socket(socket.AF_INET, socket.SOCK_STREAM) as client:
            assert client.gettimeout() == 0.0
            client.settimeout(5.0)
            client.connect(await route.tcp(echo.host, echo.port))
            assert client.getsockname()[0] == inside
            client.sendall(b"hello")
            assert client.recv(100) == b"hello"
        with (
            route.socket(socket.AF_INET, socket.SOCK_DGRAM) as client,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server,
        ):
            server.bind(("127.0.0.1", 0))
            for end in (client, server):
                end.settimeout(5.0)
            client.bind((inside, 0))
            client.sendto(b"question", await route.udp(*server.getsockname()))
            word, seen_as = server.recvfrom(100)
            assert (word, seen_as[0]) == (b"question", "127.0.0.1")
            server.sendto(b"answer", seen_as)
            assert client.recv(100) == b"answer"
        with route.socket(socket.AF_INET, socket.SOCK_STREAM) as client, pytest.raises(OSError, match="unreachable"):
            client.connect(("192.0.2.1", 80))
    assert left_behind() == []
    with pytest.raises(VdibenchError, match="use it inside its with block"):
        route.socket(socket.AF_INET, socket.SOCK_STREAM)


def test_two_at_once_have_addresses_of_their_own() -> None:
    if refused():
        return
    with Namespace() as one, Namespace() as other:
        assert len({one.address, one.host_address, other.address, other.host_address}) == 4
        assert sweep() == []
    assert left_behind() == []


def test_what_a_killed_process_left_is_swept() -> None:
    if refused():
        return
    done = subprocess.run([sys.executable, "-c", KILLED], capture_output=True, text=True, check=False)
    name, device = done.stdout.split()
    assert (Path("/run/netns") / name).exists()
    assert Path("/sys/class/net", device).exists()
    assert name in sweep()
    assert not (Path("/run/netns") / name).exists()
    assert not Path("/sys/class/net", device).exists()


def test_the_emulator_shapes_or_its_lack_is_named(echo: EchoServer) -> None:
    if refused():
        return
    lacks = available()
    if lacks is not None:
        # What the kernel itself says decides, in a namespace of its own.
        with Namespace() as namespace:
            asked = ["ip", "netns", "exec", namespace.name, "tc", "qdisc", "add", "dev", "eth0", "root", "netem"]
            answer = subprocess.run(asked, capture_output=True, text=True, check=False)
            assert answer.returncode != 0
            assert "unknown" in answer.stderr or "No such file" in answer.stderr
        assert lacks.cause == "this kernel has no network emulator (sch_netem)"
        assert lacks.remedy == "modprobe sch_netem on the host, or use the relay"
        with pytest.raises(VdibenchError, match="no network emulator"), NamespaceRoute(profile("4g")):
            pass
        assert left_behind() == []
        return
    with NamespaceRoute(profile("delay=20ms")) as route:
        with route.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(5.0)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
                server.bind((route.namespace.host_address, 0))
                for _ in range(5):
                    began = time.monotonic()
                    client.sendto(b"ping", server.getsockname())
                    server.sendto(b"pong", server.recvfrom(100)[1])
                    assert client.recv(100) == b"pong"
                    took = time.monotonic() - began
                assert took == pytest.approx(0.04, abs=0.01)
                route.set_profile(profile("down.loss=100%"))
                client.settimeout(0.2)
                client.sendto(b"ping", server.getsockname())
                server.sendto(b"pong", server.recvfrom(100)[1])
                with pytest.raises(TimeoutError):
                    client.recv(100)
        assert route.dropped()[0] >= 1
    assert left_behind() == []


def test_without_root_it_says_so() -> None:
    unshare = shutil.which("unshare")
    assert unshare is not None
    done = subprocess.run(
        [unshare, "--user", sys.executable, "-c", UNPRIVILEGED], capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "a network namespace needs root: run as root, or use the relay", done.stderr


def test_without_iproute2_it_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert str(available()) == "there is no 'ip' here: install iproute2, or use the relay"


@pytest.mark.parametrize(
    ("direction", "words"),
    [
        (Direction(delay_seconds=0.05), "limit 1000000 delay 50000us"),
        (Direction(delay_seconds=0.01, jitter_seconds=0.004, reorder=True), "limit 1000000 delay 12000us 2000us"),
        (Direction(jitter_seconds=0.004), "limit 1000000 delay 2000us 2000us rate 100000000000bit"),
        (Direction(loss_ratio=0.01), "limit 1000000 loss gemodel 1.000000% 99.000000%"),
        (Direction(loss_ratio=0.02, burst_packets=2), "limit 1000000 loss gemodel 1.020408% 50.000000%"),
        (Direction(rate_bps=12e6, delay_seconds=0.05), "limit 150 delay 50000us rate 12000000bit"),
        (Direction(rate_bps=1e3, queue_seconds=0.0), "limit 10 rate 1000bit"),
    ],
)
def test_the_emulator_is_told_the_same_figures(direction: Direction, words: str) -> None:
    assert " ".join(netem_arguments(direction)) == words


def test_tc_itself_can_read_every_profile() -> None:
    if refused():
        return
    with Namespace() as namespace:
        for link in PROFILES.values():
            for direction in (link.down, link.up):
                asked = ["tc", "-n", namespace.name, "qdisc", "replace", "dev", "eth0", "root", "netem"]
                done = subprocess.run(
                    [*asked, *netem_arguments(direction)], capture_output=True, text=True, check=False
                )
                # Its own parser runs before the kernel is asked.
                assert done.returncode == 0 or "qdisc kind is unknown" in done.stderr, done.stderr
