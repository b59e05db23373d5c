"""A hundred sessions on played nodes: all Ready, children as desired, repaired, deleted without residue.

Played are the kubelets and the frames, nothing else: API server, scheduler, controllers and operator are real.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from vdi_operator import settings as site_settings
from vdi_operator.children.names import home_name
from vdi_operator.settings import Settings
from vdibench.lab.cluster.operating import OperatorProcess, apply
from vdibench.lab.cluster.played_desktops import PlayedChecker

from .site import DOMAIN, Site

pytestmark = pytest.mark.timeout(1800)  # the first test of the folder builds a cluster

COUNT = 100
REPAIR_SECONDS = 5.0
NAMES = [f"user-{number:03}" for number in range(COUNT)]
USERS = [f"{name}@{DOMAIN}" for name in NAMES]


@pytest.fixture(scope="module")
def settings(operator: OperatorProcess) -> Settings:
    """As the operator reads them."""
    return site_settings.load(Path(operator.log).with_name("settings.yaml"))


@pytest.fixture(scope="module")
def crowd(site: Site, operator: OperatorProcess) -> list[str]:
    site.play(USERS)
    apply(site.cluster, [site.wish(name, "played") for name in NAMES])
    site.until(lambda: len(ready(site)) == COUNT, "a hundred desktops")
    return NAMES


def ready(site: Site) -> list[str]:
    """Names of sessions that are Ready."""
    return [
        name
        for name, one in site.all("VDISession").items()
        for condition in (one.get("status") or {}).get("conditions") or ()
        if (condition["type"], condition["status"]) == ("Ready", "True")
    ]


def test_all_are_ready_and_their_children_are_as_desired(site: Site, crowd: list[str], settings: Settings) -> None:
    wanted = {}
    for name in crowd:
        wanted |= site.wanted(name, settings)
        assert site.wrong(name, settings) == [], name
    homes = {key for key in wanted if key[0] == "PersistentVolumeClaim"}
    assert set(site.managed()) == set(wanted) - homes, "no child besides"
    assert set(site.all("PersistentVolumeClaim")) == {home_name(user) for user in USERS}
    nodes = {(site.get("VDISession", name) or {})["status"]["node"] for name in crowd}
    assert all(node.startswith("played-") for node in nodes)


def test_no_desktop_was_looked_at_twice(crowd: list[str], checker: PlayedChecker) -> None:
    asked = [url for _, url in checker.asked]
    assert len(asked) == len(set(asked)) == COUNT


def test_requests_are_few(site: Site, crowd: list[str], operator: OperatorProcess) -> None:
    made = operator.requests()
    creations = sum(count for (verb, kind, _), count in made.items() if verb == "create" and kind != "Event")
    assert creations == 8 * COUNT, "two Secrets, home, Service, middleware, route, policy and pod, each once"
    assert not [key for key in made if key[2] in ("403", "422", "500")], made


Damage = Callable[[Site, str], object]
ONE, NEIGHBOUR = NAMES[7], NAMES[8]


def widened(site: Site, name: str) -> object:
    """Somebody lets everybody in."""
    return site.merge("NetworkPolicy", f"vdi-session-{name}", {"spec": {"ingress": [{}]}})


def hijacked(site: Site, name: str) -> object:
    """A Service that leads to somebody else's desktop."""
    selector = {"app.kubernetes.io/instance": NEIGHBOUR}
    return site.merge("Service", f"vdi-session-service-{name}", {"spec": {"selector": selector}})


def narrowed(site: Site, name: str) -> object:
    """A selector that no pod has."""
    return site.merge("Service", f"vdi-session-service-{name}", {"spec": {"selector": {"more": "labels"}}})


def renamed(site: Site, name: str) -> object:
    """A pod with its neighbour's label, by which that one's Service would choose it."""
    return site.merge("Pod", f"vdi-session-{name}", {"metadata": {"labels": {"app.kubernetes.io/instance": NEIGHBOUR}}})


def disowned(site: Site, name: str) -> object:
    """What would outlive its session."""
    return site.merge("NetworkPolicy", f"vdi-session-{name}", {"metadata": {"ownerReferences": None}})


