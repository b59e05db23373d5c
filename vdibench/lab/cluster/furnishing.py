"""From a node that takes pods to the platform on it: definitions, DNS, volumes, Traefik, coturn, Prometheus. Asyncio.

Everything is applied server-side, with one field manager, so that it can be applied again.
"""

from __future__ import annotations

import asyncio
import base64
import secrets
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from vdibench.lab.cluster.addresses import NODE, Addresses
from vdibench.lab.cluster.apiclient import ApiClient
from vdibench.lab.cluster.objects import SLICES, addons, for_lab, in_order, read_objects
from vdibench.lab.cluster.pki import wildcard
from vdibench.lab.files import write_private

__all__ = ["DOMAIN", "FIELD_MANAGER", "TURN_SECRET", "WILDCARD_AUTHORITY", "furnish"]

DOMAIN = "vdi.test"
TURN_SECRET = "turn-secret"
WILDCARD_AUTHORITY = "vdi-ca.crt"

FIELD_MANAGER = "vdibench-lab"
_LABELS = {"app.kubernetes.io/part-of": "vdi-platform", "app.kubernetes.io/managed-by": FIELD_MANAGER}


async def furnish(
    api: ApiClient,
    directory: Path,
    addresses: Addresses,
    *,
    definitions: Iterable[Path],
    platform: Path,
    progress: Callable[[str], None],
) -> None:
    """Apply everything and return when all of it is available.

    :param directory: of the cluster; the TURN secret and the authority of the hosts' certificate are written there.
    :param definitions: files of CustomResourceDefinitions.
    :param platform: file with the objects of ``manifests/overlays/lab``.
    :raises ApplyRefused: the API server does not take an object.
    """
    await _prepare_node(api)
    crds = [one for path in definitions for one in read_objects(path)]
    await api.apply_all(crds, FIELD_MANAGER)
    for crd in crds:
        path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{crd['metadata']['name']}"
        await api.until(path, _has_condition("Established"))
    volumes = directory / "volumes"
    volumes.mkdir(exist_ok=True)
    objects = [*addons(addresses, volumes), *for_lab(read_objects(platform), addresses)]
    objects += _credentials(directory)
    await api.apply_all(in_order(objects), FIELD_MANAGER)
    progress(f"{len(crds) + len(objects)} objects applied")
    async with asyncio.TaskGroup() as group:
        for one in objects:
            if one["kind"] == "Deployment":
                name, namespace = one["metadata"]["name"], one["metadata"]["namespace"]
                group.create_task(_available(api, namespace, name, progress))


async def _prepare_node(api: ApiClient) -> None:
    labels = {"vdibench.io/turn": "true", "vdibench.io/real": "true"}
    await api.patch(f"/api/v1/nodes/{NODE}", {"metadata": {"labels": labels}})
    # What a device plugin with time-slicing advertises of one GPU; there is none behind it.
    await api.patch(f"/api/v1/nodes/{NODE}/status", {"status": {"capacity": {"nvidia.com/gpu": str(SLICES)}}})


def _credentials(directory: Path) -> list[dict[str, Any]]:
    secret = secrets.token_hex(32)
    write_private(directory / TURN_SECRET, secret)
    authority, certificate, key = wildcard(DOMAIN)
    write_private(directory / WILDCARD_AUTHORITY, authority)
    tls = {"tls.crt": certificate, "tls.key": key}
    return [
        _secret("vdi-turn", "coturn-auth", {"static-auth-secret": secret.encode()}),
        _secret("traefik", "vdi-wildcard-tls", tls, "kubernetes.io/tls"),
    ]


def _secret(namespace: str, name: str, data: dict[str, bytes], kind: str = "Opaque") -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": kind,
        "metadata": {"namespace": namespace, "name": name, "labels": {"app.kubernetes.io/name": name, **_LABELS}},
        "data": {key: base64.b64encode(value).decode() for key, value in data.items()},
    }


async def _available(api: ApiClient, namespace: str, name: str, progress: Callable[[str], None]) -> None:
    await api.until(f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}", _has_condition("Available"))
    progress(f"{name} available")


def _has_condition(kind: str) -> Callable[[Any], bool]:
    def holds(one: Any) -> bool:
        conditions = one.get("status", {}).get("conditions") or ()
        return any(item["type"] == kind and item["status"] == "True" for item in conditions)

    return holds
