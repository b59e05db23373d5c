"""What probes do, with real servers on loopback: TURN, TLS, an API server's answers; the programs of the pods."""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
import yaml
from kubernetes import client

from vdibench.clusters import Cluster
from vdibench.lab.cluster.pki import wildcard
from vdibench.preflight import ClusterContext, TurnServer, pod_programs
from vdibench.preflight.address_checks import domain_of
from vdibench.preflight.cluster_reader import KINDS, read_snapshot
from vdibench.preflight.cluster_snapshot import ClusterSnapshot, version_numbers
from vdibench.preflight.ingress_probe import find_ingress, read_certificate, resolve
from vdibench.preflight.probe_pods import claim_object, pod_object, why_not_running
from vdibench.preflight.stun import TurnProbe, passage_seconds
from vdibench.preflight.turn_checks import temporary_turn_server
from vdibench.preflight.turn_in_cluster import ask_binding, try_relay

PATIENCE = 20.0


@pytest.fixture(scope="module")
def turn() -> Iterator[TurnServer]:
    with temporary_turn_server(time.monotonic() + 30) as server:
        yield server


def test_a_relay_is_given_by_udp_and_by_tcp_and_passes_datagrams(turn):
    found = try_relay(turn, PATIENCE)
    assert [one.transport for one in found] == ["udp", "tcp"]
    for one in found:
        assert one.error == one.passage_error == ""
        assert one.relay.startswith("127.0.0.1:")
        assert one.passage_seconds is not None
        assert 0 < one.passage_seconds < PATIENCE
        assert one.wrong_password.startswith("refused with 401")
    assert turn.password not in repr(found)


def test_wrong_credentials_are_told_apart_from_silence(turn):
    stranger = TurnServer(turn.host, turn.port, turn.user, "not the password")
    assert all("401" in one.error for one in try_relay(stranger, PATIENCE))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        port = silent.getsockname()[1]
        udp, tcp = try_relay(TurnServer("127.0.0.1", port, "u", "p"), 0.5)
    assert "no answer in time" in udp.error
    assert "refused" in tcp.error


def test_a_stream_that_dribbles_is_put_together(turn):
    """Between client and server each byte comes by itself."""
    with socket.create_server(("127.0.0.1", 0)) as entry:
        thread = threading.Thread(target=_dribble, args=(entry, (turn.host, turn.port)), daemon=True)
        thread.start()
        port = entry.getsockname()[1]
        with TurnProbe("127.0.0.1", port, turn.user, turn.password, time.monotonic() + PATIENCE, "tcp") as probe:
            host, relay = probe.allocate()
        thread.join(PATIENCE)
    assert host == "127.0.0.1"
    assert relay > 0


def _dribble(entry: socket.socket, target: tuple[str, int]) -> None:
    near, _ = entry.accept()
    with near, socket.create_connection(target) as far:
        downward = threading.Thread(target=_copy, args=(far, near, 1), daemon=True)
        downward.start()
        _copy(near, far, 4096)
        with contextlib.suppress(OSError):  # gone already
            far.shutdown(socket.SHUT_RDWR)
        downward.join(PATIENCE)


def _copy(source: socket.socket, sink: socket.socket, size: int) -> None:
    with contextlib.suppress(OSError):  # one of both has gone
        while data := source.recv(size):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)


def test_a_passage_needs_two_allocations(turn):
    deadline = time.monotonic() + PATIENCE
    with (
        TurnProbe(turn.host, turn.port, turn.user, turn.password, deadline) as one,
        TurnProbe(turn.host, turn.port, turn.user, turn.password, deadline) as other,
        pytest.raises(ValueError, match="allocation"),
    ):
        passage_seconds(one, other, b"x")


def test_a_binding_says_our_address_and_the_server_s_name(turn):
    found = ask_binding(turn.host, turn.port, PATIENCE)
    assert found.mapped.startswith("127.0.0.1:")
    assert found.error == ""
    assert found.software.startswith("Coturn-")


