"""What a run on a cluster is of: objects of a session and of the platform, images, nodes. Asks the API and kustomize.

:func:`capture` gathers it while the sessions' pods are there; the rest is pure.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from vdibench.clusters.api import Api, Object
from vdibench.clusters.applied import applied
from vdibench.clusters.connection import Cluster
from vdibench.clusters.rendering import PLACEHOLDER, Template, kubectl, platform_objects, with_variables
from vdibench.errors import AuthenticationError, UsageError
from vdibench.lab.cluster.addresses import CLUSTERS, Addresses
from vdibench.lab.cluster.objects import for_lab
from vdibench.records import Image, Node, Subjects
from vdibench.records.subjects import MEASURED_VARIABLES
from vdibench.store.subjects import known_images

__all__ = ["capture", "digest_of", "images_of", "measured_variables", "node_of", "shipped"]

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}$")
_GPU = "nvidia.com/gpu"
_DRIVER = "nvidia.com/cuda.driver"


def capture(
    cluster: Cluster,
    api: Api,
    template: Template,
    variables: Mapping[str, str],
    pods: Iterable[Mapping[str, Any]],
    *,
    overlay: str,
    platform: str,
) -> Subjects:
    """What the sessions that are up now are of.

    An overlay of the platform that cannot be built, and what this user may not read, are differences of the cluster:
    a measurement needs neither.

    :param template: that the sessions were made of.
    :param variables: of their desktops' containers.
    :param pods: as the cluster has them, with their status.
    :param overlay: of a session, below ``overlays`` of the manifests.
    :param platform: overlay of what every cluster gets.
    :raises TargetUnavailable: the cluster breaks off.
    """
    seen = tuple(pods)
    session = shipped(template, variables)
    objects: tuple[Object, ...] = ()
    try:
        objects = _public(platform_objects(kubectl(cluster), platform))
        lines = applied(api, _as_applied(cluster, objects))
    except UsageError as error:
        lines = (error.cause,)
    return Subjects(
        lab=cluster.ours,
        overlay=overlay,
        platform=platform,
        placeholder=PLACEHOLDER,
        session=session,
        objects=objects,
        applied=lines,
        images=images_of(session, seen),
        kubernetes=cluster.version,
        nodes=_nodes(api, seen),
        domain=template.domain,
        relay=template.turn_address,
    )


def shipped(template: Template, variables: Mapping[str, str]) -> tuple[Object, ...]:
    """One session's objects as they ran, of nobody yet and without the measuring desk.

    :param variables: of the desktop's container, as they were measured.
    """
    kept = {name: _plain(value) for name, value in variables.items() if name in MEASURED_VARIABLES}
    return _public(with_variables(template.objects, kept))


def measured_variables(session: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The variables that a measurement set of a session, from its recorded objects: to build them once more."""
    return {
        str(one["name"]): str(one["value"])
        for pod in session
        if pod["kind"] == "Pod"
        for container in pod["spec"]["containers"]
        for one in container.get("env", ())
        if one["name"] in MEASURED_VARIABLES
    }


def images_of(session: Sequence[Mapping[str, Any]], pods: Iterable[Mapping[str, Any]]) -> tuple[Image, ...]:
    """The images that pods ran, as the session's manifests name them."""
    named = {
        str(container["name"]): str(container["image"])
        for pod in session
        if pod["kind"] == "Pod"
        for part in ("initContainers", "containers")
        for container in pod["spec"].get(part) or ()
    }
    found = [Image(name) for name in named.values()]
    for pod in pods:
        status = pod.get("status") or {}
        for one in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
            # What an admission webhook put beside them has the name that the cluster knows.
            name = named.get(str(one.get("name")), str(one.get("image", "")))
            found.append(Image(name, digest_of(str(one.get("imageID", "")))))
    return known_images(found)


def digest_of(image_id: str) -> str:
    """``sha256:…`` of an image as a node names it: alone or after a name, with or without a scheme; else empty."""
    found = _DIGEST.search(image_id)
    return found[0] if found else ""


def node_of(one: Mapping[str, Any]) -> Node:
    """What counts of a node."""
    status = one.get("status") or {}
    about, labels = status.get("nodeInfo") or {}, one.get("metadata", {}).get("labels") or {}
    return Node(
        kubelet=str(about.get("kubeletVersion", "")),
        kernel=str(about.get("kernelVersion", "")),
        system=str(about.get("osImage", "")),
        runtime=str(about.get("containerRuntimeVersion", "")),
        gpu=str(labels.get(f"{_GPU}.product", "")),
        gpus=_number(labels.get(f"{_GPU}.count", "")),
        slices=_number((status.get("allocatable") or {}).get(_GPU, "")),
        driver=_driver(labels),
    )


def _driver(labels: Mapping[str, Any]) -> str:
    """The version whole, as newer GPU feature discovery has it, or from its parts, as all versions of it have them."""
    whole = labels.get(f"{_DRIVER}-version.full")
    parts = (labels.get(f"{_DRIVER}.{part}") for part in ("major", "minor", "rev"))
    return str(whole or ".".join(str(part) for part in parts if part))


def _number(text: Any) -> int:
    return int(text) if str(text).isdecimal() else 0


def _plain(value: str) -> str:
    """``30`` of ``30-30``. The range only locks what is measured; a template's display stands for the number."""
    low, _, high = value.partition("-")
    return low if low == high and low.isdecimal() else value


def _public(objects: Iterable[Object]) -> tuple[Object, ...]:
    """Without Secrets, which a site's own overlay may make."""
    return tuple(one for one in objects if one["kind"] != "Secret")


def _as_applied(cluster: Cluster, objects: Iterable[Object]) -> list[Object]:
    """As the cluster got them: a lab changes addresses."""
    own = cluster.lab.cluster if cluster.lab is not None else None
    if own is None:
        return list(objects)
    return for_lab(objects, next(one for one in map(Addresses, range(CLUSTERS)) if one.node == own.node_address))


def _nodes(api: Api, pods: Iterable[Mapping[str, Any]]) -> tuple[Node, ...]:
    """Of these pods, alike ones once with their number; none where this user may not read nodes."""
    names = dict.fromkeys(str((pod.get("spec") or {}).get("nodeName", "")) for pod in pods)
    found = []
    try:
        for name in names:
            if name and (one := api.get(f"/api/v1/nodes/{name}")) is not None:
                found.append(node_of(one))
    except AuthenticationError:
        return ()
    return tuple(replace(node, count=count) for node, count in Counter(found).items())
