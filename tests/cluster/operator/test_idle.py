"""A real desktop that nobody is at: kept while somebody streams, stopped after it, and back with its home."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from vdi_operator.api.session import WAKE_ANNOTATION
from vdi_operator.children.names import home_name
from vdibench.client import DesktopSession, SessionOptions
from vdibench.lab.cluster.played_desktops import played_template
from vdibench.selkies import Role

from .site import DOMAIN, OPERATOR, REAL, SESSIONS, Site

pytestmark = pytest.mark.timeout(1800)  # alone it builds a cluster and two images

# More than a loaded host needs from Ready to the first client.
TIMEOUT_SECONDS = 20.0


class Sink:
    """Takes samples and keeps none."""

    def __getattr__(self, name: str) -> Any:
        return lambda *_: None


@pytest.fixture(scope="module")
def alice(site: Site, images: None) -> Iterator[str]:
    """A desktop of a release whose template stops it soon."""
    spec = played_template(SESSIONS, **REAL, idleTimeout=f"{TIMEOUT_SECONDS:g}s")["spec"]
    site.install({"settings": {"idleLookSeconds": 1}, "templates": [{"name": "desktop", "spec": spec}]})
    site.create(site.wish("alice"))
    site.await_ready("alice")
    yield "alice"
    site.helm("uninstall", "vdi", "--ignore-not-found", "--wait", "--timeout=60s")
    site.clear()


def events(site: Site, reason: str) -> list[str]:
    text = site.kubectl("-n", SESSIONS, "get", "events", "--field-selector", f"reason={reason}", "-o", "json")
    return [one["message"] for one in json.loads(text)["items"] if one["involvedObject"]["name"] == "alice"]


def looks(site: Site) -> dict[str, float]:
    """Outcome -> how many looks at desktops had it."""
    path = f"/api/v1/namespaces/{OPERATOR}/services/vdi-operator:8080/proxy/metrics"
    lines = site.kubectl("get", "--raw", path).splitlines()
    prefix = 'vdi_idle_looks_total{outcome="'
    return {
        line.removeprefix(prefix).partition('"')[0]: float(line.rpartition(" ")[2])
        for line in lines
        if line.startswith(prefix)
    }


async def test_somebody_who_streams_keeps_it(site: Site, alice: str) -> None:
    site.inside(alice, "echo kept > /home/user/kept")
    options = SessionOptions(role=Role.CONTROLLER, relay_only=True)
    async with DesktopSession(site.desktop(alice), Sink(), options) as one:
        await one.first_frame()
        await one.watch(TIMEOUT_SECONDS + 4.0)
        assert site.ready(alice)
    # One a second, where the host has time for it.
    assert looks(site)["active"] >= 2, "the operator's way to a desktop is open"


def test_after_it_the_desktop_is_stopped_and_the_wish_is_not_touched(site: Site, alice: str) -> None:
    site.until(lambda: site.condition(alice).get("reason") == "Idle", "the end of a desktop that nobody is at")
    site.until(lambda: site.get("Pod", f"vdi-session-{alice}") is None, "the end of its pod")
    assert site.get("IngressRoute", f"vdi-session-{alice}") is None
    assert home_name(f"{alice}@{DOMAIN}") in site.all("PersistentVolumeClaim")
    document = site.get("VDISession", alice) or {}
    assert document["spec"]["operatingMode"] == "Running"
    assert document["metadata"]["generation"] == 1
    assert {"at", "since", "generation"} <= set(document["status"]["idle"])
    assert len(events(site, "Idling")) >= 1
    assert len(events(site, "Idle")) == 1


def test_it_rests_whatever_becomes_of_the_operator(site: Site, alice: str) -> None:
    before = (site.get("VDISession", alice) or {})["status"]
    site.kubectl("-n", OPERATOR, "rollout", "restart", "deployment/vdi-operator")
    site.kubectl("-n", OPERATOR, "rollout", "status", "deployment/vdi-operator", "--timeout=60s")
    # A pass of one is a sign that the new operator has listed all, and had the passes of those that were there before.
    site.create(site.wish("witness", "nowhere"))
    site.until(lambda: site.condition("witness", "Admitted").get("reason") == "TemplateNotFound", "the new operator")
    site.kubectl("-n", SESSIONS, "delete", "vdisession/witness")
    assert (site.get("VDISession", alice) or {})["status"] == before
    assert site.get("Pod", f"vdi-session-{alice}") is None


def test_its_user_has_it_back_with_the_home(site: Site, alice: str) -> None:
    site.merge("VDISession", alice, {"metadata": {"annotations": {WAKE_ANNOTATION: "again"}}})
    site.await_ready(alice)
    # First of all: nobody is at this one either, and it will be stopped as well.
    status = (site.get("VDISession", alice) or {})["status"]
    assert site.inside(alice, "cat /home/user/kept") == "kept\n"
    assert {"idle", "warnedOfIdle"}.isdisjoint(status)
    assert sum(status["phases"].values()) == pytest.approx(status["readyInSeconds"], rel=0.05)
