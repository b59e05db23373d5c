"""Target ``manifests``: real pods, reached as a user reaches them, and nothing of them afterwards."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from vdibench.client import DesktopSession, SessionOptions
from vdibench.clusters.api import Api
from vdibench.clusters.ownership import RUN_LABEL, counts
from vdibench.clusters.phases import STEPS
from vdibench.clusters.subjects import measured_variables
from vdibench.errors import TargetUnavailable
from vdibench.recorder import Place, Recorder
from vdibench.records import Display, Outcome, Workload
from vdibench.selkies import Dialect, Role
from vdibench.store import Recording, broken, resolve
from vdibench.suites import stream_validation
from vdibench.suites.measurement import create_run
from vdibench.suites.parameters import DesktopParameters
from vdibench.suites.profiles import load_objectives
from vdibench.targets import OpenTarget, Wanted, open_target, parse_target

# The lab of this folder's tests; see conftest.py.
TARGET = "manifests:cluster"
SMALL = {"display": Display(640, 360, 15), "bitrate_bps": 1_000_000, "workloads": (Workload.TEXT,)}
OWNER = """
import sys, time
from vdibench.records import Display
from vdibench.targets import Wanted, open_target, parse_target
with open_target(parse_target(sys.argv[1]), Wanted(display=Display(640, 360, 15)), lambda line: None):
    print("open", flush=True)
    time.sleep(600)  # until it is ended
"""


@contextmanager
def opened(said: list[str] | None = None, **wishes: object) -> Iterator[OpenTarget]:
    told = said if said is not None else []
    with open_target(parse_target(TARGET), Wanted(**{**SMALL, **wishes}), told.append) as target:
        yield target


def left(kubectl) -> list[str]:
    """Everything of any run in the cluster, volumes too."""
    kinds = "pods,services,secrets,pvc,ingressroutes,middlewares,podmonitors,networkpolicies"
    found = kubectl("-n", "vdi-sessions", "get", kinds, "-l", RUN_LABEL, "-o", "name").split()
    volumes = json.loads(kubectl("get", "pv", "-o", "json"))["items"]
    return found + [
        one["metadata"]["name"] for one in volumes if one["spec"]["claimRef"]["name"].startswith("vdi-home-vdibench-")
    ]


async def look(target: OpenTarget, seconds: float = 2.0, *, relay_only: bool = False) -> DesktopSession:
    """Watch its first desktop; the session has left when this returns."""

    class Sink:
        def __getattr__(self, name: str):
            return lambda *_: None

    (desktop, *_) = target.desktops
    session = DesktopSession(desktop, Sink(), SessionOptions(role=Role.CONTROLLER, relay_only=relay_only))
    async with session:
        await session.first_frame()
        await session.watch(seconds)
        if relay_only:
            assert session.pair is not None
            assert session.pair.local_type == "relay"
        assert session.picture.marker_seen, "the desk of that very session is on the screen"
    return session


@pytest.mark.parametrize(
    ("dialect", "relay_only"), [(Dialect.SELKIES_2_WEBSOCKET, False), (Dialect.SELKIES_2_WEBRTC, True)]
)
async def test_a_pod_is_a_desktop_behind_traefik(cluster, kubectl, dialect: Dialect, relay_only: bool) -> None:
    said: list[str] = []
    with opened(said, dialect=dialect, relay_only=relay_only) as target:
        (desktop,) = target.desktops
        assert desktop.endpoint.url.startswith("https://vdibench-")
        assert desktop.endpoint.resolve == f"{cluster.node_address}:30443"
        assert desktop.dialect == dialect
        assert desktop.pids, "telemetry knows its processes"
        session = await look(target, relay_only=relay_only)
        assert session.dialect is dialect
        if relay_only:
            named = {server.host for server in session.ice_servers}
            assert named == {cluster.node_address}, "no server but the platform's"
        assert target.pods is not None
        (one,) = target.pods.sessions
        phases = target.pods.phases(one)
        assert one.reason == ""
        assert [step for step in STEPS if phases.seconds[step] is None] == []
        first = phases.reached["first_frame"]
        assert first is not None
        assert phases.total_seconds == pytest.approx(first - phases.begun_unix_seconds, abs=1e-3)
        assert phases.seconds["image"] == 0.0, "there is no registry: it was there"
        assert any("all parts started" in line for line in target.pods.log_tail(desktop.id, 5000))
        assert all(secret not in "".join(said) for secret in target.secrets)
        owned = json.loads(kubectl("-n", "vdi-sessions", "get", "pods", "-l", RUN_LABEL, "-o", "json"))["items"]
        assert [item["metadata"]["labels"]["app.kubernetes.io/managed-by"] for item in owned] == ["vdibench"]
    assert left(kubectl) == []


def test_a_start_is_in_the_run_with_its_steps(cluster, tmp_path: Path) -> None:
    folder = create_run(
        "stream_validation", DesktopParameters(target=TARGET, results=str(tmp_path)), load_objectives("lab")
    )
    recorder = Recorder(folder, Place("stream_validation"))
    with opened(dialect=Dialect.SELKIES_2_WEBSOCKET) as target:
        target.tell(recorder)
        assert recorder.place.trial == 0
    folder.close()
    steps = Recording.open(folder.path).table("milestones")
    assert set(steps["trial"]) == {-1}
    assert {"started", "admitted", "scheduled", "ready", "routed", "first_frame"} <= set(steps["event"])


def test_a_target_says_what_it_is_of(cluster, kubectl) -> None:
    with opened(dialect=Dialect.SELKIES_2_WEBSOCKET) as target:
        found = target.subjects
        assert found is not None
        assert (found.lab, found.overlay, found.platform) == (True, "lab/session", "lab")
        assert (found.domain, found.relay) == ("vdi.test", cluster.node_address)
        assert found.applied == (), "the cluster is what its manifests say"
        (image,) = found.images
        assert image.name == "vdibench.local/desktop:2.1.0"
        assert image.digest.startswith("sha256:")
        (node,) = found.nodes
        assert (node.kubelet, node.gpu, node.gpus, node.slices) == (found.kubernetes, "", 0, 8)
        variables = measured_variables(found.session)
        assert variables["SELKIES_FRAMERATE"] == "15"
        assert "VDIBENCH_DESK" not in str(found.session)
        assert all(secret not in str(found) for secret in target.secrets)
    policy = ("-n", "vdi-sessions", "patch", "networkpolicy", "default-deny", "--type=merge", "-p")
    kubectl(*policy, '{"spec": {"ingress": [{}]}}')
    try:
        with opened(dialect=Dialect.SELKIES_2_WEBSOCKET) as target:
            assert target.subjects is not None
            assert target.subjects.applied == (
                "NetworkPolicy vdi-sessions/default-deny: spec.ingress is [{}], the manifest does not say it",
            )
    finally:
        kubectl(*policy, '{"spec": {"ingress": null}}')


@contextmanager
def taken(kubectl, slices: int) -> Iterator[None]:
    """So many slices of the node are somebody else's."""
    names = [f"holder-{index}" for index in range(slices)]
    for name in names:
        limits = {"limits": {"nvidia.com/gpu": "1"}}
        container = {"name": "hold", "image": "vdibench.local/busybox:1.35.0", "imagePullPolicy": "Never"}
        container |= {"command": ["sleep", "3600"], "resources": limits}
        spec = {"terminationGracePeriodSeconds": 0, "containers": [container]}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}
        kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(pod))
    try:
        kubectl("wait", "--for=condition=Ready", "--timeout=60s", *(f"pod/{name}" for name in names))
        yield
    finally:
        kubectl("delete", "--wait=true", "--timeout=60s", *(f"pod/{name}" for name in names))


