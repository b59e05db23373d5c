"""What policies together let through: unions, ways that nothing closes, and the same peer in other words."""

from __future__ import annotations

from typing import Any

import pytest

from vdibench.graduation.reach import ANYONE, EVERY_PORT, Edge, edges, peer_text, selects

PLACE = "vdi-sessions"
LABELS = {"app": "desktop", "of": "alice"}
OPEN = {Edge("ingress", ANYONE, EVERY_PORT), Edge("egress", ANYONE, EVERY_PORT)}


def policy(selector: dict[str, Any] | None = None, namespace: str = PLACE, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "p", "namespace": namespace}, "spec": {"podSelector": selector or {}, **spec}}


def deny() -> dict[str, Any]:
    return policy(policyTypes=["Ingress", "Egress"])


def found(*policies: dict[str, Any]) -> frozenset[Edge]:
    return edges(policies, LABELS, PLACE)


def test_without_a_policy_everything_is_open() -> None:
    assert found() == OPEN
    assert found(policy(namespace="elsewhere", policyTypes=["Ingress"])) == OPEN
    assert found(policy({"matchLabels": {"of": "bob"}}, policyTypes=["Ingress"])) == OPEN


def test_a_policy_closes_the_ways_that_it_names() -> None:
    assert found(deny()) == set()
    assert found(policy(policyTypes=["Egress"])) == {Edge("ingress", ANYONE, EVERY_PORT)}


def test_a_policy_that_names_no_way_closes_the_way_in_and_the_way_that_it_has_rules_for() -> None:
    assert found(policy()) == {Edge("egress", ANYONE, EVERY_PORT)}
    rule = {"to": [{"podSelector": {}}]}
    assert found(policy(egress=[rule])) == {Edge("egress", '{"podSelector": {}}', EVERY_PORT)}


def test_rules_for_a_way_that_is_not_closed_say_nothing() -> None:
    one = policy(policyTypes=["Ingress"], egress=[{"ports": [{"port": 53}]}])
    assert found(one) == {Edge("egress", ANYONE, EVERY_PORT)}


def test_policies_add_up() -> None:
    ports = [{"port": 53, "protocol": "UDP"}, {"port": 53}]
    one, other = {"ipBlock": {"cidr": "192.0.2.1/32"}}, {"podSelector": {"matchLabels": {"a": "b"}}}
    apart = [
        deny(),
        policy({"matchLabels": {"app": "desktop"}}, policyTypes=["Egress"], egress=[{"to": [one], "ports": ports}]),
        policy({"matchLabels": {"of": "alice"}}, policyTypes=["Egress"], egress=[{"to": [other], "ports": ports}]),
    ]
    together = policy(policyTypes=["Ingress", "Egress"], egress=[{"to": [other, one], "ports": ports[::-1]}])
    assert found(*apart) == found(together)
    assert len(found(together)) == 4
    assert Edge("egress", peer_text(one), "53/UDP") in found(together)


@pytest.mark.parametrize(
    ("rule", "edge"),
    [
        ({}, Edge("ingress", ANYONE, EVERY_PORT)),
        ({"from": [], "ports": []}, Edge("ingress", ANYONE, EVERY_PORT)),
        ({"ports": [{"port": 80}]}, Edge("ingress", ANYONE, "80/TCP")),
        ({"ports": [{"port": "http"}]}, Edge("ingress", ANYONE, "http/TCP")),
        ({"ports": [{"port": 80, "endPort": 90}]}, Edge("ingress", ANYONE, "80-90/TCP")),
        ({"ports": [{"protocol": "UDP"}]}, Edge("ingress", ANYONE, "every port/UDP")),
    ],
)
def test_what_is_left_out_of_a_rule_is_open(rule: dict[str, Any], edge: Edge) -> None:
    assert found(deny(), policy(policyTypes=["Ingress"], ingress=[rule])) == {edge}


def test_the_order_of_holes_and_keys_says_nothing() -> None:
    holes = ["10.0.0.0/8", "192.168.0.0/16"]
    texts = {
        peer_text({"ipBlock": {"cidr": "0.0.0.0/0", "except": holes}}),
        peer_text({"ipBlock": {"except": holes[::-1], "cidr": "0.0.0.0/0"}}),
    }
    assert len(texts) == 1
    assert peer_text({"ipBlock": {"cidr": "0.0.0.0/0", "except": holes[:1]}}) not in texts


@pytest.mark.parametrize(
    ("expression", "holds"),
    [
        ({"key": "of", "operator": "In", "values": ["alice", "bob"]}, True),
        ({"key": "of", "operator": "In", "values": ["bob"]}, False),
        ({"key": "is", "operator": "In", "values": ["x"]}, False),
        ({"key": "of", "operator": "NotIn", "values": ["bob"]}, True),
        ({"key": "of", "operator": "NotIn", "values": ["alice"]}, False),
        ({"key": "is", "operator": "NotIn", "values": ["x"]}, True),
        ({"key": "of", "operator": "Exists"}, True),
        ({"key": "is", "operator": "Exists"}, False),
        ({"key": "of", "operator": "DoesNotExist"}, False),
        ({"key": "is", "operator": "DoesNotExist"}, True),
    ],
)
def test_a_selector_may_have_expressions(expression: dict[str, Any], holds: bool) -> None:
    assert selects({"matchExpressions": [expression]}, LABELS) is holds
    assert selects({"matchLabels": {"app": "other"}, "matchExpressions": [expression]}, LABELS) is False


def test_a_selector_that_nobody_knows_is_refused() -> None:
    with pytest.raises(ValueError, match="a selector has matchFields, known are"):
        selects({"matchFields": []}, LABELS)
    with pytest.raises(ValueError, match="operator 'Like'"):
        selects({"matchExpressions": [{"key": "a", "operator": "Like"}]}, LABELS)


def test_an_edge_is_told_in_words() -> None:
    assert str(Edge("ingress", "anyone", "8080/TCP")) == "ingress from anyone at 8080/TCP"
    assert str(Edge("egress", "anyone", "every port")) == "egress to anyone at every port"
