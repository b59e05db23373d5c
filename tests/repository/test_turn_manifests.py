"""coturn's configuration: put together by the pod's own script, and asked for relays by one who must not have them.

On loopback, which a site's coturn never allows: the one line that says otherwise here is the test's.
"""

from __future__ import annotations

import os
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aioice import stun

from vdibench.lab.ports import PortLeases
from vdibench.lab.turn import mint
from vdibench.preflight.stun import Transport, TurnProbe, TurnRefused

from .kustomize import MANIFESTS, built, only

TURN = MANIFESTS / "network" / "turn"
OLD, NEW = "an-old-secret", "a-new-secret"
SECONDS = 20.0


def assembled(place: Path, secrets: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the init container's script with its folders below another root."""
    for folder in ("config", "secret", "run"):
        (place / folder).mkdir()
    (place / "config" / "turnserver.conf").write_text(
        (TURN / "turnserver.conf").read_text().replace("/run/turn", str(place / "run"))
    )
    if secrets:
        (place / "secret" / "static-auth-secret").write_text(secrets)
    script = (
        (TURN / "assemble.sh").read_text().replace("/etc/turn", str(place)).replace("/run/turn", str(place / "run"))
    )
    environment = {"PATH": os.environ["PATH"], "NODE_ADDRESS": "127.0.0.1", **environment}
    return subprocess.run(
        ["sh", "-c", script], env=environment, capture_output=True, text=True, timeout=30, check=False
    )


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A coturn with the configuration of the pod, at a port of its own."""
    place = tmp_path_factory.mktemp("turn")
    assert assembled(place, f"{OLD}\n{NEW}\n").returncode == 0
    leases = PortLeases()
    listening, relays = leases.lease()[0], leases.lease(64)
    file = place / "run" / "turnserver.conf"
    text = file.read_text()
    for old, new in (
        ("listening-port=3478", f"listening-port={listening}"),
        ("min-port=49152", f"min-port={relays.start}"),
        ("max-port=65535", f"max-port={relays.stop - 1}"),
    ):
        assert text.count(old) == 1
        text = text.replace(old, new)
    file.write_text(text + "allow-loopback-peers\n")
    log = place / "log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            ["turnserver", "-c", str(file)], stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=place
        )
    try:
        yield listening
    finally:
        server.terminate()
        server.wait(30)
        leases.close()
    said = log.read_text()
    assert "Bad configuration" not in said, said
    assert "Unknown" not in said, said


def probe(port: int, secret: str, seconds_left: float = 60, transport: Transport = "udp") -> TurnProbe:
    # Another user each time: what one had is counted against its quota for a while.
    user, password = mint(secret, uuid.uuid4().hex, int(time.time() + seconds_left))
    return TurnProbe("127.0.0.1", port, user, password, time.monotonic() + SECONDS, transport)


def allocated(port: int, secret: str, **more: Any) -> None:
    # Until it listens a datagram is refused.
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            with probe(port, secret, **more) as asking:
                asking.allocate()
                return
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)  # nothing tells when a UDP port is bound


def permitted(port: int, address: str) -> bool:
    """Whether the relay may talk to an address; nothing is sent to it."""
    with probe(port, NEW) as asking:
        asking.allocate()
        try:
            asking._request(stun.Method.CREATE_PERMISSION, {"XOR-PEER-ADDRESS": (address, 9)})
        except TurnRefused as refused:
            if refused.code != 403:
                raise
            return False
        return True


@pytest.mark.parametrize("secret", [OLD, NEW])
def test_each_line_of_the_secret_mints(port: int, secret: str) -> None:
    allocated(port, secret)


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_a_port_of_ours_that_was_anothers_is_left_for_another(port: int, transport: Transport) -> None:
    allocated(port, NEW)
    with probe(port, NEW, transport=transport) as former, probe(port, NEW, transport=transport) as asking:
        relayed = former.allocate()
        # As it is when the kernel gives us the port of one that ended and did not say so.
        asking._socket.close()
        asking._socket = former._socket.dup()
        before = former._socket.getsockname()
        assert asking.allocate() != relayed
        assert asking._socket.getsockname() != before
        assert asking.relay(b"by the relay") < SECONDS


def test_another_secret_and_an_expired_credential_do_not(port: int) -> None:
    allocated(port, NEW)
    for secret, left in (("a-third-secret", 60.0), (NEW, -60.0)):
        with pytest.raises(TurnRefused):
            allocated(port, secret, seconds_left=left)


def test_a_session_meets_its_user_at_the_node(port: int) -> None:
    allocated(port, NEW)
    with probe(port, NEW) as asking:
        asking.allocate()
        assert asking.relay(b"by the relay") < SECONDS


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("127.0.0.1", True),  # the node
        ("203.0.113.9", True),  # a user's public address
        ("127.0.0.2", False),
        ("0.0.0.1", False),
        ("10.42.0.5", False),  # a pod of K3s
        ("10.43.0.1", False),  # its API server
        ("100.64.0.1", False),
        ("169.254.169.254", False),
        ("172.16.0.1", False),
        ("172.31.255.254", False),
        ("192.168.1.1", False),
        ("198.18.0.1", False),
        ("240.0.0.1", False),
    ],
)
def test_peer(port: int, address: str, expected: bool) -> None:
    allocated(port, NEW)
    assert permitted(port, address) is expected


def test_without_a_secret_nothing_is_assembled(tmp_path: Path) -> None:
    done = assembled(tmp_path, "")
    assert done.returncode == 1
    assert done.stderr == "the Secret coturn-auth has no static-auth-secret\n"
    assert not (tmp_path / "run" / "turnserver.conf").exists()


def test_an_external_address_is_told_and_is_a_peer(tmp_path: Path) -> None:
    assert assembled(tmp_path, NEW, EXTERNAL_ADDRESS="198.51.100.7").returncode == 0
    file = tmp_path / "run" / "turnserver.conf"
    lines = file.read_text().splitlines()
    assert "external-ip=198.51.100.7/127.0.0.1" in lines
    assert lines.count("allowed-peer-ip=198.51.100.7") == 1
    assert lines.count("allowed-peer-ip=127.0.0.1") == 1
    assert file.stat().st_mode & 0o077 == 0


def test_the_pod_runs_that_script_on_that_configuration() -> None:
    items = built("overlays/k3s")
    spec = only(items, "Deployment", "coturn")["spec"]["template"]["spec"]
    (config,) = (v["configMap"]["name"] for v in spec["volumes"] if "configMap" in v)
    data = only(items, "ConfigMap", config)["data"]
    assert data == {name: (TURN / name).read_text() for name in ("turnserver.conf", "assemble.sh")}
    (first,), (server,) = spec["initContainers"], spec["containers"]
    assert first["command"] == ["/bin/sh", "/etc/turn/config/assemble.sh"]
    address = {"name": "NODE_ADDRESS", "valueFrom": {"fieldRef": {"fieldPath": "status.hostIP"}}}
    assert address in first["env"]
    assert server["command"] == ["turnserver", "-c", "/run/turn/turnserver.conf"]
    major, minor, patch = (int(word) for word in server["image"].rpartition(":")[2].split("."))
    assert (major, minor, patch) >= (4, 13, 1)
    (memory,) = (v["emptyDir"]["medium"] for v in spec["volumes"] if v["name"] == "run")
    assert memory == "Memory"
