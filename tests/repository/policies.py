"""What NetworkPolicies allow, by the words of the API: small, and enough for the policies of this repository.

An end is a pod with its namespace, or an address. A pod on its node's network is an address: engines know it by nothing
else, neither as a peer nor as a target.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from typing import Any

from vdibench.graduation.reach import selects


@dataclass(frozen=True)
class End:
    """One end of an edge.

    :param namespace: empty for what is outside the cluster's pods.
    :param labels: of the pod.
    :param namespace_labels: of its namespace; the API server adds the name.
    :param address: what ``ipBlock`` is compared with.
    """

    namespace: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    address: str = "10.42.0.7"
    namespace_labels: dict[str, str] = field(default_factory=dict)

    @property
    def is_pod(self) -> bool:
        return bool(self.namespace)


def allowed(policies: list[dict[str, Any]], source: End, target: End, port: int, protocol: str = "TCP") -> bool:
    """Whether a connection gets through: out of the source and into the target."""
    return _side(policies, source, target, port, protocol, "Egress") and _side(
        policies, target, source, port, protocol, "Ingress"
    )


def _side(policies: list[dict[str, Any]], own: End, peer: End, port: int, protocol: str, way: str) -> bool:
    if not own.is_pod:
        return True
    choosing = [
        policy["spec"]
        for policy in policies
        if policy["metadata"]["namespace"] == own.namespace
        and way in policy["spec"]["policyTypes"]
        and selects(policy["spec"]["podSelector"], own.labels)
    ]
    if not choosing:
        return True
    return any(
        _peers(rule.get("from" if way == "Ingress" else "to"), own, peer) and _ports(rule.get("ports"), port, protocol)
        for spec in choosing
        for rule in spec.get(way.lower(), ())
    )


def _peers(peers: list[dict[str, Any]] | None, own: End, peer: End) -> bool:
    return peers is None or any(_is_peer(one, own, peer) for one in peers)


def _is_peer(one: dict[str, Any], own: End, peer: End) -> bool:
    if "ipBlock" in one:
        address = ipaddress.ip_address(peer.address)
        block = one["ipBlock"]
        return address in ipaddress.ip_network(block["cidr"]) and not any(
            address in ipaddress.ip_network(hole) for hole in block.get("except", ())
        )
    if not peer.is_pod:
        return False
    if "namespaceSelector" in one:
        named = {"kubernetes.io/metadata.name": peer.namespace, **peer.namespace_labels}
        if not selects(one["namespaceSelector"], named):
            return False
    elif peer.namespace != own.namespace:
        return False
    return selects(one.get("podSelector", {}), peer.labels)


def _ports(ports: list[dict[str, Any]] | None, port: int, protocol: str) -> bool:
    return ports is None or any(
        one.get("protocol", "TCP") == protocol
        and ("port" not in one or one["port"] <= port <= one.get("endPort", one["port"]))
        for one in ports
    )
