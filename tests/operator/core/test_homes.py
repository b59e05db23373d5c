"""A home whose node is full: who waits for it, and the temporary home in its place, which costs the own one nothing."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest

from vdi_operator.api.objects import Object, Ref
from vdi_operator.api.session import HomePolicy, Session
from vdi_operator.children import names
from vdi_operator.core import homes
from vdi_operator.core.decision import Decision, Queue
from vdi_operator.core.desired import desired
from vdi_operator.core.plan import changes

from .cluster import FRESH, HOME, NODE, PLACES, Cluster
from .process import Operator, begun, ready, reason, running, settled

POD = PLACES["pod"]
SELECTED = "volume.kubernetes.io/selected-node"


def mounted(cluster: Cluster) -> str:
    return homes.mounted(cluster.objects[POD])


def full(**spec: Any) -> tuple[Cluster, Operator]:
    """A session whose home is on a node that has no free slice by now."""
    cluster, operator = running(**spec)
    cluster.edit_session(operatingMode="Suspended")
    settled(operator)
    cluster.faults.home_full = True
    cluster.edit_session(operatingMode="Running")
    return cluster, operator


def with_line(operator: Operator, line: Queue) -> Decision:
    """A pass of an operator that knows where the home is and who waits for that node."""
    session, template, world = operator.look()
    assert world.home is not None
    home = copy.deepcopy(world.home)
    home["metadata"]["annotations"][SELECTED] = NODE
    return desired(session, template, replace(world, home=home, home_line=line))


def test_a_full_node_is_waited_for_and_the_choices_are_said() -> None:
    cluster, operator = full()
    decision = settled(operator)
    assert ready(decision.status) == reason(decision.status, "Scheduled") == ("False", "HomeNodeFull")
    assert operator.failures == []
    assert "queue" not in decision.status, "nobody knows the node"
    cluster.now += 86_400
    assert ready(settled(operator).status) == ("False", "HomeNodeFull"), "no deadline counts it"
    told = with_line(operator, Queue(2, 3))
    assert told.status["queue"] == {"position": 2, "waiting": 3}
    assert told.home_node == NODE
    (scheduled,) = (one for one in told.status["conditions"] if one["type"] == "Scheduled")
    said = f"no slice of a GPU is free on the home's node {NODE} (position 2 of 3 that wait for it): wait, or set"
    fresh = "Fresh for a temporary home (empty at first, then on the node where it was made)"
    assert scheduled["message"].startswith(f"{said} spec.homePolicy to {fresh}; none is deleted. ")
    cluster.faults.home_full = False
    decision = settled(operator)
    assert ready(decision.status) == ("True", "Published")
    assert ("queue" in decision.status, decision.home_node) == (False, "")
    assert mounted(cluster) == HOME.name


def test_a_node_without_memory_is_waited_for_as_well() -> None:
    cluster, operator = full()
    cluster.faults.home_full, cluster.faults.home_crowded = False, True
    assert ready(settled(operator).status) == ("False", "HomeNodeFull")
    cluster.now += 86_400
    assert ready(settled(operator).status) == ("False", "HomeNodeFull"), "no deadline counts it"
    assert operator.failures == []
    cluster.faults.home_crowded = False
    assert ready(settled(operator).status) == ("True", "Published")


def test_a_fresh_home_is_a_way_out_and_the_own_one_is_untouched() -> None:
    cluster, operator = full()
    settled(operator)
    before, pod = copy.deepcopy(cluster.objects[HOME]), cluster.objects[POD]["metadata"]["uid"]
    cluster.edit_session(homePolicy="Fresh")
    decision = settled(operator)
    assert ready(decision.status) == ("True", "Published")
    assert mounted(cluster) == FRESH.name
    assert cluster.objects[POD]["metadata"]["uid"] != pod
    assert decision.status.get("attempts", 0) == 0, "it costs no attempt"
    assert cluster.objects[HOME] == before
    fresh = cluster.objects[FRESH]
    assert "ownerReferences" not in fresh["metadata"]
    assert fresh["metadata"]["labels"] == before["metadata"]["labels"]
    assert fresh["metadata"]["annotations"][names.USER_ANNOTATION] == "alice"


def test_back_to_the_own_home_at_the_next_start() -> None:
    cluster, operator = full()
    cluster.edit_session(homePolicy="Fresh")
    settled(operator)
    pod, fresh = cluster.objects[POD]["metadata"]["uid"], cluster.objects[FRESH]["metadata"]["uid"]
    cluster.faults.home_full = False
    cluster.edit_session(homePolicy="Wait")
    decision = settled(operator)
    assert ready(decision.status) == ("True", "Published"), "what runs goes on"
    assert cluster.objects[POD]["metadata"]["uid"] == pod
    (admitted,) = (one for one in decision.status["conditions"] if one["type"] == "Admitted")
    assert admitted["message"] == "homePolicy has changed: the desktop has the other home at its next start"
    session, made_from, world = operator.look()
    assert changes(desired(session, made_from, world), world) == ()
    for mode in ("Suspended", "Running"):
        cluster.edit_session(operatingMode=mode)
        decision = settled(operator)
    assert ready(decision.status) == ("True", "Published")
    assert mounted(cluster) == HOME.name
    assert cluster.objects[FRESH]["metadata"]["uid"] == fresh, "nor is that one deleted"


def test_a_first_session_may_begin_with_a_fresh_home() -> None:
    cluster, operator = begun(homePolicy="Fresh")
    assert ready(settled(operator).status) == ("True", "Published")
    assert (HOME in cluster.objects, FRESH in cluster.objects) == (False, True)


def test_a_temporary_home_whose_node_is_full_too_leads_back() -> None:
    _, operator = begun(homePolicy="Fresh")
    settled(operator)
    session, template, world = operator.look()
    pod: Object = copy.deepcopy(world.pod or {})
    del pod["spec"]["nodeName"]
    tied = "1 node(s) didn't match PersistentVolume's node affinity"
    why = f"0/2 nodes are available: 1 Insufficient nvidia.com/gpu, {tied}"
    pod["status"] = {
        "phase": "Pending",
        "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": why}],
    }
    told = desired(session, template, replace(world, pod=pod))
    (scheduled,) = (one for one in told.status["conditions"] if one["type"] == "Scheduled")
    assert scheduled["reason"] == "HomeNodeFull"
    assert "or set spec.homePolicy to Wait to go back to the own home" in scheduled["message"]


def session(policy: HomePolicy) -> Session:
    return Session("vdi-sessions", "cad-7", "u", 1, "alice", "cad", home_policy=policy)


def pod(claim: str, **metadata: Any) -> Object:
    volumes = [{"name": "tmp", "emptyDir": {}}, {"name": "home", "persistentVolumeClaim": {"claimName": claim}}]
    return {"metadata": {"name": POD.name, **metadata}, "spec": {"nodeName": NODE, "volumes": volumes}, "status": {}}


@pytest.mark.parametrize("wished", list(HomePolicy))
def test_a_pod_on_a_node_keeps_its_home(wished: HomePolicy) -> None:
    one = session(wished)
    assert homes.settled(one, None) == one
    for claim, policy in ((HOME.name, HomePolicy.WAIT), (FRESH.name, HomePolicy.FRESH), ("another", wished)):
        assert homes.settled(one, pod(claim)) == session(policy)
        unplaced = pod(claim)
        del unplaced["spec"]["nodeName"]
        assert homes.settled(one, unplaced) == one
        assert homes.settled(one, pod(claim) | {"status": {"phase": "Failed"}}) == one
        assert homes.settled(one, pod(claim, deletionTimestamp="2027-01-15T08:00:00Z")) == one


def test_where_a_home_is() -> None:
    assert homes.node(None) == homes.node({"metadata": {"name": HOME.name}}) == ""
    assert homes.node({"metadata": {"name": HOME.name, "annotations": {SELECTED: NODE}}}) == NODE
    found = [homes.is_fresh({"metadata": {"name": name}}) for name in (HOME.name, FRESH.name)]
    assert (found, homes.is_fresh(None)) == ([False, True], False)
    assert homes.mounted(None) == homes.mounted({"spec": {}}) == ""


def test_no_own_home_is_named_as_a_temporary_one() -> None:
    users = ["alice", "fresh-home-alice", "fresh-alice", "Alice", "x" * 200]
    own, fresh = {names.home_name(user) for user in users}, {names.fresh_home_name(user) for user in users}
    assert len(own | fresh) == 2 * len(users)
    assert {names.own_home(claim) for claim in fresh} == own
    assert {names.own_home(claim) for claim in own} == own
    assert all(len(claim) <= 63 for claim in own | fresh)


def test_those_who_wait_for_a_node_stand_by_the_age_of_their_pods() -> None:
    found = homes.Waiters()
    assert found.look("n1", "b", 2.0) == Queue(1, 1)
    assert found.wait("n1", "b", 2.0) == []
    assert found.wait("n1", "a", 1.0) == ["b"]
    assert found.wait("n2", "c", 0.0) == []
    assert [found.look("n1", "a", 1.0), found.look("n1", "b", 2.0), found.look("n2", "c", 0.0)] == [
        Queue(1, 2),
        Queue(2, 2),
        Queue(1, 1),
    ]
    assert found.look("n1", "new", 1.5) == Queue(2, 3)
    assert found.wait("n1", "a", 1.0) == [], "nothing is new"
    assert found.wait("n1", "a", 3.0) == ["b", "b"], "another pod of it is the last one"
    assert found.look("n1", "a", 3.0) == Queue(2, 2)
    assert len(found) == 3
    assert found.leave("b") == ["a"]
    assert (found.leave("b"), found.leave("nobody"), len(found)) == ([], [], 2)


def test_homes_are_claims_by_name_alone() -> None:
    assert {HOME, FRESH} == {Ref("PersistentVolumeClaim", f"vdi-{kind}-alice") for kind in ("home", "fresh-home")}
