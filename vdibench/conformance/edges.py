"""The edges around a session: which the policies of ``manifests/security`` allow, which they forbid. Pure.

Every forbidden edge names where its destination must answer from, or its silence would prove nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

__all__ = ["SESSION_PORT", "TURN_PORT", "Door", "Edge", "Expected", "Places", "Source", "StandIn", "edges"]

SESSION_PORT = 8080
TURN_PORT = 3478

_DNS_PORT = 53
_KUBELET_PORT = 10250
_METADATA = "169.254.169.254"
# What else nodes often offer: their shell, and Prometheus' exporter.
_NODE_DOORS = (("ssh", 22, "banner", "SSH-"), ("exporter", 9100, "http", ""))


class Source(StrEnum):
    """Where an edge begins: pods of our own, by the labels and the namespace that policies choose by."""

    SESSION = "session"
    TRAEFIK = "traefik"
    MONITORING = "monitoring"
    OPERATOR = "operator"
    OUTSIDER = "outsider"
    NODE = "node"


class Expected(StrEnum):
    """What should be. An exempt edge is one that engines leave open although no policy says so: shown, not judged."""

    ALLOWED = "allowed"
    DENIED = "denied"
    EXEMPT = "exempt"


_UNRESTRICTED = (Source.OUTSIDER, Source.NODE)
_INSIDERS = (Source.MONITORING, Source.OPERATOR, Source.TRAEFIK, Source.NODE)


@dataclass(frozen=True, slots=True)
class StandIn:
    """A pod of our own that answers on the session's port.

    :param token: what its answer holds, and no other's.
    """

    address: str
    token: str


@dataclass(frozen=True, slots=True)
class Door:
    """Something that answers, and is not ours.

    :param tls: its certificate is the answer; else whatever HTTP it speaks.
    """

    host: str
    port: int
    tls: bool = True


@dataclass(frozen=True, slots=True)
class Places:
    """What a cluster turned out to have, by addresses; None or empty for what was not found.

    :param sources: where probes can be started.
    :param service: cluster address of the session's Service.
    :param node: address of the session's node.
    :param coturn: address of coturn's node.
    :param names: domain of the cluster's services.
    :param internet: something outside that a person named.
    """

    sources: frozenset[Source]
    session: StandIn
    service: str
    neighbour: StandIn
    outsider: StandIn
    node: str
    monitoring: StandIn | None = None
    coturn: str = ""
    dns: str = ""
    names: str = "cluster.local"
    api_service: Door | None = None
    api_server: Door | None = None
    node_port: Door | None = None
    internet: Door | None = None


@dataclass(frozen=True, slots=True)
class Edge:
    """One way from a source to a destination.

    :param name: stable identifier, ``snake_case``.
    :param destination: in words.
    :param speaks: what is asked there: ``http``, ``tls``, ``stun``, ``dns`` or ``banner``.
    :param why: the policy that allows it, or what would follow if it were open.
    :param controls: of a forbidden edge: sources of which one at least must get an answer.
    :param required: every cluster has the destination; else its absence is no fault.
    :param missing: why it cannot be tried; empty when it can.
    :param expects: what an answer must hold: within the body of HTTP, or at the beginning of a banner.
    :param question: the path of HTTP, or the name to look up.
    """

    name: str
    source: Source
    destination: str
    host: str
    port: int
    protocol: str
    speaks: str
    expected: Expected
    why: str
    controls: tuple[Source, ...] = ()
    required: bool = True
    missing: str = ""
    expects: str = ""
    question: str = ""

    def __str__(self) -> str:
        place = f" ({self.host}:{self.port}/{self.protocol})" if self.host else ""
        return f"{self.source} → {self.destination}{place}"

    @property
    def askers(self) -> tuple[Source, ...]:
        """Everybody who is to try it."""
        return () if self.missing else tuple(dict.fromkeys((self.source, *self.controls)))

    def request(self) -> dict[str, Any]:
        """What the probe is told of it."""
        wanted = ("name", "host", "port", "protocol", "speaks", "expects", "question")
        return {name: getattr(self, name) for name in wanted}


def edges(places: Places) -> tuple[Edge, ...]:
    """The edges that matter, in the order of a report. What cannot be tried is there too, and says why."""
    return tuple(_within_reach(edge, places) for edge in (*_allowed(places), *_denied(places), *_exempt(places)))


def _within_reach(edge: Edge, places: Places) -> Edge:
    missing = edge.missing
    if not missing and edge.source not in places.sources:
        missing = f"no probe could be started as {edge.source}"
    controls = tuple(source for source in edge.controls if source in places.sources)
    return dataclasses.replace(edge, missing=missing, controls=controls)


def _to_session(source: Source, expected: Expected, why: str, **options: Any) -> Edge:
    """An edge to the session's pod; its place is filled in by :func:`_at`."""
    return Edge(f"{source}_to_session", source, "session", "", SESSION_PORT, "TCP", "http", expected, why, **options)


def _at(edge: Edge, stand_in: StandIn | None, host: str = "") -> Edge:
    """The edge, towards a stand-in of ours.

    :param host: another address of the same stand-in.
    """
    if stand_in is None:
        return dataclasses.replace(edge, missing=f"there is no {edge.destination}")
    return dataclasses.replace(
        edge, host=host or stand_in.address, expects=stand_in.token, question="/api/health", missing=""
    )


