"""The chart as helm makes it, as it is in the repository and as a graduation leaves it."""

from __future__ import annotations

import functools
import json
import subprocess
from pathlib import Path
from typing import Any

import yaml

from vdibench.graduation.chart import write_chart, yaml_list
from vdibench.graduation.parts import parts
from vdibench.graduation.templates import vdi_template
from vdibench.lab.cluster.binaries import binaries
from vdibench.lab.cluster.versions import GO_MODULES, KUBERNETES
from vdibench.records import Subjects

from ...repository.kustomize import built

CHART = Path(__file__).resolve().parents[3] / "operator" / "chart" / "vdi-operator"
RELEASE, NAMESPACE = "vdi", "vdi-operator"
# A helm that is built as a module knows no version of its own.
VERSION = f"--kube-version={KUBERNETES}"

Object = dict[str, Any]

# As a graduation writes them; what they say is that of no run.
RUN = "20261124T174715Z-graduation"
EVIDENCE = {
    "vdibench.io/evidence-run": RUN,
    # All digits but one letter: a number with an exponent to a careless reader.
    "vdibench.io/evidence-seal": "1234567e" + "8" * 56,
    "vdibench.io/evidence-date": "2026-11-24T17:50:00Z",
    "vdibench.io/evidence-expires": "2027-02-22T17:50:00Z",
    "vdibench.io/evidence-bounds": "8..9",
    "vdibench.io/evidence-objectives": "glass_to_glass_seconds p(95) < 0.150; sessions_per_gpu >= 8",
    "vdibench.io/evidence-hardware": "NVIDIA L4, driver 580.65.06",
    "vdibench.io/evidence-lab": "false",
}


@functools.cache
def helm() -> Path:
    """The lab's, built once from its Go module."""
    return binaries(tuple(module for module in GO_MODULES if module.name == "helm"))["helm"]


def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([helm(), *words], capture_output=True, text=True, timeout=60, check=False)


def subjects(overlay: str = "k3s") -> Subjects:
    """What a run on that overlay was of."""
    return Subjects(
        lab=overlay == "lab",
        overlay=f"{overlay}/session",
        platform=overlay,
        placeholder="alice",
        session=tuple(built(f"overlays/{overlay}/session")),
        objects=tuple(built(f"overlays/{overlay}")),
    )


def graduated_files(overlay: str = "k3s") -> dict[str, bytes]:
    """The folder ``graduated`` of a small chart, from the real manifests."""
    of = subjects(overlay)
    template = vdi_template(of, name="cad", sessions_per_gpu=8, annotations=EVIDENCE)
    split = {f"{part}.yaml": yaml_list(objects, run=RUN) for part, objects in parts(of.objects, of.platform).items()}
    return {
        "templates.yaml": yaml_list([template], run=RUN),
        "session.yaml": yaml_list(of.session, run=RUN),
        "evidence.json": b"{}\n",
        **split,
    }


def graduated_chart(place: Path, overlay: str = "k3s") -> Path:
    """A graduated copy of the chart, in that folder."""
    write_chart(CHART, place / "vdi-operator", graduated_files(overlay))
    return place / "vdi-operator"


def template(values: Object | None = None, *more: str, chart: Path = CHART) -> subprocess.CompletedProcess[str]:
    """What ``helm template`` says, with values beside the chart's own."""
    words = ["template", RELEASE, str(chart), f"--namespace={NAMESPACE}", VERSION, *more]
    return subprocess.run(
        [helm(), *words, "--values=-"],
        input=json.dumps(values or {}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def rendered(values: Object | None = None, chart: Path = CHART) -> list[Object]:
    """The objects of a release."""
    done = template(values, chart=chart)
    assert done.returncode == 0, done.stderr
    return [one for one in yaml.safe_load_all(done.stdout) if one]


def named(objects: list[Object], kind: str, name: str) -> Object:
    """The one of that kind and name."""
    (found,) = (one for one in objects if one["kind"] == kind and one["metadata"]["name"] == name)
    return found


def keys(objects: list[Object]) -> list[str]:
    """Kind, namespace and name of each, in order."""
    return sorted(f"{one['kind']} {one['metadata'].get('namespace', '-')}/{one['metadata']['name']}" for one in objects)
