"""Nodes that kubectl cordons and drains: desktops go on, start elsewhere, or wait for the node of their home."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from vdi_operator.children.names import home_name
from vdibench.lab.cluster.operating import OperatorProcess, apply, lab_values
from vdibench.lab.cluster.played_desktops import PlayedChecker, played_storage, played_template

from .site import DOMAIN, SESSIONS, Site

pytestmark = pytest.mark.timeout(1800)  # alone it builds a cluster

MOVES, STAYS = "moves", "stays"


def node(site: Site, name: str) -> str:
    """Where a session's desktop runs."""
    return str(((site.get("VDISession", name) or {}).get("status") or {}).get("node", ""))


def pod_uid(site: Site, name: str) -> str:
    return str(((site.get("Pod", f"vdi-session-{name}") or {}).get("metadata") or {}).get("uid", ""))


def drain(site: Site, name: str) -> None:
    site.kubectl("drain", name, "--delete-emptydir-data", "--ignore-daemonsets", "--timeout=60s")


@pytest.fixture(scope="module")
def reading(site: Site, checker: PlayedChecker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OperatorProcess]:
    """The operator as a process that may read nodes, and two users: the home of one is tied to a node."""
    values = lab_values(site.cluster) | {"readNodes": True}
    made = OperatorProcess(site.cluster, tmp_path_factory.mktemp("operator"), checker.url, values)
    checker.token = made.checker_token
    with made:
        site.until(made.ready, "the operator's first list")
        nodes = site.kubectl("get", "nodes", "-l", "vdibench.io/played=true", "-o", "name").split()
        tied_to = nodes[0].removeprefix("node/")
        homes = {name: home_name(f"{name}@{DOMAIN}") for name in (MOVES, STAYS)}
        storage, free, tied = played_storage(SESSIONS, homes.values())
        term = {"key": "kubernetes.io/hostname", "operator": "In", "values": [tied_to]}
        tied["spec"]["nodeAffinity"] = {"required": {"nodeSelectorTerms": [{"matchExpressions": [term]}]}}
        apply(site.cluster, [storage, free, tied, played_template(SESSIONS)])
        for name in (MOVES, STAYS):
            site.create(site.wish(name, "played"))
            site.await_ready(name)
        assert node(site, STAYS) == tied_to
        yield made
        site.kubectl("uncordon", "-l", "vdibench.io/played=true")
        site.clear()
    site.kubectl("-n", SESSIONS, "delete", "role/vdi-operator", "rolebinding/vdi-operator")
    site.kubectl("-n", "vdi-operator", "delete", "serviceaccount/vdi-operator")
    site.kubectl("delete", "clusterrole/vdi-operator-nodes", "clusterrolebinding/vdi-operator-nodes")


def test_on_a_node_that_is_cordoned_a_desktop_goes_on(site: Site, reading: OperatorProcess) -> None:
    where, before = node(site, MOVES), pod_uid(site, MOVES)
    site.kubectl("cordon", where)
    site.until(lambda: site.condition(MOVES, "Scheduled").get("reason") == "Draining", "the word to its user")
    assert site.condition(MOVES, "Scheduled")["status"] == "True"
    assert site.ready(MOVES)
    assert pod_uid(site, MOVES) == before
    said = site.kubectl("-n", SESSIONS, "get", "events", "--field-selector", "reason=Draining", "-o", "name")
    assert said.strip()


def test_an_evicted_desktop_starts_elsewhere_without_a_counted_attempt(site: Site, reading: OperatorProcess) -> None:
    where, before = node(site, MOVES), pod_uid(site, MOVES)
    drain(site, where)
    site.until(lambda: site.ready(MOVES) and pod_uid(site, MOVES) not in ("", before), "another desktop")
    status = (site.get("VDISession", MOVES) or {})["status"]
    assert status["node"] != where
    assert "attempts" not in status
    counts = {name: count for name, count in reading.samples().items() if name[0] == "vdi_session_failures_total"}
    failures = {name: count for name, count in counts.items() if count}
    assert failures == {}
    site.kubectl("uncordon", where)


def test_a_home_that_is_tied_to_that_node_is_waited_for(site: Site, reading: OperatorProcess) -> None:
    # The other one may have had the same node, which was emptied a moment ago.
    site.await_ready(STAYS)
    where, before = node(site, STAYS), pod_uid(site, STAYS)
    drain(site, where)
    site.until(lambda: site.condition(STAYS).get("reason") == "Draining", "the reason of its wait")
    assert "takes pods again" in site.condition(STAYS)["message"]
    site.kubectl("uncordon", where)
    site.await_ready(STAYS)
    assert pod_uid(site, STAYS) != before
    status = (site.get("VDISession", STAYS) or {})["status"]
    assert (status["node"], "attempts" in status) == (where, False)
