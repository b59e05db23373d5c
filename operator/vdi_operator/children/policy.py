"""What may reach a desktop and what it may reach, in one NetworkPolicy a session. Pure.

Its edges are those of ``manifests/security`` together; the default-deny of that folder stays under it. A policy is no
wall by itself: engines let the node's own processes through, and connections that are older than a policy live on.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from vdi_operator.api.objects import Object
from vdi_operator.api.session import Session
from vdi_operator.api.template import Egress, Template
from vdi_operator.children import dialects, names
from vdi_operator.children.kinds import KINDS
from vdi_operator.settings import Settings

__all__ = ["NoAddress", "policy"]

_NAMESPACE_LABEL = "kubernetes.io/metadata.name"
# What only insiders reach. IPv6 is not named at all and so stays shut.
_INSIDE = (
    # Private, shared and benchmarking ranges: pods 10.42.0.0/16 and services 10.43.0.0/16 of K3s are inside.
    "10.0.0.0/8",
    "100.64.0.0/10",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "198.18.0.0/15",
    # Link-local, with every cloud's metadata service.
    "169.254.0.0/16",
    # This host, this network, multicast and reserved.
    "0.0.0.0/8",
    "127.0.0.0/8",
    "224.0.0.0/4",
    "240.0.0.0/4",
)


class NoAddress(ValueError):
    """What is named as a relay's address is none."""


def policy(session: Session, template: Template, settings: Settings, relay_addresses: Sequence[str]) -> Object:
    """The session's NetworkPolicy.

    coturn is named by the addresses of its nodes: it is on their network, where a selector matches no pod.

    :raises NoAddress: of a relay.
    """
    kind = KINDS["NetworkPolicy"]
    relays = [_single(address) for address in relay_addresses]
    egress = [_to_relay(relay, settings) for relay in relays if dialects.needs_relay(template.dialect)]
    egress.append(_to_names())
    if template.egress is Egress.INTERNET:
        egress.append(_to_internet(relays))
    return {
        "apiVersion": kind.api_version,
        "kind": kind.name,
        "metadata": names.metadata(session, names.policy_name(session), "policy"),
        "spec": {
            "podSelector": {"matchLabels": names.selector(session)},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [{"from": [peer], "ports": [_port(names.SESSION_PORT, "TCP")]} for peer in _callers(settings)],
            "egress": egress,
        },
    }


def _callers(settings: Settings) -> list[Object]:
    """Traefik, through which users and the frame checker come; monitoring; the operator."""
    found = [_pods(settings.traefik["namespace"], {names.NAME_LABEL: settings.traefik["name"]})]
    if settings.monitoring_namespace:
        # Which of its pods a site monitors with, it names itself.
        found.append(_pods(settings.monitoring_namespace))
    found.append(_pods(settings.operator_namespace, {names.NAME_LABEL: names.MANAGER}))
    return found


def _to_relay(relay: ipaddress.IPv4Network | ipaddress.IPv6Network, settings: Settings) -> Object:
    ports = [_port(settings.relay_port, "UDP"), _port(settings.relay_port, "TCP")]
    return {"to": [{"ipBlock": {"cidr": str(relay)}}], "ports": ports}


def _to_names() -> Object:
    """Programs in a desktop look names up; the answer leads nowhere unless another rule lets it."""
    return {"to": [_pods("kube-system", {"k8s-app": "kube-dns"})], "ports": [_port(53, "UDP"), _port(53, "TCP")]}


def _to_internet(relays: Sequence[ipaddress.IPv4Network | ipaddress.IPv6Network]) -> Object:
    """The web, without what only insiders reach, and without the relays' nodes: they carry kubelets and API servers."""
    nodes = [str(relay) for relay in relays if relay.version == 4]
    block = {"cidr": "0.0.0.0/0", "except": [*nodes, *_INSIDE]}
    return {"to": [{"ipBlock": block}], "ports": [_port(80, "TCP"), _port(443, "TCP"), _port(443, "UDP")]}


def _pods(namespace: str, labels: dict[str, str] | None = None) -> Object:
    found: Object = {"namespaceSelector": {"matchLabels": {_NAMESPACE_LABEL: namespace}}}
    if labels:
        found["podSelector"] = {"matchLabels": labels}
    return found


def _port(number: int, protocol: str) -> Object:
    return {"port": number, "protocol": protocol}


def _single(address: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """The network of one address, as a policy names it."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        raise NoAddress(f"{address!r} is no address of a relay: write it as 192.0.2.10, not as a name") from None
    return ipaddress.ip_network(found)
