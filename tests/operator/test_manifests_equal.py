"""What the operator makes is what was validated: its objects are those of the manifests, but for a declared list.

The PodMonitor of ``manifests/session/metrics`` is left out: its kind comes with a Prometheus operator that not every
cluster has, the operator's Role names no kind of it, and what a session's own metrics say was reported by a browser.
"""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from vdi_operator.api.session import Session
from vdi_operator.api.template import Dialect, Egress, Gpu, Template
from vdi_operator.children.all import children
from vdi_operator.children.names import pod_name
from vdi_operator.core.world import World
from vdi_operator.settings import Settings

from ..repository.kustomize import Object, built, edited, only
from ..repository.policies import selects

KINDS = ("Pod", "Service", "IngressRoute", "PersistentVolumeClaim")
NO_DIGEST = "@sha256:" + "0" * 64
COMPONENTS = "overlays/k3s/session/kustomization.yaml"
OLDER = (
    (COMPONENTS, "  - ../../../session/selkies-2\n", "  - ../../../session/selkies-1.6\n"),
    # Their metrics are those of 2.x.
    (COMPONENTS, "  - ../../../session/metrics\n", ""),
)
INTERNET = (
    "overlays/k3s/kustomization.yaml",
    "  # - ../../security/internet-egress",
    "  - ../../security/internet-egress",
)

Step = str | int
LABELS = ("metadata", "labels")
CONTAINER = ("spec", "containers", 0)
# Fields that may differ, and why; a field that never does fails a test. Names are the same here, since the session is
# named as its user: they would be the rest of this list.
DECLARED: dict[tuple[str, tuple[Step, ...]], str] = {
    ("*", (*LABELS, "app.kubernetes.io/managed-by")): "who made it",
    ("*", ("metadata", "ownerReferences")): "the session owns what goes with it; a manifest has no session",
    ("*", ("metadata", "annotations")): "template of a pod, user of a home",
    ("PersistentVolumeClaim", (*LABELS, "app.kubernetes.io/instance")): "a home is of a user, not of a session",
    ("PersistentVolumeClaim", (*LABELS, "vdibench.io/user-slug")): "a home is of a user, not of a session",
    ("Pod", (*CONTAINER, "image")): "where the overlay has no digest yet, all zeros",
    ("Pod", (*CONTAINER, "imagePullPolicy")): "where the overlay leaves it to the API server",
    ("Pod", (*CONTAINER, "resources")): "as text: a number of slices is kept as text by the API server",
}


@dataclass(frozen=True)
class Case:
    """A session's overlay, and the same in the operator's words."""

    name: str
    session: str
    platform: str
    settings: Settings
    template: Template
    relay: str
    changes: tuple[tuple[str, str, str], ...] = ()


IMAGE = f"registry.test/desktop{NO_DIGEST.replace('0', '7')}"
CASES = (
    Case("k3s", "overlays/k3s/session", "overlays/k3s", Settings(), Template("cad", "t", 1, IMAGE), "192.0.2.10"),
    Case(
        "k3s with Selkies 1.6",
        "overlays/k3s/session",
        "overlays/k3s",
        Settings(),
        Template("cad", "t", 1, IMAGE, dialect=Dialect.SELKIES_1_WEBRTC),
        "192.0.2.10",
        OLDER,
    ),
    Case(
        "lab",
        "overlays/lab/session",
        "overlays/lab",
        Settings(domain="vdi.test"),
        Template(
            "lab",
            "t",
            1,
            "vdibench.local/desktop:2.1.0",
            image_pull_policy="Never",
            hardware_encoding=False,
            # A slice that the lab gave its node, with no driver behind it.
            gpu=Gpu(runtime_class="", node_selector={}),
            requests={"cpu": "50m", "memory": "256Mi"},
        ),
        "10.244.0.1",
    ),
)
ALICE = Session("vdi-sessions", "alice", "s", 1, "alice", "cad")


def made(case: Case, template: Template | None = None) -> list[Object]:
    """What the operator makes of the case."""
    world = World(
        0.0, case.settings, 0.0, relay_addresses=(case.relay,), turn_secret="north", spare_password="nobody-guesses"
    )
    return list(children(ALICE, template or case.template, world))


def validated(case: Case, place: Path) -> list[Object]:
    """What kustomize makes of the case's overlay."""
    return edited(place, case.session, *case.changes) if case.changes else built(case.session)


def alike(ours: Object, theirs: Object) -> tuple[Object, Object]:
    """Both without the fields in which they may differ."""
    ours, theirs = copy.deepcopy(ours), copy.deepcopy(theirs)
    for kind, path in DECLARED:
        if kind in ("*", ours["kind"]):
            _level(ours, theirs, path)
    return ours, theirs


def _level(ours: Object, theirs: Object, path: tuple[Step, ...]) -> None:
    *way, last = path
    own, other = _at(ours, way), _at(theirs, way)
    if last == "image":
        if other[last].endswith(NO_DIGEST):
            own[last] = other[last]
    elif last == "imagePullPolicy":
        if last not in other:
            # What the API server makes of an image by digest, or by a tag that is not "latest".
            assert own.pop(last) == "IfNotPresent"
    elif last == "resources":
        for amounts in [*own[last].values(), *other[last].values()]:
            amounts.update({name: str(amount) for name, amount in amounts.items()})
    else:
        own.pop(last, None)
        other.pop(last, None)


