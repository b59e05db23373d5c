"""Who is next on a real cluster: a flood of one user's sessions, priority classes, limits, and a home's full node.

Nodes are played, and so are the frames; API server, scheduler and operator are real.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from vdi_operator.api.objects import Object
from vdi_operator.children.names import fresh_home_name, home_name
from vdibench.lab.cluster.access import ClusterAccess
from vdibench.lab.cluster.operating import OperatorProcess, apply, lab_values
from vdibench.lab.cluster.played_desktops import (
    PlayedChecker,
    played_storage,
    played_template,
    played_volume,
)

from .site import DOMAIN, SESSIONS, Site

pytestmark = pytest.mark.timeout(1800)  # the first test of the folder builds a cluster

FLOOD = 500
PLACES = 4
SLICES = 8  # of a played node
SELECTED = "volume.kubernetes.io/selected-node"
HOLDERS = [f"holder-{number}" for number in range(PLACES)]
OTHERS = ["bob", "carol", "dave", "erin", "flood", "tied-1", "tied-2"]


def user(name: str) -> str:
    return f"{name}@{DOMAIN}"


@pytest.fixture(scope="module")
def counting(
    site: Site, cluster: ClusterAccess, checker: PlayedChecker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OperatorProcess]:
    """An operator with one GPU of four places, a limit of the namespace that a flood does not reach, and a class."""
    values = lab_values(cluster)
    values["settings"] |= {"gpus": 1, "sessionsPerNamespace": FLOOD + 100, "queuePriorities": {"vdi-first": 10}}
    kind = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass"}
    apply(cluster, [{**kind, "metadata": {"name": "vdi-first"}, "value": 1000}])
    made = OperatorProcess(cluster, tmp_path_factory.mktemp("counting"), checker.url, values)
    checker.token = made.checker_token
    with made:
        site.until(made.ready, "the operator's first list")
        yield made
    site.clear()
    site.kubectl("delete", "priorityclass", "vdi-first")
    site.kubectl("-n", SESSIONS, "delete", "role/vdi-operator", "rolebinding/vdi-operator")
    site.kubectl("-n", "vdi-operator", "delete", "serviceaccount/vdi-operator")


@pytest.fixture
def empty(site: Site, counting: OperatorProcess) -> Iterator[Site]:
    """Templates with a capacity, homes for everybody, and no session before or after."""
    site.play([user(name) for name in (*HOLDERS, *OTHERS)])
    capacity = {"capacity": {"sessionsPerGPU": PLACES}}
    first = played_template(SESSIONS, "first", priorityClassName="vdi-first", **capacity)
    apply(site.cluster, [played_template(SESSIONS, **capacity), first, played_template(SESSIONS, "uncounted")])
    yield site
    # One by one: kubectl deletes five a second, and all in one request take the API server longer than one may.
    site.clear()


def wish(site: Site, name: str, template: str = "played", **spec: Any) -> Object:
    """Of a user of its own unless it is said otherwise."""
    return site.wish(name, template, **spec)


def full(site: Site) -> None:
    """All places are taken."""
    apply(site.cluster, [wish(site, name) for name in HOLDERS])
    for name in HOLDERS:
        site.await_ready(name)


def queue(site: Site, name: str) -> tuple[int, int] | None:
    found = ((site.get("VDISession", name) or {}).get("status") or {}).get("queue")
    return None if found is None else (found["position"], found["waiting"])


def why(site: Site, name: str, kind: str = "Admitted") -> str:
    return str(site.condition(name, kind).get("reason", ""))


def free(site: Site, name: str) -> None:
    """A session ends."""
    site.delete("VDISession", name)


def test_a_flood_delays_anothers_first_session_by_one_release_at_most(empty: Site, counting: OperatorProcess) -> None:
    site = empty
    full(site)
    flood = [wish(site, f"flood-{number:03}", user=user("flood")) for number in range(FLOOD)]
    apply(site.cluster, flood)
    site.until(lambda: (queue(site, "flood-499") or (0, 0))[1] == FLOOD, "a line of five hundred")
    apply(site.cluster, [wish(site, "bob")])
    site.until(lambda: queue(site, "bob") == (2, FLOOD + 1), "bob's place behind the flood's first")
    free(site, HOLDERS[0])
    site.until(lambda: any(why(site, one["metadata"]["name"]) == "Accepted" for one in flood[:1]), "the flood's first")
    assert why(site, "bob") == "CapacityReached"
    free(site, HOLDERS[1])
    site.await_ready("bob")
    told = {dict(labels)["reason"] for name, labels in counting.samples() if name == "vdi_sessions_waiting"}
    assert told == {"UserLimitReached", "NamespaceLimitReached", "CapacityReached", "HomeNodeFull"}
    served = [one["metadata"]["name"] for one in flood if site.ready(one["metadata"]["name"])]
    assert len(served) <= 1, "a home is open in one desktop at a time"


def test_a_priority_class_is_next_and_is_in_the_pod(empty: Site) -> None:
    site = empty
    full(site)
    apply(site.cluster, [wish(site, "carol")])
    site.until(lambda: queue(site, "carol") == (1, 1), "carol in line")
    apply(site.cluster, [wish(site, "dave", "first")])
    site.until(lambda: queue(site, "dave") == (1, 2), "dave before her")
    free(site, HOLDERS[0])
    site.await_ready("dave")
    assert (site.get("Pod", "vdi-session-dave") or {})["spec"]["priorityClassName"] == "vdi-first"
    assert (site.get("Pod", f"vdi-session-{HOLDERS[1]}") or {})["spec"].get("priorityClassName") is None
    site.until(lambda: queue(site, "carol") == (1, 1), "carol next")
    free(site, HOLDERS[1])
    site.await_ready("carol")
    assert queue(site, "carol") is None


def tied_volume(claim: str, node: str) -> Object:
    """A volume for this claim that only this node has."""
    term = {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}]}
    made = played_volume(SESSIONS, claim)
    made["metadata"]["name"] = f"tied-{claim}"
    made["spec"]["nodeAffinity"] = {"required": {"nodeSelectorTerms": [term]}}
    return made


def filler(node: str, number: int) -> Object:
    """A pod that has one of a node's slices, as another tenant's would."""
    limits = {"nvidia.com/gpu": "1"}
    container = {
        "name": "filler",
        "image": "vdibench.local/desktop:2.1.0",
        "imagePullPolicy": "Never",
        "resources": {"limits": limits},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"filler-{number}", "namespace": SESSIONS, "labels": {"filler": "true"}},
        "spec": {
            "nodeSelector": {"kubernetes.io/hostname": node},
            "terminationGracePeriodSeconds": 0,
            "securityContext": {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [container],
        },
    }


def placed(site: Site, node: str) -> list[str]:
    """Fillers that have a slice of a node."""
    found = site.all("Pod", "filler=true")
    return [name for name, one in found.items() if one["spec"].get("nodeName") == node]


def test_a_full_node_of_a_home_is_waited_for_in_line_or_left_by_a_fresh_home(empty: Site) -> None:
    site = empty
    node = site.kubectl("get", "nodes", "-l", "vdibench.io/played=true", "-o", "jsonpath={.items[0].metadata.name}")
    names = ["tied-1", "tied-2"]
    for name in names:
        site.kubectl("delete", "pv", f"played-{home_name(user(name))}")
    apply(site.cluster, [tied_volume(home_name(user(name)), node) for name in names])
    apply(site.cluster, played_storage(SESSIONS, [fresh_home_name(user("tied-1"))]))
    apply(site.cluster, [filler(node, number) for number in range(SLICES)])
    try:
        site.until(lambda: len(placed(site, node)) == SLICES, "a full node")
        for name in names:
            apply(site.cluster, [wish(site, name, "uncounted")])
            site.until(lambda name=name: why(site, name, "Scheduled") == "HomeNodeFull", f"{name} tied to a full node")
            # As a provisioner that waits for the first pod writes it; a volume that was there before has no such word.
            change = {"metadata": {"annotations": {SELECTED: node}}}
            site.merge("PersistentVolumeClaim", home_name(user(name)), change)
        site.until(lambda: [queue(site, name) for name in names] == [(1, 2), (2, 2)], "both in line")
        message = site.condition("tied-2", "Scheduled")["message"]
        assert f"free on the home's node {node} (position 2 of 2 that wait for it)" in message
        assert "set spec.homePolicy to Fresh" in message
        own = site.get("PersistentVolumeClaim", home_name(user("tied-1")))
        site.merge("VDISession", "tied-1", {"spec": {"homePolicy": "Fresh"}})
        site.await_ready("tied-1")
        pod = site.get("Pod", "vdi-session-tied-1") or {}
        assert pod["spec"]["nodeName"] != node
        assert json.dumps(fresh_home_name(user("tied-1"))) in json.dumps(pod["spec"]["volumes"])
        assert site.get("PersistentVolumeClaim", home_name(user("tied-1"))) == own
        site.until(lambda: queue(site, "tied-2") == (1, 1), "the other one next")
        site.kubectl("-n", SESSIONS, "delete", "pod", "filler-0", "--wait=true", "--timeout=60s")
        site.await_ready("tied-2")
        assert (site.get("Pod", "vdi-session-tied-2") or {})["spec"]["nodeName"] == node
        # Back to the own home, which has room by now.
        site.kubectl("-n", SESSIONS, "delete", "pod", "filler-1", "--wait=true", "--timeout=60s")
        site.merge("VDISession", "tied-1", {"spec": {"homePolicy": "Wait", "operatingMode": "Suspended"}})
        # Its pod is gone before its status says so.
        site.until(lambda: site.condition("tied-1").get("reason") == "Suspended", "the end of the temporary desktop")
        site.until(lambda: site.get("Pod", "vdi-session-tied-1") is None, "the end of its pod")
        site.merge("VDISession", "tied-1", {"spec": {"operatingMode": "Running"}})
        site.await_ready("tied-1")
        assert (site.get("Pod", "vdi-session-tied-1") or {})["spec"]["nodeName"] == node
        assert site.get("PersistentVolumeClaim", fresh_home_name(user("tied-1"))) is not None, "nor is that one deleted"
    finally:
        site.kubectl("-n", SESSIONS, "delete", "pod", "-l", "filler=true", "--wait=true", "--timeout=60s")
