"""What a run was of: written once, added to by later suites, never replaced in silence."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from vdibench.errors import StoreError
from vdibench.records import SUBJECTS_FILE, SUBJECTS_SCHEMA, Image, Node, RunState, Subjects
from vdibench.store import REDACTED, Recording, Redactor, RunFolder, broken, dump_subjects, load_subjects, unmeasured

A, B = "sha256:" + "a" * 64, "sha256:" + "b" * 64
NODE = Node("v1.34.4", "6.1.0", "Debian GNU/Linux 12", "containerd://2.1.4", "NVIDIA-L4", 1, 8, "580.65.06")


def pod(**variables: str) -> dict[str, Any]:
    container = {
        "name": "desktop",
        "image": "registry.example.com/vdi/desktop:2.1.0",
        "env": [{"name": name, "value": value} for name, value in variables.items()],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [container]}}


POLICY = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "NetworkPolicy",
    "metadata": {"name": "default-deny", "namespace": "vdi-sessions"},
    "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]},
}
SECRET = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys"}, "data": {"a": "Yg=="}}
SUBJECTS = Subjects(
    lab=False,
    overlay="k3s/session",
    platform="k3s",
    placeholder="nobody-yet",
    session=(pod(SCREEN="1920x1080", SELKIES_FRAMERATE="60", SELKIES_PORT="8080"),),
    objects=(POLICY,),
    applied=("NetworkPolicy vdi-sessions/default-deny is not there",),
    images=(Image("registry.example.com/vdi/desktop:2.1.0", A),),
    kubernetes="v1.34.4",
    nodes=(NODE,),
    domain="vdi.example.com",
    relay="192.0.2.7",
)


@pytest.fixture
def folder(run, tmp_path: Path) -> RunFolder:
    return RunFolder.create(tmp_path, run, secrets=["correct-horse-battery"])


def test_a_run_on_no_cluster_says_nothing(folder) -> None:
    assert load_subjects(folder.path) is None
    assert Recording.open(folder.path).subjects is None


def test_what_is_written_reads_as_it_was_and_is_sealed(folder) -> None:
    assert folder.write_subjects(SUBJECTS) == SUBJECTS
    assert Recording.open(folder.path).subjects == SUBJECTS
    folder.finish(RunState.FINISHED)
    assert broken(folder.path) == ()
    with pytest.raises(StoreError, match="is finished"):
        folder.write_subjects(SUBJECTS)
    (folder.path / SUBJECTS_FILE).write_bytes(dump_subjects(replace(SUBJECTS, lab=True), Redactor()))
    assert broken(folder.path) == ("subjects.json was changed after the run had ended",)


def test_a_later_suite_adds_images_nodes_and_differences(folder) -> None:
    other = replace(NODE, gpu="NVIDIA-A2")
    folder.write_subjects(replace(SUBJECTS, images=(Image("helper:1"), Image("vdi:1", A))))
    later = replace(
        SUBJECTS,
        images=(Image("vdi:1", B), Image("helper:1", B)),
        nodes=(other, NODE),
        applied=("Role x is not there",),
    )
    whole = folder.write_subjects(later)
    assert whole.images == (Image("helper:1", B), Image("vdi:1", A), Image("vdi:1", B))
    assert whole.nodes == (NODE, other)
    assert whole.applied == (*SUBJECTS.applied, "Role x is not there")
    assert Recording.open(folder.path).subjects == whole


def test_each_suite_may_ask_for_another_picture(folder) -> None:
    folder.write_subjects(SUBJECTS)
    smaller = replace(SUBJECTS, session=(pod(SCREEN="1280x720", SELKIES_FRAMERATE="30", SELKIES_PORT="8080"),))
    assert folder.write_subjects(smaller).session == SUBJECTS.session, "that of the first suite"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"session": (pod(SCREEN="1920x1080", SELKIES_PORT="8081"),)}, "the session's manifests changed"),
        ({"objects": ()}, "the platform's manifests changed"),
        ({"kubernetes": "v1.35.0"}, "the version of Kubernetes changed"),
        ({"lab": True, "overlay": "lab/session"}, "the kind of the cluster and the session's overlay changed"),
        ({"relay": "192.0.2.8"}, "the relay's address changed"),
        ({"domain": "vdi.example.org"}, "the sessions' domain changed"),
    ],
)
def test_a_suite_that_was_of_something_else_replaces_nothing(folder, change: dict[str, Any], words: str) -> None:
    folder.write_subjects(SUBJECTS)
    with pytest.raises(StoreError, match=f"{words} during the run"):
        folder.write_subjects(replace(SUBJECTS, **change))
    assert load_subjects(folder.path) == SUBJECTS


def test_no_secret_gets_in(folder) -> None:
    for part in ("session", "objects"):
        with pytest.raises(StoreError, match="the Secret keys was not written"):
            folder.write_subjects(replace(SUBJECTS, **{part: (SECRET,)}))
    assert not (folder.path / SUBJECTS_FILE).exists()
    careless = replace(SUBJECTS, session=(pod(PASSWORD="correct-horse-battery"),))
    for _ in range(2):  # what was redacted is what the next suite's is held against
        written = folder.write_subjects(careless)
    assert written.session[0]["spec"]["containers"][0]["env"] == [{"name": "PASSWORD", "value": REDACTED}]
    assert "correct-horse" not in (folder.path / SUBJECTS_FILE).read_text()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is damaged"),
        ("{}", "has no schema version"),
        (json.dumps({"schema": SUBJECTS_SCHEMA + 1}), f"has schema {SUBJECTS_SCHEMA + 1}, this vdibench reads up to"),
        (json.dumps({"schema": 1}), "is damaged"),
        (json.dumps({"schema": 1, "session": [1], "objects": []}), "session holds what is no object"),
        (json.dumps({"schema": 1, "session": [], "objects": [], "images": ["x"]}), "is damaged"),
    ],
)
def test_what_cannot_be_understood_is_one_line(folder, content: str, message: str) -> None:
    (folder.path / SUBJECTS_FILE).write_text(content)
    recording = Recording.open(folder.path)
    with pytest.raises(StoreError, match=message):
        assert recording.subjects


def test_keys_of_a_later_writer_are_left_out(folder) -> None:
    raw = json.loads(dump_subjects(SUBJECTS, Redactor()))
    raw["nodes"][0]["colour"] = raw["season"] = "green"
    (folder.path / SUBJECTS_FILE).write_text(json.dumps(raw))
    assert load_subjects(folder.path) == SUBJECTS


def test_a_session_without_what_suites_set() -> None:
    (found,) = unmeasured(SUBJECTS.session)
    assert found["spec"]["containers"][0]["env"] == [{"name": "SELKIES_PORT", "value": "8080"}]
    assert len(SUBJECTS.session[0]["spec"]["containers"][0]["env"]) == 3, "that itself stays as it is"
