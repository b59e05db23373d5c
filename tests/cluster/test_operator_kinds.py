"""The operator's two kinds, taken by a real API server: rules, defaults, texts and columns."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from vdi_operator.api.schema import LONGEST_NAME, RESERVED_HOSTS, definitions
from vdi_operator.api.session import Session
from vdi_operator.api.template import Template

OPERATOR = Path(__file__).resolve().parents[2] / "operator"
NAMESPACE = "vdi-kinds"
# Of `kubectl get -o wide` alone.
WIDE = ("MODE", "QUEUE")
MOMENT = "2026-11-29T13:40:12.345678Z"
# Until a new kind is among those that `kubectl explain` is told of.
PUBLISHED_SECONDS = 60

Refusal = Callable[..., str]


@pytest.fixture(scope="module")
def kinds(kubectl) -> Iterator[str]:
    """The definitions of the chart, and a namespace for objects of theirs; nothing of it afterwards."""
    folder = str(OPERATOR / "chart" / "vdi-operator" / "crds")
    names = [f"customresourcedefinition/{one['metadata']['name']}" for one in definitions()]
    before = kubectl("get", "--ignore-not-found", "-o", "name", *names).split()
    kubectl("apply", "--server-side", "--force-conflicts", "-f", folder)
    kubectl("wait", "--for=condition=Established", "--timeout=60s", *names)
    kubectl("create", "namespace", NAMESPACE)
    yield NAMESPACE
    kubectl("delete", f"namespace/{NAMESPACE}", "--wait=true", "--timeout=120s")
    if not before:
        kubectl("delete", "--wait=true", "--timeout=60s", *names)


@pytest.fixture
def refusal(cluster, kinds: str) -> Refusal:
    """What the API server says of an object that it does not take, or of a change that it does not."""

    def ask(*words: str, given: dict[str, Any] | None = None) -> str:
        done = subprocess.run(
            ["kubectl", "-n", kinds, *words, "--dry-run=server"],
            env=cluster.environment(),
            input=None if given is None else json.dumps(given),
            capture_output=True,
            text=True,
        )
        assert done.returncode != 0, f"it was taken: {done.stdout}"
        return done.stderr

    return ask


def session(name: str = "alice", **spec: Any) -> dict[str, Any]:
    whole = {"user": "alice@example.com", "templateRef": {"name": "desktop"}, **spec}
    api = {"apiVersion": "vdibench.io/v1alpha1", "kind": "VDISession"}
    return api | {"metadata": {"name": name, "namespace": NAMESPACE}, "spec": whole}


def template(name: str = "desktop", **spec: Any) -> dict[str, Any]:
    api = {"apiVersion": "vdibench.io/v1alpha1", "kind": "VDITemplate"}
    return api | {"metadata": {"name": name, "namespace": NAMESPACE}, "spec": {"image": "desktop", **spec}}


def example(name: str) -> dict[str, Any]:
    document = yaml.safe_load((OPERATOR / "examples" / f"{name}.yaml").read_text())
    document["metadata"]["namespace"] = NAMESPACE
    return dict(document)


@pytest.fixture
def made(kubectl, kinds: str) -> Iterator[Callable[[dict[str, Any]], dict[str, Any]]]:
    """Creates objects, gives what was stored, and takes them away again."""
    created: list[str] = []

    def create(one: dict[str, Any]) -> dict[str, Any]:
        stored = json.loads(kubectl("create", "--validate=strict", "-f", "-", "-o", "json", stdin=json.dumps(one)))
        created.append(f"{stored['kind'].lower()}/{stored['metadata']['name']}")
        return dict(stored)

    yield create
    if created:
        kubectl("-n", kinds, "delete", "--wait=true", *created)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"image": "two words"}, "spec.image in body should match"),
        ({"dialect": "vnc"}, 'supported values: "selkies-1-webrtc"'),
        ({"gpu": {"count": 2}}, "spec.gpu.count in body should be less than or equal to 1"),
        ({"gpu": {"count": 0}}, "a desktop without a GPU encodes in software: set hardwareEncoding to false"),
        ({"gpu": {"nodeSelector": {"k" * 318: ""}}}, "a label's key is at most 317 characters long"),
        ({"lifetime": "0s"}, "must be longer than nothing and at most 30 days (720h)"),
        ({"lifetime": "721h"}, "must be longer than nothing and at most 30 days (720h)"),
        ({"lifetime": "9999999999999h"}, "spec.lifetime"),
        ({"startDeadline": "2d"}, "spec.startDeadline in body should match"),
        (
            {"resources": {"requests": {"memory": "5Gi"}}},
            "resources.requests.memory must not exceed resources.limits.memory",
        ),
        ({"sharedMemory": "5Gi"}, "sharedMemory counts as memory: it must not exceed resources.limits.memory"),
        ({"home": {"size": "lots"}}, "spec.home.size in body should match"),
        ({"egress": "all"}, "spec.egress: Unsupported value"),
        ({"image": "x" * 513}, "spec.image: Too long"),
        ({"podTemplate": {}}, 'unknown field "spec.podTemplate"'),
    ],
)
def test_a_bad_template_is_refused(refusal: Refusal, spec: dict[str, Any], message: str) -> None:
    assert message in refusal("create", "--validate=strict", "-f", "-", given=template(**spec))


def test_a_template_with_too_long_a_name_is_refused(refusal: Refusal) -> None:
    said = refusal("create", "-f", "-", given=template("x" * 64))
    assert "metadata.name must be at most 63 characters long" in said


@pytest.mark.parametrize(
    ("one", "message"),
    [
        (session("a" * (LONGEST_NAME + 1)), f"metadata.name must be a DNS label of at most {LONGEST_NAME} characters"),
        (session("a.b"), "metadata.name must be a DNS label"),
        (session("www"), "this host is reserved: set spec.host, or name the session otherwise"),
        (session(user=""), "spec.user in body should be at least 1 chars long"),
        (session(templateRef={}), "spec.templateRef.name: Required value"),
        (session(operatingMode="Paused"), 'supported values: "Running", "Suspended"'),
        (session(host="a.b"), "spec.host in body should match"),
        (session(lifetime="0h"), "must be longer than nothing and at most 30 days"),
        (session(lifetime="31d"), "spec.lifetime in body should match"),
        (session(env=[{"name": "LD_PRELOAD"}]), 'unknown field "spec.env"'),
    ],
    ids=lambda value: None if isinstance(value, str) else value["metadata"]["name"][:8],
)
def test_a_bad_session_is_refused(refusal: Refusal, one: dict[str, Any], message: str) -> None:
    assert message in refusal("create", "--validate=strict", "-f", "-", given=one)


def test_no_reserved_host_is_taken(cluster, kinds: str) -> None:
    listed = {"apiVersion": "v1", "kind": "List", "items": [session(f"s-{host}", host=host) for host in RESERVED_HOSTS]}
    done = subprocess.run(
        ["kubectl", "create", "--dry-run=server", "-f", "-"],
        env=cluster.environment(),
        input=json.dumps(listed),
        capture_output=True,
        text=True,
    )
    assert done.stderr.count("this host is reserved") == len(RESERVED_HOSTS)
    assert done.stdout == ""


@pytest.mark.parametrize("name", ["a", "0", "x" * LONGEST_NAME, "api-of-alice"])
def test_good_names_are_taken(made, name: str) -> None:
    assert made(session(name))["metadata"]["name"] == name


def test_a_reserved_name_is_taken_with_another_host(made) -> None:
    assert made(session("www", host="alice"))["spec"]["host"] == "alice"


@pytest.mark.parametrize(
    ("spec", "change", "message"),
    [
        ({}, {"user": "mallory"}, "user is immutable: create another session"),
        ({}, {"templateRef": {"name": "other"}}, "templateRef is immutable: create another session"),
        ({}, {"host": "other"}, "host is immutable: create another session"),
        ({"host": "desk"}, {"host": "other"}, "host is immutable: create another session"),
        ({"host": "desk"}, {"host": None}, "host is immutable: create another session"),
    ],
)
def test_what_is_fixed_cannot_be_changed(
    made, refusal: Refusal, spec: dict[str, Any], change: dict[str, Any], message: str
) -> None:
    made(session(**spec))
    assert message in refusal("patch", "vds", "alice", "--type=merge", "-p", json.dumps({"spec": change}))


def test_what_is_not_fixed_can(made, kubectl, kinds: str) -> None:
    stored = made(session(host="desk", lifetime="8h"))
    change = json.dumps({"spec": {"operatingMode": "Suspended", "lifetime": "90m", "host": "desk"}})
    patched = json.loads(kubectl("-n", kinds, "patch", "vds", "alice", "--type=merge", "-p", change, "-o", "json"))
    assert patched["spec"] == stored["spec"] | {"operatingMode": "Suspended", "lifetime": "90m"}
    assert patched["metadata"]["generation"] == stored["metadata"]["generation"] + 1


def test_examples_are_taken_and_read_alike(made) -> None:
    for name, read in (("template", Template.of), ("session", Session.of)):
        given = example(name)
        stored = made(given)
        given["metadata"] = stored["metadata"]
        assert read(stored) == read(given)


def test_defaults_are_stored(made) -> None:
    stored = made(template())
    assert Template.of(stored) == Template("desktop", stored["metadata"]["uid"], 1, "desktop")
    assert set(stored["spec"]) >= {"dialect", "display", "gpu", "resources", "home", "egress", "startDeadline"}
    assert stored["spec"]["gpu"]["nodeSelector"] == {"nvidia.com/gpu.present": "true"}
    assert made(session())["spec"]["operatingMode"] == "Running"


def test_a_desktop_without_a_gpu_is_taken(made) -> None:
    assert Template.of(made(template(gpu={"count": 0}, hardwareEncoding=False))).gpu is None


def condition(kind: str, reason: str, status: str = "True") -> dict[str, Any]:
    made = {"type": kind, "status": status, "reason": reason, "message": "said"}
    return made | {"lastTransitionTime": MOMENT, "observedGeneration": 1}


def test_status_is_written_apart_and_columns_tell_it(made, kubectl, kinds: str) -> None:
    milestones = definitions()[1]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]
    names = milestones["properties"]["milestones"]["properties"]
    status = {
        "observedGeneration": 1,
        "conditions": [condition("Admitted", "Accepted"), condition("Ready", "Published")],
        "url": "https://alice.vdi.example.com/",
        "host": "alice.vdi.example.com",
        "node": "node-1",
        "credentialsSecretRef": {"name": "vdi-session-auth-alice"},
        "stream": {"codec": "H264", "encoder": "x264enc", "hardware": False, "transport": "webrtc", "width": 1920},
        "milestones": dict.fromkeys(names, MOMENT),
        "phases": dict.fromkeys(names, 0.25),
        "readyInSeconds": 3.25,
        "startedAt": MOMENT,
        "expiresAt": MOMENT,
        "turnExpiresAt": MOMENT,
        "attempts": 1,
        "podUID": "0a1b2c3d-0000-4000-8000-000000000000",
    }
    made(session() | {"status": status})
    wide = ["-n", kinds, "get", "vds", "alice", "-o", "wide"]
    head, row = kubectl(*wide).splitlines()
    assert head.split() == ["NAME", "READY", "REASON", "USER", "TEMPLATE", "NODE", "URL", "READYIN", "AGE", *WIDE]
    assert row.split()[:3] == ["alice", "alice@example.com", "desktop"], "a status is not taken with the object"

    ask = ["-n", kinds, "patch", "vds", "alice", "--subresource=status", "--type=merge"]
    stored = json.loads(kubectl(*ask, "-p", json.dumps({"status": status}), "-o", "json"))
    assert stored["status"] == status
    assert stored["metadata"]["generation"] == 1
    _, row = kubectl(*wide).splitlines()
    cells = row.split()
    assert cells[:8] == [
        *("alice", "True", "Published", "alice@example.com", "desktop", "node-1"),
        *("https://alice.vdi.example.com/", "3.25"),
    ]
    assert cells[9] == "Running"
    narrow = kubectl("-n", kinds, "get", "vdisessions", "alice").splitlines()[0]
    assert "MODE" not in narrow
    made(template())
    listed = sorted(kubectl("-n", kinds, "get", "vdi", "-o", "name").split())
    assert listed == ["vdisession.vdibench.io/alice", "vditemplate.vdibench.io/desktop"]


@pytest.mark.parametrize(
    ("status", "message"),
    [
        ({"conditions": [condition("Ready", "BecauseISaySo")]}, "status.conditions[0].reason: Unsupported value"),
        ({"conditions": [condition("Happy", "Published")]}, "status.conditions[0].type: Unsupported value"),
        ({"conditions": [condition("Ready", "Published")] * 2}, "Duplicate value"),
        ({"startedAt": "yesterday"}, "status.startedAt"),
        ({"readyInSeconds": "soon"}, "status.readyInSeconds"),
    ],
)
def test_a_bad_status_is_refused(made, refusal: Refusal, status: dict[str, Any], message: str) -> None:
    made(session())
    given = json.dumps({"status": status})
    assert message in refusal("patch", "vds", "alice", "--subresource=status", "--type=merge", "-p", given)


def test_columns_of_a_template(made, kubectl, kinds: str) -> None:
    made(template(encoder="x264enc"))
    head, row = kubectl("-n", kinds, "get", "vdt", "-o", "wide").splitlines()
    assert head.split() == ["NAME", "IMAGE", "DIALECT", "ENCODER", "AGE"]
    assert row.split()[:4] == ["desktop", "desktop", "selkies-2-webrtc", "x264enc"]


def explained(cluster, path: str) -> str:
    """What `kubectl explain` says, in one line; kinds are published some time after they are established."""
    deadline = time.monotonic() + PUBLISHED_SECONDS
    while True:
        done = subprocess.run(["kubectl", "explain", path], env=cluster.environment(), capture_output=True, text=True)
        if done.returncode == 0 or time.monotonic() > deadline:
            assert done.returncode == 0, done.stderr
            return re.sub(r"\s+", " ", done.stdout)
        time.sleep(0.5)  # not to ask a server that is publishing all the time


@pytest.mark.usefixtures("kinds")
@pytest.mark.parametrize("path", ["vditemplate.spec", "vditemplate.spec.gpu", "vdisession.spec", "vdisession.status"])
def test_every_field_is_explained(cluster, path: str) -> None:
    kind, *rest = path.split(".")
    (found,) = [one for one in definitions() if one["spec"]["names"]["singular"] == kind]
    node = found["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    for name in rest:
        node = node["properties"][name]
    said = explained(cluster, path)
    assert node["description"] in said
    for name, field in node["properties"].items():
        assert f" {name} <" in said
        assert field["description"] in said
