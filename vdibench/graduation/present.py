"""What the manifests give now, and what a cluster is now, for the same overlays as a run was of. I/O; runs kubectl."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from vdibench.clusters.api import Api
from vdibench.clusters.connection import connect
from vdibench.clusters.rendering import platform_objects, render
from vdibench.clusters.subjects import measured_variables, node_of, shipped
from vdibench.graduation.verification import Current
from vdibench.records import Subjects

__all__ = ["current", "pinned_images", "versions"]

_SECRET = "Secret"


def current(subjects: Subjects, kubectl: Path, *, manifests: Path | None = None) -> Current:
    """What the manifests give now; no cluster is asked.

    A session is built with the variables that the run measured it with, since these are no part of the manifests; on
    the project's own cluster with the run's relay, since each of these has another address.

    :param kubectl: the program, which builds overlays.
    :param manifests: the folder; None for the one that belongs to this package.
    :raises UsageError: an overlay is not there any more, or cannot be built.
    """
    relay = subjects.relay if subjects.lab else ""
    template = render(str(kubectl), subjects.overlay, turn_address=relay, manifests=manifests)
    session = shipped(template, measured_variables(subjects.session))
    objects = platform_objects(str(kubectl), subjects.platform, manifests=manifests)
    return Current(
        session=session,
        objects=tuple(one for one in objects if one["kind"] != _SECRET),
        images=pinned_images(session),
    )


def pinned_images(session: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The images of a session's pods by name, and their digests where the name pins one; empty where it does not."""
    names = [
        str(container["image"])
        for pod in session
        if pod["kind"] == "Pod"
        for part in ("initContainers", "containers")
        for container in pod["spec"].get(part) or ()
    ]
    return {name: name.partition("@")[2] for name in names}


def versions(context: str) -> tuple[str, str]:
    """Of a cluster's API server, and of the driver on its GPU nodes: all of them, where they differ.

    :raises VdibenchError: there is no such context, or the cluster cannot be asked.
    """
    cluster = connect(context=context)
    with closing(cluster):
        nodes = [node_of(one) for one in Api(cluster).items("/api/v1/nodes")]
        drivers = sorted({node.driver for node in nodes if node.gpu and node.driver})
        return cluster.version, ", ".join(drivers)
