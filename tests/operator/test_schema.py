"""The definitions: small, closed, bounded, and of one mind with the dataclasses. Rules in CEL: tests/cluster."""

from __future__ import annotations

import re
from copy import deepcopy
from typing import Any

import jsonschema
import pytest

from vdi_operator.api.reasons import ConditionType, Reason
from vdi_operator.api.schema import LONGEST_MESSAGE, LONGEST_NAME, MILESTONES, RESERVED_HOSTS
from vdi_operator.api.session import HomePolicy, OperatingMode, Session
from vdi_operator.api.template import Dialect, Egress, Template
from vdi_operator.core.record import Record

from .schemas import DEFINITIONS, example, filled, schema, strict, walk

KINDS = sorted(DEFINITIONS)
MOMENT = "2026-11-29T13:40:12.345678Z"
POD = "0a1b2c3d-0000-4000-8000-000000000000"
# What hands out mounts, privileges or another's rights.
FREE = {
    *("podTemplate", "podSpec", "containers", "initContainers", "volumes", "volumeMounts", "env", "envFrom"),
    *("command", "args", "securityContext", "serviceAccountName", "hostNetwork", "tolerations", "affinity", "nodeName"),
}


def refused(kind: str, document: dict[str, Any]) -> list[str]:
    """Where a document is not what the schema allows."""
    checker = jsonschema.Draft202012Validator(strict(schema(kind)))
    return sorted(".".join(map(str, error.absolute_path)) for error in checker.iter_errors(document))


def template(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "desktop"}, "spec": {"image": "registry.example.com/desktop:1", **spec}}


def session(**spec: Any) -> dict[str, Any]:
    whole = {"user": "alice@example.com", "templateRef": {"name": "desktop"}, **spec}
    return {"metadata": {"name": "alice"}, "spec": {name: value for name, value in whole.items() if value is not None}}


def status() -> dict[str, Any]:
    """A status with every field."""
    condition = {"type": "Ready", "status": "True", "reason": "Published", "message": "", "lastTransitionTime": MOMENT}
    return {
        "observedGeneration": 3,
        "conditions": [condition | {"observedGeneration": 3}],
        "url": "https://alice.vdi.example.com/",
        "host": "alice.vdi.example.com",
        "node": "node-1",
        "credentialsSecretRef": {"name": "vdi-session-auth-alice"},
        "stream": {"codec": "H264", "encoder": "h264enc", "hardware": True, "transport": "webrtc"}
        | {"width": 1920, "height": 1080, "podUID": POD, "leftAt": MOMENT, "firstFrameSeconds": 0.125},
        "milestones": dict.fromkeys(MILESTONES, MOMENT),
        "phases": dict.fromkeys(MILESTONES, 0.25),
        "readyInSeconds": 2.0,
        "queue": {"position": 2, "waiting": 3},
        "startedAt": MOMENT,
        "expiresAt": MOMENT,
        "turnExpiresAt": MOMENT,
        "attempts": 1,
        "podUID": POD,
        "restart": {"reason": "CrashLoop", "message": "it ended", "at": MOMENT, "podUID": POD, "released": True},
        "failure": {
            "reason": "CrashLoop",
            "message": "three times",
            "at": MOMENT,
            "generation": 3,
            "template": "uid/1",
        },
        "waitedUntil": MOMENT,
        "warnedOfEnd": MOMENT,
        "lastActivityTime": MOMENT,
        "idle": {"at": MOMENT, "since": MOMENT, "generation": 3, "wake": MOMENT},
        "warnedOfIdle": MOMENT,
    }


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_is_described_and_bounded(kind: str) -> None:
    loose = []
    for path, node in walk(schema(kind)):
        match node["type"]:
            case "string":
                bounded = "enum" in node or "maxLength" in node
            case "array":
                bounded = "maxItems" in node
            case "object":
                bounded = bool(node.get("properties")) or ("additionalProperties" in node and "maxProperties" in node)
            case "integer" | "number":
                bounded = path.startswith(".status") or {"minimum", "maximum"} <= set(node)
            case other:
                bounded = other == "boolean"
        if not bounded or not re.fullmatch(r"\S(.*\S)?\.", node["description"]):
            loose.append(path)
    assert loose == []


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_in_it_is_open(kind: str) -> None:
    nodes = dict(walk(schema(kind)))
    assert [path for path, node in nodes.items() if "x-kubernetes-preserve-unknown-fields" in node] == []
    assert {path.rpartition(".")[2] for path in nodes} & FREE == set()


