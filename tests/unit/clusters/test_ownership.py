from __future__ import annotations

import dataclasses
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

from vdibench.clusters.ownership import OWNER_ANNOTATION, RUN_LABEL, Owner, announcement, marked, new_run
from vdibench.store.processes import identity


def test_every_object_says_whose_it_is_and_keeps_what_it_said() -> None:
    before = {
        "kind": "Pod",
        "metadata": {"name": "a", "labels": {"app.kubernetes.io/managed-by": "kustomize", "x": "y"}},
    }
    made = marked(before, "0a1b2c3d", Owner.current())
    assert made["metadata"]["labels"] == {"app.kubernetes.io/managed-by": "vdibench", "x": "y", RUN_LABEL: "0a1b2c3d"}
    assert Owner.read(made["metadata"]["annotations"][OWNER_ANNOTATION]) == Owner.current()
    assert RUN_LABEL not in before["metadata"]["labels"]


def test_a_living_process_is_not_gone() -> None:
    assert not Owner.current().gone


def test_a_process_that_ended_is_gone_and_one_that_took_its_number_is_another() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        owner = dataclasses.replace(Owner.current(), pid=child.pid, identity=identity(child.pid))
        assert not owner.gone
        assert dataclasses.replace(owner, identity=f"{owner.identity}0").gone
        child.kill()
    assert owner.gone


def test_who_cannot_be_seen_from_here_is_left_alone() -> None:
    assert not Owner("another boot/pid:[4026531836]", 2**22 + 1, "x").gone


def test_an_annotation_that_says_nothing_has_no_owner() -> None:
    for text in ("", "{}", "[]", '{"place": "a", "pid": "many", "identity": ""}', "null"):
        assert Owner.read(text) is None


def test_names_with_a_run_fit_into_a_label() -> None:
    assert len(f"vdi-session-service-vdibench-{new_run()}-63") <= 63
    assert new_run() != new_run()


def test_a_person_reads_first_what_is_there_and_what_will_be_made() -> None:
    cluster: Any = SimpleNamespace(
        context="prod",
        version="v1.34.4",
        api=SimpleNamespace(configuration=SimpleNamespace(host="https://192.0.2.1:6443")),
    )
    planned = [{"kind": "Pod"}, {"kind": "Secret"}, {"kind": "Secret"}]
    said = announcement(cluster, {"Pod": 12, "Service": 12}, planned, "0a1b2c3d")
    assert said == (
        "context prod: https://192.0.2.1:6443, Kubernetes v1.34.4",
        "namespace vdi-sessions has now: 12 Pod, 12 Service",
        f"to be created there, labelled {RUN_LABEL}=0a1b2c3d and removed at the end: 1 Pod, 2 Secret",
    )
    assert "has now: nothing" in announcement(cluster, {}, planned)[1]
