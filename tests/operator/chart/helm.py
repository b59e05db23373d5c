"""The chart as helm makes it."""

from __future__ import annotations

import functools
import json
import subprocess
from pathlib import Path
from typing import Any

import yaml

from vdibench.lab.cluster.binaries import binaries
from vdibench.lab.cluster.versions import GO_MODULES, KUBERNETES

CHART = Path(__file__).resolve().parents[3] / "operator" / "chart" / "vdi-operator"
RELEASE, NAMESPACE = "vdi", "vdi-operator"
# A helm that is built as a module knows no version of its own.
VERSION = f"--kube-version={KUBERNETES}"

Object = dict[str, Any]


@functools.cache
def helm() -> Path:
    """The lab's, built once from its Go module."""
    return binaries(tuple(module for module in GO_MODULES if module.name == "helm"))["helm"]


def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([helm(), *words], capture_output=True, text=True, timeout=60, check=False)


def template(values: Object | None = None, *more: str) -> subprocess.CompletedProcess[str]:
    """What ``helm template`` says, with values beside the chart's own."""
    words = ["template", RELEASE, str(CHART), f"--namespace={NAMESPACE}", VERSION, *more]
    return subprocess.run(
        [helm(), *words, "--values=-"],
        input=json.dumps(values or {}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def rendered(values: Object | None = None) -> list[Object]:
    """The objects of a release."""
    done = template(values)
    assert done.returncode == 0, done.stderr
    return [one for one in yaml.safe_load_all(done.stdout) if one]


def named(objects: list[Object], kind: str, name: str) -> Object:
    """The one of that kind and name."""
    (found,) = (one for one in objects if one["kind"] == kind and one["metadata"]["name"] == name)
    return found


def keys(objects: list[Object]) -> list[str]:
    """Kind, namespace and name of each, in order."""
    return sorted(f"{one['kind']} {one['metadata'].get('namespace', '-')}/{one['metadata']['name']}" for one in objects)
