"""What two runs that are compared must share of what they are of."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from vdibench.records import Image, Run, Subjects
from vdibench.store import Recording, RunFolder
from vdibench.suites.subjects import keep_subjects, stated_subjects

A, B = "sha256:" + "a" * 64, "sha256:" + "b" * 64


def subjects(image: str = "desktop:1", digest: str = A, relay: str = "192.0.2.7", **variables: str) -> Subjects:
    environment = {"SCREEN": "1920x1080", "SELKIES_TURN_HOST": relay, **variables}
    container: dict[str, Any] = {
        "name": "desktop",
        "image": image,
        "env": [{"name": name, "value": value} for name, value in environment.items()],
    }
    session = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [container]}}
    return Subjects(
        lab=False,
        overlay="k3s/session",
        platform="k3s",
        placeholder="nobody-yet",
        session=(session,),
        objects=(),
        images=(Image(image, digest),),
        domain="vdi.test",
        relay=relay,
    )


def test_the_manifests_are_told_apart_by_what_nothing_else_says() -> None:
    stated = stated_subjects(subjects())
    assert stated["image_digest"] == A
    assert len(stated["manifests"]) == 12
    elsewhere = subjects("desktop:2", B, "192.0.2.99", SCREEN="1280x720", SELKIES_VIDEO_BITRATE="4000")
    assert stated_subjects(elsewhere) == {**stated, "image_digest": B}
    assert stated_subjects(subjects(SELKIES_ENCODER="x264enc"))["manifests"] != stated["manifests"]


def test_images_are_told_apart_by_name_where_no_node_resolved_them() -> None:
    assert stated_subjects(subjects(digest=""))["image_digest"] == "desktop:1"
    two = replace(subjects(), images=(Image("desktop:1", B), Image("desktop:1", A)))
    assert stated_subjects(two)["image_digest"] == f"{A} / {B}"
    assert "image_digest" not in stated_subjects(replace(subjects(), images=()))


def test_a_suites_run_keeps_them_and_states_them(tmp_path: Path) -> None:
    run = Run(name="", suite="pipeline", profile="smoke", target="manifests", started_unix_seconds=time.time())
    with RunFolder.create(tmp_path, run) as folder:
        keep_subjects(folder, None)
        assert Recording.open(folder.path).subjects is None
        keep_subjects(folder, subjects())
        keep_subjects(folder, subjects(digest=B))
        recording = Recording.open(folder.path)
        assert recording.subjects is not None
        assert [image.digest for image in recording.subjects.images] == [A, B]
        assert recording.run.context["image_digest"] == f"{A} / {B}"
        assert recording.run.context["manifests"] == stated_subjects(subjects())["manifests"]
