"""Which edges the chart's policies leave open for operator and checker."""

from __future__ import annotations

import pytest

from ...repository.policies import End, allowed
from .helm import NAMESPACE, RELEASE, Object, rendered

PLATFORM = {"app.kubernetes.io/part-of": "vdi-platform", "app.kubernetes.io/instance": RELEASE}
OPERATOR = End(NAMESPACE, {"app.kubernetes.io/name": "vdi-operator", **PLATFORM}, "10.42.0.4")
CHECKER = End(NAMESPACE, {"app.kubernetes.io/name": "vdi-checker", **PLATFORM}, "10.42.0.5")
TRAEFIK = End("traefik", {"app.kubernetes.io/name": "traefik"}, "10.42.0.2")
NOT_TRAEFIK = End("traefik", {"app.kubernetes.io/name": "something"}, "10.42.0.3")
PROMETHEUS = End("monitoring", {"app.kubernetes.io/name": "prometheus"}, "10.42.0.6")
DESKTOP = End("vdi-sessions", {"app.kubernetes.io/name": "vdi-session"}, "10.42.0.7")
DNS = End("kube-system", {"k8s-app": "kube-dns"}, "10.42.0.10")
NEIGHBOUR = End(NAMESPACE, {"app.kubernetes.io/name": "something"}, "10.42.0.11")
API_SERVER = End(address="192.0.2.1")
OTHER_NODE = End(address="192.0.2.2")
RELAY = End(address="192.0.2.10")
WEB = End(address="203.0.113.5")

# As a site narrows it down.
NARROW: Object = {
    "settings": {"relayAddresses": ["192.0.2.10"], "checkerAddress": "traefik.traefik.svc:443"},
    "networkPolicies": {"apiServerNetworks": ["192.0.2.1/32"]},
}
EDGES = [
    ("the operator reaches the API server", OPERATOR, API_SERVER, 6443, "TCP", True),
    ("no other node", OPERATOR, OTHER_NODE, 6443, "TCP", False),
    ("no kubelet", OPERATOR, API_SERVER, 10250, "TCP", False),
    ("the checker", OPERATOR, CHECKER, 8080, "TCP", True),
    ("names", OPERATOR, DNS, 53, "UDP", True),
    ("a desktop, to ask for its clients", OPERATOR, DESKTOP, 8080, "TCP", True),
    ("no other port of it", OPERATOR, DESKTOP, 8000, "TCP", False),
    ("no web", OPERATOR, WEB, 443, "TCP", False),
    ("monitoring scrapes it", PROMETHEUS, OPERATOR, 8080, "TCP", True),
    ("a neighbour does not", NEIGHBOUR, OPERATOR, 8080, "TCP", False),
    ("nor a desktop", DESKTOP, OPERATOR, 8080, "TCP", False),
    ("the checker reaches Traefik", CHECKER, TRAEFIK, 8443, "TCP", True),
    ("not its dashboard", CHECKER, TRAEFIK, 9100, "TCP", False),
    ("not what is beside it", CHECKER, NOT_TRAEFIK, 8443, "TCP", False),
    ("the relay by UDP", CHECKER, RELAY, 3478, "UDP", True),
    ("and by TCP", CHECKER, RELAY, 3478, "TCP", True),
    ("no other port of its node", CHECKER, RELAY, 22, "TCP", False),
    ("no desktop past Traefik", CHECKER, DESKTOP, 8080, "TCP", False),
    ("not the API server", CHECKER, API_SERVER, 6443, "TCP", False),
    ("not the web", CHECKER, WEB, 443, "TCP", False),
    ("nobody but the operator asks the checker", NEIGHBOUR, CHECKER, 8080, "TCP", False),
    ("not even monitoring", PROMETHEUS, CHECKER, 8080, "TCP", False),
]


def policies(values: Object) -> list[Object]:
    return [one for one in rendered(values) if one["kind"] == "NetworkPolicy"]


@pytest.mark.parametrize(("edge", "source", "target", "port", "protocol", "open_"), EDGES, ids=[e[0] for e in EDGES])
def test_an_edge_of_a_narrow_site(edge: str, source: End, target: End, port: int, protocol: str, open_: bool) -> None:
    assert allowed(policies(NARROW), source, target, port, protocol) is open_, edge


def test_by_the_public_name_the_checker_goes_wherever_that_leads() -> None:
    made = policies({"settings": {"relayAddresses": ["192.0.2.10"]}})
    assert allowed(made, CHECKER, WEB, 443)
    assert not allowed(made, CHECKER, WEB, 80)


def test_where_nodes_tell_the_relays_any_address_may_be_one() -> None:
    made = policies({"readNodes": True, "settings": {"relayAddresses": ["192.0.2.10"]}})
    assert allowed(made, CHECKER, OTHER_NODE, 3478, "UDP")
    assert not allowed(made, CHECKER, OTHER_NODE, 3479, "UDP")


def test_neighbours_in_the_namespace_are_left_alone() -> None:
    assert allowed(policies(NARROW), NEIGHBOUR, WEB, 443)
