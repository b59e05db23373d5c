"""A small graduated chart as files on the disk, and what it is of."""

from __future__ import annotations

import copy
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from vdibench.graduation.findings import Required, Waiver
from vdibench.graduation.signing import sign
from vdibench.graduation.statement import canonical, chart_digests, evidence_annotations, predicate, statement
from vdibench.records import (
    Image,
    Node,
    ObjectiveResult,
    Outcome,
    Run,
    RunState,
    Subjects,
    SuiteVerdict,
    Verdict,
)

ENDED = 1_795_953_600.75  # three quarters of a second after 2026-11-29T12:00:00Z
DAY = 86_400
SEAL = "5e" * 32
IMAGE = "registry.example.com/vdi/desktop:1.2.0"
DIGEST = "ab" * 32

SESSION: tuple[dict[str, Any], ...] = (
    {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "desktop-nobody-yet", "namespace": "vdi-sessions"},
        "spec": {
            "containers": [
                {
                    "name": "desktop",
                    "image": IMAGE,
                    "env": [{"name": "SELKIES_FRAMERATE", "value": "60"}, {"name": "SELKIES_PORT", "value": "8080"}],
                }
            ]
        },
    },
    {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "desktop-nobody-yet", "namespace": "vdi-sessions"},
        "spec": {"ports": [{"name": "http", "port": 8080}]},
    },
)
POLICY: dict[str, Any] = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "NetworkPolicy",
    "metadata": {"name": "default-deny", "namespace": "vdi-sessions"},
    "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]},
}
RELAY: dict[str, Any] = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "coturn", "namespace": "coturn"},
    "spec": {"replicas": 1},
}
# Of the platform, and no part of the chart.
INGRESS: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "traefik", "namespace": "traefik"},
}
SPEC: dict[str, Any] = {
    "image": f"{IMAGE}@sha256:{DIGEST}",
    "display": {"width": 1280, "height": 720, "framerate": 30},
    "capacity": {"sessionsPerGPU": 8},
}
CHART_FILES = {
    "Chart.yaml": "apiVersion: v2\nname: vdi-operator\nversion: 0.1.0\n",
    "values.yaml": "# Beside what was graduated.\nrequireEvidence: true\n",
    "crds/vditemplates.yaml": "kind: CustomResourceDefinition\n",
    "templates/graduated.yaml": '{{ .Files.Get "graduated/templates.yaml" }}\n',
    "templates/empty.yaml": "",
}


@dataclass(frozen=True)
class Shown:
    """What a run showed of a GPU's sessions."""

    sessions_per_gpu: int = 8
    upper: int | None = 9
    per: str = "gpu"
    rule: str = "95 % of sessions good, every trial"


def objective(metric: str, expect: str, observed: float | None, samples: int, **more: Any) -> ObjectiveResult:
    known = {"outcome": Outcome.PASS, "bound": None, "unit": "s", "reason": ""} | more
    return ObjectiveResult(metric=metric, expect=expect, observed=observed, samples=samples, **known)


def a_run(**changes: Any) -> Run:
    known: dict[str, Any] = {
        "name": "20261129T110000Z-pipeline-standard",
        "suite": "pipeline",
        "profile": "standard",
        "target": "manifests",
        "started_unix_seconds": ENDED - 3600,
        "ended_unix_seconds": ENDED,
        "state": RunState.FINISHED,
        "host": {"cpu_model": "Example CPU", "cpu_cores": 16},
        "versions": {"vdibench": "0.1.0"},
        "git_commit": "0123456789ab",
    }
    return Run(**{**known, **changes})


def a_verdict() -> Verdict:
    latency = SuiteVerdict(
        "latency_under_load",
        Outcome.PASS,
        (
            objective("glass_to_glass_seconds", "p(95) < 0.150", 0.0415, 4180),
            objective("session_failure_ratio", "avg <= 0", 0.0, 12, unit="ratio"),
            objective("gpu_memory_ratio", "max < 0.9", None, 0, outcome=Outcome.NOT_APPLICABLE),
            objective("check:route", "passes", None, 1, unit=""),
        ),
        ("desktops were few",),
    )
    density = SuiteVerdict(
        "gpu_density",
        Outcome.PASS,
        (
            objective("glass_to_glass_seconds", "p(95) < 0.150", 0.0612, 9000),
            objective("sessions_per_gpu", "knee_lower_bound >= 8 at gpu", 8.0, 1, unit="session"),
        ),
    )
    return Verdict(a_run().name, Outcome.PASS, (latency, density))