def _allowed(places: Places) -> Iterator[Edge]:
    for source, policy in (
        (Source.TRAEFIK, "allow-traefik-to-session"),
        (Source.MONITORING, "allow-monitoring-to-session"),
        (Source.OPERATOR, "allow-operator-to-session"),
    ):
        yield _at(_to_session(source, Expected.ALLOWED, policy), places.session)
    why = "allow-session-to-coturn, by the address of its node"
    yield from _service("coturn", "coturn", places.coturn, TURN_PORT, "stun", why, missing="no pod of coturn runs")
    yield from _service(
        "dns",
        "cluster DNS",
        places.dns,
        _DNS_PORT,
        "dns",
        "allow-session-to-dns",
        missing="there is no Service of the cluster's DNS",
        question=f"kubernetes.default.svc.{places.names}",
    )


def _service(
    name: str, destination: str, host: str, port: int, speaks: str, why: str, *, missing: str, question: str = ""
) -> Iterator[Edge]:
    """What sessions may ask over UDP and over TCP.

    :param missing: why it cannot be tried where it has no address.
    """
    for protocol in ("UDP", "TCP"):
        yield Edge(
            name=f"session_to_{name}_{protocol.lower()}",
            source=Source.SESSION,
            destination=destination,
            host=host,
            port=port,
            protocol=protocol,
            speaks=speaks,
            expected=Expected.ALLOWED,
            why=why,
            controls=_UNRESTRICTED,
            missing="" if host else missing,
            question=question,
        )


def _denied(places: Places) -> Iterator[Edge]:
    yield from _to_pods(places)
    for name, destination, door, why in (
        ("api_service", "API server, by its Service", places.api_service, "a desktop has no business with the cluster"),
        ("api_server", "API server, by its node", places.api_server, "a desktop has no business with the cluster"),
    ):
        yield _through(name, destination, door, why, missing="its address was not found")
    for place, node in _nodes(places):
        yield _of_node(f"kubelet{place}", f"kubelet{_words(place)}", node, _KUBELET_PORT, "tls", "it runs commands")
        for name, port, speaks, expects in _NODE_DOORS:
            destination = f"{name} of the node{_words(place)}"
            edge = _of_node(f"{name}{place}", destination, node, port, speaks, "a node's port", required=False)
            yield dataclasses.replace(edge, expects=expects, question="/metrics" if speaks == "http" else "")
    yield _through(
        "node_port",
        "Traefik, by its NodePort",
        places.node_port,
        "another user's desktop through the front door",
        missing="Traefik's Service has no NodePort",
        required=False,
    )
    metadata = Door(_METADATA, 80, tls=False)
    yield _through("metadata", "metadata of the cloud", metadata, "it hands out the node's rights", required=False)
    yield _through(
        "internet",
        "internet",
        places.internet,
        "component internet-egress is not in by default",
        missing="no address outside was named",
        required=False,
    )


def _to_pods(places: Places) -> Iterator[Edge]:
    """Between pods of ours."""

    def from_session(name: str, destination: str, controls: tuple[Source, ...], why: str) -> Edge:
        return Edge(
            name=f"session_to_{name}",
            source=Source.SESSION,
            destination=destination,
            host="",
            port=SESSION_PORT,
            protocol="TCP",
            speaks="http",
            expected=Expected.DENIED,
            why=why,
            controls=controls,
        )

    to_neighbour = from_session("session", "other session", _INSIDERS, "another user's desktop")
    yield _at(to_neighbour, places.neighbour)
    yield _at(from_session("outsider", "other namespace", _INSIDERS, "default-deny"), places.outsider)
    yield _at(from_session("monitoring", "pod of monitoring", _UNRESTRICTED, "default-deny"), places.monitoring)
    outsider = _to_session(
        Source.OUTSIDER, Expected.DENIED, "a pod elsewhere that calls itself Traefik", controls=_INSIDERS
    )
    yield _at(outsider, places.session)
    service = dataclasses.replace(outsider, name="outsider_to_service", destination="session, by its Service")
    yield _at(service, places.session, places.service)


def _through(
    name: str, destination: str, door: Door | None, why: str, *, missing: str = "", required: bool = True
) -> Edge:
    """From a session to a door that answers whoever is not kept away from it."""
    return Edge(
        name=f"session_to_{name}",
        source=Source.SESSION,
        destination=destination,
        host=door.host if door else "",
        port=door.port if door else 0,
        protocol="TCP",
        speaks="tls" if door is None or door.tls else "http",
        expected=Expected.DENIED,
        why=why,
        controls=_UNRESTRICTED,
        required=required,
        missing="" if door else missing,
        question="/",
    )


def _of_node(
    name: str, destination: str, node: str, port: int, speaks: str, why: str, *, required: bool = True
) -> Edge:
    edge = _through(name, destination, Door(node, port), why, required=required)
    return dataclasses.replace(edge, speaks=speaks)


def _exempt(places: Places) -> Iterator[Edge]:
    """What engines let through because of the node's own address; sessions ask for a password as well."""
    why = "no policy says so: engines exempt a pod's own node, whose kubelet probes it"
    yield _at(_to_session(Source.NODE, Expected.EXEMPT, why), places.session)
    relay = dataclasses.replace(
        _to_session(Source.NODE, Expected.EXEMPT, "no policy says so: coturn is on its node's network"),
        name="coturn_to_session",
        destination="session, as coturn of the same node",
    )
    if places.coturn == places.node:
        yield _at(relay, places.session)
    else:
        missing = "coturn runs on another node than this session" if places.coturn else "no pod of coturn runs"
        yield dataclasses.replace(relay, missing=missing, required=False)


def _nodes(places: Places) -> Iterable[tuple[str, str]]:
    """What to add to names, and the address: of the session's node, and of coturn's, which a policy names."""
    yield "", places.node
    if places.coturn and places.coturn != places.node:
        yield "_of_coturn", places.coturn


def _words(place: str) -> str:
    return " of coturn" if place else ""
