"""What a cluster's API said at one moment, as plain objects, and how to look things up in it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

__all__ = [
    "ClusterSnapshot",
    "Object",
    "container_images",
    "is_running",
    "labels",
    "name",
    "namespace",
    "node_addresses",
    "selects",
    "version_numbers",
]

Object = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ClusterSnapshot:
    """Objects by kind, as the API writes them. Secrets are never among them.

    :param version: of the API server, as in ``v1.34.4``.
    :param objects: kind -> its objects; a kind that the cluster does not know has none.
    :param unread: kind -> why nobody knows what there is of it.
    """

    version: str
    objects: Mapping[str, tuple[Object, ...]] = field(default_factory=dict)
    unread: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, version: str, documents: Iterable[Object], unread: Mapping[str, str] | None = None) -> Self:
        """From objects that name their kind."""
        found: dict[str, list[Object]] = {}
        for document in documents:
            found.setdefault(document["kind"], []).append(document)
        return cls(version, {kind: tuple(items) for kind, items in found.items()}, unread or {})

    def all(self, kind: str) -> tuple[Object, ...]:
        """Every object of a kind."""
        return self.objects.get(kind, ())

    def within(self, kind: str, of_namespace: str) -> Iterator[Object]:
        """Those of one namespace."""
        return (one for one in self.all(kind) if namespace(one) == of_namespace)

    def named(self, kind: str, wanted: str) -> Object | None:
        """The one of that name, of a kind without namespaces."""
        return next((one for one in self.all(kind) if name(one) == wanted), None)

    @property
    def nodes(self) -> tuple[Object, ...]:
        """Nodes that run something: those that kwok plays do not."""
        return tuple(
            node for node in self.all("Node") if "kwok.x-k8s.io/node" not in (node["metadata"].get("annotations") or {})
        )

    def sessions(self, of_namespace: str) -> Iterator[Object]:
        """Running pods of desktops."""
        return (
            pod
            for pod in self.within("Pod", of_namespace)
            if labels(pod).get("app.kubernetes.io/name") == "vdi-session" and is_running(pod)
        )

    def relays(self, of_namespace: str) -> Iterator[Object]:
        """Running pods of coturn."""
        return (
            pod
            for pod in self.within("Pod", of_namespace)
            if is_running(pod)
            and (
                labels(pod).get("app.kubernetes.io/name") == "coturn"
                or any("coturn" in image for image in container_images(pod))
            )
        )


def name(one: Object) -> str:
    """Its name."""
    return str(one["metadata"]["name"])


def namespace(one: Object) -> str:
    """Its namespace; empty where it has none."""
    return str(one["metadata"].get("namespace", ""))


def labels(one: Object) -> Mapping[str, str]:
    """Its labels."""
    return one["metadata"].get("labels") or {}


def is_running(pod: Object) -> bool:
    """Whether its containers run and nobody is ending it."""
    return pod.get("status", {}).get("phase") == "Running" and "deletionTimestamp" not in pod["metadata"]


def container_images(pod: Object) -> list[str]:
    """Images of its containers, as the pod names them."""
    return [str(container.get("image", "")) for container in pod.get("spec", {}).get("containers", ())]


def node_addresses(node: Object, *kinds: str) -> list[str]:
    """Its addresses, those of the first kind first (``InternalIP``, ``ExternalIP``)."""
    found = node.get("status", {}).get("addresses") or ()
    return [str(one["address"]) for kind in kinds for one in found if one["type"] == kind]


def selects(selector: Object, said: Mapping[str, str]) -> bool:
    """Whether a selector of labels chooses what has these; one with expressions is not read, and chooses nothing."""
    return "matchExpressions" not in selector and dict(selector.get("matchLabels") or {}).items() <= said.items()


def version_numbers(version: str) -> tuple[int, ...]:
    """The numbers of a version: ``v1.34.4+k3s1`` -> (1, 34, 4); empty where there are none."""
    numbers: list[int] = []
    for part in version.strip().removeprefix("v").split("+")[0].split("-")[0].split("."):
        if not part.isdigit():
            break
        numbers.append(int(part))
    return tuple(numbers)
