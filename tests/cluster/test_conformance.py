"""Policies on a cluster that has them and no engine: that is said, and every edge is open."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest

from vdibench.conformance import NO_ENGINE, Expected, Judgement, Options, check_policies
from vdibench.records import Outcome
from vdibench.suites.conformance import conformance_checks

# What the lab's node does not have, as far as tests may know.
ABSENT = {"session_to_metadata", "session_to_internet", "session_to_ssh", "session_to_exporter"}


@pytest.fixture(scope="module")
def said() -> list[str]:
    return []


@pytest.fixture(scope="module")
def judgement(connection, said) -> Judgement:
    return check_policies(connection, Options(rounds=2, timeout_seconds=1.5, pause_seconds=0.5), said.append)


def test_it_says_that_no_engine_enforces_and_fails(judgement) -> None:
    assert judgement.outcome is Outcome.FAIL
    assert judgement.sentence.startswith(NO_ENGINE)
    assert not judgement.enforced
    assert conformance_checks(judgement)[0].finding.startswith(NO_ENGINE)


def test_every_allowed_edge_answers(judgement) -> None:
    found = {row.edge.name: (row.outcome, row.found, row.finding) for row in judgement.rows if _is(row, "allowed")}
    assert set(found) == {
        "traefik_to_session",
        "monitoring_to_session",
        "operator_to_session",
        "session_to_coturn_udp",
        "session_to_coturn_tcp",
        "session_to_dns_udp",
        "session_to_dns_tcp",
    }
    assert {name: row for name, row in found.items() if row != (Outcome.PASS, "answered 2 of 2", "")} == {}


def test_every_forbidden_edge_that_leads_somewhere_is_open(judgement) -> None:
    denied = [row for row in judgement.rows if _is(row, "denied")]
    shut = {row.edge.name: (row.outcome, row.found, row.finding) for row in denied if row.outcome is not Outcome.FAIL}
    assert set(shut) <= ABSENT, shut
    assert {outcome for outcome, _, _ in shut.values()} <= {Outcome.NO_DATA}
    assert {row.edge.name for row in denied} >= {
        "session_to_session",
        "session_to_outsider",
        "session_to_monitoring",
        "session_to_api_service",
        "session_to_api_server",
        "session_to_kubelet",
        "session_to_node_port",
        "outsider_to_session",
        "outsider_to_service",
    }


def test_a_new_session_stays_open_and_exceptions_are_listed(judgement) -> None:
    assert judgement.opening is not None
    assert judgement.opening.still_open
    assert {row.edge.name: row.finding for row in judgement.exempt} == {
        "node_to_session": "open",
        "coturn_to_session": "open",
    }


def test_it_says_what_it_makes_before_it_does(judgement, said) -> None:
    assert said[0].startswith("context lab cluster: ")
    making = next(index for index, line in enumerate(said) if line.startswith("to be created there"))
    assert "2 Pod, 1 Service" in said[making]
    assert making < said.index("starting pods")


def test_nothing_of_it_stays(judgement, kubectl) -> None:
    for kind in ("pods", "services"):
        found = json.loads(kubectl("get", kind, "--all-namespaces", "-l", "vdibench.io/run", "-o", "json"))["items"]
        names = [one["metadata"]["name"] for one in found]
        assert [name for name in names if name.startswith("conformance-")] == []
    spaces = json.loads(kubectl("get", "namespaces", "-l", "vdibench.io/run", "-o", "json"))["items"]
    assert [one["metadata"]["name"] for one in spaces] == []


def test_a_check_that_was_killed_is_cleared_away_by_the_next(connection, kubectl) -> None:
    program = (
        "import os, signal\n"
        "from vdibench.clusters import connect\n"
        "from vdibench.conformance import Options, check_policies\n"
        "def say(line):\n"
        "    if line.startswith('waiting'):\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "check_policies(connect(lab='cluster'), Options(), say)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], timeout=120, check=False)
    assert done.returncode == -9
    selector = ("--all-namespaces", "-l", "vdibench.io/run", "-o", "name")
    left = [name for name in kubectl("get", "pods", *selector).split() if "/conformance-" in name]
    assert len(left) >= 5
    check_policies(connection, Options(rounds=1, timeout_seconds=1.0, host_network=False))
    deadline = time.monotonic() + 60
    while spaces := kubectl("get", "namespaces", "-l", "vdibench.io/run", "-o", "name"):
        assert time.monotonic() < deadline, spaces
        time.sleep(0.2)  # a namespace goes when all that is in it has gone
    assert [name for name in kubectl("get", "pods", *selector).split() if "/conformance-" in name] == []


def _is(row, expected: str) -> bool:
    return row.edge.expected is Expected(expected)
