"""What NetworkPolicies together let reach a pod, and let it reach, by the words of the API. Pure.

Policies are allow lists that add up: however many choose a pod, what counts is the union of their rules, and whether
any of them closes a way at all. So one policy a session can be the same as several that choose sessions by a label.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["ANYONE", "EVERY_PORT", "Edge", "edges", "peer_text", "selects"]

Object = Mapping[str, Any]

ANYONE = "anyone"
EVERY_PORT = "every port"

_WAYS = (("ingress", "from"), ("egress", "to"))


@dataclass(frozen=True, slots=True, order=True)
class Edge:
    """Who may connect, or be connected to, and where.

    :param way: ``ingress`` or ``egress``.
    :param peer: as :func:`peer_text` writes it.
    :param port: such as ``8080/TCP``, or :data:`EVERY_PORT`.
    """

    way: str
    peer: str
    port: str

    def __str__(self) -> str:
        return f"{self.way} {dict(_WAYS)[self.way]} {self.peer} at {self.port}"


def edges(policies: Iterable[Object], labels: Mapping[str, str], namespace: str) -> frozenset[Edge]:
    """What is open to a pod with those labels in that namespace; a way that no policy closes is open to anyone.

    :raises ValueError: a selector has a word that this evaluator does not know.
    """
    choosing = [
        one["spec"]
        for one in policies
        if one["metadata"].get("namespace", "") == namespace and selects(one["spec"].get("podSelector") or {}, labels)
    ]
    found: set[Edge] = set()
    for way, peers in _WAYS:
        closing = [spec for spec in choosing if way in _closes(spec)]
        if not closing:
            found.add(Edge(way, ANYONE, EVERY_PORT))
        for spec in closing:
            for rule in spec.get(way) or ():
                found |= {
                    Edge(way, peer, port)
                    for peer in (peer_text(one) for one in rule.get(peers) or (None,))
                    for port in _ports(rule)
                }
    return frozenset(found)


def selects(selector: Object, labels: Mapping[str, str]) -> bool:
    """Whether a label selector matches; an empty one matches everything.

    :raises ValueError: it has a word that this evaluator does not know.
    """
    if unknown := set(selector) - {"matchLabels", "matchExpressions"}:
        raise ValueError(f"a selector has {', '.join(sorted(unknown))}, known are matchExpressions and matchLabels")
    plain = dict(selector.get("matchLabels") or {}).items() <= labels.items()
    return plain and all(_holds(one, labels) for one in selector.get("matchExpressions") or ())


def peer_text(peer: Object | None) -> str:
    """A peer as text that is the same for the same peer; None, which is no list of peers at all: anyone."""
    if not peer:
        return ANYONE
    block = peer.get("ipBlock")
    if block and "except" in block:
        # Holes are a set.
        peer = {**peer, "ipBlock": {**block, "except": sorted(block["except"])}}
    return json.dumps(peer, sort_keys=True)


def _closes(spec: Object) -> set[str]:
    """Ways that a policy closes but for its rules; unsaid: the way in, and the way out where it has rules for it."""
    types = spec.get("policyTypes") or (["Ingress", "Egress"] if spec.get("egress") else ["Ingress"])
    return {str(kind).lower() for kind in types}


def _ports(rule: Object) -> Iterator[str]:
    listed = rule.get("ports")
    if not listed:
        yield EVERY_PORT
        return
    for one in listed:
        number = one.get("port", EVERY_PORT)
        last = f"-{one['endPort']}" if "endPort" in one else ""
        yield f"{number}{last}/{one.get('protocol', 'TCP')}"


def _holds(expression: Object, labels: Mapping[str, str]) -> bool:
    key, operator = expression["key"], expression["operator"]
    values = expression.get("values") or ()
    match operator:
        case "In":
            return labels.get(key) in values
        case "NotIn":
            return labels.get(key) not in values  # a label that is not there has none of them
        case "Exists":
            return key in labels
        case "DoesNotExist":
            return key not in labels
    raise ValueError(f"a selector has the operator {operator!r}, known are In, NotIn, Exists and DoesNotExist")