def test_a_binding_without_an_answer_says_so():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        assert "no answer in time" in ask_binding("127.0.0.1", silent.getsockname()[1], 0.4).error


@pytest.fixture
def shown(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """Port of a TLS server with a wildcard certificate, and the authority that signed it."""
    authority, certificate, key = wildcard("vdi.test")
    files = {"ca.crt": authority, "tls.crt": certificate, "tls.key": key}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "tls.crt", tmp_path / "tls.key")
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=_shake, args=(server, context), daemon=True)
        thread.start()
        yield server.getsockname()[1], tmp_path / "ca.crt"
        server.shutdown(socket.SHUT_RDWR)
        thread.join(PATIENCE)


def _shake(server: socket.socket, context: ssl.SSLContext) -> None:
    while True:
        try:
            plain, _ = server.accept()
        except OSError:
            return
        # A prober may go before the handshake ends.
        with plain, contextlib.suppress(OSError), context.wrap_socket(plain, server_side=True) as secured:
            secured.recv(1)


def test_a_certificate_is_read_whether_it_is_trusted_or_not(shown):
    port, authority = shown
    found = read_certificate("127.0.0.1", port, "alice.vdi.test", authority, PATIENCE)
    assert (found.error, found.distrust) == ("", "")
    assert found.names == ("vdi.test", "*.vdi.test")
    assert found.issuer == "vdibench-lab-hosts"
    assert found.begins_unix_seconds < time.time() < found.ends_unix_seconds
    stranger = read_certificate("127.0.0.1", port, "alice.vdi.test", None, PATIENCE)
    assert stranger.distrust
    assert stranger.names == found.names
    other = read_certificate("127.0.0.1", port, "alice.example.org", authority, PATIENCE)
    assert "alice.example.org" in other.distrust


def test_no_certificate_says_why(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    assert "refused" in read_certificate("127.0.0.1", port, "a.vdi.test", None, PATIENCE).error
    assert "No such file" in read_certificate("127.0.0.1", port, "a.vdi.test", tmp_path / "x", PATIENCE).error


def test_names_are_resolved_or_not():
    assert "127.0.0.1" in resolve("localhost", PATIENCE).addresses
    assert resolve("preflight.invalid", 2.0).error


@pytest.mark.parametrize(
    ("ingress", "expected"),
    [
        ("192.0.2.1", (("192.0.2.1",), 443)),
        ("192.0.2.1:8443", (("192.0.2.1",), 8443)),
        ("lb.example.com:444", (("lb.example.com",), 444)),
        ("2001:db8::1", (("2001:db8::1",), 443)),
        ("[2001:db8::1]", (("2001:db8::1",), 443)),
        ("[2001:db8::1]:8443", (("2001:db8::1",), 8443)),
    ],
)
def test_an_ingress_is_taken_as_it_was_said(ingress, expected):
    assert find_ingress(ClusterContext(ingress=ingress), ClusterSnapshot("v1.34.4")) == expected


def test_an_ingress_is_found_in_traefik_s_service(world):
    context = ClusterContext()
    assert find_ingress(context, world.evidence.snapshot) == (("192.0.2.10",), 443)
    world.one("Service", "traefik")["status"] = {"loadBalancer": {}}
    assert find_ingress(context, world.evidence.snapshot) == (("192.0.2.10",), 31443)
    world.remove("Service")
    assert find_ingress(context, world.evidence.snapshot) == ((), 443)


def test_a_domain_is_said_or_found(world):
    assert domain_of(ClusterContext(domain="x.example"), world.evidence.snapshot) == "x.example"
    assert domain_of(ClusterContext(), world.evidence.snapshot) == "vdi.example.com"
    world.remove("TLSStore")
    assert domain_of(ClusterContext(), world.evidence.snapshot) == "vdi.example.com"
    world.remove("IngressRoute")
    assert domain_of(ClusterContext(), world.evidence.snapshot) == ""


@pytest.mark.parametrize(
    ("text", "numbers"), [("v1.34.4+k3s1", (1, 34, 4)), ("4.17.1-r0", (4, 17, 1)), ("1.x", (1,)), ("", ()), ("dev", ())]
)
def test_versions_are_numbers(text, numbers):
    assert version_numbers(text) == numbers


class ApiServer(http.server.ThreadingHTTPServer):
    """Lists of the good cluster at the API's paths; some it does not know, one it refuses."""

    def __init__(self, documents: list[dict[str, Any]]) -> None:
        super().__init__(("127.0.0.1", 0), ApiAnswers)
        self.documents = documents
        self.asked: Counter[str] = Counter()


class ApiAnswers(http.server.BaseHTTPRequestHandler):
    kinds: ClassVar[dict[str, str]] = {
        "/api/v1/nodes": "Node",
        "/api/v1/namespaces": "Namespace",
        "/api/v1/pods": "Pod",
        "/api/v1/services": "Service",
        "/api/v1/namespaces/gpu-operator/configmaps": "ConfigMap",
        "/apis/networking.k8s.io/v1/networkpolicies": "NetworkPolicy",
        "/apis/storage.k8s.io/v1/storageclasses": "StorageClass",
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions": "CustomResourceDefinition",
        "/apis/traefik.io/v1alpha1/ingressroutes": "IngressRoute",
        "/apis/traefik.io/v1alpha1/tlsstores": "TLSStore",
    }

    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, ApiServer)
        path = self.path.partition("?")[0]
        server.asked[path] += 1
        kind = self.kinds.get(path)
        if path == "/apis/node.k8s.io/v1/runtimeclasses":
            self._answer(403, {"kind": "Status", "message": "forbidden"})
        elif kind is None:
            self._answer(404, {"kind": "Status", "message": "not found"})
        else:
            # As the API does: items of a list have no kind.
            items = [{k: v for k, v in one.items() if k != "kind"} for one in server.documents if one["kind"] == kind]
            self._answer(200, {"items": items})

    def _answer(self, status: int, document: dict[str, Any]) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


