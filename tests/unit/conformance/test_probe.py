"""The probe against real servers: what answers, what refuses, what is silent, and what is something else."""

from __future__ import annotations

import ast
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from vdibench.conformance.execution import LOADER
from vdibench.conformance.pods import PROBE_FILE, STAND_IN_FILE
from vdibench.conformance.probe import attempt, run
from vdibench.conformance.standin import Server
from vdibench.preflight import TurnServer
from vdibench.preflight.turn_checks import temporary_turn_server

from .servers import HOST, answering, names, over_tcp, refusing, saying, serving, silent, tls

PATIENCE = 5.0
SHORT = 0.5
NAME = "kubernetes.default.svc.cluster.local"


def edge(port: int, speaks: str, protocol: str = "TCP", **options: str) -> dict[str, Any]:
    question = {"http": "/api/health", "dns": NAME}.get(speaks, "")
    made = {"name": "e", "host": HOST, "port": port, "protocol": protocol, "speaks": speaks, "expects": ""}
    return {**made, "question": question, **options}


def tried(one: dict[str, Any], seconds: float = PATIENCE) -> tuple[str, str]:
    began = time.monotonic()
    found = attempt(one, seconds)
    assert time.monotonic() - began < seconds + 1
    return found["word"], found["detail"]


def mail(link: socket.socket) -> None:
    """A server that speaks first, and hears what it is told before it goes."""
    link.sendall(b"220 mail.example.org\r\n" * 2)
    link.recv(4096)


@pytest.fixture(scope="module")
def coturn() -> Iterator[TurnServer]:
    with temporary_turn_server(time.monotonic() + 30) as server:
        yield server


@pytest.mark.parametrize("file", [PROBE_FILE, STAND_IN_FILE])
def test_it_is_python_3_9(file: Path) -> None:
    ast.parse(file.read_text(), feature_version=(3, 9))


def test_a_session_answers_by_its_token() -> None:
    with serving(Server(0, "right", HOST)) as port:
        word, detail = tried(edge(port, "http", expects="right"))
        assert (word, detail.split(":")[0]) == ("answered", "HTTP/1.0 200 OK")
        assert tried(edge(port, "http", expects="another's"))[0] == "other"


def test_a_bare_connection_is_no_answer() -> None:
    with silent() as port:
        for speaks in ("http", "tls", "stun", "dns", "banner"):
            assert tried(edge(port, speaks), SHORT) == ("timeout", "connected, then no answer in time")


def test_a_connection_that_is_closed_at_once_is_no_answer() -> None:
    with saying(lambda link: None) as port:
        for speaks in ("http", "tls", "stun", "dns", "banner"):
            assert tried(edge(port, speaks))[0] == "refused"


def test_a_port_at_which_nobody_listens_refuses() -> None:
    with refusing() as port:
        for speaks in ("http", "tls", "stun", "dns", "banner"):
            assert tried(edge(port, speaks)) == ("refused", "ECONNREFUSED")


def test_datagrams_are_refused_and_unanswered() -> None:
    with refusing(socket.SOCK_DGRAM) as port:
        for speaks in ("stun", "dns"):
            assert tried(edge(port, speaks, "UDP")) == ("refused", "ECONNREFUSED")
    with silent(socket.SOCK_DGRAM) as port:
        for speaks in ("stun", "dns"):
            assert tried(edge(port, speaks, "UDP"), SHORT) == ("timeout", "no answer in time")


def test_a_server_of_something_else_is_told_apart() -> None:
    with saying(mail) as port:
        for speaks in ("http", "tls", "stun"):
            assert tried(edge(port, speaks))[0] == "other", speaks
        assert tried(edge(port, "banner", expects="SSH-"))[0] == "other"
        assert tried(edge(port, "banner", expects="220 "))[0] == "answered"


@pytest.mark.parametrize("protocol", ["UDP", "TCP"])
def test_coturn_answers_to_our_transaction(coturn: TurnServer, protocol: str) -> None:
    assert tried(edge(coturn.port, "stun", protocol)) == ("answered", "STUN 0x0101")


def test_an_echo_is_no_answer_of_stun_or_dns() -> None:
    with answering(lambda data: data) as port:
        for speaks in ("stun", "dns"):
            assert tried(edge(port, speaks, "UDP"), SHORT)[0] == "other"


def test_the_answer_to_another_question_does_not_count() -> None:
    with answering(lambda data: b"\0\0" + names(data)[2:]) as port:
        assert tried(edge(port, "dns", "UDP"), SHORT)[0] == "other"


def test_a_lost_datagram_is_sent_again() -> None:
    seen: list[bytes] = []

    def second(data: bytes) -> bytes | None:
        seen.append(data)
        return names(data) if len(seen) > 1 else None

    with answering(second) as port:
        assert tried(edge(port, "dns", "UDP"))[0] == "answered"
    assert len(seen) == 2


def test_names_are_looked_up_both_ways() -> None:
    with answering(names) as port:
        assert tried(edge(port, "dns", "UDP")) == ("answered", "DNS rcode 0, answers 1")
    with saying(over_tcp(names)) as port:
        assert tried(edge(port, "dns")) == ("answered", "DNS rcode 0, answers 1")


def test_a_certificate_is_the_answer_of_tls(tmp_path: Path) -> None:
    with tls(tmp_path) as port:
        word, detail = tried(edge(port, "tls"))
    assert word == "answered"
    assert detail.startswith("certificate sha256:")


def test_a_name_in_the_place_of_an_address_is_not_looked_up() -> None:
    assert tried(edge(80, "http", host="localhost"))[0] == "error"
    with silent() as port:
        assert tried(edge(port, "gopher"))[0] == "error"


def test_all_edges_are_tried_at_once_and_each_so_often() -> None:
    with silent() as quiet, refusing() as shut:
        edges = [{**edge(quiet, "http"), "name": f"quiet{number}"} for number in range(10)]
        edges.append({**edge(shut, "http"), "name": "shut"})
        began = time.monotonic()
        found = run({"edges": edges, "rounds": 2, "timeout_seconds": SHORT, "pause_seconds": 0.1})
        assert time.monotonic() - began < 5 * SHORT
    assert [one["word"] for one in found["shut"]] == ["refused", "refused"]
    assert all([one["word"] for one in found[f"quiet{number}"]] == ["timeout"] * 2 for number in range(10))


def test_it_runs_in_an_interpreter_whose_input_stays_open() -> None:
    program = PROBE_FILE.read_bytes()
    with refusing() as port:
        request = {"edges": [edge(port, "http")], "rounds": 1, "timeout_seconds": 1.0, "pause_seconds": 0.0}
        command = [sys.executable, "-I", "-c", LOADER, str(len(program))]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(program + json.dumps(request).encode() + b"\n")
            process.stdin.flush()
            found = json.loads(process.stdout.readline())
            assert process.wait(10) == 0
    assert [one["word"] for one in found["e"]] == ["refused"]
