"""What the operator makes is what was validated: its objects are those of the manifests, but for a declared list.

The operator is its own program, its chart what helm makes of it, the manifests what kustomize makes of them.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from vdi_operator.api.session import Session
from vdi_operator.api.template import Template
from vdi_operator.children.all import children
from vdi_operator.core.world import World
from vdi_operator.settings import Settings
from vdibench.errors import UsageError, VdibenchError
from vdibench.graduation.declared import DECLARED, table
from vdibench.graduation.equality import compare, differences
from vdibench.graduation.operating import chart_role, made
from vdibench.graduation.programs import Programs
from vdibench.graduation.reach import ANYONE, EVERY_PORT, Edge, edges

from ..repository.kustomize import Object, built, edited, kubectl, only
from .chart.helm import CHART, helm

USER = "alice"
DOCS = Path(__file__).resolve().parents[2] / "docs"
COMPONENTS = "overlays/k3s/session/kustomization.yaml"
OLDER = (
    (COMPONENTS, "  - ../../../session/selkies-2\n", "  - ../../../session/selkies-1.6\n"),
    # Their metrics are those of 2.x.
    (COMPONENTS, "  - ../../../session/metrics\n", ""),
)
WEBSOCKET = (
    (
        COMPONENTS,
        "  - ../../../session/per-user\n",
        "  - ../../../session/per-user\n  - ../../../session/selkies-2-websocket\n",
    ),
)
INTERNET = (
    (
        "overlays/k3s/kustomization.yaml",
        "  # - ../../security/internet-egress",
        "  - ../../security/internet-egress",
    ),
)
MEASURED = {"SELKIES_FRAMERATE": "30", "SELKIES_VIDEO_BITRATE": "4000", "SCREEN": "1280x720"}
NO_IMAGE_YET = f"registry.example.com/vdi/desktop@sha256:{'0' * 64}"


def as_measured(objects: list[Object]) -> None:
    """A run replaces what it wants and puts it last."""
    (desktop,) = only(objects, "Pod")["spec"]["containers"]
    desktop["env"] = [
        *(one for one in desktop["env"] if one["name"] not in MEASURED),
        *({"name": name, "value": value} for name, value in MEASURED.items()),
    ]


@dataclass(frozen=True)
class Case:
    """Overlays of a session and of a platform, and the same in the operator's words.

    :param spec: of the template.
    :param changes: of the manifests, by a person.
    :param measured: what a run changes in the session.
    """

    name: str
    spec: dict[str, Any] = field(default_factory=dict)
    overlay: str = "k3s"
    domain: str = "vdi.example.com"
    relay: str = "192.0.2.10"
    changes: tuple[tuple[str, str, str], ...] = ()
    measured: Callable[[list[Object]], None] | None = None

    @property
    def template(self) -> Object:
        return {
            "apiVersion": "vdibench.io/v1alpha1",
            "kind": "VDITemplate",
            "metadata": {"name": "cad"},
            "spec": {"image": NO_IMAGE_YET, **self.spec},
        }


LAB = {
    "image": "vdibench.local/desktop:2.1.0",
    "imagePullPolicy": "Never",
    "hardwareEncoding": False,
    # A slice that the lab gave its node, with no driver behind it.
    "gpu": {"runtimeClassName": "", "nodeSelector": {}},
    "resources": {"requests": {"cpu": "50m", "memory": "256Mi"}},
}
DISPLAY = {"width": 1280, "height": 720, "framerate": 30, "bitrate": 4_000_000}
SELKIES_1 = "k3s with Selkies 1.6"
CASES = (
    Case("k3s"),
    Case(SELKIES_1, {"dialect": "selkies-1-webrtc"}, changes=OLDER),
    Case("k3s by WebSocket", {"dialect": "selkies-2-websocket"}, changes=WEBSOCKET),
    Case("k3s with a way to the internet", {"egress": "internet"}, changes=INTERNET),
    Case("k3s as a run measured it", {"display": DISPLAY}, measured=as_measured),
    Case("lab", LAB, "lab", "vdi.test", "10.244.0.1"),
)
NAMES = [case.name for case in CASES]


@dataclass(frozen=True)
class Both:
    """One case, validated and made."""

    case: Case
    session: list[Object]
    platform: list[Object]
    children: list[Object]
    role: Object

    @property
    def validated(self) -> list[Object]:
        return [*self.session, *self.platform]

    @property
    def made(self) -> list[Object]:
        return [*self.children, self.role]


@pytest.fixture(scope="module")
def programs() -> Programs:
    return Programs(kubectl=kubectl(), helm=helm(), operator=Path(sys.executable).with_name("vdi-operator"))


@pytest.fixture(scope="module")
def all_both(programs: Programs, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Both]:
    role, found = chart_role(programs, CHART), {}
    for case in CASES:
        session, platform = (
            edited(tmp_path_factory.mktemp("manifests"), overlay, *case.changes) if case.changes else built(overlay)
            for overlay in (f"overlays/{case.overlay}/session", f"overlays/{case.overlay}")
        )
        if case.measured is not None:
            case.measured(session)
        ours = made(programs, case.template, user=USER, domain=case.domain, relay=case.relay, settings={})
        found[case.name] = Both(case, session, platform, ours, role)
    return found


@pytest.fixture(params=NAMES)
def both(request: pytest.FixtureRequest, all_both: dict[str, Both]) -> Both:
    """Each case."""
    return all_both[request.param]


def policies(objects: list[Object]) -> list[Object]:
    return [one for one in objects if one["kind"] == "NetworkPolicy"]


# Equal.
def test_what_the_operator_makes_is_what_was_validated(both: Both) -> None:
    assert differences(both.validated, both.made) == ()


def test_every_declared_field_differs_somewhere(all_both: dict[str, Both]) -> None:
    met = {one for both in all_both.values() for one in compare(both.validated, both.made).declared}
    assert met == {(one.kind, name) for one in DECLARED for name in one.fields}


def test_no_more_than_a_sessions_objects_are_made(both: Both) -> None:
    kinds = [one["kind"] for one in both.children]
    asks = () if both.case.name == SELKIES_1 else ("Middleware",)
    assert sorted(kinds) == sorted([*asks, "IngressRoute", "NetworkPolicy", "PersistentVolumeClaim", "Pod", "Service"])
    assert kinds[-1] == "Pod"
    assert {one["metadata"]["namespace"] for one in both.made} == {"vdi-sessions"}


def test_secrets_are_those_that_the_validated_pod_reads(all_both: dict[str, Both]) -> None:
    session = Session("vdi-sessions", USER, "s", 1, USER, "cad")
    for name in ("k3s", SELKIES_1, "k3s by WebSocket", "lab"):
        both = all_both[name]
        pod = only(both.session, "Pod")
        (variable,) = (one for one in pod["spec"]["containers"][0]["env"] if "valueFrom" in one)
        password = variable["valueFrom"]["secretKeyRef"]
        mounted = [one["secret"]["secretName"] for one in pod["spec"]["volumes"] if "secret" in one]
        assert len(mounted) == (0 if name == "k3s by WebSocket" else 1)
        world = World(
            0.0, Settings(), 0.0, relay_addresses=("192.0.2.10",), turn_secret="north", spare_password="nobody-guesses"
        )
        template = Template.of(both.case.template)
        secrets = [one for one in children(session, template, world) if one["kind"] == "Secret"]
        ours = {one["metadata"]["name"]: set(one["data"]) for one in secrets}
        assert ours == {password["name"]: {"username", password["key"]}, **{rtc: {"rtc.json"} for rtc in mounted}}


# A change of any field is found.
Place = tuple[str | int, ...]
Change = tuple[Place, Callable[[Object], None]]
# What must be there for an object to be one at all: it may be another one, not none.
NEEDED = {("kind",), ("metadata", "name")}
OTHERWISE: dict[type, Callable[[Any], Any]] = {
    str: lambda text: f"{text}x",
    int: lambda number: number + 1,
    bool: lambda truth: not truth,
    dict: lambda nothing: {"more": "x"},
    list: lambda nothing: ["x"],
}
HELD = [
    (name, kind)
    for name in NAMES
    for kind in ("Pod", "Service", "Middleware", "IngressRoute", "PersistentVolumeClaim")
    # Which asks for the password itself everywhere.
    if (name, kind) != (SELKIES_1, "Middleware")
]
MANAGER: Place = ("metadata", "labels", "app.kubernetes.io/managed-by")
INSTANCE: Place = ("metadata", "labels", "app.kubernetes.io/instance")


def free(one: Object) -> list[Place]:
    """Where anything may stand in a validated object: as declared, whatever it is."""
    found = [MANAGER]
    if one["kind"] == "PersistentVolumeClaim":
        found.append(INSTANCE)
    return found


def inside(value: Any) -> list[tuple[str | int, Any]]:
    if isinstance(value, dict):
        return list(value.items())
    return list(enumerate(value)) if isinstance(value, list) else []


def places(value: Any, place: Place = ()) -> Iterator[Place]:
    """Every field and entry, the object itself first."""
    yield place
    for step, one in inside(value):
        yield from places(one, (*place, step))


def at(value: Any, place: Place) -> Any:
    for step in place:
        value = value[step]
    return value


def put(place: Place, new: Any, one: Object) -> None:
    at(one, place[:-1])[place[-1]] = new


def drop(place: Place, one: Object) -> None:
    del at(one, place[:-1])[place[-1]]


def changes(one: Object) -> Iterator[Change]:
    """Another value at each leaf."""
    for place in places(one):
        value = at(one, place)
        if not inside(value):
            yield place, partial(put, place, OTHERWISE[type(value)](value))


def deletions(one: Object) -> Iterator[Change]:
    """Each leaf is missing."""
    for place in places(one):
        if not inside(at(one, place)) and place not in NEEDED:
            yield place, partial(drop, place)


def additions(one: Object) -> Iterator[Change]:
    """Each object has a field more."""
    for place in places(one):
        if isinstance(at(one, place), dict):
            yield (*place, "more"), partial(put, (*place, "more"), "x")


@pytest.mark.parametrize(("name", "kind"), HELD)
@pytest.mark.parametrize("change", [changes, deletions, additions])
def test_a_change_of_any_field_is_found(
    all_both: dict[str, Both], name: str, kind: str, change: Callable[[Object], Iterator[Change]]
) -> None:
    both = all_both[name]
    one = only(both.session, kind)
    rest = [other for other in both.session if other is not one] + policies(both.platform)
    allowed = free(one)
    missed, count = [], 0
    for place, apply in change(one):
        if any(place[: len(start)] == start for start in allowed):
            continue
        other = copy.deepcopy(one)
        apply(other)
        count += 1
        if not differences([other, *rest], both.children):
            missed.append(place)
    assert count > 4, "as few has the smallest, the Middleware"
    assert missed == []


@pytest.mark.parametrize(("case", "kind"), HELD)
def test_an_object_that_is_missing_is_found(all_both: dict[str, Both], case: str, kind: str) -> None:
    both = all_both[case]
    one, other = only(both.session, kind), only(both.children, kind)
    fewer = [item for item in both.validated if item is not one]
    assert any(line.startswith(f"{kind}: the operator makes ") for line in differences(fewer, both.made))
    less = [item for item in both.made if item is not other]
    name = one["metadata"]["name"]
    assert f"{kind}: {name} was validated, and the operator makes none" in differences(both.validated, less)


# Policies.
def chosen(objects: list[Object], both: Both) -> frozenset[Edge]:
    return edges(policies(objects), dict(only(both.session, "Pod")["metadata"]["labels"]), "vdi-sessions")


def test_a_sessions_policy_has_the_edges_of_the_namespaces_policies(all_both: dict[str, Both]) -> None:
    # Three callers, the relay and names by two protocols each; the web by three ports.
    for name, count in (("k3s", 7), ("lab", 7), ("k3s with a way to the internet", 10)):
        both = all_both[name]
        assert chosen(both.platform, both) == chosen(both.children, both)
        assert len(chosen(both.children, both)) == count
    fewer = all_both["k3s by WebSocket"]
    gone = chosen(fewer.platform, fewer) - chosen(fewer.children, fewer)
    assert {edge.port for edge in gone} == {"3478/TCP", "3478/UDP"}
    assert len(chosen(fewer.children, fewer)) == 5


def test_a_sessions_policy_is_its_own(both: Both) -> None:
    labels = {"app.kubernetes.io/name": "vdi-session", "app.kubernetes.io/instance": "bob"}
    anything = {Edge(way, ANYONE, EVERY_PORT) for way in ("ingress", "egress")}
    assert edges(policies(both.children), labels, "vdi-sessions") == anything
    (policy,) = policies(both.children)
    assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"], "default-deny, should the namespace's be gone"


def test_a_policy_that_is_missing_or_open_is_found(all_both: dict[str, Both]) -> None:
    both = all_both["k3s"]
    exceptions = [one for one in policies(both.platform) if one["metadata"]["name"].startswith("allow-")]
    ours = [one for one in exceptions if one["metadata"]["namespace"] == "vdi-sessions"]
    assert len(ours) == 5
    for one in ours:
        platform = [other for other in both.platform if other is not one]
        lines = differences([*both.session, *platform], both.made)
        assert lines
        assert all(line.startswith("NetworkPolicy: ") and "is shut in what was validated" in line for line in lines)
    opened = copy.deepcopy(only(ours, "NetworkPolicy", "allow-traefik-to-session"))
    opened["spec"]["ingress"] = [{}]
    (line,) = differences([*both.validated, opened], both.made)
    assert line == (
        "NetworkPolicy: ingress from anyone at every port is open in what was validated and shut in what the operator "
        "makes"
    )


def test_what_the_relays_policy_opens_beside_a_relay_is_found(all_both: dict[str, Both]) -> None:
    """Only the way to a relay may be missing to a WebSocket desktop."""
    both = all_both["k3s by WebSocket"]
    rest = [one for one in both.validated if one["metadata"]["name"] != "allow-session-to-coturn"]
    relays = only(both.platform, "NetworkPolicy", "allow-session-to-coturn")
    (rule,) = relays["spec"]["egress"]
    for more in (
        {**rule, "ports": [{"port": 22, "protocol": "TCP"}]},
        {**rule, "to": [{"ipBlock": {"cidr": "192.0.2.0/24"}}]},
        {"ports": rule["ports"]},
        {"to": rule["to"]},
    ):
        policy = {**relays, "spec": {**relays["spec"], "egress": [rule, more]}}
        lines = differences([*rest, policy], both.made)
        assert lines
        assert all(line.startswith("NetworkPolicy: egress to ") and "is open in what was" in line for line in lines)
    elsewhere = {**relays, "metadata": {**relays["metadata"], "name": "another"}}
    assert len(differences([*rest, elsewhere], both.made)) == 2


# Rights.
def test_the_chart_gives_the_rights_of_the_manifests(all_both: dict[str, Both]) -> None:
    both = all_both["k3s"]
    assert both.role["rules"] == only(both.platform, "Role", "vdi-operator")["rules"]
    for place in places(both.role["rules"]):
        value = at(both.role["rules"], place)
        if isinstance(value, str):
            role = copy.deepcopy(both.role)
            put(("rules", *place), "escalate", role)
            (line,) = differences(both.validated, [*both.children, role])
            assert line.startswith("Role: rules[")
            assert line.endswith("'escalate' in what the operator's chart makes")
    more = copy.deepcopy(both.role)
    more["rules"].append({"apiGroups": [""], "resources": ["nodes"], "verbs": ["list"]})
    (line,) = differences(both.validated, [*both.children, more])
    assert line.startswith("Role: rules[9] is absent in what was validated and {")
    assert differences(both.validated, both.children) == (
        "Role: vdi-operator was validated, and the operator's chart makes none",
    )


# As a graduation asks.
def asked(programs: Programs, both: Both, chart: Path = CHART, **spec: Any) -> list[str]:
    """What stands against shipping the case's template with other fields."""
    template = both.case.template
    changed = template | {"spec": {**template["spec"], **spec}}
    try:
        children = made(programs, changed, user=USER, domain=both.case.domain, relay=both.case.relay, settings={})
    except UsageError as error:
        return [error.cause]
    return list(differences(both.validated, [*children, chart_role(programs, chart)]))


