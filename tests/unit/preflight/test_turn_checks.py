"""Against a real coturn on loopback."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import socket
import subprocess
import threading
import time

import psutil
import pytest

from vdibench.lab.ports import PortLeases
from vdibench.preflight import TurnServer
from vdibench.preflight.stun import TurnProbe
from vdibench.preflight.turn_checks import check_turn
from vdibench.records import Outcome


def soon() -> float:
    return time.monotonic() + 20


def test_an_allocation_relays_and_a_wrong_password_is_refused(context, turn):
    found = check_turn(dataclasses.replace(context, turn=turn))
    assert found.outcome is Outcome.PASS
    assert "relay address 127.0.0.1:" in found.finding
    assert "a datagram through it takes" in found.finding
    assert "refused with 401" in found.finding
    assert turn.password not in found.finding + found.evidence + repr(turn)


def test_wrong_credentials_fail_with_the_servers_words(context, turn):
    stranger = dataclasses.replace(turn, password="not the password")
    found = check_turn(dataclasses.replace(context, turn=stranger))
    assert found.outcome is Outcome.FAIL
    assert "401" in found.finding
    assert found.remedy


def test_a_port_without_server_fails_at_once(context):
    leases = PortLeases()
    try:
        began = time.monotonic()
        nobody = TurnServer("127.0.0.1", leases.lease()[0], "user", "password")
        found = check_turn(dataclasses.replace(context, turn=nobody))
        assert time.monotonic() - began < 5
    finally:
        leases.close()
    assert found.outcome is Outcome.FAIL
    assert "refused" in found.finding


def test_a_server_that_says_nothing_fails_in_time(context):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        server = TurnServer("127.0.0.1", silent.getsockname()[1], "user", "password")
        found = check_turn(dataclasses.replace(context, turn=server, check_seconds=1.0))
    assert found.outcome is Outcome.FAIL
    assert "no answer in time" in found.finding


def test_a_server_that_relays_for_anybody_fails(context, open_relay):
    found = check_turn(dataclasses.replace(context, turn=open_relay))
    assert found.outcome is Outcome.FAIL
    assert "relays for anybody" in found.finding


def test_the_check_starts_a_server_of_its_own_and_ends_it(context):
    found = check_turn(context)
    assert found.outcome is Outcome.PASS
    port = int(found.evidence.partition("127.0.0.1:")[2].split()[0])
    children = psutil.Process().children(recursive=True)
    assert not [child for child in children if str(port) in " ".join(child.cmdline())]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", port))


def test_an_allocation_is_given_back(turn):
    """Its port is free again long before the lifetime of a minute is over."""
    with TurnProbe(turn.host, turn.port, turn.user, turn.password, soon()) as probe:
        _, port = probe.allocate()
        assert _is_bound(port)
    deadline, pause = soon(), threading.Event()
    while _is_bound(port):
        assert time.monotonic() < deadline
        pause.wait(0.05)


def _is_bound(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


@pytest.fixture
def open_relay(tmp_path):
    """A coturn that asks for no credentials."""
    turnserver = shutil.which("turnserver")
    assert turnserver is not None
    leases = PortLeases()
    port, relays = leases.lease()[0], leases.lease(4)
    configuration = tmp_path / "turn.conf"
    configuration.write_text(
        f"listening-ip=127.0.0.1\nlistening-port={port}\nrelay-ip=127.0.0.1\nmin-port={relays.start}\n"
        f"max-port={relays.stop - 1}\nno-auth\nallow-loopback-peers\nno-cli\nno-tls\nno-dtls\nlog-file=stdout\n"
        f"pidfile={tmp_path / 'turn.pid'}\nuserdb={tmp_path / 'turndb'}\n"
    )
    process = subprocess.Popen(
        [turnserver, "-c", str(configuration)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=tmp_path
    )
    try:
        deadline = soon()
        while True:
            with (
                contextlib.suppress(ConnectionRefusedError),
                TurnProbe("127.0.0.1", port, "", "", deadline) as probe,
            ):
                probe.allocate()
                break
        yield TurnServer("127.0.0.1", port, "user", "password")
    finally:
        process.terminate()
        process.wait()
        leases.close()
