"""Desktops that end by themselves: started again at their times, a bounded number of times, then left to a person."""

from __future__ import annotations

import copy
from dataclasses import replace
from itertools import pairwise

import pytest

from vdi_operator.core.decision import Decision
from vdi_operator.core.desired import desired
from vdi_operator.core.start import PAUSES, STABLE_SECONDS
from vdi_operator.core.world import NodeFact

from .cluster import BEGAN, PLACES, Cluster
from .process import Operator, begun, ready, reason, running, settled

POD = PLACES["pod"]

CRASHED = {
    "phase": "Failed",
    "containerStatuses": [
        {"name": "desktop", "state": {"terminated": {"exitCode": 137, "reason": "Error", "message": "no X\n"}}}
    ],
}


def passed(operator: Operator) -> Decision:
    decision = operator.pass_()
    assert decision is not None
    return decision


def crashed(cluster: Cluster, operator: Operator) -> Decision:
    """The pod ends, and a pass sees it."""
    cluster.crash(copy.deepcopy(CRASHED))
    return passed(operator)


def up(cluster: Cluster, operator: Operator) -> str:
    """Passes and steps of the cluster until the pod has a node, without time going by. Its uid."""
    for _ in range(4):
        passed(operator)
        cluster.tick()
    return str(cluster.objects[POD]["metadata"]["uid"])


def test_three_restarts_after_one_two_and_four_seconds_then_the_reason() -> None:
    cluster, operator = begun()
    for attempt, pause in enumerate((1.0, 2.0, 4.0), 1):
        former = up(cluster, operator)
        first = crashed(cluster, operator)
        assert first.status["attempts"] == attempt
        assert ready(first.status) == ("False", "Restarting")
        assert "desktop ended with exit status 137 (Error): no X" in first.status["conditions"][-1]["message"]
        assert [notice.reason for notice in first.notices] == ["Restarting"]
        assert first.failure is None
        cluster.tick()  # the pod goes
        waiting = passed(operator)
        assert POD not in cluster.objects
        assert POD in waiting.absent
        assert waiting.look_again_seconds == pause
        cluster.now += pause - 0.25
        assert passed(operator).look_again_seconds == 0.25
        assert POD not in cluster.objects
        cluster.now += 0.25
        passed(operator)
        assert cluster.objects[POD]["metadata"]["uid"] != former
    up(cluster, operator)
    last = crashed(cluster, operator)
    assert ready(last.status) == ("False", "CrashLoop")
    assert last.failure == "CrashLoop"
    assert last.look_again_seconds == 5.0
    assert ready(settled(operator).status) == ("False", "CrashLoop")
    assert POD not in cluster.objects
    assert operator.failures == ["CrashLoop"]


def test_a_failed_start_waits_for_a_person() -> None:
    cluster, operator = begun()
    cluster.faults.no_image = True
    assert ready(settled(operator).status) == ("False", "ImageUnavailable")
    cluster.faults.no_image = False
    cluster.now += 100_000
    assert ready(settled(operator.restarted()).status) == ("False", "ImageUnavailable")
    asked = cluster.now
    cluster.edit_session(lifetime="720h")
    status = settled(operator).status
    assert ready(status) == ("True", "Published")
    assert status["readyInSeconds"] < cluster.now - asked + 1e-6
    assert "failure" not in status


def test_another_template_may_be_the_remedy() -> None:
    cluster, operator = begun()
    cluster.faults.no_image = True
    settled(operator)
    cluster.faults.no_image = False
    cluster.edit_template(image="registry.test/desktop:3")
    assert ready(settled(operator).status) == ("True", "Published")


def test_a_template_that_is_mended_while_its_pod_waits_makes_another_pod() -> None:
    cluster, operator = begun()
    cluster.faults.no_slice = True
    settled(operator)
    former = cluster.objects[POD]["metadata"]["uid"]
    cluster.edit_template(gpu={"resource": "nvidia.com/gpu.shared"})
    settled(operator)
    pod = cluster.objects[POD]
    assert pod["metadata"]["uid"] != former
    assert pod["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu.shared"] == "1"


def test_waiting_for_a_slice_is_not_counted() -> None:
    cluster, operator = begun()
    cluster.faults.no_slice = True
    settled(operator)
    cluster.now += 86_400
    assert ready(settled(operator).status) == ("False", "NoFreeSlice")
    cluster.faults.no_slice = False
    status = settled(operator).status
    assert ready(status) == ("True", "Published")
    assert status["phases"]["scheduled"] > 86_400 or status["phases"]["homeBound"] > 86_400