def _at(one: Any, path: list[Step]) -> Any:
    for step in path:
        one = one[step]
    return one


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_an_object_is_the_validated_one(case: Case, kind: str, tmp_path: Path) -> None:
    ours, theirs = alike(only(made(case), kind), only(validated(case, tmp_path), kind))
    assert ours == theirs


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_names_are_the_validated_ones_too(case: Case, tmp_path: Path) -> None:
    def named(objects: list[Object]) -> set[tuple[str, str, str]]:
        kept = (one for one in objects if one["kind"] in KINDS)
        return {(one["kind"], one["metadata"]["namespace"], one["metadata"]["name"]) for one in kept}

    assert named(made(case)) == named(validated(case, tmp_path))


def test_every_declared_field_differs_somewhere(tmp_path: Path) -> None:
    needed = set()
    for number, case in enumerate(CASES):
        theirs = validated(case, tmp_path / str(number))
        for kind in KINDS:
            for declared in DECLARED:
                if declared[0] in ("*", kind):
                    own, other = only(made(case), kind), only(theirs, kind)
                    *way, last = declared[1]
                    if _at(own, way).get(last) != _at(other, way).get(last):
                        needed.add(declared)
    assert needed == set(DECLARED)


def test_a_session_has_nothing_that_was_not_validated(tmp_path: Path) -> None:
    """Each kind that the operator makes is held against something: the rest here, Secrets and policy below."""
    held = {*KINDS, "Secret", "NetworkPolicy"}
    for number, case in enumerate(CASES):
        assert {one["kind"] for one in made(case)} == held
        left = {one["kind"] for one in validated(case, tmp_path / str(number))} - held
        assert left == ({"PodMonitor"} if not case.changes else set())


def test_secrets_are_those_that_the_validated_pod_reads(tmp_path: Path) -> None:
    for number, case in enumerate(CASES):
        pod = only(validated(case, tmp_path / str(number)), "Pod")
        (variable,) = (one for one in pod["spec"]["containers"][0]["env"] if "valueFrom" in one)
        password = variable["valueFrom"]["secretKeyRef"]
        (rtc,) = (one["secret"]["secretName"] for one in pod["spec"]["volumes"] if "secret" in one)
        ours = {one["metadata"]["name"]: set(one["data"]) for one in made(case) if one["kind"] == "Secret"}
        assert ours == {password["name"]: {"username", password["key"]}, rtc: {"rtc.json"}}


def test_web_sockets_differ_from_what_was_validated_by_the_relay_alone() -> None:
    """No overlay speaks so by itself: it is 2.x WebRTC in another mode, without what only the relay is for."""
    case = CASES[0]
    webrtc, websocket = (
        only(made(case, Template("cad", "t", 1, IMAGE, dialect=dialect)), "Pod")
        for dialect in (Dialect.SELKIES_2_WEBRTC, Dialect.SELKIES_2_WEBSOCKET)
    )
    spec = webrtc["spec"]
    (desktop,) = spec["containers"]
    spec["volumes"] = [one for one in spec["volumes"] if one["name"] != "rtc"]
    desktop["volumeMounts"] = [one for one in desktop["volumeMounts"] if one["name"] != "rtc"]
    desktop["env"] = [one for one in desktop["env"] if not one["name"].startswith(("SELKIES_TURN_", "SELKIES_STUN_"))]
    (mode,) = (one for one in desktop["env"] if one["name"] == "SELKIES_MODE")
    mode["value"] = "websockets"
    assert websocket == webrtc


# The policy.
Edge = tuple[str, str, int, str]


def edges(policies: list[Object], labels: dict[str, str]) -> set[Edge]:
    """Way, peer, port and protocol of every edge that the policies leave open to a pod with those labels."""
    found: set[Edge] = set()
    for policy in policies:
        spec = policy["spec"]
        if not selects(spec["podSelector"], labels):
            continue
        for way, peers in (("ingress", "from"), ("egress", "to")):
            for rule in spec.get(way, ()):
                for peer in rule[peers]:
                    text = json.dumps(peer, sort_keys=True)
                    found |= {(way, text, port["port"], port["protocol"]) for port in rule["ports"]}
    return found


def policies_of(objects: list[Object]) -> list[Object]:
    return [one for one in objects if one["kind"] == "NetworkPolicy"]


def held(case: Case, platform: list[Object], egress: Egress) -> int:
    """How many edges a session's policy has, which are those of the platform's policies."""
    ours = made(case, replace(case.template, egress=egress))
    labels = only(ours, "Pod", pod_name(ALICE))["metadata"]["labels"]
    found = edges(policies_of(ours), labels)
    assert found == edges(policies_of(platform), labels)
    return len(found)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_sessions_policy_has_the_edges_of_the_namespaces_policies(case: Case) -> None:
    # Three callers, the relay and names by two protocols each.
    assert held(case, built(case.platform), Egress.NONE) == 7


def test_a_way_to_the_internet_is_the_validated_one(tmp_path: Path) -> None:
    assert held(CASES[0], edited(tmp_path, CASES[0].platform, INTERNET), Egress.INTERNET) == 10


def test_a_sessions_policy_is_its_own() -> None:
    policies = policies_of(made(CASES[0]))
    assert edges(policies, {"app.kubernetes.io/name": "vdi-session", "app.kubernetes.io/instance": "bob"}) == set()
    assert policies[0]["spec"]["policyTypes"] == ["Ingress", "Egress"], "default-deny, should the namespace's be gone"