def test_each_kind_is_asked_for_once_and_what_is_refused_is_noted(world):
    with ApiServer(world.documents) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        configuration = client.Configuration(host=f"http://127.0.0.1:{server.server_address[1]}")
        configuration.proxy = None
        api = client.ApiClient(configuration)
        try:
            found = read_snapshot(Cluster("test", api, "v1.34.4", Path("none")), ClusterContext())
        finally:
            api.close()
            server.shutdown()
            thread.join()
    assert set(server.asked.values()) == {1}
    assert len(server.asked) == len(KINDS)
    assert found.unread == {"RuntimeClass": "403 Forbidden"}
    assert found.all("ClusterPolicy") == ()
    assert {kind: len(found.all(kind)) for kind in ("Node", "Pod", "NetworkPolicy")} == {
        "Node": 1,
        "Pod": 4,
        "NetworkPolicy": 2,
    }
    assert found.named("StorageClass", "vdi-home") is not None
    assert len(list(found.sessions("vdi-sessions"))) == 1


def test_a_pod_that_measures_is_as_restricted_as_a_session():
    pod = pod_object("p", "preflight-1", "gpu-1", "desktop:1", 1_700_000_000)
    session = next(
        one
        for one in yaml.safe_load_all(_manifest("session/base/pod.yaml"))
        if one["metadata"]["name"] == "vdi-session-user"
    )
    mine, theirs = pod["spec"], session["spec"]
    for key in ("runAsNonRoot", "runAsUser", "runAsGroup", "fsGroup", "seccompProfile"):
        assert mine["securityContext"][key] == theirs["securityContext"][key]
    assert mine["containers"][0]["securityContext"] == theirs["containers"][0]["securityContext"]
    assert mine["automountServiceAccountToken"] is False
    assert "nodeName" not in mine  # the volume waits for the scheduler
    claim = claim_object("p", "preflight-1", "vdi-home", 1_700_000_000)
    home = yaml.safe_load(_manifest("session/base/home.yaml"))
    for key in ("storageClassName", "accessModes"):
        assert claim["spec"][key] == home["spec"][key]
    assert claim["metadata"] == pod["metadata"]