def subjects(**changes: Any) -> Subjects:
    node = Node("v1.31.4+k3s1", "6.1.0-18-amd64", "Debian GNU/Linux 12", gpu="NVIDIA-L4", gpus=1, driver="580.65.06")
    known: dict[str, Any] = {
        "lab": False,
        "overlay": "k3s/session",
        "platform": "k3s",
        "placeholder": "nobody-yet",
        "session": copy.deepcopy(SESSION),
        "objects": copy.deepcopy((POLICY, RELAY, INGRESS)),
        "images": (Image(IMAGE, f"sha256:{DIGEST}"),),
        "kubernetes": "v1.31.4+k3s1",
        "nodes": (node,),
    }
    return Subjects(**{**known, **changes})


@dataclass
class Graduation:
    """What a chart is made of, each part to be changed by a test."""

    run: Run = field(default_factory=a_run)
    verdict: Verdict = field(default_factory=a_verdict)
    of: Subjects = field(default_factory=subjects)
    seal: str = SEAL
    capacity: Shown | None = field(default_factory=Shown)
    spec: dict[str, Any] = field(default_factory=lambda: copy.deepcopy(SPEC))
    parts: dict[str, list[Any]] = field(
        default_factory=lambda: copy.deepcopy({"security": [], "network": [POLICY, RELAY], "storage": []})
    )
    waivers: Sequence[Waiver] = (Waiver(Required.POLICIES, "the pilot's cluster is our own"),)
    age_seconds: float = 90 * DAY
    key: Path | None = None
    password: str | None = None

    def predicate(self) -> dict[str, Any]:
        shipped = [one for objects in self.parts.values() for one in objects]
        return predicate(
            self.run,
            self.verdict,
            self.of,
            seal=self.seal,
            capacity=self.capacity,
            parts=shipped,
            waivers=self.waivers,
            age_seconds=self.age_seconds,
        )

    def write(self, chart: Path) -> Path:
        """The chart with its evidence."""
        evidence = self.predicate()
        template = {
            "apiVersion": "vdibench.io/v1alpha1",
            "kind": "VDITemplate",
            "metadata": {"name": "desktop", "annotations": evidence_annotations(evidence, self.spec)},
            "spec": self.spec,
        }
        graduated = {"templates": [template], "session": list(self.of.session), **self.parts}
        files = {path: text.encode() for path, text in CHART_FILES.items()}
        files |= {f"graduated/{name}.yaml": dumped(objects) for name, objects in graduated.items()}
        for path, data in files.items():
            put(chart / path, data)
        said = canonical(statement(evidence, chart=chart_digests(files)))
        put(chart / "graduated/evidence.json", said)
        if self.key is not None:
            put(chart / "graduated/evidence.dsse.json", sign(said, self.key, self.password))
        return chart


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: object) -> bool:
        return True


def dumped(objects: Sequence[Mapping[str, Any]]) -> bytes:
    return yaml.dump(list(objects), Dumper=_Dumper, sort_keys=True).encode()


def put(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def packaged(chart: Path, archive: Path) -> Path:
    """As helm does: regular files alone, below one folder."""
    with tarfile.open(archive, "w:gz") as made:
        for path in sorted(one for one in chart.rglob("*") if one.is_file()):
            made.add(path, f"vdi-operator/{path.relative_to(chart).as_posix()}", recursive=False)
    return archive


def key_pair(folder: Path, name: str = "key", private: Any = None, password: str = "") -> tuple[Path, Path]:
    """PEM files of a private key (ed25519 where none is given) and of its public half."""
    private = private if private is not None else Ed25519PrivateKey.generate()
    protection = BestAvailableEncryption(password.encode()) if password else NoEncryption()
    secret, public = folder / f"{name}.pem", folder / f"{name}.pub.pem"
    put(secret, private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protection))
    put(public, private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return secret, public