def test_a_start_that_takes_too_long_gives_its_slice_back() -> None:
    cluster, operator = begun()
    passed(operator)
    cluster.tick()
    cluster.now = BEGAN + 59.75
    assert passed(operator).look_again_seconds == 0.25
    cluster.now = BEGAN + 60.0
    late = passed(operator)
    assert ready(late.status) == ("False", "ProgressDeadlineExceeded")
    message = late.status["conditions"][-1]["message"]
    assert message == "no desktop within 60 s, it still was Starting: its node prepares it"
    assert late.failure == "ProgressDeadlineExceeded"
    assert POD in late.absent
    cluster.tick()
    assert POD not in cluster.objects


def test_a_deadline_names_the_reason_that_was_known() -> None:
    cluster, operator = begun()
    passed(operator)
    operator.cluster.faults.node_lost = True
    cluster.tick()
    cluster.now = BEGAN + 60.0
    late = passed(operator)
    assert ready(late.status) == ("False", "Unschedulable")
    assert "untolerated taint" in late.status["conditions"][-1]["message"]


def test_a_restart_of_the_operator_is_no_fault_of_a_start() -> None:
    cluster, operator = begun()
    passed(operator)
    cluster.tick()
    cluster.now = BEGAN + 3600.0
    status = settled(operator.restarted()).status
    assert ready(status) == ("True", "Published")
    assert status["readyInSeconds"] >= 3600


@pytest.mark.parametrize("gone", [True, False], ids=["gone", "going"])
def test_a_desktop_whose_pod_somebody_deletes_is_started_again(gone: bool) -> None:
    cluster, operator = running()
    published = cluster.objects[POD]["metadata"]["uid"]
    cluster.delete(POD)
    if gone:
        cluster.tick()
    seen = passed(operator)
    assert ready(seen.status) == ("False", "Restarting")
    assert "url" not in seen.status
    assert seen.failure == "Evicted"
    status = settled(operator).status
    assert ready(status) == ("True", "Published")
    assert status["podUID"] not in ("", published)
    assert status["attempts"] == 1
    # What the start took is what it took.
    assert "readyInSeconds" in status


def test_a_desktop_on_a_lost_node_is_started_again_when_kubernetes_gives_it_up() -> None:
    cluster, operator = running()
    cluster.lose_node()
    cluster.now += 60
    cluster.tick()
    silent = passed(operator)
    assert ready(silent.status) == ("False", "NodeLost")
    assert POD not in silent.absent
    cluster.now += 300
    cluster.tick()
    assert reason(passed(operator).status, "PodReady") == ("False", "Restarting")
    assert operator.failures == ["NodeLost"]
    cluster.faults.node_lost = False
    assert ready(settled(operator).status) == ("True", "Published")


def test_a_lasting_desktop_has_its_restarts_back() -> None:
    cluster, operator = running()
    for _ in range(5):
        cluster.now += STABLE_SECONDS + 10
        assert crashed(cluster, operator).status["attempts"] == 1
        assert ready(settled(operator).status) == ("True", "Published")


def test_a_desktop_that_keeps_ending_does_not() -> None:
    cluster, operator = running()
    for attempt in (1, 2, 3):
        assert crashed(cluster, operator).status["attempts"] == attempt
        settled(operator)
    assert ready(crashed(cluster, operator).status) == ("False", "CrashLoop")


def test_refused_pods_are_asked_for_again_at_the_same_times() -> None:
    cluster, operator = begun()
    cluster.faults.quota = True
    asked: list[float] = []
    for _ in range(40):
        decision = operator.pass_()
        assert decision is not None
        if any(one["kind"] == "Pod" for one in decision.objects):
            asked.append(cluster.now)
        if decision.failure is not None:
            break
        cluster.now += min(decision.look_again_seconds or 0.0, 1.0) if POD in decision.absent else 0.0
    assert [later - sooner for sooner, later in pairwise(asked)] == list(PAUSES)
    assert operator.failures == ["QuotaExceeded"]
    assert "exceeded quota" in decision.status["conditions"][-1]["message"]


def test_a_home_that_is_being_deleted_is_waited_for() -> None:
    cluster, operator = begun()
    passed(operator)
    cluster.delete(POD)
    cluster.objects[PLACES["home"]]["metadata"]["deletionTimestamp"] = "2027-01-15T08:00:01Z"
    operator = operator.restarted()
    cluster.now += 5
    passed(operator)
    cluster.now += 5
    decision = passed(operator)
    assert ready(decision.status) == ("False", "WaitingForVolume")
    assert POD not in cluster.objects


def test_a_node_that_answers_badly_does_not_end_a_desktop_that_serves() -> None:
    _, operator = running()
    session, made_from, world = operator.look()
    assert made_from is not None
    decision = desired(session, made_from, replace(world, node=NodeFact("gpu-1", ready=False)))
    assert ready(decision.status) == ("True", "Published")
    assert decision.absent == ()
