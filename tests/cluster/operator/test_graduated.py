"""The short way round the circle: the reference run's chart, installed, keeps to the evidence that it carries."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from vdibench.graduation.findings import Required, Waiver
from vdibench.graduation.graduate import Request, graduate
from vdibench.lab.cluster.releasing import install, release_values, uninstall
from vdibench.store import Recording

from .site import Site

pytestmark = pytest.mark.timeout(1800)  # alone it builds a cluster and two images
REFERENCE = Path(__file__).resolve().parents[3] / "results" / "reference"
# The operator compares with its own clock, and this run is of the past.
NO_END = 100 * 365 * 86_400.0
TEMPLATE = "desktop"
PLAYED = "vdibench.io/played:NoSchedule"


@pytest.fixture(scope="module")
def graduated(site: Site, images: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The chart of the reference run as a release that wants evidence, on a site with one GPU; the run's name."""
    run = Recording.open(REFERENCE).run
    assert run.ended_unix_seconds is not None
    request = Request(
        run=REFERENCE,
        output=tmp_path_factory.mktemp("graduated") / "vdi-operator",
        allow_lab=True,
        max_age_seconds=NO_END,
        waivers=(Waiver(Required.PREFLIGHT, "a lab's"), Waiver(Required.POLICIES, "a lab's")),
    )
    made = graduate(request, now=run.ended_unix_seconds, say=lambda line: None)
    # What was measured asks for no particular node, and a volume on a played one would never come.
    site.kubectl("taint", "nodes", "-l", "vdibench.io/played=true", PLAYED)
    settings = {"gpus": 1, "requireEvidence": True, "allowLabEvidence": True}
    install(site.cluster, release_values(site.cluster, {"settings": settings}), made.output)
    yield run.name
    uninstall(site.cluster)
    site.clear()
    site.kubectl("taint", "nodes", "-l", "vdibench.io/played=true", f"{PLAYED}-")


def test_as_many_as_the_run_carried_have_a_desktop_and_the_next_one_is_told_by_whom(site: Site, graduated: str) -> None:
    most = (site.get("VDITemplate", TEMPLATE) or {})["spec"]["capacity"]["sessionsPerGPU"]
    names = [f"place-{number}" for number in range(most)]
    for name in names:
        site.create(site.wish(name, TEMPLATE))
    for name in names:
        site.await_ready(name)
    site.create(site.wish("one-more", TEMPLATE))
    site.until(lambda: site.condition("one-more", "Admitted").get("status") == "False", "a refusal")
    refused = site.condition("one-more", "Admitted")
    assert refused["reason"] == "CapacityReached"
    told = f"{most} of {most} sessions on 1 GPU (template {TEMPLATE}: {most} per GPU by run {graduated})"
    assert told in refused["message"]

    # Another template than was measured starts nothing more, and ends nothing.
    site.merge("VDITemplate", TEMPLATE, {"spec": {"display": {"width": 1920, "height": 1080}}})
    site.until(lambda: site.condition("one-more", "Admitted").get("reason") == "EvidenceMismatch", "another refusal")
    assert all(map(site.ready, names)), "what runs goes on"
    assert len(site.all("Pod", "app.kubernetes.io/name=vdi-session")) == most