@pytest.mark.parametrize("kind", KINDS)
def test_rules_say_what_is_wrong(kind: str) -> None:
    rules = [rule for _, node in walk(schema(kind)) for rule in node.get("x-kubernetes-validations", [])]
    assert len(rules) > 3
    for rule in rules:
        assert re.fullmatch(r"[a-z].{10,}[^.]", rule["message"]), rule


def test_names_and_categories() -> None:
    found = {kind: one["spec"]["names"] for kind, one in DEFINITIONS.items()}
    assert {one["metadata"]["name"] for one in DEFINITIONS.values()} == {
        "vdisessions.vdibench.io",
        "vditemplates.vdibench.io",
    }
    assert found["VDISession"]["shortNames"] == ["vds"]
    assert found["VDITemplate"]["shortNames"] == ["vdt"]
    assert all(names["categories"] == ["vdi"] for names in found.values())
    assert {one["spec"]["scope"] for one in DEFINITIONS.values()} == {"Namespaced"}


@pytest.mark.parametrize("kind", KINDS)
def test_columns_show_what_there_is(kind: str) -> None:
    paths = {path for path, _ in walk(schema(kind))} | {".metadata.creationTimestamp"}
    (version,) = DEFINITIONS[kind]["spec"]["versions"]
    columns = version["additionalPrinterColumns"]
    assert {re.sub(r"\[\?.*\]", "[]", column["jsonPath"]) for column in columns} <= paths
    shown = [column["name"] for column in columns if not column["priority"]]
    if kind == "VDISession":
        assert shown == ["Ready", "Reason", "User", "Template", "Node", "URL", "ReadyIn", "Age"]
    else:
        assert shown == ["Dialect", "Encoder", "Age"]


def test_defaults_are_those_of_the_values() -> None:
    given = template()
    stored = filled(schema("VDITemplate"), given)
    assert Template.of(stored) == Template.of(given) == Template("desktop", "", 0, "registry.example.com/desktop:1")
    # Whatever is not optional without a default is there.
    optional = set(schema("VDITemplate")["properties"]["spec"]["properties"]) - set(stored["spec"])
    # No default: a stored spec would get another digest than its evidence has.
    assert optional == {"capacity", "idleTimeout", "lifetime", "prepull", "priorityClassName", "warmSlots"}
    assert stored["spec"]["gpu"]["count"] == 1
    assert stored["spec"]["startDeadline"] == "60s"
    wish = session()
    kept = filled(schema("VDISession"), wish)
    assert Session.of(kept) == Session.of(wish)
    assert kept["spec"]["operatingMode"] == "Running"
    assert kept["spec"]["homePolicy"] == "Wait"


@pytest.mark.parametrize(
    ("kind", "path", "words"),
    [
        ("VDITemplate", ".spec.dialect", Dialect),
        ("VDITemplate", ".spec.egress", Egress),
        ("VDISession", ".spec.operatingMode", OperatingMode),
        ("VDISession", ".spec.homePolicy", HomePolicy),
        ("VDISession", ".status.conditions[].type", ConditionType),
        ("VDISession", ".status.conditions[].reason", Reason),
    ],
)
def test_closed_lists_are_those_of_the_values(kind: str, path: str, words: type[Dialect]) -> None:
    assert dict(walk(schema(kind)))[path]["enum"] == [word.value for word in words]


def test_milestones_and_phases_are_the_same() -> None:
    nodes = dict(walk(schema("VDISession")))
    for path in (".status.milestones", ".status.phases"):
        assert list(nodes[path]["properties"]) == list(MILESTONES)


def test_reserved_hosts_are_hosts() -> None:
    assert list(RESERVED_HOSTS) == sorted(set(RESERVED_HOSTS))
    assert {"www", "api", "traefik"} <= set(RESERVED_HOSTS)
    assert [host for host in RESERVED_HOSTS if refused("VDISession", session(host=host))] == []


@pytest.mark.parametrize("kind", ["template", "session"])
def test_examples_are_good(kind: str) -> None:
    document = example(kind)
    assert document["kind"] in KINDS
    assert refused(document["kind"], document) == []
    assert refused(document["kind"], filled(schema(document["kind"]), document)) == []


