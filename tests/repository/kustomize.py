"""What kustomize makes of a folder of manifests."""

from __future__ import annotations

import copy
import functools
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from vdibench.lab.cluster.binaries import binaries
from vdibench.lab.cluster.versions import GO_MODULES

MANIFESTS = Path(__file__).resolve().parents[2] / "manifests"
PLATFORMS = ("overlays/k3s", "overlays/lab")
SESSIONS = ("overlays/k3s/session", "overlays/lab/session")
OVERLAYS = PLATFORMS + SESSIONS
GPU_VARIANTS = ("time-slicing", "mps", "mig", "whole-gpu")

Object = dict[str, Any]


@functools.cache
def kubectl() -> Path:
    """The machine's own, or the lab's, which is built once."""
    own = shutil.which("kubectl")
    return Path(own) if own else binaries(tuple(m for m in GO_MODULES if m.name == "kubernetes"))["kubectl"]


@functools.cache
def _objects(folder: Path) -> list[Object]:
    done = subprocess.run([kubectl(), "kustomize", folder], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return list(yaml.load_all(done.stdout, yaml.CSafeLoader))  # ten times as fast as Python's own


def built(folder: str | Path) -> list[Object]:
    """The objects, anew each time: a test may change them."""
    return copy.deepcopy(_objects(MANIFESTS / folder))


def only(objects: list[Object], kind: str, name: str | None = None) -> Object:
    """The one of that kind, and of that name where there are several."""
    (found,) = (o for o in objects if o["kind"] == kind and name in {None, o["metadata"]["name"]})
    return found


def pod_specs(objects: list[Object]) -> Iterator[tuple[str, Object]]:
    """Name and specification of every pod that the objects lead to."""
    for item in objects:
        if item["kind"] == "Pod":
            yield item["metadata"]["name"], item["spec"]
        elif "template" in item.get("spec", {}):
            yield item["metadata"]["name"], item["spec"]["template"]["spec"]


def containers(spec: Object) -> list[Object]:
    return [*spec.get("initContainers", ()), *spec["containers"]]


def edited(place: Path, overlay: str, *changes: tuple[str, str, str]) -> list[Object]:
    """What an overlay makes of a copy in which a person changed something.

    :param changes: file below the manifests, what stands there once, what stands there then.
    """
    copied = shutil.copytree(MANIFESTS, place / "manifests")
    for file, old, new in changes:
        text = (copied / file).read_text()
        assert text.count(old) == 1, f"{file} has {text.count(old)} times {old!r}"
        (copied / file).write_text(text.replace(old, new))
    return _objects(copied / overlay)
