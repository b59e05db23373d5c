"""A load from pods: Locust's master and its workers in the cluster, a session's desktop before them, behind Traefik."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from vdibench.errors import WorkerLost
from vdibench.lab.cluster.adding import add_images
from vdibench.lab.cluster.addresses import Addresses
from vdibench.lab.cluster.furnishing import WILDCARD_AUTHORITY
from vdibench.lab.cluster.objects import for_lab, in_order
from vdibench.metrics import STEADY
from vdibench.records import EXIT_CODES, Credentials, Desktop, Outcome
from vdibench.selkies import Dialect
from vdibench.store import Recording

from .test_sessions import left, opened

OVERLAY = Path(__file__).resolve().parents[2] / "manifests" / "overlays" / "lab" / "load"
NAMESPACE = "vdibench-load"
# Whose host the overlay names; a run's own session has another one.
HOST = "alice.vdi.test"
SHAPE = "soak:1@20s"
OWNER = "192.0.2.20"
READER = "vdibench-load-results"
MASTER = "job/vdibench-load-master"

# The first time the image is made: wheels are fetched.
pytestmark = pytest.mark.timeout(1800)


def until(met: Callable[[], Any], seconds: float, what: str) -> Any:
    """What ``met`` gives as soon as it is something."""
    deadline = time.monotonic() + seconds
    while not (found := met()):
        assert time.monotonic() < deadline, f"{what} within {seconds:g} s"
        time.sleep(0.5)  # pods and their logs are looked at, not listened to
    return found


def addresses(cluster) -> Addresses:
    return Addresses(int(cluster.node_address.split(".")[2]))


@pytest.fixture(scope="module")
def image(cluster) -> str:
    (added,) = add_images(cluster, ["load"], print)
    return added.name


class Load:
    """The pods of a load, and what a person does with them.

    :param overlay: folder of the manifests.
    :param places: what the overlay names, by what takes its place.
    """

    def __init__(self, cluster, kubectl: Callable[..., str], overlay: Path, places: Mapping[str, str]) -> None:
        self._cluster, self._kubectl = cluster, kubectl
        self._places = dict(places)
        self.objects = self._built(overlay)

    def _built(self, folder: Path) -> list[dict[str, Any]]:
        made = self._kubectl("kustomize", str(folder))
        for old, given in self._places.items():
            made = made.replace(old, given)
        return in_order(for_lab(yaml.safe_load_all(made), addresses(self._cluster)))

    def _apply(self, objects: list[dict[str, Any]]) -> None:
        given = yaml.safe_dump_all(objects)
        self._kubectl("apply", "--server-side", "--validate=strict", "-f", "-", stdin=given)

    def _secret(self, name: str, texts: dict[str, str]) -> None:
        data = {key: base64.b64encode(text.encode()).decode() for key, text in texts.items()}
        metadata = {"namespace": NAMESPACE, "name": name}
        self._apply([{"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data}])

    def begin(self, known: Credentials | None = None) -> None:
        """The namespace, what the site brings, the rest."""
        self._apply([one for one in self.objects if one["kind"] == "Namespace"])
        authority = self._cluster.kubeconfig.parents[1] / WILDCARD_AUTHORITY
        self.do("create", "configmap", "vdibench-load-authority", f"--from-file=ca.crt={authority}")
        if known is not None:
            said = {"VDIBENCH_USER": known.user, "VDIBENCH_PASSWORD": known.password}
            self._secret("vdibench-load-credentials", said)
        self._apply(self.objects)

    def hand_over(self, roster: str) -> None:
        """Give the workers their roster, for which they wait."""
        self._secret("vdibench-load-roster", {"roster.json": roster})

    def roster(self) -> str:
        """What the master wrote; empty while it did not."""
        done = subprocess.run(
            ["kubectl", "-n", NAMESPACE, "exec", MASTER, "--", "cat", "/tmp/roster.json"],
            env=self._cluster.environment(),
            capture_output=True,
            text=True,
        )
        assert self.master()["status"].get("phase") != "Failed", self.log()
        return done.stdout if done.returncode == 0 else ""

    def do(self, *words: str) -> str:
        """One kubectl in its namespace."""
        return self._kubectl("-n", NAMESPACE, *words)

    def pods(self, component: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(
            self.do("get", "pods", "-l", f"app.kubernetes.io/component={component}", "-o", "json")
        )["items"]
        return found

    def master(self) -> dict[str, Any]:
        found = self.pods("master")
        return found[0] if found else {"status": {}}

    def log(self) -> str:
        """What the master said."""
        return self.do("logs", MASTER)

    def end(self, seconds: float) -> int:
        """Wait for the master to end by itself; its exit code."""

        def ended() -> list[int]:
            states = [one["state"] for one in self.master()["status"].get("containerStatuses", ())]
            return [state["terminated"]["exitCode"] for state in states if "terminated" in state]

        try:
            return int(until(ended, seconds, "the master ends")[0])
        except AssertionError as error:
            raise AssertionError(f"{error}; it said:\n{self.log()}") from error

    def fetch(self, into: Path) -> Path:
        """The run folder, by the pod that has its volume."""
        self._apply(self._built(OVERLAY / "results"))
        self.do("wait", "--for=condition=Ready", "--timeout=60s", f"pod/{READER}")
        self.do("cp", f"{READER}:/results", str(into))
        (found,) = into.rglob("run.json")
        return found.parent

    def remove(self) -> None:
        """All of it; the namespace takes what a person made in it along."""
        given = yaml.safe_dump_all(self.objects)
        self._kubectl("delete", "--ignore-not-found", "--wait=true", "--timeout=150s", "-f", "-", stdin=given)
        # The provisioner removes a volume in a pod of its own, after its claim has gone.
        until(lambda: self.remains() == [], 60, "nothing of it is left")

    def remains(self) -> list[str]:
        """What is still there of it, wherever."""
        names = [f"namespace/{NAMESPACE}", "storageclass/vdibench-load"]
        found = [name for name in names if self._kubectl("get", name, "--ignore-not-found", "-o", "name").strip()]
        volumes = json.loads(self._kubectl("get", "pv", "-o", "json"))["items"]
        return found + [one["metadata"]["name"] for one in volumes if one["spec"]["claimRef"]["namespace"] == NAMESPACE]


@contextmanager
def loaded(cluster, kubectl, shape: str) -> Iterator[tuple[Load, Desktop]]:
    """A load on a session of its own; nothing of either afterwards."""
    with opened(dialect=Dialect.SELKIES_2_WEBSOCKET) as target:
        (desktop,) = target.desktops
        load = Load(cluster, kubectl, OVERLAY, {HOST: desktop.endpoint.url.removeprefix("https://"), SHAPE: shape})
        try:
            load.begin(desktop.endpoint.credentials)
            load.hand_over(until(load.roster, 120, "the master writes its roster"))
            yield load, desktop
        finally:
            load.remove()
    assert left(kubectl) == []


def users_of(recording: Recording) -> list[float]:
    """How many users showed video at each of two engines while it counted, the fewest first."""
    rows = recording.table("engine")
    there = rows[rows["phase"] == STEADY].groupby("session")[["users", "sessions"]].median()
    assert set(there.index) == {"engine-0", "engine-1"}
    assert there["users"].equals(there["sessions"])
    return sorted(there["users"])


def verdict_reasons(run: Path) -> list[str]:
    suites = json.loads((run / "verdict.json").read_text())["suites"]
    return [reason for suite in suites for reason in suite["reasons"]]


@pytest.mark.usefixtures("image")
def test_users_and_samples_come_from_pods(cluster, kubectl, tmp_path: Path) -> None:
    with loaded(cluster, kubectl, SHAPE) as (load, desktop):
        hosts = {pod["metadata"]["name"] for pod in load.pods("worker")}
        assert len(hosts) == 2
        code = load.end(300)
        said = load.log()
        run = load.fetch(tmp_path / "fetched")
    assert (run / "verdict.json").is_file()
    recording = Recording.open(run)
    assert recording.damage == []
    assert recording.run.target == f"url:{desktop.endpoint.url}:30443"
    outcome = recording.verdict.outcome
    assert code == EXIT_CODES[outcome], said
    # Two cores that carry all of it may be late or slow; that they measured is what is looked at.
    assert outcome in {Outcome.PASS, Outcome.FAIL, Outcome.INVALID}, said
    (suite,) = recording.verdict.suites
    assert all(re.search(r"was (late|busy)|overloaded", reason) for reason in suite.reasons), suite.reasons
    judged = {result.metric: result.outcome for result in suite.objectives if result.samples}
    assert judged["session_failure_ratio"] is Outcome.PASS
    assert {"session_ready_seconds", "frames_per_second", "freezes_per_minute"} <= set(judged)
    # Both workers' engines were heard of, and one of them had the user.
    assert users_of(recording) == [0, 1]
    frames = recording.table("frames")
    assert set(frames[frames["phase"] == STEADY]["session"]) == {"desktop-0"}
    assert {"started", "first_frame", "left"} <= set(recording.table("milestones")["event"])
    known = desktop.endpoint.credentials
    assert known is not None
    kept = [path for path in run.rglob("*") if path.is_file() and known.password.encode() in path.read_bytes()]
    assert kept == []
    assert known.password not in said


@pytest.mark.usefixtures("image")
def test_a_killed_worker_is_named_and_samples_stay(cluster, kubectl, tmp_path: Path) -> None:
    with loaded(cluster, kubectl, "soak:1@10m") as (load, _):
        # Progress comes every few seconds, and what is seen in between has reached the master.
        until(lambda: load.log().count("1 of 1 show video") >= 3, 240, "the user sees video")
        first, *_ = load.pods("worker")
        (init,) = inits(first["metadata"]["uid"])
        os.kill(init, signal.SIGKILL)
        code = load.end(120)
        said = load.log()
        run = load.fetch(tmp_path / "fetched")
    assert code == WorkerLost.exit_code, said
    assert re.search(r"vdibench: error: worker \d+ \(process \d+\) is gone with its users", said)
    recording = Recording.open(run)
    assert recording.verdict.outcome is Outcome.NO_DATA
    assert any("is gone with its users" in reason for reason in verdict_reasons(run))
    assert not recording.table("frames").empty
    assert {"engine-0", "engine-1"} <= set(recording.table("engine")["session"])


@pytest.mark.usefixtures("image")
def test_workers_in_pods_come_to_an_owner_outside(cluster, kubectl, tmp_path: Path) -> None:
    """Two desktops, a user from each of two pods: the owner has rights on the cluster, its workers have none."""
    here, _ = addresses(cluster).link
    load = Load(cluster, kubectl, OVERLAY / "workers", {OWNER: here})
    command = [sys.executable, "-m", "vdibench.cli", "load", "--target", "manifests:cluster", "--scenario", "watch"]
    command += ["--shape", "soak:2@20s", "--mode", "meter", "--workers", "0", "--expect-workers", "2", "--json"]
    command += ["--master-bind", here, "--master-port", "5557", "--roster", str(tmp_path / "roster.json")]
    command += ["-p", "dialect", "selkies-2-websocket", "--results", str(tmp_path / "results")]
    try:
        load.begin()
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as owner:
            try:
                load.hand_over(until(lambda: roster_for_pods(tmp_path / "roster.json", owner), 180, "a roster"))
                out, said = owner.communicate(timeout=240)
            finally:
                if owner.poll() is None:
                    owner.send_signal(signal.SIGTERM)
    finally:
        load.remove()
    assert left(kubectl) == []
    document = json.loads(out)
    recording = Recording.open(Path(document["run"]))
    outcome = recording.verdict.outcome
    assert owner.returncode == document["exit_code"] == EXIT_CODES[outcome], said
    assert outcome in {Outcome.PASS, Outcome.FAIL, Outcome.INVALID}, said
    assert users_of(recording) == [1, 1]
    frames = recording.table("frames")
    assert set(frames[frames["phase"] == STEADY]["session"]) == {"desktop-0", "desktop-1"}
    assert not (tmp_path / "roster.json").exists()


def roster_for_pods(file: Path, owner: subprocess.Popen[str]) -> str:
    """The owner's roster with the authority's file where the pods have it; empty while there is none."""
    assert owner.poll() is None, owner.communicate()[1]
    if not file.exists():
        return ""
    document = json.loads(file.read_text())
    for desktop in document["desktops"]:
        desktop["endpoint"]["ca_file"] = "/etc/vdibench-authority/ca.crt"
    return json.dumps(document)


def inits(uid: str) -> list[int]:
    """Process 1 of the container of that pod, as this machine numbers it: whoever ends it ends all of them."""
    found = []
    for process in psutil.process_iter():
        try:
            inside = f"pod{uid}" in Path(f"/proc/{process.pid}/cgroup").read_text()
            if inside and process.exe().endswith("/tini"):
                found.append(process.pid)
        except (OSError, psutil.Error):
            continue  # it has ended
    return found