def unrated(site: Site, name: str) -> object:
    """A route without its middlewares, for every path."""
    route = site.get("IngressRoute", f"vdi-session-{name}")
    assert route is not None
    rule = {**route["spec"]["routes"][0], "match": f"Host(`{name}.{DOMAIN}`)", "middlewares": []}
    return site.merge("IngressRoute", f"vdi-session-{name}", {"spec": {"routes": [rule]}})


def asked_for_anothers(site: Site, name: str) -> object:
    """A question that the neighbour can answer."""
    change = {"spec": {"basicAuth": {"secret": f"vdi-session-auth-{NEIGHBOUR}"}}}
    return site.merge("Middleware", f"vdi-session-auth-{name}", change)


DAMAGES: dict[str, Damage] = {
    "the Service is deleted": lambda site, name: site.delete("Service", f"vdi-session-service-{name}"),
    "the route is deleted": lambda site, name: site.delete("IngressRoute", f"vdi-session-{name}"),
    "the password is not asked for": lambda site, name: site.delete("Middleware", f"vdi-session-auth-{name}"),
    "another password is asked for": asked_for_anothers,
    "the policy is deleted": lambda site, name: site.delete("NetworkPolicy", f"vdi-session-{name}"),
    "the relay's Secret is deleted": lambda site, name: site.delete("Secret", f"vdi-session-rtc-{name}"),
    "the relay's Secret is emptied": lambda site, name: site.merge(
        "Secret", f"vdi-session-rtc-{name}", {"data": {"rtc.json": "e30="}}
    ),
    "the policy lets everybody in": widened,
    "the Service leads elsewhere": hijacked,
    "the Service leads nowhere": narrowed,
    "the Service has another port": lambda site, name: site.merge(
        "Service", f"vdi-session-service-{name}", {"spec": {"ports": [{"port": 80, "targetPort": 22}]}}
    ),
    "the pod has its neighbour's label": renamed,
    "the policy is nobody's": disowned,
    "the route is for every path": unrated,
    "the home has lost its labels": lambda site, name: site.merge(
        "PersistentVolumeClaim",
        home_name(f"{name}@{DOMAIN}"),
        {"metadata": {"labels": {"app.kubernetes.io/component": None}}},
    ),
}


@pytest.mark.parametrize(("name", "damage"), list(zip(NAMES[20:], DAMAGES, strict=False)), ids=list(DAMAGES))
@pytest.mark.usefixtures("crowd")
def test_what_is_damaged_is_repaired(site: Site, settings: Settings, name: str, damage: str) -> None:
    assert site.wrong(name, settings) == []
    DAMAGES[damage](site, name)
    site.until(lambda: site.wrong(name, settings) == [], f"the repair when {damage}", seconds=REPAIR_SECONDS)
    assert site.wrong(NEIGHBOUR, settings) == []
    site.await_ready(name)


@pytest.mark.parametrize("kind", ["Pod", "Secret"])
@pytest.mark.usefixtures("crowd")
def test_a_desktop_that_is_lost_starts_again(site: Site, settings: Settings, kind: str) -> None:
    """Without its password a desktop cannot be entered: it is started again with another one."""
    before = (site.get("Pod", f"vdi-session-{ONE}") or {})["metadata"]["uid"]
    site.delete(kind, {"Pod": f"vdi-session-{ONE}", "Secret": f"vdi-session-auth-{ONE}"}[kind])

    def another() -> bool:
        pod = site.get("Pod", f"vdi-session-{ONE}")
        return pod is not None and pod["metadata"]["uid"] != before

    site.until(another, "another pod", seconds=3 * REPAIR_SECONDS)
    site.await_ready(ONE)
    assert site.wrong(ONE, settings) == []


def test_only_the_home_is_left_of_a_session(site: Site, crowd: list[str], operator: OperatorProcess) -> None:
    for name in site.all("VDISession"):
        site.delete("VDISession", name)
    site.until(lambda: not site.all("VDISession"), "the end of all sessions")
    site.until(lambda: not site.managed(), "the end of all children")
    assert set(site.all("PersistentVolumeClaim")) == {home_name(user) for user in USERS}

    def forgotten() -> bool:
        samples = operator.samples()
        left = sum(value for (name, _), value in samples.items() if name == "vdi_sessions")
        return left == samples["vdi_queue_depth", ()] == samples["vdi_queue_delayed", ()] == 0

    site.until(forgotten, "an operator that remembers nothing")
