"""What is decided in each situation: a start step by step as whole documents, then what may befall a session."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from vdi_operator.api.objects import Ref, ref
from vdi_operator.children import all as every
from vdi_operator.children import names
from vdi_operator.children.secrets import turn_expiry
from vdi_operator.core.decision import CheckWanted, Decision
from vdi_operator.core.desired import desired
from vdi_operator.core.world import CheckResult

from .cluster import BEGAN, HOME, NAME, NODE, PLACES, SETTINGS, Cluster, template
from .process import Operator, begun, ready, reason, running, settled

HOST = f"{NAME}.vdi.example.com"
POD, ROUTE, SERVICE, AUTH = (PLACES[name] for name in ("pod", "route", "service", "auth"))
KEPT = {PLACES["auth"], PLACES["rtc"], PLACES["policy"], PLACES["login"], HOME}


def at(cluster: Cluster, operator: Operator, seconds: float) -> Decision:
    """A pass so long after the beginning, when the cluster has made one step."""
    cluster.now = BEGAN + seconds
    cluster.tick()
    decision = operator.pass_()
    assert decision is not None
    return decision


def conditions(**found: tuple[str, str, str, str]) -> list[dict[str, Any]]:
    return [
        {
            "type": kind,
            "status": status,
            "reason": why,
            "message": message,
            "lastTransitionTime": f"2027-01-15T08:00:{since}Z",
            "observedGeneration": 1,
        }
        for kind, (status, why, message, since) in found.items()
    ]


def test_the_first_pass_makes_everything() -> None:
    _, operator = begun()
    session, made_from, world = operator.look()
    assert made_from is not None
    assert desired(session, made_from, world) == Decision(
        objects=every.children(session, made_from, world),
        status={
            "observedGeneration": 1,
            "conditions": conditions(
                Admitted=("True", "Accepted", "", "00"),
                HomeBound=("False", "Pending", "the home's claim is not there yet", "00"),
                Scheduled=("False", "Pending", "there is no pod yet", "00"),
                PodReady=("False", "Pending", "there is no pod yet", "00"),
                RouteReady=("False", "Pending", "its Service is not there yet", "00"),
                StreamReady=("False", "Pending", "there is nothing to look at yet", "00"),
                HardwareEncoding=("Unknown", "Pending", "no frame was seen yet", "00"),
                TemplateDrifted=("False", "Pending", "there is no pod yet", "00"),
                Ready=("False", "Pending", "the home's claim is not there yet", "00"),
            ),
            "host": HOST,
            "startedAt": "2027-01-15T08:00:00.250000Z",
            "milestones": {"accepted": "2027-01-15T08:00:00.250000Z"},
            "phases": {"accepted": 0},
        },
        look_again_seconds=60.0,
    )


def test_a_start_from_its_wish_to_its_url() -> None:
    cluster, operator = begun()
    at(cluster, operator, 0.0)
    assert set(cluster.objects) == set(PLACES.values())
    assert at(cluster, operator, 0.125).look_again_seconds == 59.875
    at(cluster, operator, 0.5)
    pod_uid = cluster.objects[POD]["metadata"]["uid"]
    asked = at(cluster, operator, 1.5)
    assert asked.check == CheckWanted(pod_uid, HOST)
    assert ready(asked.status) == ("False", "Checking")
    assert at(cluster, operator, 2.0).check == CheckWanted(pod_uid, HOST)
    cluster.now = BEGAN + 2.25
    operator.checked()
    left = at(cluster, operator, 2.25)
    assert (left.check, left.look_again_seconds, "url" in left.status) == (None, 0.5, False)
    assert reason(left.status, "StreamReady") == ("True", "FrameDecoded")
    done = at(cluster, operator, 2.75)
    assert done.status == {
        "observedGeneration": 1,
        "conditions": conditions(
            Admitted=("True", "Accepted", "", "00"),
            HomeBound=("True", "Bound", "vdi-home-alice has pv-1", "00"),
            Scheduled=("True", "Assigned", NODE, "00"),
            PodReady=("True", "Serving", "", "01"),
            RouteReady=("True", "Routed", "", "00"),
            StreamReady=("True", "FrameDecoded", "H264 1920x1080 by nvh264enc over webrtc", "02"),
            HardwareEncoding=("True", "Hardware", "nvh264enc", "02"),
            TemplateDrifted=("False", "AsTemplate", "", "00"),
            Ready=("True", "Published", f"https://{HOST}/", "03"),
        ),
        "host": HOST,
        "url": f"https://{HOST}/",
        "node": NODE,
        "credentialsSecretRef": {"name": AUTH.name},
        "turnExpiresAt": "2027-01-16T08:00:00Z",
        "startedAt": "2027-01-15T08:00:00.250000Z",
        "podUID": pod_uid,
        "stream": {
            "podUID": pod_uid,
            "leftAt": "2027-01-15T08:00:02.500000Z",
            "codec": "H264",
            "encoder": "nvh264enc",
            "transport": "webrtc",
            "hardware": True,
            "width": 1920,
            "height": 1080,
            "firstFrameSeconds": 0.812,
        },
        "milestones": {
            "accepted": "2027-01-15T08:00:00.250000Z",
            "homeBound": "2027-01-15T08:00:00.375000Z",
            "scheduled": "2027-01-15T08:00:00.375000Z",
            "containerStarted": "2027-01-15T08:00:00.750000Z",
            "podReady": "2027-01-15T08:00:01.750000Z",
            "routed": "2027-01-15T08:00:00.375000Z",
            "streamReady": "2027-01-15T08:00:02.500000Z",
            "published": "2027-01-15T08:00:03.000000Z",
        },
        "phases": {
            "accepted": 0,
            "homeBound": 0.125,
            "scheduled": 0,
            "containerStarted": 0.375,
            "podReady": 1,
            "routed": 0,
            "streamReady": 0.75,
            "published": 0.5,
        },
        "readyInSeconds": 2.75,
    }
    assert done.notices == (), "its conditions say so"
    # The end of the TURN credentials goes by a clock that somebody may set.
    assert done.look_again_seconds == 3600.0
    again = at(cluster, operator, 2.75)
    assert (again.status, again.notices, again.failure) == (done.status, (), None)


@dataclass(frozen=True)
class Case:
    """What befalls a session, and what becomes of it.

    :param there: objects that are there in the end, None: all.
    :param waits: whether time alone goes on to matter.
    """

    befalls: Callable[[Cluster, Operator], None]
    ready: tuple[str, str]
    there: set[Ref] | None = None
    failures: tuple[str, ...] = ()
    waits: bool = True


def fault(name: str) -> Callable[[Cluster, Operator], None]:
    return lambda cluster, _: setattr(cluster.faults, name, True)


def no_template(cluster: Cluster, _: Operator) -> None:
    cluster.template = None


def suspended(cluster: Cluster, _: Operator) -> None:
    cluster.edit_session(operatingMode="Suspended")


def expired(cluster: Cluster, _: Operator) -> None:
    cluster.edit_session(lifetime="10m")
    cluster.now += 601


def no_relay_of_websockets(cluster: Cluster, _: Operator) -> None:
    cluster.template = template(dialect="selkies-2-websocket")
    cluster.faults.no_relay = True


EVERYTHING_ELSE = set(PLACES.values()) - {POD}

BEFORE_THE_START = {
    "nothing": Case(lambda cluster, operator: None, ("True", "Published")),
    "no template": Case(no_template, ("False", "TemplateNotFound"), set(), ("TemplateNotFound",)),
    "suspended": Case(suspended, ("False", "Suspended"), set(), waits=False),
    "no relay": Case(fault("no_relay"), ("False", "NoRelay"), set(), ("NoRelay",)),
    "no relay is needed": Case(
        no_relay_of_websockets, ("True", "Published"), set(PLACES.values()) - {PLACES["rtc"]}, waits=False
    ),
    "no image": Case(fault("no_image"), ("False", "ImageUnavailable"), EVERYTHING_ELSE, ("ImageUnavailable",)),
    "no slice": Case(fault("no_slice"), ("False", "NoFreeSlice")),
    "no checker": Case(fault("no_checker"), ("False", "CheckerUnreachable"), failures=("CheckerUnreachable",)),
    "no frame": Case(fault("no_frame"), ("False", "StreamFailed"), EVERYTHING_ELSE, ("StreamFailed",)),
    "quota": Case(fault("quota"), ("False", "QuotaExceeded"), EVERYTHING_ELSE, ("QuotaExceeded",)),
}
WHILE_IT_RUNS = {
    "no template": Case(no_template, ("True", "Published"), failures=("TemplateNotFound",)),
    "suspended": Case(suspended, ("False", "Suspended"), KEPT, waits=False),
    "expired": Case(expired, ("False", "Expired"), KEPT, waits=False),
    "no relay": Case(fault("no_relay"), ("True", "Published"), failures=("NoRelay",)),
    "no slice": Case(fault("no_slice"), ("True", "Published")),
    "no checker": Case(fault("no_checker"), ("True", "Published")),
}


def outcome(case: Case, cluster: Cluster, operator: Operator) -> None:
    case.befalls(cluster, operator)
    decision = settled(operator)
    assert ready(decision.status) == case.ready, decision.status
    assert set(cluster.objects) == (set(PLACES.values()) if case.there is None else case.there)
    assert tuple(operator.failures) == case.failures
    # A deadline, a retry, a second look, or the TURN credentials, which are minted anew while their Secret is wanted:
    # of a start that was given up, too, whose desktop may come back with another template.
    assert (decision.look_again_seconds is not None) == case.waits
    session, made_from, world = operator.look()
    repeated = desired(session, made_from, world)
    assert (repeated.status, repeated.notices, repeated.failure) == (session.status, (), None)


@pytest.mark.parametrize("case", BEFORE_THE_START.values(), ids=BEFORE_THE_START.keys())
def test_before_a_start(case: Case) -> None:
    outcome(case, *begun())


@pytest.mark.parametrize("case", WHILE_IT_RUNS.values(), ids=WHILE_IT_RUNS.keys())
def test_while_it_runs(case: Case) -> None:
    cluster, operator = running()
    uid, policy = cluster.objects[POD]["metadata"]["uid"], cluster.objects[PLACES["policy"]]["spec"]
    outcome(case, cluster, operator)
    if case.there is None:
        assert cluster.objects[POD]["metadata"]["uid"] == uid
        assert cluster.objects[PLACES["policy"]]["spec"] == policy


def test_suspended_and_resumed_is_another_start() -> None:
    cluster, operator = running()
    home = cluster.objects[HOME]["metadata"]["uid"]
    first = cluster.password()
    suspended(cluster, operator)
    rests = settled(operator).status
    assert {"startedAt", "milestones", "phases", "readyInSeconds", "podUID", "stream", "url"}.isdisjoint(rests)
    cluster.now += 3600
    resumed = cluster.now
    cluster.edit_session(operatingMode="Running")
    status = settled(operator).status
    assert ready(status) == ("True", "Published")
    assert status["readyInSeconds"] < cluster.now - resumed + 1e-6
    assert status["phases"]["homeBound"] == 0
    assert cluster.objects[HOME]["metadata"]["uid"] == home
    assert cluster.password() == first


def test_the_end_of_a_life_is_warned_of_once_and_can_be_put_off() -> None:
    cluster, operator = running(lifetime="1h")
    assert settled(operator).status["expiresAt"] == "2027-01-15T09:00:00Z"
    assert (operator.pass_() or Decision()).look_again_seconds == pytest.approx(3600 - 600 - (cluster.now - 1.8e9))
    cluster.now = 1.8e9 + 3001
    settled(operator)
    settled(operator)
    warnings = [notice for notice in operator.notices if notice.reason == "Expiring"]
    assert len(warnings) == 1
    assert warnings[0].warning
    assert "2027-01-15T09:00:00Z" in warnings[0].message
    cluster.now = 1.8e9 + 3600.25
    assert ready(settled(operator).status) == ("False", "Expired")
    cluster.now += 600
    wished = cluster.now
    cluster.edit_session(lifetime="2h")
    status = settled(operator).status
    assert ready(status) == ("True", "Published")
    assert status["readyInSeconds"] < cluster.now - wished + 1e-6
    cluster.now = 1.8e9 + 7200 - 300
    settled(operator)
    assert len([notice for notice in operator.notices if notice.reason == "Expiring"]) == 2


def test_the_shorter_life_counts() -> None:
    cluster, operator = begun(lifetime="8h")
    cluster.template = template(lifetime="4h")
    assert settled(operator).status["expiresAt"] == "2027-01-15T12:00:00Z"
    cluster.edit_session(lifetime="30m")
    assert settled(operator).status["expiresAt"] == "2027-01-15T08:30:00Z"


def test_a_template_that_cannot_be_read_is_named() -> None:
    session, _, world = begun()[1].look()
    decision = desired(session, None, world, fault="spec.image is missing")
    assert ready(decision.status) == ("False", "TemplateInvalid")
    assert "spec.image is missing" in decision.status["conditions"][0]["message"]
    assert (decision.objects, decision.absent, decision.failure) == ((), (), "TemplateInvalid")


@pytest.mark.parametrize(
    ("change", "why", "again"),
    [({"host_holder": "older"}, "HostTaken", 10.0), ({"home_holder": "another"}, "HomeInUse", 30.0)],
)
def test_what_another_session_has_is_not_taken(change: dict[str, str], why: str, again: float) -> None:
    _, operator = begun()
    session, made_from, world = operator.look()
    decision = desired(session, made_from, replace(world, **change))
    assert reason(decision.status, "Admitted") == ("False", why)
    assert decision.objects == ()
    assert set(decision.absent) == {POD, ROUTE, SERVICE}
    assert decision.look_again_seconds == again


def test_of_two_pods_for_one_home_the_first_by_name_stays_until_one_has_a_node() -> None:
    cluster, operator = begun()
    operator.pass_()
    session, made_from, world = operator.look()
    ours_first = desired(session, made_from, replace(world, home_holder="zzz"))
    assert POD in {ref(one) for one in ours_first.objects}
    theirs_first = desired(session, made_from, replace(world, home_holder="aaa"))
    assert POD in theirs_first.absent
    cluster.tick()
    session, made_from, world = operator.look()
    placed = desired(session, made_from, replace(world, home_holder="aaa"))
    assert POD in {ref(one) for one in placed.objects}


def test_the_home_of_another_user_is_not_mounted() -> None:
    cluster, operator = running()
    cluster.objects[HOME]["metadata"]["annotations"]["vdibench.io/user"] = "mallory"
    decision = settled(operator)
    assert ready(decision.status) == ("False", "HomeInUse")
    assert POD not in cluster.objects


def test_what_a_deleted_session_of_the_same_name_left_is_not_taken_over() -> None:
    cluster, operator = running()
    former = {place: one["metadata"]["uid"] for place, one in cluster.objects.items()}
    known = cluster.password()
    cluster.delete_session()
    cluster.create_session(user="alice")
    # Before the API server has collected anything.
    operator.pass_()
    assert AUTH not in cluster.objects
    assert ready(settled(operator).status) == ("True", "Published")
    now = {place: one["metadata"]["uid"] for place, one in cluster.objects.items()}
    assert {place for place in now if now[place] == former[place]} == {HOME}
    assert cluster.password() != known


@pytest.mark.parametrize(
    ("change", "why", "says"),
    [
        ({"relay_addresses": ("turn.example.test",)}, "NoRelay", "'turn.example.test' is no address of a relay"),
        ({"spare_password": "short"}, "ContainerConfig", "the Secret with the password: "),
    ],
)
def test_what_cannot_be_made_is_told_by_its_own_reason(change: dict[str, Any], why: str, says: str) -> None:
    for cluster, operator in (begun(), running()):
        runs = POD in cluster.objects
        cluster.objects.pop(AUTH, None)
        session, made_from, world = operator.look()
        decision = desired(session, made_from, replace(world, **change))
        assert reason(decision.status, "Admitted") == ("False", why)
        assert says in decision.status["conditions"][0]["message"]
        assert POD not in {ref(one) for one in decision.objects}
        assert (ready(decision.status)[0] == "True") == runs, "a desktop that runs goes on"
        assert decision.absent == ()


def test_a_session_that_goes_is_left_to_the_api_server() -> None:
    cluster, operator = running()
    assert cluster.session is not None
    cluster.session["metadata"]["deletionTimestamp"] = "2027-01-15T08:01:00Z"
    decision = operator.pass_()
    assert decision is not None
    assert (decision.objects, decision.absent, decision.look_again_seconds) == ((), (), None)
    assert ready(decision.status) == ("False", "Deleting")
    assert "url" not in decision.status


def test_an_operator_that_starts_again_asks_for_no_frame_of_a_desktop_in_use() -> None:
    cluster, operator = running()
    assert cluster.session is not None
    stored = cluster.session["status"]
    fresh = operator.restarted()
    cluster.now += 120
    assert settled(fresh).status == stored
    assert fresh.check is None


def test_turn_credentials_are_minted_anew_at_half_their_life() -> None:
    cluster, operator = running()
    pod, first = cluster.objects[POD]["metadata"]["uid"], turn_expiry(cluster.objects[PLACES["rtc"]])
    assert first is not None
    while (wait := settled(operator).look_again_seconds) == 3600.0:
        assert turn_expiry(cluster.objects[PLACES["rtc"]]) == first
        cluster.now += wait
    assert wait is not None
    cluster.now += wait + 0.001
    status = settled(operator).status
    second = turn_expiry(cluster.objects[PLACES["rtc"]])
    assert second == pytest.approx(first + SETTINGS.turn_lifetime_seconds / 2, abs=5)
    assert status["turnExpiresAt"].startswith("2027-01-16T20:00:0")
    assert cluster.objects[POD]["metadata"]["uid"] == pod


def test_software_where_hardware_is_wanted_is_told_and_serves() -> None:
    cluster, operator = begun()
    while operator.check is None:
        cluster.now += 0.25
        cluster.tick()
        operator.pass_()
        operator.checked()
    operator.check = replace(operator.check, hardware=False, encoder="x264enc")
    status = settled(operator).status
    assert ready(status) == ("True", "Published")
    assert reason(status, "HardwareEncoding") == ("False", "SoftwareFallback")
    assert [notice.warning for notice in operator.notices if notice.reason == "SoftwareFallback"] == [True]
    assert operator.failures == ["SoftwareFallback"]


def test_without_a_checker_nothing_is_published() -> None:
    _, operator = begun()
    operator.settings = replace(SETTINGS, checker_url="")
    status = settled(operator).status
    assert reason(status, "StreamReady") == ("Unknown", "CheckerUnreachable")
    assert reason(status, "PodReady") == ("True", "Serving")
    assert "url" not in status
    assert operator.asked is None


def test_failed_checks_are_paced_and_bounded() -> None:
    cluster, operator = begun()
    cluster.faults.no_frame = True
    gaps, left = [], 0.0
    for _ in range(200):
        cluster.tick()
        decision = operator.pass_()
        assert decision is not None
        if operator.asked is not None:
            gaps.append(cluster.now - left)
            cluster.now += 0.25
            operator.checked()
            left = cluster.now
        elif decision.failure is not None:
            break
        else:
            cluster.now += decision.look_again_seconds if operator.check is not None else 0.25
    assert gaps[1:] == pytest.approx([0.5, 1.0, 2.0, 2.0, 2.0, 2.0, 2.0], abs=1e-6)
    assert operator.failures == ["StreamFailed"]


def test_an_unreachable_checker_is_asked_on_beyond_the_deadline() -> None:
    cluster, operator = begun()
    cluster.faults.no_checker = True
    settled(operator)
    cluster.now += 10_000
    decision = settled(operator)
    assert ready(decision.status) == ("False", "CheckerUnreachable")
    cluster.faults.no_checker = False
    assert ready(settled(operator).status) == ("True", "Published")


def test_another_template_is_for_the_next_start() -> None:
    cluster, operator = running()
    route, pod = cluster.objects[ROUTE]["spec"], cluster.objects[POD]["metadata"]["uid"]
    cluster.edit_template(dialect="selkies-2-websocket", image="registry.test/desktop:3")
    status = settled(operator).status
    assert ready(status) == ("True", "Published")
    assert reason(status, "TemplateDrifted") == ("True", "TemplateChanged")
    assert (cluster.objects[ROUTE]["spec"], cluster.objects[POD]["metadata"]["uid"]) == (route, pod)
    suspended(cluster, operator)
    assert reason(settled(operator).status, "TemplateDrifted") == ("False", "Suspended")
    cluster.edit_session(operatingMode="Running")
    assert reason(settled(operator).status, "TemplateDrifted") == ("False", "AsTemplate")
    assert cluster.objects[POD]["spec"]["containers"][0]["image"] == "registry.test/desktop:3"
    assert cluster.objects[ROUTE]["spec"] != route


def upgraded() -> tuple[Cluster, Operator]:
    """A desktop that an earlier operator has made, which noted another thing of the template."""
    cluster, operator = running()
    notes = cluster.objects[POD]["metadata"]["annotations"]
    del notes[names.TEMPLATE_ANNOTATION]
    notes["vdibench.io/template-generation"] = "t-1/1"
    return cluster, operator.restarted()


def test_a_desktop_of_an_earlier_operator_has_not_drifted_and_is_looked_after() -> None:
    cluster, operator = upgraded()
    policy, pod = PLACES["policy"], cluster.objects[POD]["metadata"]["uid"]
    wanted = {place: copy.deepcopy(cluster.objects[place]["spec"]) for place in (ROUTE, policy)}
    cluster.objects[policy]["spec"]["ingress"] = [{}]
    cluster.objects[ROUTE]["spec"]["routes"] = []
    status = settled(operator).status
    assert ready(status) == ("True", "Published")
    assert reason(status, "TemplateDrifted") == ("False", "AsTemplate")
    assert {place: cluster.objects[place]["spec"] for place in wanted} == wanted
    assert cluster.objects[POD]["metadata"]["uid"] == pod


# An earlier operator's note is of the whole template.
@pytest.mark.parametrize(
    "change", [{"dialect": "selkies-2-websocket", "egress": "internet"}, {"prepull": True}], ids=str
)
def test_a_desktop_of_an_earlier_operator_has_drifted_with_the_generation(change: dict[str, Any]) -> None:
    cluster, operator = upgraded()
    there = {place: copy.deepcopy(cluster.objects[place]["spec"]) for place in (ROUTE, PLACES["policy"], POD)}
    cluster.edit_template(**change)
    status = settled(operator).status
    assert ready(status) == ("True", "Published")
    assert reason(status, "TemplateDrifted") == ("True", "TemplateChanged")
    assert {place: cluster.objects[place]["spec"] for place in there} == there
    suspended(cluster, operator)
    settled(operator)
    cluster.edit_session(operatingMode="Running")
    assert reason(settled(operator).status, "TemplateDrifted") == ("False", "AsTemplate")


def test_a_check_of_a_former_pod_says_nothing() -> None:
    cluster, operator = begun()
    for _ in range(4):
        cluster.now += 0.25
        cluster.tick()
        operator.pass_()
    operator.check = CheckResult("uid-of-another", ok=True, left_unix_seconds=cluster.now - 60)
    decision = operator.pass_()
    assert decision is not None
    assert reason(decision.status, "StreamReady") == ("Unknown", "Checking")
    assert decision.check is not None


REFUSALS: dict[str, tuple[str, str, tuple[str, str], tuple[str, str]]] = {
    "the way": ("Service", "RouteReady", ("False", "Forbidden"), ("False", "Forbidden")),
    "the question": ("Middleware", "RouteReady", ("False", "Forbidden"), ("False", "Forbidden")),
    "the home": ("PersistentVolumeClaim", "HomeBound", ("True", "Bound"), ("True", "Published")),
    "a Secret": ("Secret", "PodReady", ("True", "Serving"), ("True", "Published")),
}


@pytest.mark.parametrize(("kind", "where", "there", "whole"), REFUSALS.values(), ids=REFUSALS.keys())
def test_a_repair_that_is_refused_is_told_beside_the_desktop(
    kind: str, where: str, there: tuple[str, str], whole: tuple[str, str]
) -> None:
    _, operator = running()
    session, made_from, world = operator.look()
    told = desired(session, made_from, replace(world, refusal="ports[0].name: Required value.", refused=kind)).status
    (message,) = (one["message"] for one in told["conditions"] if one["type"] == where)
    assert message == f"the API server refuses the repair of its {kind}: ports[0].name: Required value"
    assert (reason(told, where), ready(told)) == (there, whole)


def test_a_start_that_is_late_for_a_refusal_says_so() -> None:
    cluster, operator = begun()
    for seconds in range(4):
        at(cluster, operator, seconds)
    session, made_from, world = operator.look()
    assert reason(session.status, "StreamReady") == ("Unknown", "Checking")
    late = replace(world, now=world.now + 120.0, refusal="ports[0].name: Required value", refused="Service")
    told = desired(session, made_from, late).status
    assert reason(told, "Ready") == ("False", "Forbidden")