def test_what_is_equal_is_not_refused(programs: Programs, all_both: dict[str, Both]) -> None:
    assert asked(programs, all_both["k3s"]) == []


def test_what_differs_is_refused_line_by_line(programs: Programs, all_both: dict[str, Both]) -> None:
    both = all_both["k3s"]
    assert asked(programs, both, display={"framerate": 30}, sharedMemory="2Gi", egress="internet")[:2] == [
        "Pod: spec.containers[desktop].env[SELKIES_FRAMERATE] is '60' in what was validated and '30' in what the "
        "operator makes",
        "Pod: spec.volumes[shm].emptyDir.sizeLimit is '1Gi' in what was validated and '2Gi' in what the operator makes",
    ]


def test_a_template_that_the_operator_refuses_is_refused(programs: Programs, all_both: dict[str, Both]) -> None:
    assert asked(programs, all_both["k3s"], display={"framerate": 600}) == [
        "vdi-operator render refuses: VDITemplate cad: spec.display.framerate is 600, 240 is the most"
    ]


def test_settings_of_a_site_reach_what_is_made(programs: Programs, all_both: dict[str, Both]) -> None:
    both = all_both["k3s"]
    site = {"middlewares": ["vdi-oidc"], "entryPoints": ["a"]}
    ours = made(programs, both.case.template, user="bob", domain="vdi.test", relay="192.0.2.11", settings=site)
    spec = only(ours, "IngressRoute")["spec"]
    assert spec["entryPoints"] == ["a"]
    assert spec["routes"][0]["middlewares"] == [{"name": "vdi-oidc"}]
    assert spec["routes"][0]["match"].startswith("Host(`bob.vdi.test`)")
    assert "192.0.2.11/32" in str(only(ours, "NetworkPolicy"))


def test_a_program_that_is_not_there_is_told(programs: Programs, tmp_path: Path) -> None:
    absent = Programs(kubectl=programs.kubectl, helm=programs.helm, operator=tmp_path / "absent")
    with pytest.raises(VdibenchError, match=r"cannot run .*absent: No such file"):
        made(absent, CASES[0].template, user=USER, domain="vdi.test", relay="192.0.2.10", settings={})


def test_a_chart_without_the_operators_role_is_told(programs: Programs, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="helm template refuses"):
        chart_role(programs, tmp_path)
    (tmp_path / "Chart.yaml").write_text("apiVersion: v2\nname: other\nversion: 1.0.0\n")
    with pytest.raises(UsageError, match="brings 0 Roles vdi-operator, not one"):
        chart_role(programs, tmp_path)


def test_the_design_has_the_list() -> None:
    assert table() in (DOCS / "design" / "operator.md").read_text()
