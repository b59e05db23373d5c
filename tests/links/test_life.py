"""The relay's process: how it starts and ends, what it refuses, what a killed parent leaves."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from vdibench.errors import UsageError, VdibenchError
from vdibench.links import DIRECT, Relay

PARENT = """
import sys, time
from vdibench.links import DIRECT, Relay
relay = Relay()
relay.start()
route = relay.route(DIRECT)
print(relay.pid, route.open("127.0.0.1", 9, udp=False)[1], flush=True)
sys.stdin.read()
"""


def ended(process: psutil.Process) -> None:
    """Wait until it has; where nobody takes its exit status it stays in the table."""
    until = time.monotonic() + 5.0
    while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < until


def test_it_ends_with_its_block() -> None:
    with Relay() as relay:
        process = psutil.Process(relay.pid)
        assert process.is_running()
    assert not process.is_running()
    assert relay.pid == -1
    relay.close()


async def test_it_is_an_asynchronous_context_manager_too() -> None:
    async with Relay() as relay:
        assert (await relay.route(DIRECT).tcp("127.0.0.1", 9))[1] > 0
        process = psutil.Process(relay.pid)
    assert not process.is_running()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_parent_that_ends_in_any_way_leaves_nothing(number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as parent:
        assert parent.stdout is not None
        pid, port = map(int, parent.stdout.readline().split())
        relay = psutil.Process(pid)
        parent.send_signal(number)
        parent.wait(10)
        ended(relay)
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


def test_a_relay_that_was_killed_is_named() -> None:
    with Relay() as relay:
        route = relay.route(DIRECT)
        os.kill(relay.pid, signal.SIGKILL)
        ended(psutil.Process(relay.pid))
        with pytest.raises(VdibenchError, match="the link's relay was ended by signal 9: open the link again"):
            route.counters()


def test_ctrl_c_is_the_parents_to_decide_on() -> None:
    with Relay() as relay:
        route = relay.route(DIRECT)
        os.kill(relay.pid, signal.SIGINT)
        for _ in range(10):
            assert route.counters().up.packets == 0


def test_a_relay_that_does_not_run_says_so() -> None:
    with pytest.raises(VdibenchError, match="does not run: start it"):
        Relay().route(DIRECT)


@pytest.mark.parametrize("bind", ["0.0.0.0", "::", "224.0.0.1"])
def test_it_never_listens_everywhere(bind: str) -> None:
    with Relay(bind) as relay, pytest.raises(UsageError, match="does not listen on"):
        relay.route(DIRECT).open("127.0.0.1", 9, udp=True)


def test_it_listens_on_no_address_of_another_machine() -> None:
    with Relay("192.0.2.1") as relay:
        for udp in (True, False):
            with pytest.raises(
                UsageError, match=r"[Cc]annot assign requested address: give an address of this machine"
            ):
                relay.route(DIRECT).open("127.0.0.1", 9, udp=udp)


def test_it_listens_on_loopback_only() -> None:
    with Relay() as relay:
        route = relay.route(DIRECT)
        for udp in (True, False):
            route.open("127.0.0.1", 9, udp=udp)
        addresses = {connection.laddr.ip for connection in psutil.Process(relay.pid).net_connections("inet")}
        assert addresses == {"127.0.0.1"}


def test_idle_it_takes_no_processor_and_no_files() -> None:
    with Relay() as relay:
        route = relay.route(DIRECT)
        process = psutil.Process(relay.pid)
        files = process.num_fds()
        for port in range(9, 19):
            route.open("127.0.0.1", port, udp=True)
        route.close()
        assert process.num_fds() == files
        before = sum(process.cpu_times()[:2])
        time.sleep(0.5)  # an idle stretch is what is measured
        assert sum(process.cpu_times()[:2]) - before <= 0.02


def test_its_command_line_tells_nothing_of_the_desktop() -> None:
    with Relay() as relay:
        relay.route(DIRECT).open("localhost", 9, udp=True)
        words = Path(f"/proc/{relay.pid}/cmdline").read_bytes().split(b"\0")
        assert words[1:4] == [b"-m", b"vdibench.tether", str(os.getpid()).encode()]
        assert words[4:] == [b"vdibench.links.process", b""]
