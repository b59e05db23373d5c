"""The platform in parts: of the real overlays each object once, and nothing lost in silence."""

from __future__ import annotations

import random
from typing import Any

import pytest

from vdibench.errors import UsageError
from vdibench.graduation.parts import LEFT_OUT, PARTS, left_out, parts

from ...repository.kustomize import PLATFORMS, Object, built, only


def key(one: Any) -> tuple[str, str, str]:
    return one["kind"], one["metadata"].get("namespace", ""), one["metadata"]["name"]


@pytest.mark.parametrize("overlay", PLATFORMS)
def test_each_object_is_in_one_part_or_left_out(overlay: str) -> None:
    objects = built(overlay)
    found = parts(objects, overlay)
    assert tuple(found) == PARTS
    taken = [key(one) for part in found.values() for one in part]
    rest = [key(one) for one, _ in left_out(objects)]
    assert sorted(taken + rest) == sorted(map(key, objects))
    assert all(reason in LEFT_OUT.values() for _, reason in left_out(objects))


@pytest.mark.parametrize(
    ("part", "folders"),
    [
        ("security", ["security/base"]),
        ("network", ["network/base", "network/turn"]),
        ("storage", ["storage"]),
        ("observability", ["observability/base"]),
    ],
)
@pytest.mark.parametrize("overlay", PLATFORMS)
def test_a_part_is_what_its_folder_has(part: str, folders: list[str], overlay: str) -> None:
    there = {key(one) for folder in folders for one in built(folder)}
    assert {key(one) for one in parts(built(overlay), overlay)[part]} == there


def test_what_is_left_out_is_the_labs_or_anothers() -> None:
    kinds = {overlay: {key(one)[::2] for one, _ in left_out(built(overlay))} for overlay in PLATFORMS}
    assert {("ClusterPolicy", "cluster-policy"), ("Namespace", "gpu-operator")} <= kinds["overlays/k3s"]
    assert ("Deployment", "vdibench-prober") in kinds["overlays/k3s"]
    assert {("Deployment", "traefik"), ("Deployment", "prometheus")} <= kinds["overlays/lab"]
    assert ("Namespace", "traefik") not in kinds["overlays/lab"]


def test_objects_are_those_of_the_overlay_word_for_word() -> None:
    objects = built("overlays/lab")
    for part in parts(objects, "lab").values():
        for one in part:
            assert one in objects


def test_the_order_in_which_they_come_says_nothing() -> None:
    objects = built("overlays/k3s")
    shuffled = objects[:]
    random.Random(1).shuffle(shuffled)
    assert shuffled != objects
    assert parts(shuffled, "k3s") == parts(objects, "k3s")


def test_namespaces_come_before_what_is_in_them() -> None:
    kinds = [one["kind"] for one in parts(built("overlays/k3s"), "k3s")["security"]]
    assert kinds.index("NetworkPolicy") > max(number for number, kind in enumerate(kinds) if kind == "Namespace")


def test_a_secret_is_never_in_a_part() -> None:
    labels = {"app.kubernetes.io/name": "coturn"}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "coturn-auth", "labels": labels}}
    assert parts([secret], "own") == {part: [] for part in PARTS}
    assert left_out([secret]) == ((secret, LEFT_OUT["Secret"]),)


def unknown(**change: Any) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "mine", "namespace": "vdi-sessions", "labels": {"app.kubernetes.io/name": "mine"}},
        **change,
    }


@pytest.mark.parametrize(
    "one",
    [
        unknown(),
        unknown(metadata={"name": "mine", "namespace": "vdi-sessions"}),
        # Of a part that is known, a kind that is not.
        unknown(
            kind="PodDisruptionBudget",
            metadata={
                "name": "mine",
                "namespace": "vdi-sessions",
                "labels": {"app.kubernetes.io/name": "vdi-security"},
            },
        ),
    ],
    ids=["label", "no label", "kind"],
)
def test_what_is_of_no_part_is_refused_by_name(one: Object) -> None:
    with pytest.raises(UsageError, match=f"the overlay own has {one['kind']} vdi-sessions/mine") as raised:
        parts([*built("overlays/lab"), one], "own")
    assert "app.kubernetes.io/name" in raised.value.remedy


def test_an_object_that_is_there_twice_is_refused() -> None:
    objects = built("overlays/lab")
    with pytest.raises(UsageError, match="StorageClass vdi-home twice"):
        parts([*objects, only(objects, "StorageClass")], "lab")
