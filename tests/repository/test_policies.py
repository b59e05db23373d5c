"""Which edges the policies leave open: a table, by an evaluator that the first tests hold to the API's words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from .kustomize import MANIFESTS, PLATFORMS, built, edited, only
from .policies import End, allowed

NODE = "192.0.2.10"
SESSION = End("vdi-sessions", {"app.kubernetes.io/name": "vdi-session", "app.kubernetes.io/instance": "alice"})
OTHER = End("vdi-sessions", {"app.kubernetes.io/name": "vdi-session", "app.kubernetes.io/instance": "bob"}, "10.42.0.8")
UNLABELLED = End("vdi-sessions", {}, "10.42.0.9")
TRAEFIK = End("traefik", {"app.kubernetes.io/name": "traefik"}, "10.42.0.2")
NOT_TRAEFIK = End("traefik", {"app.kubernetes.io/name": "something"}, "10.42.0.3")
OPERATOR = End("vdi-operator", {"app.kubernetes.io/name": "vdi-operator"}, "10.42.0.4")
PROMETHEUS = End("monitoring", {"app.kubernetes.io/name": "prometheus"}, "10.42.0.5")
OUTSIDER = End("default", {"app.kubernetes.io/name": "traefik"}, "10.42.0.6")
DNS = End("kube-system", {"k8s-app": "kube-dns"}, "10.42.0.10")
NOT_DNS = End("kube-system", {"k8s-app": "metrics-server"}, "10.42.0.11")
# On the host's network: an address, whatever its labels say.
COTURN = End(address=NODE)
OTHER_NODE = End(address="192.0.2.11")
API_SERVER = End(address="10.43.0.1")
METADATA = End(address="169.254.169.254")
PRIVATE = End(address="192.168.1.1")
WEB = End(address="203.0.113.5")

ALWAYS: list[tuple[str, End, End, int, str, bool]] = [
    ("Traefik reaches a session", TRAEFIK, SESSION, 8080, "TCP", True),
    ("Traefik reaches no other port", TRAEFIK, SESSION, 22, "TCP", False),
    ("nor a pod that is no session", TRAEFIK, UNLABELLED, 8080, "TCP", False),
    ("a neighbour of Traefik does not", NOT_TRAEFIK, SESSION, 8080, "TCP", False),
    ("nor one that calls itself Traefik elsewhere", OUTSIDER, SESSION, 8080, "TCP", False),
    ("monitoring scrapes", PROMETHEUS, SESSION, 8080, "TCP", True),
    ("and nothing else", PROMETHEUS, SESSION, 8000, "TCP", False),
    ("the operator asks", OPERATOR, SESSION, 8080, "TCP", True),
    ("a session reaches coturn by UDP", SESSION, COTURN, 3478, "UDP", True),
    ("and by TCP", SESSION, COTURN, 3478, "TCP", True),
    ("not the relay's ports", SESSION, COTURN, 49152, "UDP", False),
    ("not the node's kubelet", SESSION, COTURN, 10250, "TCP", False),
    ("not another node's port 3478", SESSION, OTHER_NODE, 3478, "UDP", False),
    ("names are looked up", SESSION, DNS, 53, "UDP", True),
    ("also by TCP", SESSION, DNS, 53, "TCP", True),
    ("of the cluster's DNS only", SESSION, NOT_DNS, 53, "UDP", False),
    ("and of no public one", SESSION, WEB, 53, "UDP", False),
    ("a session does not reach another", SESSION, OTHER, 8080, "TCP", False),
    ("nor itself by its Service", SESSION, SESSION, 8080, "TCP", False),
    ("nor the API server", SESSION, API_SERVER, 443, "TCP", False),
    ("nor Traefik from inside", SESSION, TRAEFIK, 8443, "TCP", False),
    ("nor monitoring", SESSION, PROMETHEUS, 9090, "TCP", False),
    ("nor metadata", SESSION, METADATA, 80, "TCP", False),
    ("nor private addresses", SESSION, PRIVATE, 443, "TCP", False),
    ("a pod without labels reaches nothing", UNLABELLED, COTURN, 3478, "UDP", False),
    ("not even names", UNLABELLED, DNS, 53, "UDP", False),
]
WITHOUT_INTERNET = [("nor the web", SESSION, WEB, 443, "TCP", False)]
WITH_INTERNET = [
    ("the web", SESSION, WEB, 443, "TCP", True),
    ("by QUIC too", SESSION, WEB, 443, "UDP", True),
    ("not by SSH", SESSION, WEB, 22, "TCP", False),
    ("not the node's public address", SESSION, COTURN, 443, "TCP", False),
    ("not shared addresses", SESSION, End(address="100.64.0.1"), 443, "TCP", False),
    ("not from pods that are no sessions", UNLABELLED, WEB, 443, "TCP", False),
]
INTERNET = (
    "overlays/k3s/kustomization.yaml",
    "  # - ../../security/internet-egress",
    "  - ../../security/internet-egress",
)


def named(case: tuple[Any, ...]) -> str:
    return str(case[0])


def policies_of(objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [item for item in objects if item["kind"] == "NetworkPolicy"]


@pytest.fixture(scope="module")
def plain() -> list[dict[str, Any]]:
    return policies_of(built("overlays/k3s"))


@pytest.fixture(scope="module")
def with_internet(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return policies_of(edited(tmp_path_factory.mktemp("internet"), "overlays/k3s", INTERNET))


@pytest.mark.parametrize("case", ALWAYS + WITHOUT_INTERNET, ids=named)
def test_edge(plain: list[dict[str, Any]], case: tuple[str, End, End, int, str, bool]) -> None:
    _, source, target, port, protocol, expected = case
    assert allowed(plain, source, target, port, protocol) is expected


@pytest.mark.parametrize("case", ALWAYS + WITH_INTERNET, ids=named)
def test_edge_with_the_internet(
    with_internet: list[dict[str, Any]], case: tuple[str, End, End, int, str, bool]
) -> None:
    _, source, target, port, protocol, expected = case
    assert allowed(with_internet, source, target, port, protocol) is expected


@pytest.mark.parametrize("overlay", PLATFORMS)
def test_nothing_is_open_unless_a_policy_names_it(overlay: str) -> None:
    found = policies_of(built(overlay))
    deny = only(found, "NetworkPolicy", "default-deny")
    assert deny["metadata"]["namespace"] == "vdi-sessions"
    assert deny["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    for policy in found:
        spec = policy["spec"]
        for rule in [*spec.get("ingress", ()), *spec.get("egress", ())]:
            assert rule.get("ports"), f"{policy['metadata']['name']}: all ports"
            assert rule.get("from") or rule.get("to"), f"{policy['metadata']['name']}: everybody"


@pytest.mark.parametrize("overlay", PLATFORMS)
def test_coturn_is_named_by_the_address_that_the_settings_name(overlay: str) -> None:
    folder = MANIFESTS / overlay
    text = (folder / "settings.yaml").read_text()
    egress = only(built(overlay), "NetworkPolicy", "allow-session-to-coturn")["spec"]["egress"]
    cidr = egress[0]["to"][0]["ipBlock"]["cidr"]
    assert cidr.endswith("/32")
    assert f"turnCidr: {cidr}" in text
    session = (folder / "session" / "settings.yaml").read_text()
    assert f"turnAddress: {cidr.removesuffix('/32')}" in session


def test_one_line_of_the_settings_moves_coturn(tmp_path: Path) -> None:
    moved = ("overlays/k3s/settings.yaml", "192.0.2.10/32", "198.51.100.7/32")
    found = edited(tmp_path, "overlays/k3s", INTERNET, moved)
    coturn = only(found, "NetworkPolicy", "allow-session-to-coturn")["spec"]["egress"][0]["to"]
    assert coturn == [{"ipBlock": {"cidr": "198.51.100.7/32"}}]
    web = only(found, "NetworkPolicy", "allow-session-to-internet")["spec"]["egress"][0]["to"]
    assert "198.51.100.7/32" in web[0]["ipBlock"]["except"]
    assert f"{NODE}/32" not in yaml.safe_dump_all(found)


# The evaluator itself.
def policy(**spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"namespace": "n", "name": "p"},
        "spec": {"podSelector": {}, "policyTypes": ["Ingress"], **spec},
    }


def test_a_pod_that_no_policy_chooses_is_open() -> None:
    assert allowed([], End("a"), End("b"), 1)
    assert allowed([policy()], End("a"), End("m"), 1)
    assert not allowed([policy()], End("a"), End("n"), 1)


def test_a_selector_never_matches_a_pod_on_the_hosts_network() -> None:
    by_label = policy(ingress=[{"from": [{"namespaceSelector": {}, "podSelector": {}}]}])
    by_address = policy(ingress=[{"from": [{"ipBlock": {"cidr": f"{NODE}/32"}}]}])
    assert not allowed([by_label], COTURN, End("n"), 1)
    assert allowed([by_address], COTURN, End("n"), 1)


def test_a_pod_selector_alone_means_the_policys_own_namespace() -> None:
    own = policy(ingress=[{"from": [{"podSelector": {"matchLabels": {"a": "b"}}}]}])
    assert allowed([own], End("n", {"a": "b"}), End("n"), 1)
    assert not allowed([own], End("m", {"a": "b"}), End("n"), 1)


def test_a_rule_without_peers_is_everybody_and_without_ports_every_port() -> None:
    assert allowed([policy(ingress=[{}])], WEB, End("n"), 1)
    ranged = policy(ingress=[{"ports": [{"port": 10, "endPort": 20, "protocol": "UDP"}]}])
    assert allowed([ranged], WEB, End("n"), 15, "UDP")
    assert not allowed([ranged], WEB, End("n"), 21, "UDP")
    assert not allowed([ranged], WEB, End("n"), 15, "TCP")
