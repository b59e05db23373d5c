"""Documents read as values: what is absent, what is wrong and where."""

from __future__ import annotations

from typing import Any

import pytest

from vdi_operator.api.session import HomePolicy, OperatingMode, Session
from vdi_operator.api.template import Dialect, Display, Egress, Gpu, Home, Template

from .schemas import example


def template(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "desktop"}, "spec": {"image": "image", **spec}}


def session(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "alice"}, "spec": {"user": "alice", "templateRef": {"name": "desktop"}, **spec}}


def test_a_template_with_everything() -> None:
    document = {
        "metadata": {"name": "desktop", "uid": "u", "generation": 4},
        "spec": {
            "image": "image",
            "imagePullPolicy": "Never",
            "dialect": "selkies-1-webrtc",
            "encoder": "x264enc",
            "hardwareEncoding": False,
            "display": {"width": 640, "height": 360, "framerate": 15, "bitrate": 1_000_000},
            "gpu": {"resource": "example.com/slice", "runtimeClassName": "", "nodeSelector": {"gpu": "yes"}},
            "sharedMemory": "64Mi",
            "resources": {"requests": {"cpu": "1", "memory": "2Gi"}, "limits": {"memory": "3Gi"}},
            "home": {"storageClassName": "fast", "size": "1Gi"},
            "egress": "internet",
            "lifetime": "8h",
            "warmSlots": 3,
            "idleTimeout": "30m",
            "prepull": True,
            "startDeadline": "90s",
            "priorityClassName": "cad-first",
        },
    }
    assert Template.of(document) == Template(
        name="desktop",
        uid="u",
        generation=4,
        image="image",
        image_pull_policy="Never",
        dialect=Dialect.SELKIES_1_WEBRTC,
        encoder="x264enc",
        hardware_encoding=False,
        display=Display(640, 360, 15, 1_000_000),
        gpu=Gpu("example.com/slice", "", {"gpu": "yes"}),
        shared_memory="64Mi",
        requests={"cpu": "1", "memory": "2Gi"},
        limits={"memory": "3Gi"},
        home=Home("fast", "1Gi"),
        egress=Egress.INTERNET,
        lifetime_seconds=28_800.0,
        warm_slots=3,
        idle_timeout_seconds=1800.0,
        prepull=True,
        start_deadline_seconds=90.0,
        priority_class="cad-first",
    )


def test_what_is_absent_or_null_has_its_default() -> None:
    plain = Template("desktop", "", 0, "image")
    assert Template.of(template()) == plain
    assert Template.of(template(display=None, gpu=None, resources=None, home={}, lifetime=None, egress=None)) == plain
    assert plain.gpu == Gpu()


def test_parts_are_filled_in_field_by_field() -> None:
    read = Template.of(template(display={"width": 800}, resources={"requests": {"cpu": "3"}}, home={"size": "1Gi"}))
    assert read.display == Display(width=800)
    assert read.requests == {"cpu": "3", "memory": "1Gi"}
    assert read.limits == {"memory": "4Gi"}
    assert read.home == Home(size="1Gi")


def test_a_selector_of_nodes_is_taken_whole() -> None:
    assert Template.of(template(gpu={"nodeSelector": {}})).gpu == Gpu(node_selector={})


def test_a_desktop_without_a_gpu() -> None:
    assert Template.of(template(gpu={"count": 0, "resource": "x"})).gpu is None
    assert Template.of(template(gpu={"count": 1})).gpu == Gpu()


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"image": None}, "spec.image is missing"),
        ({"image": 7}, "spec.image is 7, it must be text"),
        (
            {"dialect": "vnc"},
            "spec.dialect is 'vnc', known are selkies-1-webrtc, selkies-2-webrtc, selkies-2-websocket",
        ),
        ({"egress": "all"}, "spec.egress is 'all', known are none, internet"),
        ({"display": []}, "spec.display is [], it must be an object"),
        ({"display": {"width": "wide"}}, "spec.display.width is 'wide', it must be a whole number"),
        ({"display": {"width": True}}, "spec.display.width is 'True', it must be a whole number"),
        ({"hardwareEncoding": 1}, "spec.hardwareEncoding is 1, it must be true or false"),
        ({"gpu": {"count": 2}}, "spec.gpu.count is 2, it must be 0 or 1"),
        ({"gpu": {"nodeSelector": {"a": 1}}}, "spec.gpu.nodeSelector.a is 1, it must be text"),
        ({"resources": {"limits": {"memory": 1}}}, "spec.resources.limits.memory is 1, it must be text"),
        ({"lifetime": "forever"}, "spec.lifetime: 'forever' is no duration"),
        ({"startDeadline": "0s"}, "spec.startDeadline: '0s' must be longer than nothing"),
    ],
)
def test_a_bad_template_is_told_where(spec: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        Template.of(template(**spec))
    assert str(caught.value).startswith(message)


def test_a_session_with_everything() -> None:
    document = {
        "metadata": {
            "namespace": "vdi-sessions",
            "name": "alice",
            "uid": "u",
            "generation": 2,
            "resourceVersion": "77",
            "creationTimestamp": "2026-11-29T13:40:12Z",
            "deletionTimestamp": "2026-11-29T14:00:00Z",
            "annotations": {"vdibench.io/wake": "again"},
        },
        "spec": {
            "user": "Alice A.",
            "templateRef": {"name": "desktop"},
            "operatingMode": "Suspended",
            "host": "desk",
            "homePolicy": "Fresh",
            "lifetime": "30m",
        },
        "status": {"attempts": 1},
    }
    assert Session.of(document) == Session(
        namespace="vdi-sessions",
        name="alice",
        uid="u",
        generation=2,
        user="Alice A.",
        template="desktop",
        mode=OperatingMode.SUSPENDED,
        host="desk",
        home_policy=HomePolicy.FRESH,
        lifetime_seconds=1800.0,
        created_unix_seconds=1795959612.0,
        deleting=True,
        wake="again",
        resource_version="77",
        status={"attempts": 1},
    )


def test_a_session_with_little() -> None:
    assert Session.of(session()) == Session("", "alice", "", 0, "alice", "desktop")


def test_examples_are_read() -> None:
    assert Session.of(example("session")).user == "alice@example.com"
    assert Template.of(example("template")).lifetime_seconds == 43_200.0


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"user": None}, "spec.user is missing"),
        ({"templateRef": None}, "spec.templateRef.name is missing"),
        ({"templateRef": "desktop"}, "spec.templateRef is 'desktop', it must be an object"),
        ({"operatingMode": "Off"}, "spec.operatingMode is 'Off', known are Running, Suspended"),
        ({"homePolicy": "Copy"}, "spec.homePolicy is 'Copy', known are Wait, Fresh"),
        ({"host": ["a"]}, "spec.host is ['a'], it must be text"),
        ({"lifetime": "31d"}, "spec.lifetime: '31d' is no duration"),
    ],
)
def test_a_bad_session_is_told_where(spec: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        Session.of(session(**spec))
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("document", [{}, {"metadata": {}}, {"metadata": {"name": None}, "spec": {}}])
def test_a_document_without_a_name(document: dict[str, Any]) -> None:
    for read in (Session.of, Template.of):
        with pytest.raises(ValueError, match=r"^metadata.name is missing$"):
            read(document)
