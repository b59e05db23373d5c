"""The full circle on a real node: validated by hand, graduated with evidence, made by the operator, measured again.

``python benchmarks/circle.py`` (``make circle``) brings up a cluster lab, runs notebooks 01 to 04 on plain pods of
``manifests/``, graduates the run into a chart, installs the packaged chart, and measures the desktops that the
operator makes of it with the same client on the same way. It writes ``docs/results/circle.md`` and ``.json`` and, where
the runs are, ``circle.html`` with both halves side by side and ``circle-chart``, which was installed. Exit status: that of the first step
that did not do what it should; 99 says that a target was missed. Linux, as root; meant to end within a quarter of an
hour on two cores.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# Run from a checkout, without installing it.
sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]

import numpy as np
from circle_page import START_TARGETS, page, targets

from results import RESULTS, provenance, write
from vdibench.clusters.api import Api
from vdibench.clusters.connection import connect
from vdibench.lab import ClusterSpec, Lab, LabSpec
from vdibench.lab.cluster.access import ClusterAccess
from vdibench.lab.cluster.adding import add_images
from vdibench.lab.cluster.operating import run as said_by
from vdibench.lab.cluster.releasing import install, release_values
from vdibench.metrics import Statistic, values
from vdibench.records import Display
from vdibench.store import Recording
from vdibench.targets import Wanted, open_target, parse_target
from vdibench.targets.vdisessions import OperatedSession

__all__ = ["main"]

_SESSIONS = "vdi-sessions"
_DESKTOPS = ("-n", _SESSIONS, "get", "pods", "-l", "app.kubernetes.io/name=vdi-session", "-o", "name")
_PATIENCE_SECONDS = 120.0
_LOOK_SECONDS = 0.1
# As in notebooks/params/circle.yaml, from where the template has it too.
_DISPLAY, _BITRATE_BPS = Display(1280, 720, 30), 4_000_000
_MISSED = 99
# What a lab has not, and a cluster of a site must have.
_WAIVED = {
    "preflight": "a lab has no public DNS, and Debian's coturn",
    "policies": "the kernel of a lab's host need not have what a policy engine is made of",
}
# Of these a run on an operator says nothing: what it makes is held against both by the graduation.
_UNSTATED = ("--allow-different", "image_digest", "--allow-different", "manifests")
# Parts of a start in which nothing but the operator is at work.
_OWN = ("accepted", "routed", "published")
_FIGURES = (
    ("session_ready_seconds", "stream_validation", "p(50)"),
    ("session_ready_seconds", "stream_validation", "p(95)"),
    ("glass_to_glass_seconds", "stream_validation", "p(50)"),
    ("glass_to_glass_seconds", "stream_validation", "p(95)"),
    ("input_to_photon_seconds", "stream_validation", "p(95)"),
    ("frames_per_second", "stream_validation", "p(5)"),
    ("glass_to_glass_seconds", "latency_under_load", "p(95)"),
    ("frames_per_second", "latency_under_load", "p(5)"),
)


class Failed(Exception):
    """A step did not do what it should.

    :param code: exit status of the whole.
    """

    def __init__(self, said: str, code: int = 1) -> None:
        super().__init__(said)
        self.code = code


@dataclass(slots=True)
class Circle:
    """What the steps share.

    :param work: for what nobody keeps: package, keys.
    """

    lab: str
    results: Path
    work: Path
    steps: list[dict[str, Any]] = field(default_factory=list)

    @contextmanager
    def step(self, name: str) -> Iterator[dict[str, Any]]:
        """Time a step and say how it went."""
        print(f"circle: {name}", file=sys.stderr, flush=True)
        noted: dict[str, Any] = {"name": name, "said": ""}
        began = time.monotonic()
        yield noted
        noted["seconds"] = time.monotonic() - began
        self.steps.append(noted)
        told = f": {noted['said']}" if noted["said"] else ""
        print(f"circle: {name}: {noted['seconds']:.1f} s{told}", file=sys.stderr, flush=True)

    def vdibench(self, *words: str | Path, expect: tuple[int, ...] = (0,)) -> str:
        """What a command of vdibench prints.

        :raises Failed: it ends otherwise than it should.
        """
        line = [sys.executable, "-m", "vdibench.cli", *map(str, words)]
        done = subprocess.run(line, stdout=subprocess.PIPE, text=True, check=False, cwd=self.results.parent)
        if done.returncode not in expect:
            print(done.stdout, file=sys.stderr)
            raise Failed(f"vdibench {' '.join(line[3:6])} ended with {done.returncode}", done.returncode)
        return done.stdout

    def measured(self, *words: str, expect: tuple[int, ...] = (0,)) -> Path:
        """Run notebooks; gives the run's folder.

        :raises Failed: it has another verdict than those expected.
        """
        line = ("run", *words, "--results", str(self.results), "--no-selftest", "--json")
        return self.results / Path(json.loads(self.vdibench(*line, expect=expect))["run"]).name


def _until(holds: Callable[[], object], what: str, seconds: float = _PATIENCE_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise Failed(f"{what} did not come within {seconds:g} s")
        time.sleep(_LOOK_SECONDS)  # a cluster is at work; there is nothing of it to wait on


class Sessions:
    """VDISessions of one lab, as a person has them: by kubectl and the API."""

    def __init__(self, cluster: ClusterAccess, lab: str, template: str) -> None:
        self._cluster = cluster
        self._template = template
        self._connection = connect(lab=lab)
        self._api = Api(self._connection)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def create(self, name: str) -> None:
        """A wish."""
        document = {
            "apiVersion": "vdibench.io/v1alpha1",
            "kind": "VDISession",
            "metadata": {"name": name, "namespace": _SESSIONS},
            "spec": {"user": name, "templateRef": {"name": self._template}},
        }
        said_by(self._cluster, "kubectl", "create", "-f", "-", given=json.dumps(document))

    def get(self, name: str) -> Mapping[str, Any]:
        """As it is; empty: not there."""
        return self._api.get(f"/apis/vdibench.io/v1alpha1/namespaces/{_SESSIONS}/vdisessions/{name}") or {}

    def condition(self, name: str, kind: str = "Ready") -> Mapping[str, Any]:
        """One of its conditions; empty: not written yet."""
        found = (self.get(name).get("status") or {}).get("conditions") or ()
        return next((one for one in found if one["type"] == kind), {})

    def ready(self, name: str) -> bool:
        """Whether it has a published desktop."""
        return self.condition(name).get("status") == "True"

    def operate(self, name: str, mode: str) -> None:
        """Running or Suspended."""
        path = f"/apis/vdibench.io/v1alpha1/namespaces/{_SESSIONS}/vdisessions/{name}"
        self._api.merge(path, {"spec": {"operatingMode": mode}})

    def inside(self, name: str, script: str) -> str:
        """What a shell in its desktop prints."""
        words = ("-n", _SESSIONS, "exec", f"vdi-session-{name}", "--", "sh", "-euc", script)
        return said_by(self._cluster, "kubectl", *words)

    def gone(self, name: str) -> bool:
        """Whether its pod has ended."""
        return self._api.get(f"/api/v1/namespaces/{_SESSIONS}/pods/vdi-session-{name}") is None

    def delete(self, *names: str) -> None:
        """Delete them, and return when they are gone."""
        words = ("-n", _SESSIONS, "delete", "vdisession", "--ignore-not-found", "--wait=true", "--timeout=90s")
        said_by(self._cluster, "kubectl", *words, *names)


def figures(folder: Path) -> dict[str, dict[str, Any]]:
    """The figures of a run: ``metric suite statistic`` -> value and number of samples; absent where nothing is."""
    tables = Recording.open(folder).tables
    found = {}
    for metric, suite, statistic in _FIGURES:
        sample = values(metric, tables, suite=suite)
        value = Statistic.parse(statistic).of(sample)
        if value is not None:
            found[f"{metric} {suite} {statistic}"] = {"value": value, "samples": len(sample)}
    return found


def starts(circle: Circle, cluster: ClusterAccess, template: str, count: int) -> list[dict[str, Any]]:
    """Start sessions two at a time, each with a new home, until so many were seen; each is gone before the next two.

    :raises Failed: one does not come up.
    """
    made: list[dict[str, Any]] = []
    wanted = Wanted(desktops=2, display=_DISPLAY, bitrate_bps=_BITRATE_BPS, template=template, relay_only=True)
    while len(made) < count:
        with open_target(parse_target(f"operator:{circle.lab}"), wanted, lambda line: None) as target:
            assert target.pods is not None, "a target on a cluster"
            for session in target.pods.sessions:
                if session.reason:
                    raise Failed(f"session {session.user} did not start: {session.reason}")
                assert isinstance(session, OperatedSession), "a session of an operator"
                status = session.document.get("status") or {}
                frame = session.look.reached.get("first_frame")
                made.append(
                    {
                        "ready_seconds": status["readyInSeconds"],
                        "phases": dict(status["phases"]),
                        "frame_seconds": None if frame is None else frame - session.begun_unix_seconds,
                        "own_seconds": sum(status["phases"].get(name, 0.0) for name in _OWN),
                    }
                )
        # Pods that end still hold their places: the next ones would wait for them, and that is no part of a start.
        _until(lambda: not said_by(cluster, "kubectl", *_DESKTOPS), "the end of the pods")
        print(f"circle: {len(made)} of {count} starts", file=sys.stderr, flush=True)
    return made


def summary(made: list[dict[str, Any]]) -> dict[str, Any]:
    """Percentiles of starts; how far their phases are from their total at most, as a share."""
    frames = [one["frame_seconds"] for one in made if one["frame_seconds"] is not None]
    own = [one["own_seconds"] for one in made]
    phases = {
        name: {
            f"p{share}": float(np.percentile([one["phases"].get(name, 0.0) for one in made], share))
            for share in (50, 95)
        }
        for name in made[0]["phases"]
    }
    apart = max(abs(sum(one["phases"].values()) - one["ready_seconds"]) / one["ready_seconds"] for one in made)
    return {
        "starts": len(made),
        "frame_seconds": {f"p{share}": float(np.percentile(frames, share)) for share in (50, 95)},
        "own_seconds": {f"p{share}": float(np.percentile(own, share)) for share in (50, 95)},
        "phases": phases,
        "phases_apart_ratio": apart,
    }


def rest(sessions: Sessions, name: str) -> dict[str, Any]:
    """Suspend and resume a session with a file in its home.

    :raises Failed: the file is not there again.
    """
    mark = f"kept-{os.getpid()}"
    sessions.inside(name, f"echo {mark} > /home/user/kept")
    sessions.operate(name, "Suspended")
    _until(lambda: sessions.gone(name), f"the end of {name}'s pod")
    began = time.monotonic()
    sessions.operate(name, "Running")
    _until(lambda: sessions.ready(name), f"{name} again")
    found = sessions.inside(name, "cat /home/user/kept").strip()
    if found != mark:
        raise Failed(f"the home of {name} has {found!r} where {mark!r} was written")
    return {"resumed_seconds": time.monotonic() - began, "file": "kept"}


def fill(sessions: Sessions, capacity: int) -> dict[str, Any]:
    """Sessions up to the limit, and one more.

    :raises Failed: one of the former does not come up, or the latter is not refused with its reason.
    """
    names = [f"place-{number}" for number in range(1, capacity + 1)]
    try:
        for name in names:
            sessions.create(name)
        _until(lambda: all(map(sessions.ready, names)), f"{capacity} desktops at once")
        sessions.create("one-too-many")
        _until(lambda: sessions.condition("one-too-many", "Admitted").get("status") == "False", "a refusal")
        refused = sessions.condition("one-too-many", "Admitted")
        if refused.get("reason") != "CapacityReached":
            raise Failed(f"the session over the limit says {refused}, CapacityReached expected")
        sessions.delete(names[0])
        _until(lambda: sessions.ready("one-too-many"), "its turn after another one left")
    finally:
        sessions.delete(*names, "one-too-many")
    return {"capacity": capacity, "reason": refused["reason"], "message": refused["message"]}


def walk(circle: Circle, cluster: ClusterAccess, options: argparse.Namespace) -> dict[str, Any]:
    """Every step; gives what was found."""
    document: dict[str, Any] = {}
    with circle.step("images of operator and checker") as noted:
        images = add_images(cluster, ("operator", "checker"), lambda line: print(f"circle: {line}", file=sys.stderr))
        noted["said"] = ", ".join(image.name for image in images)
    with circle.step("by hand: notebooks 01 to 04 on plain pods"):
        target = f"manifests:{circle.lab}"
        # What a lab cannot have is missed there, and waived by name below; whatever else is missed is refused.
        notebooks = ("01", "02", "03", "04", "--target", target, "--profile", "circle")
        hand = circle.measured(*notebooks, expect=(0, _MISSED))
    # What was graduated stays, with its evidence, beside the run that it is of.
    chart = circle.results / "circle-chart"
    key, public = _keys(circle.work)
    with circle.step("graduation") as noted:
        waived = [word for what, reason in _WAIVED.items() for word in ("--waive", f"{what}={reason}")]
        wanted = ("--output", str(chart), "--allow-lab", "--key", str(key), "--json", *waived)
        graduated = json.loads(circle.vdibench("graduate", hand, *wanted))
        (template,) = graduated["templates"]
        bounds = graduated["evidence"]["capacity"]
        capacity = int(bounds["sessionsPerGPU"])
        noted["said"] = f"{template}: {capacity} sessions a GPU"
    with circle.step("evidence checked") as noted:
        said = circle.vdibench("graduate", "--verify", chart, "--run", hand, "--public-key", public)
        # Its tables are those of the evidence; where the chart lies for a minute is nobody's business.
        noted["said"] = said.strip().splitlines()[-1].replace(str(chart), "the chart")
    with circle.step("chart packaged and installed") as noted:
        said = said_by(cluster, "helm", "package", str(chart), f"--destination={circle.work}")
        package = Path(said.rpartition(":")[2].strip())
        site = {"gpus": 1, "requireEvidence": True, "allowLabEvidence": True}
        # Role and account are those of manifests/security, which the lab has applied.
        more = {"settings": site, "rbac": {"create": False}, "serviceAccount": {"create": False}}
        install(cluster, release_values(cluster, more), package)
        noted["said"] = package.name
    with circle.step("by operator: notebooks 02 and 03 on VDISessions"):
        target = f"operator:{circle.lab}"
        own = circle.measured("02", "03", "--target", target, "--profile", "circle", "-p", "template", template)
    with circle.step(f"{options.starts} starts, two at a time"):
        made = starts(circle, cluster, template, options.starts)
    sessions = Sessions(cluster, circle.lab, template)
    try:
        with circle.step("suspended and resumed"):
            sessions.create("alice")
            _until(lambda: sessions.ready("alice"), "alice's desktop")
            document["rest"] = rest(sessions, "alice")
            sessions.delete("alice")
        with circle.step("filled to the limit"):
            document["fill"] = fill(sessions, capacity)
    finally:
        sessions.close()
    with circle.step("both halves compared") as noted:
        html = circle.results / "circle.html"
        compared = circle.vdibench("compare", hand, own, "--varied", "target_kind", *_UNSTATED, "--html", html)
        noted["said"] = next((line for line in compared.splitlines() if line.startswith("worse ")), "")
    return document | {
        "hand": {"run": hand.name, "figures": figures(hand)},
        "operator": {"run": own.name, "figures": figures(own)},
        "graduated": {"template": template, "capacity": bounds, "signed": graduated["signed"]},
        "starts": summary(made),
        "each_start": made,
    }


def _keys(folder: Path) -> tuple[Path, Path]:
    """A key pair that lives as long as the circle."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

    made = Ed25519PrivateKey.generate()
    private, public = folder / "key.pem", folder / "key.pub"
    private.touch(mode=0o600)
    private.write_bytes(made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public.write_bytes(made.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return private, public


def main() -> None:
    """Walk the circle and write what was found."""
    line = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    line.add_argument("--starts", type=int, default=START_TARGETS.fewest, help="of sessions, two at a time")
    line.add_argument("--results", type=Path, default=Path("results"), help="folder for the runs")
    line.add_argument("--output", type=Path, default=RESULTS)
    options = line.parse_args()
    where, began = provenance(), time.monotonic()
    name = f"circle-{os.getpid()}"
    work = Path(tempfile.mkdtemp(prefix="vdibench-circle-"))
    circle = Circle(name, options.results.resolve(), work)
    circle.results.mkdir(parents=True, exist_ok=True)
    try:
        with circle.step("a cluster"):
            lab = Lab.up(LabSpec((), cluster=ClusterSpec()), name=name, owned=True)
        with lab:
            assert lab.cluster is not None, "a lab with a cluster"
            document = walk(circle, lab.cluster, options)
    except Failed as failure:
        print(f"circle: {failure}", file=sys.stderr)
        sys.exit(failure.code)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    document = {**where, "seconds": time.monotonic() - began, "steps": circle.steps, **document}
    document["targets"] = targets(document)
    write(options.output, "circle", document, page(document))
    if any(one["met"] is False for one in document["targets"]):
        sys.exit(99)


if __name__ == "__main__":
    main()
