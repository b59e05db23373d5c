"""What a cluster already has of the ends of edges: namespaces, addresses, an image. Reads from the API server only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vdibench.clusters.api import Api, Object, path_of
from vdibench.conformance.edges import Door, Source
from vdibench.conformance.pods import Platform

__all__ = ["Survey", "survey"]

_CLUSTER, _DEFAULT = "kube-system", "default"
_SLICES = f"/apis/discovery.k8s.io/v1/namespaces/{_DEFAULT}/endpointslices"
_SECURE = 443


@dataclass(frozen=True, slots=True)
class Survey:
    """What was found; empty or None for what was not.

    :param homes: sources whose namespace is there.
    :param policies: how many NetworkPolicies the sessions' namespace has.
    :param coturn: address of the node that coturn runs on.
    :param dns: cluster address of the cluster's DNS.
    :param node_port: of Traefik, and whether it speaks TLS.
    :param image: of a session that is there.
    :param node: where that session runs.
    """

    homes: frozenset[Source]
    policies: int
    coturn: str = ""
    dns: str = ""
    api_service: Door | None = None
    api_server: Door | None = None
    node_port: tuple[int, bool] | None = None
    image: str = ""
    node: str = ""


def survey(api: Api, platform: Platform) -> Survey:
    """Look around.

    :raises AuthenticationError: this user may not see something of it.
    :raises TargetUnavailable: the cluster does not answer.
    """
    sources = (Source.SESSION, Source.TRAEFIK, Source.MONITORING, Source.OPERATOR)
    homes = {source for source in sources if api.get(f"/api/v1/namespaces/{platform.home(source, '')}") is not None}
    image, node = _desktop(api, platform)
    return Survey(
        homes=frozenset(homes),
        policies=len(api.items(path_of("NetworkPolicy", platform.sessions))),
        coturn=_coturn(api, platform),
        dns=_address(api.get(path_of("Service", _CLUSTER, "kube-dns"))),
        api_service=_api_service(api),
        api_server=_api_server(api),
        node_port=_node_port(api, platform),
        image=image,
        node=node,
    )


def _desktop(api: Api, platform: Platform) -> tuple[str, str]:
    query = {"labelSelector": "app.kubernetes.io/name=vdi-session"}
    for pod in api.items(path_of("Pod", platform.sessions), query):
        if pod.get("status", {}).get("phase") == "Running":
            return str(pod["spec"]["containers"][0]["image"]), str(pod["spec"].get("nodeName", ""))
    return "", ""


def _coturn(api: Api, platform: Platform) -> str:
    for pod in api.items(path_of("Pod", platform.turn), {"labelSelector": "app.kubernetes.io/name=coturn"}):
        status = pod.get("status", {})
        if status.get("phase") == "Running" and status.get("hostIP"):
            return str(status["hostIP"])
    return ""


def _address(service: Object | None) -> str:
    address = str((service or {}).get("spec", {}).get("clusterIP", ""))
    return "" if address == "None" else address


def _api_service(api: Api) -> Door | None:
    service = api.get(path_of("Service", _DEFAULT, "kubernetes"))
    address = _address(service)
    if service is None or not address:
        return None
    return Door(address, int(service["spec"]["ports"][0]["port"]))


def _api_server(api: Api) -> Door | None:
    for one in api.items(_SLICES, {"labelSelector": "kubernetes.io/service-name=kubernetes"}):
        addresses = [address for endpoint in one.get("endpoints") or () for address in endpoint["addresses"]]
        if addresses and one.get("ports"):
            return Door(str(addresses[0]), int(one["ports"][0]["port"]))
    return None


def _node_port(api: Api, platform: Platform) -> tuple[int, bool] | None:
    """The port of TLS before any other."""
    ports: list[dict[str, Any]] = [
        port
        for service in api.items(path_of("Service", platform.traefik))
        for port in service["spec"].get("ports") or ()
        if port.get("nodePort") and port.get("protocol", "TCP") == "TCP"
    ]
    for port in sorted(ports, key=lambda one: one["port"] != _SECURE):
        return int(port["nodePort"]), port["port"] == _SECURE
    return None
