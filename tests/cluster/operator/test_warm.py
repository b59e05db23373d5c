"""Warm slots on the real node: placeholders hold every slice, and whoever comes has one all the same."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from vdi_operator.api.objects import Object
from vdibench.lab.cluster.objects import SLICES
from vdibench.lab.cluster.played_desktops import played_template

from .site import OPERATOR, REAL, SESSIONS, Site

pytestmark = pytest.mark.timeout(1800)  # alone it builds a cluster and two images

CLASS = "vdi-placeholder"
LABEL = f"app.kubernetes.io/name={CLASS}"


def placeholders(site: Site) -> dict[str, Object]:
    return site.all("Pod", LABEL)


def warm(site: Site) -> int:
    """Placeholders that run."""
    return sum(
        any(one["type"] == "Ready" and one["status"] == "True" for one in pod["status"].get("conditions", ()))
        for pod in placeholders(site).values()
    )


def told(site: Site, reason: str) -> list[str]:
    """Names of pods of which an Event with that reason was said."""
    found: list[Any] = [one for one in site.all("Event").values() if one["reason"] == reason]
    return [one["involvedObject"]["name"] for one in found]


def claims(site: Site) -> dict[str, float]:
    path = f"/api/v1/namespaces/{OPERATOR}/services/vdi-operator:8080/proxy/metrics"
    text = site.kubectl("get", "--raw", path)
    return {state: float(value) for state, value in re.findall(r'vdi_warm_claims_total{state="(\w+)"} (\S+)', text)}


@pytest.fixture(scope="module")
def full(site: Site, images: None) -> Iterator[None]:
    """A release whose placeholders hold every slice of the real node."""
    site.install({"settings": {"placeholderPriorityClass": CLASS}})
    site.merge("VDITemplate", "desktop", {"spec": {"warmSlots": SLICES}})
    site.until(lambda: warm(site) == SLICES, f"{SLICES} placeholders")
    yield
    site.helm("uninstall", "vdi", "--ignore-not-found", "--wait", "--timeout=60s")
    site.clear()
    site.until(lambda: not placeholders(site), "the end of the placeholders with their template")


@pytest.mark.usefixtures("full")
def test_they_are_the_least_important_and_have_nothing(site: Site) -> None:
    for name, pod in placeholders(site).items():
        spec = pod["spec"]
        assert (spec["priority"], spec["preemptionPolicy"]) == (-10, "Never"), name
        assert spec.get("volumes", []) == [], "no token, no home"
        (container,) = spec["containers"]
        assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"


@pytest.mark.usefixtures("full")
def test_a_session_takes_the_place_of_one(site: Site) -> None:
    site.create(site.wish("alice"))
    site.await_ready("alice")
    assert claims(site) == {"warm": 1.0, "cold": 0.0}
    assert not told(site, "Preempted"), "the operator was faster than the scheduler"
    # One more is wanted than has room: it waits, and nobody for it.
    site.until(lambda: (len(placeholders(site)), warm(site)) == (SLICES, SLICES - 1), "what is left")
    site.create(site.wish("bob"))
    site.await_ready("bob")
    assert claims(site)["warm"] == 2.0
    for name in ("alice", "bob"):
        site.delete("VDISession", name)
    site.until(lambda: warm(site) == SLICES, "every place filled again")


@pytest.mark.usefixtures("full")
def test_a_session_without_any_preempts_one(site: Site) -> None:
    site.apply(played_template(SESSIONS, "plain", **REAL))
    site.create(site.wish("carol", "plain"))
    site.await_ready("carol")
    preempted = told(site, "Preempted")
    assert preempted
    assert all(name.startswith(CLASS) for name in preempted), "nothing but placeholders could go"
    site.delete("VDISession", "carol")
    site.until(lambda: warm(site) == SLICES, "every place filled again")


@pytest.mark.usefixtures("full")
def test_a_new_size_renews_them_and_none_wanted_leaves_none(site: Site) -> None:
    before = set(placeholders(site))
    resources = {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"memory": "2Gi"}}
    site.merge("VDITemplate", "desktop", {"spec": {"resources": resources, "warmSlots": 2}})
    site.until(lambda: warm(site) == 2 and not before & set(placeholders(site)), "two of the new size")
    site.merge("VDITemplate", "desktop", {"spec": {"warmSlots": 0}})
    site.until(lambda: not placeholders(site), "the end of all")


@pytest.mark.usefixtures("full")
def test_nothing_was_refused_by_the_api_server(site: Site) -> None:
    path = f"/api/v1/namespaces/{OPERATOR}/services/vdi-operator:8080/proxy/metrics"
    text = site.kubectl("get", "--raw", path)
    assert re.findall(r'^vdi_api_requests_total\{code="40[13]".*$', text, flags=re.MULTILINE) == []
