"""Preflight on a real cluster: the lab has exactly the findings that are committed, and sessions are told apart."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from vdibench.cli import cli
from vdibench.clusters import Cluster
from vdibench.clusters.ownership import RUN_LABEL
from vdibench.conformance import NO_ENGINE
from vdibench.lab.cluster.access import ClusterAccess
from vdibench.lab.cluster.images import image_names
from vdibench.preflight import ClusterContext, ClusterFinding, judge_cluster, run_cluster_checks
from vdibench.preflight.cluster_run import gather, lab_context
from vdibench.preflight.probe_pods import APPLICATION, ProbePods, claim_object, pod_object
from vdibench.records import EXIT_CODES, Outcome

from .waiting import PATIENCE, until

ROOT = Path(__file__).resolve().parents[2]
EXPECTED = yaml.safe_load((ROOT / "tests" / "data" / "cluster" / "expected-findings.yaml").read_text())
SESSIONS = "vdi-sessions"

pytestmark = pytest.mark.timeout(600)  # the first test of the folder builds the cluster


@pytest.fixture(scope="module")
def findings(connection: Cluster) -> dict[str, ClusterFinding]:
    return {finding.check.name: finding for finding in run_cluster_checks(connection)}


def remains(kubectl: Callable[..., str]) -> list[str]:
    """Names of what preflight placed and is still there, volumes included."""
    selector = f"app.kubernetes.io/name={APPLICATION}"
    found = json.loads(kubectl("get", "pods,pvc", "-n", SESSIONS, "-l", selector, "-o", "json"))["items"]
    volumes = json.loads(kubectl("get", "pv", "-o", "json"))["items"]
    claimed = [one for one in volumes if one["spec"].get("claimRef", {}).get("name", "").startswith(APPLICATION)]
    return [one["metadata"]["name"] for one in (*found, *claimed)]


def test_the_lab_has_exactly_the_expected_findings(findings) -> None:
    expected = {one["check"]: one for one in EXPECTED}
    for name, finding in findings.items():
        check = finding.check
        outcomes = expected[name]["outcomes"] if name in expected else ["pass"]
        assert check.outcome in outcomes, check
        if name in expected:
            assert expected[name]["says"] in check.finding, check
    assert set(expected) <= set(findings)


def test_with_a_probe_of_the_policies_it_is_known_that_nobody_enforces_them(
    connection, findings, kubectl, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["preflight", "--lab", "cluster", "--probe-policies", "--json"]
    code = cli.main(words, prog_name="vdibench", standalone_mode=False)
    out, errors = capsys.readouterr()
    said = {one["name"]: one for one in json.loads(out)}
    assert code == EXIT_CODES[Outcome.FAIL]
    [expected] = [one for one in EXPECTED if "probed" in one]
    assert expected["check"] == "policy_engine"
    found = said.pop("policy_engine")
    assert found["outcome"] in expected["probed"]["outcomes"]
    assert expected["probed"]["says"] in found["finding"]
    assert found["evidence"] == "probes from pods"
    # It is the one finding that a probe changes.
    disk = "home_disk"  # whatever the machine's is at the moment
    assert {name: one["outcome"] for name, one in said.items() if name != disk} == {
        name: finding.check.outcome for name, finding in findings.items() if name not in ("policy_engine", disk)
    }
    assert "to be created there" in errors
    assert NO_ENGINE in errors
    left = json.loads(kubectl("get", "pods", "--all-namespaces", "-l", RUN_LABEL, "-o", "json"))["items"]
    assert [one["metadata"]["name"] for one in left if one["metadata"]["name"].startswith("conformance-")] == []


def test_what_was_measured_is_told(findings) -> None:
    assert "of 300" in findings["home_disk"].check.finding
    assert "real-1 " in findings["clocks"].check.finding
    for transport in ("udp", "tcp"):
        said = findings[f"relay_{transport}"].check.finding
        assert "a datagram between two relay addresses takes" in said
        assert "refused with 401" in said


def test_no_credential_is_told(cluster, findings) -> None:
    secret = (cluster.kubeconfig.parents[1] / "turn-secret").read_text()
    said = json.dumps([finding.to_json() for finding in findings.values()])
    assert secret not in said


def test_nothing_is_left(findings, kubectl) -> None:
    until(lambda: remains(kubectl) == [], "the end of pods, claims and volumes", pause=0.3)


def test_what_a_killed_preflight_left_is_removed_by_the_next(connection, kubectl) -> None:
    node, image, long_ago = "real-1", image_names()["desktop"], int(time.time()) - 1
    name = f"{APPLICATION}-killed-0"
    for one in (
        claim_object(name, "preflight-killed", "vdi-home", long_ago),
        pod_object(name, "preflight-killed", node, image, long_ago),
    ):
        kubectl("apply", "-n", SESSIONS, "--server-side", "-f", "-", stdin=json.dumps(one))
    kubectl("wait", "-n", SESSIONS, "--for=condition=Ready", f"pod/{name}", "--timeout=60s")
    assert len(remains(kubectl)) == 3
    with ProbePods(connection, ClusterContext(), (), image) as placed:
        assert placed.running == placed.failures == {}
    until(lambda: remains(kubectl) == [], "the end of what a killed preflight left", pause=0.3)


def test_a_pod_that_cannot_start_is_told_with_its_reason(connection, kubectl) -> None:
    context = dataclasses.replace(ClusterContext(), pod_seconds=PATIENCE)
    with ProbePods(connection, context, ("real-1",), "vdibench.local/there-is-none:1") as placed:
        assert placed.running == {}
        assert "Image" in placed.failures["real-1"] or "not running" in placed.failures["real-1"]
    until(lambda: remains(kubectl) == [], "the end of the pod that could not start", pause=0.3)


def rtc(*urls: str) -> str:
    return json.dumps({"iceServers": [{"urls": list(urls), "username": "u", "credential": "c"}]})


@pytest.fixture
def start(cluster: ClusterAccess, kubectl: Callable[..., str]) -> Iterator[Callable[[str, str], None]]:
    """Starts a user's session with an RTC configuration; all are removed with their homes."""
    overlay = ROOT / "manifests" / "overlays" / "lab" / "session"
    made = subprocess.run(
        ["kubectl", "kustomize", str(overlay)], env=cluster.environment(), capture_output=True, text=True, check=True
    ).stdout.replace("10.244.0.1", cluster.node_address)
    started: list[str] = []

    def one(user: str, configuration: str) -> None:
        started.append(user)
        login = {"username": "user", "password": "not-a-secret"}
        for name, kind, data in (
            (f"vdi-session-auth-{user}", "kubernetes.io/basic-auth", login),
            (f"vdi-session-rtc-{user}", "Opaque", {"rtc.json": configuration}),
        ):
            metadata = {"name": name, "namespace": SESSIONS, "labels": {"app.kubernetes.io/instance": user}}
            secret = {"apiVersion": "v1", "kind": "Secret", "type": kind, "metadata": metadata, "stringData": data}
            kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(secret))
        kubectl("apply", "--server-side", "-f", "-", stdin=made.replace("alice", user))
        kubectl("wait", "-n", SESSIONS, "--for=condition=Ready", f"pod/vdi-session-{user}", "--timeout=90s")

    yield one
    for user in started:
        claim = ("get", "pvc", f"vdi-home-{user}", "-n", SESSIONS, "--ignore-not-found")
        volume = kubectl(*claim, "-o", "jsonpath={.spec.volumeName}")
        if volume:
            policy = json.dumps({"spec": {"persistentVolumeReclaimPolicy": "Delete"}})
            kubectl("patch", "pv", volume, "--type=merge", "-p", policy)
        kinds = "pods,services,ingressroutes.traefik.io,middlewares.traefik.io,podmonitors.monitoring.coreos.com"
        kinds += ",secrets,pvc"
        kubectl("delete", kinds, "-n", SESSIONS, "-l", f"app.kubernetes.io/instance={user}", "--timeout=60s")


def test_a_session_that_goes_to_a_public_relay_is_found(connection, cluster, kubectl, start) -> None:
    ours = f"turn:{cluster.node_address}:3478?transport=udp"
    start("carol", rtc(ours))
    start("mallory", rtc(ours, "stun:stun.example.org:3478"))
    context = lab_context(connection, ClusterContext(place_pods=False))
    found = {finding.check.name: finding.check for finding in judge_cluster(gather(connection, context))}
    assert found["session_relay"].outcome is Outcome.FAIL
    assert found["session_relay"].finding == "vdi-session-mallory names stun.example.org"
    assert found["session_secret"].outcome is Outcome.PASS
    kubectl("delete", "pod", "vdi-session-mallory", "-n", SESSIONS, "--timeout=60s")
    found = {finding.check.name: finding.check for finding in judge_cluster(gather(connection, context))}
    assert found["session_relay"].outcome is Outcome.PASS
    assert found["home_disk"].outcome is Outcome.NO_DATA
    assert found["home_disk"].finding == "no pod was to be placed"