def test_the_ninth_session_stays_pending_with_its_reason(cluster, kubectl, tmp_path: Path) -> None:
    said: list[str] = []
    with taken(kubectl, 7), opened(said, desktops=2, dialect=Dialect.SELKIES_2_WEBSOCKET, pending_seconds=5) as target:
        assert target.pods is not None
        assert len(target.desktops) == 2
        reasons = sorted(one.reason for one in target.pods.sessions)
        assert reasons[0] == ""
        assert reasons[1].startswith("stays Pending: ")
        assert "Insufficient nvidia.com/gpu" in reasons[1]
        assert any("1 of 2 sessions ready" in line and "Insufficient" in line for line in said)
    assert left(kubectl) == []


def test_a_session_alone_that_finds_no_slice_is_an_error(cluster, kubectl) -> None:
    began = time.monotonic()
    refused = pytest.raises(TargetUnavailable, match=r"stays Pending: .*Insufficient nvidia.com/gpu")
    with taken(kubectl, 8), refused, opened(pending_seconds=3):
        raise AssertionError("it opened")
    assert time.monotonic() - began < 120
    assert left(kubectl) == []


def test_what_a_killed_owner_left_goes_with_the_next_run(connection, kubectl) -> None:
    with subprocess.Popen([sys.executable, "-c", OWNER, TARGET], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "open\n"
        # A living owner's objects are nobody else's to remove.
        api = Api(connection)
        before = counts(api, RUN_LABEL)
        assert before["Pod"] == 1
        owner.send_signal(signal.SIGKILL)
        owner.wait()
        assert counts(api, RUN_LABEL) == before
    said: list[str] = []
    with opened(said, dialect=Dialect.SELKIES_2_WEBSOCKET):
        assert any(line.startswith("removed what killed runs had left: ") for line in said)
        assert len(kubectl("-n", "vdi-sessions", "get", "pods", "-l", RUN_LABEL, "-o", "name").split()) == 1
    assert left(kubectl) == []


def test_a_run_that_breaks_off_leaves_nothing(cluster, kubectl) -> None:
    with pytest.raises(ZeroDivisionError), opened(dialect=Dialect.SELKIES_2_WEBSOCKET):
        raise ZeroDivisionError
    assert left(kubectl) == []


def test_a_users_cluster_is_named_and_its_overlay_filled_in(cluster, kubectl, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "vdibench.cli", "run", "02", "--target", "manifests", "--context", "lab"]
    command += ["--results", str(tmp_path)]
    environment = {**cluster.environment(), "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    assert "still serves vdi.example.com" in done.stderr
    assert left(kubectl) == []


def test_notebook_02_walks_a_pod(cluster, kubectl, tmp_path: Path) -> None:
    parameters = stream_validation.Parameters(
        target=TARGET,
        results=str(tmp_path),
        width=640,
        height=360,
        framerate=15,
        bitrate_bps=1_000_000,
        steady_seconds=4.0,
        inputs=2,
        starts=2,
        relay_only=True,
        picture_seconds=0.0,
        click_seconds=0.0,
    )
    verdict = stream_validation.run(parameters)
    checks = {result.metric: result for result in verdict.objectives if result.metric.startswith("check:")}
    for name in ("reachable", "signalling", "ice_pair", "relay_udp", "relay_tcp", "first_frame", "latency", "input"):
        assert checks[f"check:{name}"].outcome is Outcome.PASS, checks[f"check:{name}"].reason
    assert checks["check:clean_leave"].outcome is Outcome.NOT_APPLICABLE
    recording = Recording.open(resolve(tmp_path, "latest"))
    assert broken(recording.folder) == ()
    assert recording.subjects is not None
    assert recording.run.context["image_digest"] == recording.subjects.images[0].digest
    assert left(kubectl) == []
