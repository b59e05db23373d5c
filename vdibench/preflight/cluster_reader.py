"""Asks a cluster's API once for each kind that a check needs. Blocking I/O; changes nothing.

What may not be read is no error here: it is noted, and the checks that need it have no data.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from vdibench.clusters import Cluster
from vdibench.preflight.cluster_context import ClusterContext
from vdibench.preflight.cluster_snapshot import ClusterSnapshot, Object

__all__ = ["KINDS", "read_snapshot"]

_TIMEOUT_SECONDS = 30
_CUSTOM = {
    "ClusterPolicy": ("nvidia.com", "v1", "clusterpolicies"),
    "IngressRoute": ("traefik.io", "v1alpha1", "ingressroutes"),
    "PodMonitor": ("monitoring.coreos.com", "v1", "podmonitors"),
    "ServiceMonitor": ("monitoring.coreos.com", "v1", "servicemonitors"),
    "TLSStore": ("traefik.io", "v1alpha1", "tlsstores"),
}
_BUILT_IN = {
    "Node": ("CoreV1Api", "list_node"),
    "Namespace": ("CoreV1Api", "list_namespace"),
    "Pod": ("CoreV1Api", "list_pod_for_all_namespaces"),
    "Service": ("CoreV1Api", "list_service_for_all_namespaces"),
    "NetworkPolicy": ("NetworkingV1Api", "list_network_policy_for_all_namespaces"),
    "StorageClass": ("StorageV1Api", "list_storage_class"),
    "RuntimeClass": ("NodeV1Api", "list_runtime_class"),
    "CustomResourceDefinition": ("ApiextensionsV1Api", "list_custom_resource_definition"),
}
KINDS = (*_BUILT_IN, "ConfigMap", *_CUSTOM)
"""Kinds that are read, each by one call. ConfigMaps are those of the GPU operator's namespace."""


def read_snapshot(cluster: Cluster, context: ClusterContext) -> ClusterSnapshot:
    """Everything that the checks look at, at about one moment."""
    from kubernetes import client

    found: dict[str, tuple[Object, ...]] = {}
    unread: dict[str, str] = {}
    for kind in KINDS:
        try:
            found[kind] = tuple(_slim(kind, one) for one in _list(kind, cluster, context, client))
        except client.ApiException as error:
            if error.status == 404:
                found[kind] = ()  # a kind that this cluster does not know
            else:
                unread[kind] = f"{error.status} {error.reason}"
        except Exception as error:  # urllib3 has a tree of its own; one list that breaks must not hide the others
            unread[kind] = f"{type(error).__name__}: {error}"
    return ClusterSnapshot(cluster.version, found, unread)


def _list(kind: str, cluster: Cluster, context: ClusterContext, client: Any) -> list[dict[str, Any]]:
    if kind in _CUSTOM:
        api: Any = client.CustomObjectsApi(cluster.api)
        answer = api.list_cluster_custom_object(*_CUSTOM[kind], _request_timeout=_TIMEOUT_SECONDS)
        return list(answer["items"])
    # As bytes: the client's own classes would translate names, and refuse what newer servers add.
    options: dict[str, Any] = {"_preload_content": False, "_request_timeout": _TIMEOUT_SECONDS}
    call: Callable[..., Any]
    if kind == "ConfigMap":
        call = client.CoreV1Api(cluster.api).list_namespaced_config_map
        response = call(context.gpu_namespace, **options)
    else:
        family, method = _BUILT_IN[kind]
        call = getattr(getattr(client, family)(cluster.api), method)
        response = call(**options)
    try:
        return list(json.loads(response.data)["items"])
    finally:
        response.release_conn()


def _slim(kind: str, one: dict[str, Any]) -> Object:
    """Without what is large and never looked at; lists leave the kind out."""
    metadata = {key: value for key, value in one["metadata"].items() if key != "managedFields"}
    slim = {**one, "kind": kind, "metadata": metadata}
    if kind == "CustomResourceDefinition":
        versions = [{"name": each["name"], "served": each["served"]} for each in one["spec"]["versions"]]
        slim["spec"] = {"group": one["spec"]["group"], "names": one["spec"]["names"], "versions": versions}
    return slim
