"""What is another thing now than what was run, field by field."""

from __future__ import annotations

import copy

import pytest

from vdibench.graduation.drift import (
    driver_findings,
    field_differences,
    image_findings,
    kubernetes_findings,
    manifest_findings,
)
from vdibench.records import Image, Node

from .runs import DIGEST, IMAGE, OBJECTS, SESSION

OTHER = "sha256:" + "cd" * 32
TAGGED = "registry.example.com/vdi/desktop:1.3.0"


def pod(*env: tuple[str, str], containers: int = 1) -> dict[str, object]:
    listed = [{"name": name, "value": value} for name, value in env]
    return {"spec": {"containers": [{"name": f"c{number}", "env": listed} for number in range(containers)]}}


def test_what_is_alike_has_no_difference() -> None:
    assert field_differences(SESSION[1], copy.deepcopy(SESSION[1])) == []


def test_an_environment_is_compared_by_name() -> None:
    old, new = pod(("A", "1"), ("B", "2")), pod(("B", "2"), ("A", "1"))
    assert field_differences(old, new) == []
    assert field_differences(old, pod(("B", "2"), ("A", "3"))) == ['spec.containers[0].env[A].value: was "1", is "3"']
    assert field_differences(old, pod(("A", "1"))) == [
        'spec.containers[0].env[B]: was {"name": "B", "value": "2"}, is missing'
    ]


def test_an_environment_with_a_name_twice_is_compared_place_by_place() -> None:
    twice = pod(("A", "1"), ("A", "2"))
    assert field_differences(twice, twice) == []
    assert field_differences(twice, pod(("A", "2"), ("A", "1"))) != []


def test_the_order_of_other_lists_counts() -> None:
    assert field_differences({"args": ["a", "b"]}, {"args": ["b", "a"]}) == [
        'args[0]: was "a", is "b"',
        'args[1]: was "b", is "a"',
    ]
    assert field_differences(pod(containers=2), pod(containers=1))[0].startswith("spec.containers[1]: was {")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ({"a": 1}, {"a": "1"}, 'a: was 1, is "1"'),
        ({"a": True}, {"a": 1}, "a: was true, is 1"),
        ({"a": None}, {}, "a: was null, is missing"),
        ({}, {"a": {}}, "a: was missing, is {}"),
        ({"a": {}}, {"a": []}, "a: was {}, is []"),
        ({"a": {"x.io/y": "1"}}, {"a": {"x.io/y": "2"}}, 'a["x.io/y"]: was "1", is "2"'),
    ],
)
def test_a_field_says_what_it_was_and_what_it_is(old: object, new: object, said: str) -> None:
    assert field_differences(old, new) == [said]


def test_a_long_value_is_cut() -> None:
    (line,) = field_differences({"a": "x" * 500}, {"a": "y"})
    assert len(line) < 100


def test_objects_are_held_against_their_like() -> None:
    assert list(manifest_findings(OBJECTS, tuple(reversed(OBJECTS)), of="the platform")) == []
    (gone,) = manifest_findings(OBJECTS, OBJECTS[:1], of="the platform")
    assert gone.cause.startswith("NetworkPolicy vdi-sessions/default-deny of the platform was there in the run")
    (new,) = manifest_findings(OBJECTS[1:], OBJECTS, of="the platform")
    assert new.cause == "Namespace vdi-sessions of the platform is in the manifests, and was not there in the run"


def test_an_object_names_its_first_differences_and_counts_the_rest() -> None:
    new = copy.deepcopy(OBJECTS[1])
    new["spec"]["policyTypes"] = []
    new["metadata"]["labels"] = {}
    new["apiVersion"], new["extra"] = "v2", 1
    (found,) = manifest_findings(OBJECTS[1:], (new,), of="the platform")
    assert found.kind == "manifest"
    assert "apiVersion: was" in found.cause
    assert found.cause.endswith("; and 2 more")


def test_images_as_they_were_are_no_finding() -> None:
    assert list(image_findings((Image(IMAGE, DIGEST),), {IMAGE: DIGEST}, lab=False)) == []
    # Not asked, or not known, is no difference.
    assert list(image_findings((Image(IMAGE, DIGEST),), {}, lab=False)) == []
    assert list(image_findings((Image(IMAGE, DIGEST),), {IMAGE: ""}, lab=False)) == []


@pytest.mark.parametrize(
    ("images", "current", "causes"),
    [
        ((), {}, ["does not say which images"]),
        ((Image(IMAGE),), {}, ["has no digest"]),
        ((Image(IMAGE, DIGEST),), {IMAGE: OTHER}, ["was sha256:abababababab in the run, and is sha256:cdcdcdcdcdcd"]),
        ((Image(IMAGE, DIGEST),), {TAGGED: OTHER}, ["manifests name it no more", "1.3.0 was not run"]),
        ((Image(IMAGE, DIGEST), Image(IMAGE, OTHER)), {IMAGE: OTHER}, ["was not one image during the run"]),
    ],
)
def test_another_image_is_a_finding(images: tuple[Image, ...], current: dict[str, str], causes: list[str]) -> None:
    found = list(image_findings(images, current, lab=False))
    assert [finding.kind for finding in found] == ["image"] * len(causes)
    for finding, cause in zip(found, causes, strict=True):
        assert cause in finding.cause


def test_images_of_a_lab_need_no_digest() -> None:
    assert list(image_findings((Image(IMAGE),), {IMAGE: ""}, lab=True)) == []
    assert list(image_findings((), {}, lab=True)) == []


@pytest.mark.parametrize(
    ("old", "new", "differs"),
    [
        ("v1.31.4+k3s1", "v1.31.9", False),
        ("v1.31.4+k3s1", "1.31.0", False),
        ("v1.31.4", "v1.32.4", True),
        ("v1.31.4", "v2.31.4", True),
        ("v1.31.4", "", False),
        ("", "v1.31.4", False),
    ],
)
def test_another_minor_version_of_kubernetes_is_a_finding(old: str, new: str, differs: bool) -> None:
    assert [finding.kind for finding in kubernetes_findings(old, new)] == ["kubernetes"] * differs


@pytest.mark.parametrize(
    ("drivers", "new", "count"),
    [
        (("580.65.06",), "580.99", 0),
        (("580.65.06",), "570.1", 1),
        (("580.65.06", "570.1"), "580.65.06", 1),
        (("580.65.06",), "", 0),
        (("",), "580.65.06", 0),
    ],
)
def test_another_major_version_of_the_driver_is_a_finding(drivers: tuple[str, ...], new: str, count: int) -> None:
    nodes = [Node("v1.31.4", driver=driver) for driver in drivers]
    assert [finding.kind for finding in driver_findings(nodes, new)] == ["driver"] * count