def test_examples_belong_together() -> None:
    assert Session.of(example("session")).template == Template.of(example("template")).name
    assert example("session")["metadata"]["namespace"] == example("template")["metadata"]["namespace"]


GOOD_TEMPLATES: list[dict[str, Any]] = [
    {"image": "a"},
    {"encoder": "x264enc", "hardwareEncoding": False, "gpu": {"count": 0}},
    {"gpu": {"resource": "nvidia.com/mig-1g.10gb.shared", "runtimeClassName": "", "nodeSelector": {}}},
    {"resources": {"requests": {"cpu": "0.5", "memory": "512Mi"}, "limits": {"memory": "1.5G"}}},
    {"resources": {"requests": {"cpu": "16"}}},
    {"capacity": {"sessionsPerGPU": 1}},
    {"capacity": {"sessionsPerGPU": 64}, "gpu": {"count": 0}, "hardwareEncoding": False},
    {"capacity": {}},
    {"priorityClassName": "cad-first"},
    {"warmSlots": 0},
    {"warmSlots": 64},
    {"lifetime": "1h30m", "startDeadline": "2500ms"},
    {"home": {"size": "1Ti", "storageClassName": "fast.example.com"}, "sharedMemory": "268435456"},
]


@pytest.mark.parametrize("spec", GOOD_TEMPLATES)
def test_good_templates(spec: dict[str, Any]) -> None:
    document = template(**spec)
    assert refused("VDITemplate", document) == []
    Template.of(document)


@pytest.mark.parametrize(
    ("spec", "where"),
    [
        ({"image": ""}, "image"),
        ({"image": "with space"}, "image"),
        ({"image": "x" * 513}, "image"),
        ({"imagePullPolicy": "Sometimes"}, "imagePullPolicy"),
        ({"dialect": "vnc"}, "dialect"),
        ({"encoder": "H264; reboot"}, "encoder"),
        ({"hardwareEncoding": "yes"}, "hardwareEncoding"),
        ({"display": {"width": 0}}, "display.width"),
        ({"display": {"height": 1080.5}}, "display.height"),
        ({"display": {"framerate": 1000}}, "display.framerate"),
        ({"display": {"bitrate": "8M"}}, "display.bitrate"),
        ({"gpu": {"count": 2}}, "gpu.count"),
        ({"gpu": {"count": -1}}, "gpu.count"),
        ({"capacity": {"sessionsPerGPU": 0}}, "capacity.sessionsPerGPU"),
        ({"capacity": {"sessionsPerGPU": 65}}, "capacity.sessionsPerGPU"),
        ({"capacity": {"sessionsPerGPU": "8"}}, "capacity.sessionsPerGPU"),
        ({"capacity": {"sessionsPerNode": 8}}, "capacity"),
        ({"warmSlots": -1}, "warmSlots"),
        ({"warmSlots": 65}, "warmSlots"),
        ({"warmSlots": "2"}, "warmSlots"),
        ({"gpu": {"resource": "gpu"}}, "gpu.resource"),
        ({"gpu": {"runtimeClassName": "NVIDIA"}}, "gpu.runtimeClassName"),
        ({"gpu": {"nodeSelector": {"a": "b" * 64}}}, "gpu.nodeSelector.a"),
        ({"gpu": {"nodeSelector": {str(key): "" for key in range(9)}}}, "gpu.nodeSelector"),
        ({"resources": {"requests": {"cpu": 2}}}, "resources.requests.cpu"),
        ({"resources": {"requests": {"cpu": "0"}}}, "resources.requests.cpu"),
        ({"resources": {"requests": {"memory": "1 Gi"}}}, "resources.requests.memory"),
        ({"resources": {"limits": {"memory": "-1Gi"}}}, "resources.limits.memory"),
        ({"resources": {"limits": {"cpu": "2"}}}, "resources.limits"),
        ({"resources": {"limits": {"nvidia.com/gpu": "2"}}}, "resources.limits"),
        ({"home": {"size": "0Gi"}}, "home.size"),
        ({"home": {"storageClassName": ""}}, "home.storageClassName"),
        ({"home": {"hostPath": "/"}}, "home"),
        ({"sharedMemory": "1GB"}, "sharedMemory"),
        ({"priorityClassName": ""}, "priorityClassName"),
        ({"priorityClassName": "High Priority"}, "priorityClassName"),
        ({"egress": "all"}, "egress"),
        ({"lifetime": "8 hours"}, "lifetime"),
        ({"lifetime": 3600}, "lifetime"),
        ({"startDeadline": "60"}, "startDeadline"),
        ({"podTemplate": {}}, ""),
    ],
)
def test_bad_templates(spec: dict[str, Any], where: str) -> None:
    assert set(refused("VDITemplate", template(**spec))) == {f"spec.{where}".rstrip(".")}


