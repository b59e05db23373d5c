"""The policy, whole, for each dialect and way out."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vdi_operator.api.template import Dialect, Egress
from vdi_operator.children.policy import policy

from .samples import RELAY, SETTINGS, Object, metadata, session, template

WEB = [{"port": 8080, "protocol": "TCP"}]
TURN = [{"port": 3478, "protocol": "UDP"}, {"port": 3478, "protocol": "TCP"}]


def namespace(name: str) -> Object:
    return {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}}


TRAEFIK = {**namespace("traefik"), "podSelector": {"matchLabels": {"app.kubernetes.io/name": "traefik"}}}
OPERATOR = {**namespace("vdi-operator"), "podSelector": {"matchLabels": {"app.kubernetes.io/name": "vdi-operator"}}}
DNS: Object = {
    "to": [{**namespace("kube-system"), "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}}],
    "ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}],
}
INSIDE = [
    *("10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16", "198.18.0.0/15", "169.254.0.0/16"),
    *("0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/4", "240.0.0.0/4"),
]


def relay(cidr: str) -> Object:
    return {"to": [{"ipBlock": {"cidr": cidr}}], "ports": TURN}


def internet(*nodes: str) -> Object:
    return {
        "to": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": [*nodes, *INSIDE]}}],
        "ports": [
            {"port": 80, "protocol": "TCP"},
            {"port": 443, "protocol": "TCP"},
            {"port": 443, "protocol": "UDP"},
        ],
    }


def whole(egress: list[Object]) -> Object:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata("vdi-session-cad-7", "policy"),
        "spec": {
            "podSelector": {
                "matchLabels": {"app.kubernetes.io/name": "vdi-session", "app.kubernetes.io/instance": "cad-7"}
            },
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [
                {"from": [TRAEFIK], "ports": WEB},
                {"from": [namespace("monitoring")], "ports": WEB},
                {"from": [OPERATOR], "ports": WEB},
            ],
            "egress": egress,
        },
    }


@pytest.mark.parametrize("dialect", [Dialect.SELKIES_1_WEBRTC, Dialect.SELKIES_2_WEBRTC])
def test_the_policy_of_webrtc(dialect: Dialect) -> None:
    made = policy(session(), template(dialect=dialect), SETTINGS, (RELAY, "2001:db8::7"))
    assert made == whole([relay("192.0.2.10/32"), relay("2001:db8::7/128"), DNS])


def test_the_policy_of_web_sockets_leads_to_no_relay() -> None:
    made = policy(session(), template(dialect=Dialect.SELKIES_2_WEBSOCKET), SETTINGS, (RELAY,))
    assert made == whole([DNS])


def test_the_way_to_the_internet_leaves_out_what_insiders_reach() -> None:
    made = policy(session(), template(egress=Egress.INTERNET), SETTINGS, (RELAY, "2001:db8::7"))
    assert made == whole([relay("192.0.2.10/32"), relay("2001:db8::7/128"), DNS, internet("192.0.2.10/32")])


def test_the_nodes_of_relays_stay_shut_to_web_sockets_too() -> None:
    asked = template(dialect=Dialect.SELKIES_2_WEBSOCKET, egress=Egress.INTERNET)
    assert policy(session(), asked, SETTINGS, (RELAY,)) == whole([DNS, internet("192.0.2.10/32")])


def test_without_a_relay_none_is_open() -> None:
    assert policy(session(), template(), SETTINGS, ()) == whole([DNS])


def test_callers_are_the_sites() -> None:
    site = replace(
        SETTINGS,
        traefik={"namespace": "edge", "name": "proxy"},
        monitoring_namespace="",
        operator_namespace="desks",
        relay_port=5000,
    )
    made = policy(session(), template(), site, (RELAY,))["spec"]
    assert made["ingress"] == [
        {
            "from": [{**namespace("edge"), "podSelector": {"matchLabels": {"app.kubernetes.io/name": "proxy"}}}],
            "ports": WEB,
        },
        {
            "from": [
                {**namespace("desks"), "podSelector": {"matchLabels": {"app.kubernetes.io/name": "vdi-operator"}}}
            ],
            "ports": WEB,
        },
    ]
    assert made["egress"][0]["ports"] == [{"port": 5000, "protocol": "UDP"}, {"port": 5000, "protocol": "TCP"}]


@pytest.mark.parametrize("address", ["turn.example.test", "192.0.2.0/24", ""])
def test_what_is_no_address_opens_nothing(address: str) -> None:
    with pytest.raises(ValueError, match="is no address of a relay"):
        policy(session(), template(), SETTINGS, (address,))