def _manifest(path: str) -> str:
    return (Path(__file__).parents[3] / "manifests" / path).read_text()


def _pod(**status: Any) -> SimpleNamespace:
    empty = {"phase": "Pending", "reason": None, "message": None, "container_statuses": None, "conditions": None}
    return SimpleNamespace(status=SimpleNamespace(**{**empty, **status}))


def _waiting(reason: str, message: str | None = None) -> list[SimpleNamespace]:
    return [SimpleNamespace(state=SimpleNamespace(waiting=SimpleNamespace(reason=reason, message=message)))]


@pytest.mark.parametrize(
    ("pod", "expected"),
    [
        (_pod(), ("Pending", False)),
        (_pod(phase="Failed", reason="DeadlineExceeded"), ("it ended: DeadlineExceeded", True)),
        (_pod(container_statuses=_waiting("ContainerCreating")), ("ContainerCreating", False)),
        (_pod(container_statuses=_waiting("ErrImageNeverPull", "no x")), ("ErrImageNeverPull no x", True)),
        (
            _pod(
                conditions=[
                    SimpleNamespace(type="PodScheduled", status="False", reason="Unschedulable", message="0/1 nodes")
                ]
            ),
            ("Unschedulable: 0/1 nodes", False),
        ),
    ],
)
def test_a_pod_says_why_it_does_not_run(pod, expected):
    assert why_not_running(pod) == expected


def _program(text: str, *arguments: str, stdin: str = "", **variables: str) -> str:
    command = [sys.executable, "-u", "-c", text, *arguments]
    environment = {**os.environ, **variables}
    done = subprocess.run(command, input=stdin, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_disk_s_program_measures_and_leaves_nothing(tmp_path):
    said = json.loads(_program(pod_programs._DISK, str(tmp_path / "file"), "20", "3", "2", "10"))
    assert len(said["syncs"]) == 20
    assert all(value > 0 for value in said["syncs"])
    assert said["rate"] > 0
    assert list(tmp_path.iterdir()) == []


def test_the_clock_s_program_answers_each_line():
    before = time.time()
    first, second = map(float, _program(pod_programs._CLOCK, stdin="\n\n").split())
    assert before <= first <= second <= time.time()


class Turn(http.server.BaseHTTPRequestHandler):
    expected = "Basic dXNlcjpzZWNyZXQ="  # user:secret

    def do_GET(self) -> None:
        allowed = self.headers["Authorization"] == self.expected and self.path == "/api/turn"
        servers = [
            {"urls": "stun:192.0.2.1:3478"},
            {"urls": ["turn:192.0.2.1:3478", "turn:192.0.2.1:3478?transport=tcp"], "username": "u", "credential": "c0"},
        ]
        body = json.dumps({"iceServers": servers}).encode() if allowed else b"no"
        self.send_response(200 if allowed else 401)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


@pytest.mark.parametrize(
    ("password", "expected"),
    [
        (
            "secret",
            {"urls": ["stun:192.0.2.1:3478", "turn:192.0.2.1:3478", "turn:192.0.2.1:3478?transport=tcp"]},
        ),
        ("wrong", {"error": "/turn answers 401"}),
    ],
)
def test_the_session_s_program_says_servers_and_no_credential(password, expected):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Turn) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            said = _program(
                pod_programs._SESSION,
                SELKIES_PORT=str(server.server_address[1]),
                SELKIES_BASIC_AUTH_USER="user",
                SELKIES_BASIC_AUTH_PASSWORD=password,
            )
        finally:
            server.shutdown()
            thread.join()
    assert json.loads(said) == expected
    assert "c0" not in said
