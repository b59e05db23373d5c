"""Requests of a pass: none for what an API server adds by itself, the right one for what is not as it ought to be."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace

import pytest

from vdi_operator.api.objects import Object, Ref, ref
from vdi_operator.children import all as every
from vdi_operator.core.decision import Change, Decision, Verb
from vdi_operator.core.plan import changes
from vdi_operator.core.world import World

from .cluster import HOME, PLACES, applied, merged
from .process import running

POD, SERVICE, ROUTE, POLICY, AUTH, RTC, LOGIN = (
    PLACES[name] for name in ("pod", "service", "route", "policy", "auth", "rtc", "login")
)
ORDER = [AUTH, RTC, HOME, SERVICE, LOGIN, ROUTE, POLICY, POD]
NAMES = {place: name for name, place in PLACES.items()}

CLUSTER, OPERATOR = running()


def wished() -> tuple[Decision, World]:
    """Everything as it ought to be."""
    session, made_from, world = OPERATOR.look()
    assert made_from is not None
    return Decision(objects=every.children(session, made_from, world)), world


def without(world: World, *places: Ref) -> World:
    return replace(world, **{NAMES[place]: None for place in places})


def edited(world: World, place: Ref, edit: Callable[[Object], object]) -> World:
    one = copy.deepcopy(getattr(world, NAMES[place]))
    edit(one)
    return replace(world, **{NAMES[place]: one})


def verbs(made: tuple[Change, ...]) -> list[tuple[Verb, Ref]]:
    return [(change.verb, change.ref) for change in made]


def test_what_is_as_it_ought_to_be_needs_nothing() -> None:
    decision, world = wished()
    assert changes(decision, world) == ()


def test_documents_of_a_list_have_no_kind() -> None:
    decision, world = wished()
    bare = {
        name: {key: value for key, value in getattr(world, name).items() if key not in ("apiVersion", "kind")}
        for name in PLACES
    }
    assert changes(decision, replace(world, **bare)) == ()


def test_what_is_missing_is_made_in_order_the_pod_last() -> None:
    decision, world = wished()
    made = changes(decision, without(world, *ORDER))
    assert verbs(made) == [(Verb.CREATE, place) for place in ORDER]
    assert [change.body for change in made] == list(decision.objects)


@pytest.mark.parametrize("place", ORDER, ids=str)
def test_one_that_is_missing_is_made(place: Ref) -> None:
    decision, world = wished()
    assert verbs(changes(decision, without(world, place))) == [(Verb.CREATE, place)]


@pytest.mark.parametrize("place", ORDER[:-1], ids=str)
def test_no_pod_beside_what_is_going(place: Ref) -> None:
    decision, world = wished()
    going = edited(world, place, lambda one: one["metadata"].update(deletionTimestamp="2027-01-15T08:00:00Z"))
    assert changes(decision, without(going, POD)) == ()


def label(one: Object) -> None:
    one["metadata"]["labels"]["app.kubernetes.io/instance"] = "mallory"


def added_label(one: Object) -> None:
    one["metadata"]["labels"]["vdibench.io/user-slug"] = "mallory"


def disowned(one: Object) -> None:
    del one["metadata"]["ownerReferences"]


def with_extra_port(one: Object) -> None:
    one["spec"]["ports"].append({"name": "x", "port": 22, "targetPort": 22, "protocol": "TCP"})


def with_another_port(one: Object) -> None:
    one["spec"]["ports"] = [{"port": 22, "targetPort": 22, "protocol": "TCP"}]


def with_another_port_and_label(one: Object) -> None:
    label(one)
    with_extra_port(one)


def with_another_selector(one: Object) -> None:
    one["spec"]["selector"] = {"app": "mine"}


def with_wide_selector(one: Object) -> None:
    del one["spec"]["selector"]["app.kubernetes.io/instance"]


def with_another_rule(one: Object) -> None:
    one["spec"]["routes"].append({"kind": "Rule", "match": "PathPrefix(`/`)"})


def with_resolver(one: Object) -> None:
    one["spec"]["tls"]["certResolver"] = "le"


def without_tls(one: Object) -> None:
    del one["spec"]["tls"]


def without_middlewares(one: Object) -> None:
    one["spec"]["routes"][0]["middlewares"] = []


def with_open_ingress(one: Object) -> None:
    one["spec"]["ingress"].append({})


def with_more_ports(one: Object) -> None:
    one["spec"]["ingress"][0]["ports"][0]["endPort"] = 65535


def with_other_pods(one: Object) -> None:
    one["spec"]["podSelector"] = {"matchLabels": {"app": "none"}}


def with_another_secret(one: Object) -> None:
    one["spec"]["basicAuth"]["secret"] = "vdi-session-auth-mallory"


def with_another_question(one: Object) -> None:
    one["spec"]["headers"] = {"customRequestHeaders": {"Authorization": "Basic eDp5"}}


def with_another_credential(one: Object) -> None:
    one["data"]["rtc.json"] = "e30="


APPLY, MERGE = Verb.APPLY, Verb.MERGE
DRIFTS: dict[str, tuple[Ref, Callable[[Object], object], list[Verb]]] = {
    "a label of a pod": (POD, label, [APPLY]),
    "a label of a service": (SERVICE, label, [APPLY]),
    "a reserved label more": (POD, added_label, [MERGE]),
    "no owner": (ROUTE, disowned, [APPLY]),
    "a port more": (SERVICE, with_extra_port, [MERGE]),
    "another port, without a name": (SERVICE, with_another_port, [MERGE, APPLY]),
    "a port more and a label": (SERVICE, with_another_port_and_label, [MERGE, APPLY]),
    "a wide selector": (SERVICE, with_wide_selector, [APPLY]),
    "another selector": (SERVICE, with_another_selector, [MERGE, APPLY]),
    "a rule more": (ROUTE, with_another_rule, [MERGE]),
    "a resolver": (ROUTE, with_resolver, [MERGE]),
    "no TLS": (ROUTE, without_tls, [APPLY]),
    "no middlewares": (ROUTE, without_middlewares, [MERGE, APPLY]),
    "open ingress": (POLICY, with_open_ingress, [MERGE]),
    "more ports": (POLICY, with_more_ports, [MERGE]),
    "other pods": (POLICY, with_other_pods, [MERGE, APPLY]),
    "another password": (LOGIN, with_another_secret, [APPLY]),
    "another middleware": (LOGIN, with_another_question, [MERGE]),
    "another credential": (RTC, with_another_credential, [APPLY]),
}


@pytest.mark.parametrize(("place", "edit", "expected"), DRIFTS.values(), ids=DRIFTS.keys())
def test_a_drift_is_repaired(place: Ref, edit: Callable[[Object], object], expected: list[Verb]) -> None:
    decision, world = wished()
    drifted = edited(world, place, edit)
    made = changes(decision, drifted)
    assert verbs(made) == [(verb, place) for verb in expected]
    mended = getattr(drifted, NAMES[place])
    for change in made:
        mended = (applied if change.verb is Verb.APPLY else merged)(mended, change.body)
        assert valid(mended)
        if change.verb is Verb.MERGE:
            assert safe(mended), "half repaired it would choose more than it ought to"
    assert changes(decision, replace(drifted, **{NAMES[place]: mended})) == ()


def valid(one: Object) -> bool:
    """Whether an API server would not answer 422 to a Service."""
    ports = one["spec"].get("ports", ()) if one["kind"] == "Service" else ()
    return len(ports) < 2 or all("name" in port for port in ports)


def safe(one: Object) -> bool:
    """Whether it chooses pods of one session only."""
    if one["kind"] == "Service":
        return "app.kubernetes.io/instance" in one["spec"]["selector"]
    if one["kind"] == "NetworkPolicy":
        return "app.kubernetes.io/instance" in one["spec"]["podSelector"]["matchLabels"]
    return True


HARMLESS: dict[str, tuple[Ref, Callable[[Object], object]]] = {
    "a label of a site": (POD, lambda one: one["metadata"]["labels"].update({"example.com/team": "cad"})),
    "an annotation": (ROUTE, lambda one: one["metadata"].update(annotations={"example.com/note": "x"})),
    "an owner more": (
        SERVICE,
        lambda one: one["metadata"]["ownerReferences"].insert(0, {"kind": "Backup", "uid": "b", "name": "b"}),
    ),
    "a larger home": (HOME, lambda one: one["spec"]["resources"]["requests"].update(storage="40Gi")),
    "a class of its first day": (HOME, lambda one: one["spec"].update(storageClassName="old")),
    "another template's pod": (POD, lambda one: one["metadata"]["annotations"].update(x="y")),
    "a pod as it runs": (POD, lambda one: one["spec"]["containers"][0].update(image="other")),
    "a Secret's key more": (RTC, lambda one: one["data"].update(note="eA==")),
    "a Service's addresses": (SERVICE, lambda one: one["spec"].update(clusterIPs=["10.43.0.9"])),
}


@pytest.mark.parametrize(("place", "edit"), HARMLESS.values(), ids=HARMLESS.keys())
def test_what_does_no_harm_is_let_be(place: Ref, edit: Callable[[Object], object]) -> None:
    decision, world = wished()
    assert changes(decision, edited(world, place, edit)) == ()


def test_a_pod_is_repaired_without_its_spec() -> None:
    decision, world = wished()
    (change,) = changes(decision, edited(world, POD, label))
    assert set(change.body) == {"apiVersion", "kind", "metadata"}
    assert set(change.body["metadata"]) == {"name", "namespace", "labels", "ownerReferences"}


@pytest.mark.parametrize("phase", ["Failed", "Succeeded"])
def test_a_pod_that_has_ended_is_deleted_and_made_in_a_later_pass(phase: str) -> None:
    decision, world = wished()
    ended = edited(world, POD, lambda one: one["status"].update(phase=phase))
    uid = CLUSTER.objects[POD]["metadata"]["uid"]
    assert changes(decision, ended) == (Change(Verb.DELETE, POD, uid=uid),)
    assert verbs(changes(decision, without(ended, POD))) == [(Verb.CREATE, POD)]


def test_a_password_that_is_not_fit_is_not_edited_but_made_anew() -> None:
    decision, world = wished()
    session, made_from, _ = OPERATOR.look()
    short = edited(world, AUTH, lambda one: one["data"].update(password="c2hvcnQ="))
    assert made_from is not None
    wanted = Decision(objects=every.children(session, made_from, short))
    uid = CLUSTER.objects[AUTH]["metadata"]["uid"]
    assert changes(wanted, short) == (Change(Verb.DELETE, AUTH, uid=uid),)
    assert decision.objects != wanted.objects


def test_a_secret_of_another_type_is_made_again_with_what_is_in_it() -> None:
    _, world = wished()
    session, made_from, _ = OPERATOR.look()
    assert made_from is not None
    opaque = edited(world, AUTH, lambda one: one.update(type="Opaque"))
    wanted = Decision(objects=every.children(session, made_from, opaque))
    deleted, created = changes(wanted, opaque)
    stored = CLUSTER.objects[AUTH]
    assert deleted == Change(Verb.DELETE, AUTH, uid=stored["metadata"]["uid"])
    assert (created.verb, created.ref) == (Verb.CREATE, AUTH)
    assert (created.body["type"], created.body["data"]) == ("kubernetes.io/basic-auth", stored["data"])
    # A pod that is not there does not have to wait for it: it knows what it will read.
    assert verbs(changes(wanted, without(opaque, POD)))[-1] == (Verb.CREATE, POD)


def test_what_shall_not_be_goes_first_and_once() -> None:
    decision, world = wished()
    rest = Decision(absent=(ROUTE, POD, SERVICE))
    made = changes(rest, world)
    assert made == tuple(
        Change(Verb.DELETE, place, uid=CLUSTER.objects[place]["metadata"]["uid"]) for place in (ROUTE, POD, SERVICE)
    )
    going = edited(world, POD, lambda one: one["metadata"].update(deletionTimestamp="2027-01-15T08:00:00Z"))
    assert verbs(changes(rest, without(going, ROUTE))) == [(Verb.DELETE, SERVICE)]
    mixed = replace(decision, objects=decision.objects[:3], absent=(POD,))
    assert verbs(changes(mixed, without(world, AUTH))) == [(Verb.DELETE, POD), (Verb.CREATE, AUTH)]


def test_what_another_session_left_goes_before_anything_takes_its_name() -> None:
    decision, world = wished()

    def of_another(one: Object) -> None:
        one["metadata"]["ownerReferences"][0]["uid"] = "uid-of-another"

    left = edited(edited(world, POD, of_another), AUTH, of_another)
    assert verbs(changes(decision, left)) == [(Verb.DELETE, AUTH), (Verb.DELETE, POD)]
    assert verbs(changes(decision, without(left, AUTH))) == [(Verb.CREATE, AUTH), (Verb.DELETE, POD)]


def test_a_home_is_never_deleted() -> None:
    _, world = wished()
    with pytest.raises(ValueError, match="purge-home"):
        changes(Decision(absent=(HOME,)), world)


def test_children_come_in_this_order() -> None:
    decision, _ = wished()
    assert [ref(one) for one in decision.objects] == ORDER
