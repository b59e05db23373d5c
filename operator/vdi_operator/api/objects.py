"""Kubernetes objects as plain documents, and the few things that everybody asks them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["GROUP", "VERSION", "Kind", "Object", "Ref", "ref"]

GROUP = "vdibench.io"
VERSION = "v1alpha1"

# A document as the API has it.
Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind that the operator reads or writes.

    :param api_version: such as ``v1`` or ``traefik.io/v1alpha1``.
    :param plural: as paths have it.
    """

    api_version: str
    name: str
    plural: str

    def path(self, namespace: str, name: str = "") -> str:
        """Path of the collection, or of one object, below the API server's root."""
        root = "/api" if "/" not in self.api_version else "/apis"
        path = f"{root}/{self.api_version}/namespaces/{namespace}/{self.plural}"
        return f"{path}/{name}" if name else path


@dataclass(frozen=True, slots=True)
class Ref:
    """Kind and name of an object in the namespace of sessions."""

    kind: str
    name: str


def ref(one: Mapping[str, Any]) -> Ref:
    """Whose object a document is."""
    return Ref(str(one["kind"]), str(one["metadata"]["name"]))
