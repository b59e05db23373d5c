"""What a cluster lab is furnished with, as Kubernetes objects: read, adapted to one lab, put in order. Reads files.

Manifests are written for a lab of number 0; what carries its addresses is changed for others.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from vdibench.lab.cluster.addresses import Addresses
from vdibench.lab.cluster.images import image_names

__all__ = ["SLICES", "addons", "for_lab", "in_order", "played_node", "read_objects"]

Object = dict[str, Any]

SLICES = 8
"""GPU slices of a node: one GPU, shared by eight."""

_FIRST = ("CustomResourceDefinition", "Namespace", "ServiceAccount", "ClusterRole", "Role")
_LAST = ("Deployment",)
_ADDONS = Path(__file__).with_name("addons")


def read_objects(file: Path) -> list[Object]:
    """The objects of a file of YAML documents."""
    return _objects(file.read_text())


def addons(addresses: Addresses, volumes: Path) -> list[Object]:
    """Cluster DNS and the provisioner of volumes, which K3s has by itself.

    :param volumes: folder of the node for them.
    """
    names = image_names()
    given = {"@VOLUMES@": str(volumes), "@BUSYBOX@": names["busybox"]}
    found = []
    for file in sorted(_ADDONS.glob("*.yaml")):
        text = file.read_text()
        for placeholder, value in given.items():
            text = text.replace(placeholder, value)
        found += _objects(text)
    for container in _containers(found):
        container["image"] = names.get(container["image"], container["image"])
    return for_lab(found, addresses)


def for_lab(objects: Iterable[Object], addresses: Addresses) -> list[Object]:
    """The objects with the addresses of that lab in the place of those of number 0."""
    first = Addresses(0)
    places = {first.node: addresses.node, first.dns: addresses.dns}
    return [_replaced(one, places) for one in objects]


def in_order(objects: Iterable[Object]) -> list[Object]:
    """The objects in an order in which each finds what it needs: definitions and namespaces first, pods last."""

    def rank(one: Object) -> int:
        kind = one["kind"]
        if kind in _FIRST:
            return _FIRST.index(kind)
        return len(_FIRST) + (kind in _LAST)

    return sorted(objects, key=rank)


def played_node(number: int) -> Object:
    """A node that kwok plays; its taint keeps pods away that do not ask for such a one."""
    name = f"played-{number}"
    slices = {"cpu": "64", "memory": "256Gi", "pods": "110", "nvidia.com/gpu": str(SLICES)}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "annotations": {"kwok.x-k8s.io/node": "fake"},
            "labels": {"kubernetes.io/hostname": name, "vdibench.io/played": "true"},
        },
        "spec": {"taints": [{"key": "vdibench.io/played", "value": "true", "effect": "NoSchedule"}]},
        "status": {"allocatable": slices, "capacity": slices},
    }


def _objects(text: str) -> list[Object]:
    return [document for document in yaml.load_all(text, yaml.CSafeLoader) if document]


def _containers(objects: Iterable[Object]) -> Iterator[Object]:
    for one in objects:
        if one["kind"] == "Deployment":
            yield from one["spec"]["template"]["spec"]["containers"]


def _replaced(value: Any, places: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _replaced(item, places) for key, item in value.items()}
    if isinstance(value, list):
        return [_replaced(item, places) for item in value]
    if isinstance(value, str):
        for old, new in places.items():
            # With a mask or a port after it, and never as the beginning of another address.
            if value == old or value.startswith((f"{old}/", f"{old}:")):
                return new + value[len(old) :]
    return value
