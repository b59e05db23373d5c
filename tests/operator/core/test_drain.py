"""Nodes that are emptied: who runs there is told, goes on while it may, and starts elsewhere as if nothing had been."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest

from vdi_operator.core.decision import Decision
from vdi_operator.core.desired import desired

from .cluster import NODE, PLACES, SETTINGS, Cluster, condition
from .process import Operator, ready, reason, running, settled

POD = PLACES["pod"]


def passed(operator: Operator) -> Decision:
    decision = operator.pass_()
    assert decision is not None
    return decision


def uid(cluster: Cluster) -> str:
    return str(cluster.objects[POD]["metadata"]["uid"])


def test_a_desktop_on_a_node_that_is_cordoned_goes_on_and_its_user_is_told_once() -> None:
    cluster, operator = running()
    before = uid(cluster)
    cluster.faults.cordoned = True
    status = settled(operator).status
    settled(operator)
    assert ready(status) == ("True", "Published")
    assert reason(status, "Scheduled") == ("True", "Draining")
    assert uid(cluster) == before
    (notice,) = [notice for notice in operator.notices if notice.reason == "Draining"]
    assert notice.warning
    assert NODE in notice.message
    cluster.faults.cordoned = False
    assert reason(settled(operator).status, "Scheduled") == ("True", "Assigned")


def test_without_reading_nodes_nothing_is_said_of_them() -> None:
    cluster, operator = running()
    operator.settings = replace(SETTINGS, read_nodes=False)
    cluster.faults.cordoned = True
    assert reason(settled(operator).status, "Scheduled") == ("True", "Assigned")


@pytest.mark.parametrize("reads", [True, False], ids=["reads nodes", "does not"])
def test_an_evicted_desktop_starts_elsewhere_and_no_attempt_is_counted(reads: bool) -> None:
    cluster, operator = running()
    operator.settings = replace(SETTINGS, read_nodes=reads)
    for _ in range(2 * SETTINGS.start_attempts):
        before = uid(cluster)
        cluster.evict()
        told = passed(operator)
        assert ready(told.status) == ("False", "Restarting")
        assert "Draining: Eviction API: evicting" in told.status["conditions"][-1]["message"]
        status = settled(operator).status
        assert ready(status) == ("True", "Published")
        assert "attempts" not in status
        assert uid(cluster) != before
    assert operator.failures == []


def test_a_pod_that_was_deleted_from_such_a_node_counts_as_evicted() -> None:
    cluster, operator = running()
    cluster.faults.cordoned = True
    settled(operator)
    cluster.delete(POD)
    told = passed(operator)
    assert "attempts" not in told.status
    assert operator.failures == []


@pytest.mark.parametrize("reads", [True, False], ids=["reads nodes", "does not"])
def test_a_home_on_that_node_is_waited_for_however_long_it_takes(reads: bool) -> None:
    cluster, operator = running()
    operator.settings = replace(SETTINGS, read_nodes=reads)
    cluster.faults.cordoned = True
    cluster.evict()
    passed(operator)
    status = settled(operator).status
    assert ready(status) == ("False", "Draining")
    assert ("kubectl uncordon gpu-1" in status["conditions"][-1]["message"]) is reads
    cluster.now += 86_400.0
    assert ready(settled(operator).status) == ("False", "Draining")
    cluster.faults.cordoned = False
    back = settled(operator).status
    assert ready(back) == ("True", "Published")
    assert "attempts" not in back
    assert operator.failures == []


@pytest.mark.parametrize(
    ("why", "known"),
    [("1 node(s) had volume node affinity conflict", NODE), ("1 Insufficient nvidia.com/gpu", "")],
    ids=["no other node takes its home", "another may"],
)
def test_the_ledger_is_told_which_node_it_waits_for_as_far_as_the_scheduler_says_so(why: str, known: str) -> None:
    cluster, operator = running()
    cluster.faults.cordoned = True
    cluster.evict()
    assert passed(operator).tied_node == ""
    settled(operator)
    session, template, world = operator.look()
    pod, home = copy.deepcopy(world.pod), copy.deepcopy(world.home)
    assert pod is not None
    assert home is not None
    condition(pod, "PodScheduled", "False", "Unschedulable", f"0/2 nodes: 1 node(s) were unschedulable, {why}.")
    home["metadata"]["annotations"]["volume.kubernetes.io/selected-node"] = NODE
    waits = desired(session, template, replace(world, pod=pod, home=home))
    assert reason(waits.status, "Scheduled") == ("False", "Draining")
    assert waits.tied_node == known
    cluster.faults.cordoned = False
    assert settled(operator).tied_node == ""


def test_a_first_start_has_no_home_that_could_be_waited_for() -> None:
    cluster = Cluster()
    cluster.faults.cordoned = True
    cluster.create_session()
    operator = Operator(cluster, settings=replace(SETTINGS, read_nodes=False))
    status = settled(operator).status
    assert ready(status) == ("False", "Unschedulable")
    cluster.now += 60.0
    assert ready(settled(operator).status) == ("False", "Unschedulable")
    assert operator.failures == ["Unschedulable"], "its deadline runs"
