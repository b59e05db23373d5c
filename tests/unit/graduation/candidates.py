"""Runs of the very manifests that are committed, ready to be graduated by the real programs; no cluster is asked.

The manifests are a copy in which a site has written its host and image, as everybody has to.
"""

from __future__ import annotations

import functools
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vdibench.clusters.rendering import platform_objects, render
from vdibench.clusters.subjects import shipped
from vdibench.graduation.graduate import Candidate, Request
from vdibench.graduation.programs import Programs, find_programs
from vdibench.records import Image, Subjects

from ...repository.kustomize import MANIFESTS
from .runs import passing_run, subjects

CHART = Path(__file__).resolve().parents[3] / "operator" / "chart" / "vdi-operator"
RUN_NAME = "20261129T120000Z-pipeline-standard"
IMAGE_DIGEST = "sha256:" + "c5" * 32
VARIABLES = {
    "SCREEN": "1920x1080",
    "SELKIES_FRAMERATE": "30",
    "SELKIES_VIDEO_BITRATE": "8000",
    "SELKIES_MODE": "webrtc",
}
_SESSION = "overlays/k3s/session"
_PLACEHOLDER_DIGEST = "sha256:" + "0" * 64


@functools.cache
def programs() -> Programs:
    """The machine's own, or those of the lab; the operator's is that of this checkout."""
    return find_programs()


@dataclass(frozen=True)
class Site:
    """A site's manifests and the run that measured them.

    :param place: an empty folder, for everything.
    """

    place: Path
    manifests: Path
    run: Path
    of: Subjects

    @property
    def output(self) -> Path:
        return self.place / "build" / "chart" / "vdi-operator"

    def request(self, **changes: Any) -> Request:
        return replace(Request(run=self.run, output=self.output, chart=CHART, manifests=self.manifests), **changes)

    def candidate(self, *, now: float | None = None, **changes: Any) -> Candidate:
        return Candidate(self.request(**changes), now=now or time.time(), programs=programs())


def site(place: Path, *, changed: Mapping[str, Any] | None = None, **run: Any) -> Site:
    """Manifests of a site below ``place``, and a passing run that was of them.

    :param changed: fields of the subjects.
    :param run: arguments of :func:`passing_run`.
    """
    manifests = site_manifests(place / "manifests")
    of = replace(measured(manifests), **(changed or {}))
    run.setdefault("name_folder", RUN_NAME)
    return Site(place, manifests, passing_run(place / "results", of=of, **run), of)


def site_manifests(place: Path) -> Path:
    """A copy of the committed manifests with a site's own host and image."""
    shutil.copytree(MANIFESTS, place)
    edit(place / _SESSION / "settings.yaml", "alice.vdi.example.com", "alice.desktops.test")
    edit(place / _SESSION / "kustomization.yaml", _PLACEHOLDER_DIGEST, IMAGE_DIGEST)
    return place


def measured(manifests: Path) -> Subjects:
    """What a run on these manifests is of."""
    kubectl = str(programs().kubectl)
    template = render(kubectl, "k3s/session", manifests=manifests)
    session = shipped(template, VARIABLES)
    (pod,) = (one for one in session if one["kind"] == "Pod")
    names = [one["image"] for part in ("initContainers", "containers") for one in pod["spec"].get(part) or ()]
    return subjects(
        session=session,
        objects=tuple(one for one in platform_objects(kubectl, "k3s", manifests=manifests) if one["kind"] != "Secret"),
        images=tuple(Image(name, name.partition("@")[2]) for name in dict.fromkeys(names)),
        domain=template.domain,
        relay=template.turn_address,
    )


def edit(file: Path, old: str, new: str) -> None:
    """Change what stands once in a file."""
    text = file.read_text()
    assert text.count(old) == 1, f"{file} has {text.count(old)} times {old!r}"
    file.write_text(text.replace(old, new))


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