def test_a_template_without_an_image_is_bad() -> None:
    assert refused("VDITemplate", {"spec": {}}) == ["spec"]
    assert refused("VDITemplate", {}) == [""]


@pytest.mark.parametrize(
    "spec",
    [
        {"user": "Ærøskøbing, Søren"},
        {"host": "a"},
        {"host": "0-9"},
        {"operatingMode": "Suspended"},
        {"homePolicy": "Fresh"},
        {"lifetime": "720h"},
    ],
)
def test_good_sessions(spec: dict[str, Any]) -> None:
    document = session(**spec)
    assert refused("VDISession", document) == []
    Session.of(document)


@pytest.mark.parametrize(
    ("spec", "where"),
    [
        ({"user": ""}, "user"),
        ({"user": " alice"}, "user"),
        ({"user": "a\nb"}, "user"),
        ({"user": "x" * 257}, "user"),
        ({"user": None}, ""),
        ({"templateRef": None}, ""),
        ({"templateRef": {}}, "templateRef"),
        ({"templateRef": {"name": ""}}, "templateRef.name"),
        ({"templateRef": {"name": "desktop", "namespace": "others"}}, "templateRef"),
        ({"operatingMode": "Paused"}, "operatingMode"),
        ({"homePolicy": "Copy"}, "homePolicy"),
        ({"host": "alice.evil"}, "host"),
        ({"host": "-alice"}, "host"),
        ({"host": "Alice"}, "host"),
        ({"host": "`) || Host(`"}, "host"),
        ({"host": "x" * 64}, "host"),
        ({"lifetime": "1d"}, "lifetime"),
        ({"image": "other"}, ""),
    ],
)
def test_bad_sessions(spec: dict[str, Any], where: str) -> None:
    assert set(refused("VDISession", session(**spec))) == {f"spec.{where}".rstrip(".")}


def test_what_a_pass_writes_down_is_kept() -> None:
    whole = Record.of(status()).documents()
    assert set(whole) > {"restart", "failure", "waitedUntil", "warnedOfEnd", "stream", "podUID", "attempts"}
    assert refused("VDISession", session() | {"status": whole}) == []


def test_a_whole_status_is_good() -> None:
    whole = status()
    nodes = {path for path, _ in walk(schema("VDISession")) if path.startswith(".status.")}
    assert {f".status.{name}" for name in whole} == {path for path in nodes if re.fullmatch(r"\.status\.\w+", path)}
    assert refused("VDISession", session() | {"status": whole}) == []
    assert refused("VDISession", session() | {"status": {}}) == []


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"reason": "BecauseISaySo"}, "conditions.0.reason"),
        ({"status": "true"}, "conditions.0.status"),
        ({"type": "Happy"}, "conditions.0.type"),
        ({"message": "x" * (LONGEST_MESSAGE + 1)}, "conditions.0.message"),
    ],
)
def test_a_condition_of_another_kind_is_bad(change: dict[str, str], where: str) -> None:
    whole = deepcopy(status())
    whole["conditions"][0] |= change
    assert refused("VDISession", session() | {"status": whole}) == [f"status.{where}"]


def test_a_name_leaves_room_for_those_of_the_children() -> None:
    assert len("vdi-session-service-") + LONGEST_NAME <= 63
    rules = schema("VDISession")["x-kubernetes-validations"]
    (pattern,) = [found[1] for rule in rules if (found := re.search(r"name\.matches\('(.*)'\)", rule["rule"]))]
    for good in ("a", "0", "a-b", "x" * LONGEST_NAME):
        assert re.fullmatch(pattern, good), good
    for bad in ("", "-a", "a-", "A", "a.b", "x" * (LONGEST_NAME + 1)):
        assert not re.fullmatch(pattern, bad), bad
