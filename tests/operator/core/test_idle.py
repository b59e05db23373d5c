"""Desktops that nobody is at: warned of, stopped by what was seen alone, and back when their user is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from vdi_operator.api.objects import Ref
from vdi_operator.core.decision import Decision, Follow
from vdi_operator.core.desired import desired
from vdi_operator.core.idle import LEFT_SECONDS
from vdi_operator.core.instants import second, unix
from vdi_operator.core.world import ActivityFact

from .cluster import HOME, PLACES, SETTINGS, Cluster
from .process import Operator, begun, ready, reason, running, settled

POD = PLACES["pod"]
KEPT = {PLACES[name] for name in ("auth", "rtc", "policy", "login")} | {HOME}
TIMEOUT = 1800.0


def looked_after(**spec: Any) -> tuple[Cluster, Operator]:
    """A desktop whose template stops it after half an hour without anybody."""
    cluster, operator = begun(**spec)
    cluster.edit_template(idleTimeout="30m")
    assert ready(settled(operator).status) == ("True", "Published")
    return cluster, operator


def passed(operator: Operator) -> Decision:
    decision = operator.pass_()
    assert decision is not None
    return decision


def told(operator: Operator, wanted: str) -> list[str]:
    return [notice.message for notice in operator.notices if notice.reason == wanted]


def test_a_desktop_is_followed_once_it_is_published_and_the_checker_has_left() -> None:
    cluster, operator = begun()
    cluster.edit_template(idleTimeout="30m")
    follows = []
    for _ in range(40):
        cluster.tick()
        operator.checked()
        decision = passed(operator)
        follows.append((decision.follow, ready(decision.status)))
        cluster.now += 0.25
    assert {published for follow, published in follows if follow is None} >= {("False", "Checking")}
    assert all(published == ("True", "Published") for follow, published in follows if follow is not None)
    left = unix(decision.status["stream"]["leftAt"])
    assert left is not None
    assert decision.follow == Follow(cluster.objects[POD]["metadata"]["uid"], left + LEFT_SECONDS)


def test_without_a_timeout_nobody_looks_and_nothing_is_stopped() -> None:
    _, operator = running()
    operator.nobody_for(1_000_000.0)
    decision = settled(operator)
    assert decision.follow is None
    assert ready(decision.status) == ("True", "Published")
    assert "lastActivityTime" not in decision.status


def test_it_is_warned_of_stopped_and_kept() -> None:
    cluster, operator = looked_after()
    home, password = cluster.objects[HOME]["metadata"]["uid"], cluster.password()
    operator.nobody_for(TIMEOUT - 600.0)
    decision = settled(operator)
    settled(operator)
    assert ready(decision.status) == ("True", "Published")
    (warning,) = told(operator, "Idling")
    assert "it is stopped at" in warning
    active, end = (unix(decision.status[key]) for key in ("lastActivityTime", "warnedOfIdle"))
    assert active is not None
    assert end is not None
    assert end - active == pytest.approx(TIMEOUT)
    cluster.now = end
    operator.nobody_for(end - active)
    rests = settled(operator)
    assert ready(rests.status) == ("False", "Idle")
    assert set(cluster.objects) == KEPT
    assert (rests.follow, rests.look_again_seconds, rests.failure) == (None, None, None)
    assert "vdi-operator open cad-7" in rests.status["conditions"][-1]["message"]
    assert len(told(operator, "Idle")) == 1
    assert operator.failures == []
    assert cluster.objects[HOME]["metadata"]["uid"] == home
    assert cluster.password() == password
    assert cluster.session is not None
    assert "operatingMode" not in cluster.session["spec"], "the wish is its user's"


def test_the_rest_outlives_operators_and_goes_on_whatever_else_changes() -> None:
    cluster, operator = looked_after()
    operator.left_alone(TIMEOUT)
    before = settled(operator).status
    operator = operator.restarted()
    cluster.now += 1_000_000.0
    cluster.edit_template(image="registry.test/desktop:3", idleTimeout="720h")
    assert settled(operator).status == before


@pytest.mark.parametrize("way", ["wake", "another wake", "suspended and resumed", "another wish"])
def test_its_user_has_it_back(way: str) -> None:
    cluster, operator = looked_after()
    if way == "another wake":
        cluster.wake("before")
    operator.left_alone(TIMEOUT)
    assert ready(settled(operator).status) == ("False", "Idle")
    cluster.now += 10_000.0
    wished = cluster.now
    if way == "suspended and resumed":
        cluster.edit_session(operatingMode="Suspended")
        assert ready(settled(operator).status) == ("False", "Suspended")
        wished = cluster.now
        cluster.edit_session(operatingMode="Running")
    elif way == "another wish":
        cluster.edit_session(lifetime="24h")
    else:
        cluster.wake("again")
    status = settled(operator).status
    assert ready(status) == ("True", "Published")
    assert {"idle", "warnedOfIdle"}.isdisjoint(status)
    assert status["readyInSeconds"] < cluster.now - wished + 1e-6, "its rest is no part of its start"
    assert reason(status, "HomeBound") == ("True", "Bound")


def test_the_wake_that_it_was_stopped_with_is_none() -> None:
    cluster, operator = looked_after()
    cluster.wake("again")
    settled(operator)
    operator.left_alone(TIMEOUT)
    assert ready(settled(operator).status) == ("False", "Idle")
    assert ready(settled(operator.restarted()).status) == ("False", "Idle")


def test_a_session_whose_life_ends_while_it_rests_is_expired() -> None:
    cluster, operator = looked_after(lifetime="2h")
    operator.left_alone(TIMEOUT)
    assert ready(settled(operator).status) == ("False", "Idle")
    cluster.now += 7200.0
    assert ready(settled(operator).status) == ("False", "Expired")


def world_with(operator: Operator, activity: ActivityFact | None) -> Decision:
    session, made_from, world = operator.look()
    return desired(session, made_from, replace(world, activity=activity))


def test_only_what_was_seen_counts() -> None:
    cluster, operator = looked_after()
    uid = cluster.objects[POD]["metadata"]["uid"]
    began = cluster.now
    cluster.now += 100 * TIMEOUT
    facts = {
        "nobody has looked": None,
        "another desktop": ActivityFact("another", began, began + TIMEOUT),
        "nobody could say": ActivityFact(uid, began, float("-inf")),
        "not over the whole time": ActivityFact(uid, began, began + TIMEOUT - 1.0),
    }
    found = {name: ready(world_with(operator, fact).status) for name, fact in facts.items()}
    assert found == dict.fromkeys(facts, ("True", "Published"))
    operator.activity = ActivityFact(uid, began, began + TIMEOUT)
    settled(operator)
    cluster.now += SETTINGS.idle_look_seconds
    assert ready(passed(operator).status) == ("True", "Published"), "nobody has looked since the warning"
    operator.still_nobody()
    assert ready(passed(operator).status) == ("False", "Idle")


def test_a_desktop_that_does_not_serve_is_not_idle() -> None:
    cluster, operator = looked_after()
    operator.left_alone(TIMEOUT)
    cluster.crash({"phase": "Failed", "containerStatuses": []})
    assert ready(passed(operator).status) == ("False", "Restarting")


def test_a_pass_comes_when_something_may_follow_and_writes_no_look() -> None:
    cluster, operator = looked_after()
    stored = settled(operator).status
    look = SETTINGS.idle_look_seconds
    assert passed(operator).look_again_seconds == TIMEOUT - SETTINGS.warn_seconds + look, "nobody has looked yet"
    operator.nobody_for(0.0)
    busy = passed(operator)
    assert busy.look_again_seconds == pytest.approx(TIMEOUT - SETTINGS.warn_seconds + look, abs=1e-3)
    cluster.now += 60.0
    operator.nobody_for(0.0)
    assert passed(operator).status == busy.status, "activity goes on, and the status stays"
    cluster.now += 600.0
    operator.nobody_for(0.0)
    later = passed(operator).status
    assert later["lastActivityTime"] > busy.status["lastActivityTime"]
    assert {**later, "lastActivityTime": ""} == {**stored, "lastActivityTime": ""}


def test_who_comes_back_after_the_warning_is_warned_again_later() -> None:
    cluster, operator = looked_after()
    operator.nobody_for(1300.0)
    settled(operator)
    operator.nobody_for(0.0)
    assert ready(settled(operator).status) == ("True", "Published")
    cluster.now += 1300.0
    operator.nobody_for(1300.0)
    settled(operator)
    assert len(told(operator, "Idling")) == 2


def test_a_short_timeout_is_warned_of_in_its_second_half() -> None:
    cluster, operator = begun()
    cluster.edit_template(idleTimeout="2m")
    settled(operator)
    operator.nobody_for(59.0)
    settled(operator)
    assert told(operator, "Idling") == []
    operator.nobody_for(60.0)
    settled(operator)
    assert len(told(operator, "Idling")) == 1


@pytest.mark.parametrize(("timeout", "warn_seconds"), [("30m", 5.0), ("1m", 600.0), ("30s", 600.0)])
def test_none_is_stopped_without_a_warning_and_an_interval_after_it(timeout: str, warn_seconds: float) -> None:
    cluster, operator = begun()
    cluster.edit_template(idleTimeout=timeout)
    operator.settings = replace(SETTINGS, warn_seconds=warn_seconds)
    settled(operator)
    # The first look that could warn is already one that could stop.
    operator.nobody_for(TIMEOUT)
    warned = cluster.now
    for seconds in (0.0, 1.0, SETTINGS.idle_look_seconds - 2.0):
        cluster.now = warned + seconds
        operator.still_nobody()
        assert ready(passed(operator).status) == ("True", "Published")
    (warning,) = told(operator, "Idling")
    assert f"it is stopped at {second(warned + SETTINGS.idle_look_seconds)}" in warning
    cluster.now = warned + SETTINGS.idle_look_seconds
    assert ready(passed(operator).status) == ("True", "Published"), "a pass by something else has no look of its own"
    operator.still_nobody()
    assert ready(passed(operator).status) == ("False", "Idle")


def test_who_comes_after_such_a_warning_keeps_the_desktop_and_is_warned_anew() -> None:
    cluster, operator = looked_after()
    operator.nobody_for(TIMEOUT)
    passed(operator)
    cluster.now += SETTINGS.idle_look_seconds
    operator.nobody_for(0.0)
    assert ready(settled(operator).status) == ("True", "Published")
    cluster.now += TIMEOUT
    operator.nobody_for(TIMEOUT)
    assert ready(passed(operator).status) == ("True", "Published")
    assert len(told(operator, "Idling")) == 2


def test_where_no_warning_is_wanted_none_is_waited_for() -> None:
    _, operator = looked_after()
    operator.settings = replace(SETTINGS, warn_seconds=0.0)
    operator.nobody_for(TIMEOUT)
    assert ready(passed(operator).status) == ("False", "Idle")
    assert told(operator, "Idling") == []


def test_a_stop_that_was_lost_is_found_again() -> None:
    cluster, operator = looked_after()
    operator.left_alone(TIMEOUT)
    decision, due = operator.decide()
    for change in due:
        cluster.make(change)
    assert Ref("Pod", POD.name) in decision.absent
    # The process ends before the status is written; the next one does not know why the pod is gone.
    status = settled(operator.restarted()).status
    assert ready(status) == ("True", "Published")
    assert status["attempts"] == 1
