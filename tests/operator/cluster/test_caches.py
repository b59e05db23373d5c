"""Whose pass a change asks for, and who shares what with whom."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from vdi_operator.api.session import HomePolicy, Session
from vdi_operator.children import names
from vdi_operator.cluster.caches import Caches
from vdi_operator.cluster.kube import Client
from vdi_operator.cluster.queue import WorkQueue
from vdi_operator.cluster.sessions import Sessions, State
from vdi_operator.cluster.stores import Store
from vdi_operator.cluster.surroundings import Surroundings
from vdi_operator.core.world import NodeFact
from vdi_operator.settings import Settings

from .api_server import Fault, Object, Server, pod, session, until


class Wakes(WorkQueue):
    """A queue that only writes down."""

    def __init__(self) -> None:
        super().__init__()
        self.woken: list[tuple[str, float, bool]] = []

    def wake(self, key: str, after: float = 0.0, *, urgent: bool = False) -> None:
        self.woken.append((key, after, urgent))

    def keys(self) -> set[str]:
        return {key for key, _, _ in self.woken}


def with_home(name: str) -> Object:
    """A pod of a session of alice's, with the same name."""
    return pod(name, name, volumes=[{"name": "home", "persistentVolumeClaim": {"claimName": "vdi-home-alice"}}])


@asynccontextmanager
async def following(client: Client, **settings: Any) -> AsyncIterator[tuple[Caches, Wakes]]:
    queue = Wakes()
    caches = Caches(Settings(**settings), queue)
    task = asyncio.create_task(caches.run(client))
    try:
        await asyncio.wait_for(caches.filled(), 20.0)
        yield caches, queue
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def kept(sessions: Sessions, *documents: Object) -> None:
    for number, one in enumerate(documents):
        metadata = {"uid": f"u-{one['metadata']['name']}", "resourceVersion": str(number + 1), **one["metadata"]}
        sessions.put({**one, "metadata": metadata})


async def test_a_child_wakes_its_session(api: Server, client: Client) -> None:
    async with following(client) as (caches, queue):
        one = pod("s", "cad-7")
        api.put("services", {**one, "kind": "Service"})
        await until(lambda: "s" in caches.services)
        assert queue.keys() == {"cad-7"}


async def test_a_pod_is_of_the_template_that_it_notes_now_or_as_earlier_operators_did(
    api: Server, client: Client
) -> None:
    async with following(client) as (caches, _):
        for name, notes in {
            "now": {names.TEMPLATE_ANNOTATION: "t-1/0123456789abcdef"},
            "before": {"vdibench.io/template-generation": "t-2/7"},
            "nothing": {},
        }.items():
            one = pod(name, name)
            api.put("pods", {**one, "metadata": {**one["metadata"], "annotations": notes}})
        await until(lambda: len(list(caches.pods.facts())) == 3)
        assert {name: facts.template for name, facts in caches.pods.facts()} == {
            "now": "t-1",
            "before": "t-2",
            "nothing": "",
        }


async def test_only_what_is_ours_is_watched(api: Server, client: Client) -> None:
    async with following(client):
        await until(lambda: api.watching() == 10)
    selectors = {
        one.path.rsplit("/", 1)[1]: one.query.get("labelSelector") or one.query.get("fieldSelector")
        for one in api.seen
        if one.query.get("watch") == "true"
    }
    managed = "app.kubernetes.io/managed-by=vdi-operator"
    assert {key: value for key, value in selectors.items() if key != "events"} == {
        "pods": managed,
        "services": managed,
        "ingressroutes": managed,
        "middlewares": managed,
        "networkpolicies": managed,
        "persistentvolumeclaims": "app.kubernetes.io/part-of=vdi-platform",
        "vditemplates": None,
        "daemonsets": managed,
    }
    assert not [one for one in api.seen if "secrets" in one.path], "no role lists Secrets"
    assert not [one for one in api.seen if "nodes" in one.path], "nodes are read by permission only"


async def test_who_may_not_list_daemonsets_has_desktops_all_the_same(api: Server, client: Client) -> None:
    refusal = Fault("GET", "/daemonsets", 403, "Forbidden", times=1_000_000)
    api.faults.append(refusal)
    async with following(client) as (caches, _):
        assert caches.missing() == []
        assert "daemonsets" not in [store.title for store in caches.watched], "nor does its silence mean anything"
        assert not caches.daemon_sets.filled.is_set()
        refusal.times = 0
        await until(caches.daemon_sets.filled.is_set, "it is listed once that is let")


async def test_a_home_a_template_and_a_freed_home_wake_whoever_uses_them(api: Server, client: Client) -> None:
    async with following(client) as (caches, queue):
        kept(caches.sessions, session("a"), session("b"), session("c", user="bob"))
        labels = {"app.kubernetes.io/part-of": "vdi-platform"}
        queue.woken.clear()
        api.put("persistentvolumeclaims", {"metadata": {"name": names.home_name("alice"), "labels": labels}})
        await until(lambda: len(caches.homes) == 1)
        assert queue.keys() == {"a", "b"}
        queue.woken.clear()
        api.put("vditemplates", {"metadata": {"name": "cad"}, "spec": {"image": "i"}})
        await until(lambda: len(caches.templates) == 1)
        assert queue.keys() == {"a", "b", "c"}
        api.put("pods", with_home("a"))
        await until(lambda: "a" in caches.pods)
        queue.woken.clear()
        api.remove("pods", "a")
        await until(lambda: "a" not in caches.pods)
        assert queue.keys() == {"a", "b"}


@pytest.mark.parametrize("how", ["ended", "deleted by a request of our own"])
async def test_a_home_is_free_when_its_pod_has_ended_or_is_gone_and_others_hear_of_it(
    api: Server, client: Client, how: str
) -> None:
    async with following(client) as (caches, queue):
        kept(caches.sessions, session("a"), session("b"), session("c", user="bob"))
        api.put("pods", with_home("a"))
        await until(lambda: "a" in caches.pods)
        assert caches.pods.holders(names.home_name("alice")) == {"a"}
        queue.woken.clear()
        if how == "ended":
            api.put("pods", {**with_home("a"), "status": {"phase": "Failed"}})
            await until(lambda: queue.woken)
            assert queue.keys() == {"a", "b"}
        else:
            caches.pods.drop("a", quiet=True)
            assert queue.keys() == {"b"}
        assert not caches.pods.holders(names.home_name("alice"))


async def test_a_pass_looks_for_who_has_its_home_without_going_through_a_users_sessions(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    caches = Caches(Settings(), Wakes())
    surroundings = Surroundings(Settings(), caches, client)
    flood = 300
    kept(caches.sessions, *(session(f"s{number:03}") for number in range(flood)))
    caches.pods.put({**with_home("s007"), "metadata": {**with_home("s007")["metadata"], "resourceVersion": "1"}})
    decoded: list[str] = []
    get = Store.get

    def counted(store: Store[Any], name: str) -> Object | None:
        decoded.append(name)
        return get(store, name)

    monkeypatch.setattr(Store, "get", counted)
    last = Session("vdi-sessions", f"s{flood - 1}", "u", 1, "alice", "cad")
    assert (await surroundings.look(last, surroundings.memory(last))).home_holder == "s007"
    assert len(decoded) < 10, "its own children alone"
    fresh = replace(last, home_policy=HomePolicy.FRESH)
    assert (await surroundings.look(fresh, surroundings.memory(fresh))).home_holder == ""
    other = replace(last, user="bob")
    assert (await surroundings.look(other, surroundings.memory(other))).home_holder == ""
    own = replace(last, name="s007")
    assert (await surroundings.look(own, surroundings.memory(own))).home_holder == ""
    caches.sessions.drop("s007")
    assert (await surroundings.look(last, surroundings.memory(last))).home_holder == "", "its session is gone"


async def test_events_are_found_by_their_object_and_forgotten_with_it(api: Server, client: Client) -> None:
    def event(name: str, at: str, **more: Any) -> Object:
        about = {"kind": "Pod", "name": "p", "uid": api.objects[("pods", "p")]["metadata"]["uid"], **more}
        return {
            "metadata": {"name": name},
            "involvedObject": about,
            "type": "Warning",
            "reason": "FailedScheduling",
            "message": name,
            "lastTimestamp": at,
        }

    async with following(client) as (caches, queue):
        api.put("pods", pod("p", "cad-7"))
        await until(lambda: "p" in caches.pods)
        queue.woken.clear()
        api.put("events", event("late", "2026-11-29T12:00:09Z"))
        api.put("events", event("early", "2026-11-29T12:00:01Z"))
        api.put("events", event("former", "2026-11-29T11:00:00Z", uid="another-pod"))
        api.put("events", event("session", "2026-11-29T11:00:00Z", kind="VDISession"))
        uid = api.objects[("pods", "p")]["metadata"]["uid"]
        await until(lambda: len(caches.events("Pod", "p", uid)) == 2)
        assert [one["message"] for one in caches.events("Pod", "p", uid)] == ["early", "late"]
        assert queue.keys() == {"cad-7"}
        api.remove("events", "late")
        await until(lambda: [one["message"] for one in caches.events("Pod", "p", uid)] == ["early"])


async def test_of_good_events_those_alone_wake_that_are_read(api: Server, client: Client) -> None:
    async with following(client) as (caches, queue):
        api.put("pods", pod("p", "cad-7"))
        await until(lambda: "p" in caches.pods)
        about = {"kind": "Pod", "name": "p"}
        queue.woken.clear()
        for reason in ("Scheduled", "Pulling"):
            api.put(
                "events", {"metadata": {"name": reason}, "involvedObject": about, "type": "Normal", "reason": reason}
            )
        await until(lambda: queue.woken)
        assert len(caches.events("Pod", "p", "")) == 2, "both are known, in this order"
        ((session_name, pause, _),) = queue.woken
        assert session_name == "cad-7"
        assert pause > 0, "the pod's own status may tell it meanwhile"


async def test_heartbeats_of_a_node_wake_nobody_and_its_state_does(api: Server, client: Client) -> None:
    def node(ready: str, beat: str, address: str = "192.0.2.1") -> Object:
        return {
            "metadata": {"name": "n1", "labels": {"vdibench.io/turn": "true"}},
            "spec": {},
            "status": {
                "conditions": [{"type": "Ready", "status": ready, "lastHeartbeatTime": beat}],
                "addresses": [{"type": "InternalIP", "address": address}, {"type": "Hostname", "address": "n1"}],
            },
        }

    api.put("nodes", node("True", "1"))
    api.put("pods", pod("p", "cad-7", nodeName="n1"))
    async with following(client, read_nodes=True) as (caches, queue):
        kept(caches.sessions, session("other"))
        assert caches.relays() == ("192.0.2.1",)
        entry = caches.nodes.entry("n1")
        assert entry is not None
        assert entry.facts.fact == NodeFact("n1")
        queue.woken.clear()
        api.put("nodes", node("True", "2"))
        api.put("nodes", node("False", "3"))
        await until(lambda: queue.woken)
        assert queue.woken == [("cad-7", 0.0, False)]
        queue.woken.clear()
        api.put("nodes", node("False", "4", "192.0.2.2"))
        await until(lambda: "other" in {key for key, _, _ in queue.woken})
        assert caches.relays() == ("192.0.2.2",)


async def test_gpus_are_counted_where_they_are_labelled_and_pods_may_go(api: Server, client: Client) -> None:
    def node(name: str, count: str | None, ready: str = "True") -> Object:
        labels = {} if count is None else {"nvidia.com/gpu.count": count}
        status = {"conditions": [{"type": "Ready", "status": ready}]}
        return {"metadata": {"name": name, "labels": labels}, "spec": {}, "status": status}

    changes: list[None] = []
    async with following(client, read_nodes=True) as (caches, _):
        caches.gpus_changed = lambda: changes.append(None)
        assert caches.gpus() is None
        for name, count in (("none", None), ("words", "two"), ("negative", "-1")):
            api.put("nodes", node(name, count))
        await until(lambda: len(caches.nodes) == 3)
        assert (caches.gpus(), changes) == (None, [])
        api.put("nodes", node("one", "1"))
        api.put("nodes", node("four", "4"))
        await until(lambda: caches.gpus() == 5)
        api.put("nodes", node("four", "4", ready="Unknown"))
        await until(lambda: caches.gpus() == 1)
        api.put("nodes", node("one", "1", ready="False"))
        await until(lambda: caches.gpus() == 0, "none is free, which is another thing than nobody knows")
        assert len(changes) == 4


async def test_a_template_says_how_many_a_gpu_carries_as_far_as_it_can_be_read(api: Server, client: Client) -> None:
    def put(**spec: Any) -> None:
        api.put("vditemplates", {"metadata": {"name": "cad"}, "spec": {"image": "i", **spec}})

    async with following(client) as (caches, _):
        assert caches.per_gpu("cad") is None
        put(capacity={"sessionsPerGPU": 8})
        await until(lambda: caches.per_gpu("cad") == 8)
        put(capacity={"sessionsPerGPU": 8}, gpu={"count": 0})
        await until(lambda: caches.per_gpu("cad") == 0)
        put(capacity={"sessionsPerGPU": "many"})
        await until(lambda: caches.per_gpu("cad") is None)
        put()
        await until(lambda: caches.per_gpu("cad") == 0)


def sessions() -> tuple[Sessions, list[tuple[str, bool]]]:
    woken: list[tuple[str, bool]] = []
    return Sessions(lambda name, urgent: woken.append((name, urgent))), woken


def test_a_new_session_is_urgent_and_one_that_had_its_pass_is_not() -> None:
    found, woken = sessions()
    done = {**session("b"), "status": {"observedGeneration": 3}}
    done["metadata"]["generation"] = 3
    new = session("a")
    new["metadata"]["generation"] = 1
    kept(found, new, done)
    assert woken == [("a", True), ("b", False)]


@pytest.mark.parametrize(("created", "holder"), [("2026-11-29T12:00:01Z", "b"), ("2026-11-29T11:59:59Z", "")])
def test_a_host_is_the_older_sessions(created: str, holder: str) -> None:
    found, _ = sessions()
    a, b = session("a", host="desk"), session("b", user="bob", host="desk")
    a["metadata"]["creationTimestamp"], b["metadata"]["creationTimestamp"] = created, "2026-11-29T12:00:00Z"
    kept(found, a, b, session("c"))
    assert found.host_holder("a") == holder
    assert found.host_holder("c") == ""
    assert found.host_holder("nobody") == ""


def test_a_host_stays_with_whom_it_was_given_to() -> None:
    found, _ = sessions()
    a, b = session("a", host="desk"), session("b", host="desk")
    b["status"] = {"conditions": [{"type": "Admitted", "status": "True"}]}
    for one in (a, b):
        one["metadata"]["creationTimestamp"] = "2026-11-29T12:00:00Z"
    kept(found, a, b)
    assert (found.host_holder("a"), found.host_holder("b")) == ("b", "")


def test_a_host_is_given_before_a_status_says_so() -> None:
    found, _ = sessions()
    a, b = session("a", host="desk"), session("b", host="desk")
    for one in (a, b):
        one["metadata"]["creationTimestamp"] = "2026-11-29T12:00:00Z"
    kept(found, a, b)
    found.admit("b", "u-b", admitted=True)
    assert (found.host_holder("a"), found.host_holder("b")) == ("b", "")
    found.admit("b", "u-b", admitted=False)
    assert (found.host_holder("a"), found.host_holder("b")) == ("", "a")
    found.admit("b", "u-of-a-former-one", admitted=True)
    assert found.host_holder("b") == "a"


def test_the_echo_of_an_own_status_wakes_nobody_and_a_wish_meanwhile_does() -> None:
    found, woken = sessions()
    one = session("a")
    one["metadata"] |= {"uid": "u-a", "generation": 1, "resourceVersion": "1"}
    found.put(one)
    woken.clear()
    with found.awaiting("a"):
        found.put({**one, "metadata": {**one["metadata"], "resourceVersion": "2"}, "status": {"observedGeneration": 1}})
        assert woken == []
        found.put({**one, "metadata": {**one["metadata"], "resourceVersion": "3", "generation": 2}})
    assert woken == [("a", True)]


async def test_steps_of_a_pod_are_looked_at_together_and_its_end_at_once(api: Server, client: Client) -> None:
    def status(phase: str, ready: str) -> Object:
        return {"status": {"phase": phase, "conditions": [{"type": "Ready", "status": ready}]}}

    async with following(client) as (_, queue):
        for number, (more, at_once) in enumerate(
            [
                ({}, True),
                ({"spec": {"nodeName": "n1"}}, False),
                (status("Pending", "False"), False),
                (status("Running", "True"), True),
                (status("Running", "False"), True),
                (status("Failed", "False"), True),
            ]
        ):
            queue.woken.clear()
            api.put("pods", {**pod("p", "cad-7"), **more})
            await until(lambda: queue.woken, f"step {number}")
            assert [(key, after == 0.0) for key, after, _ in queue.woken] == [("cad-7", at_once)], number


def test_who_waits_for_a_host_or_a_home_hears_when_it_is_free() -> None:
    found, woken = sessions()
    kept(found, session("a", host="desk"), session("b", user="bob", host="desk"), session("c"), session("d", "eve"))
    woken.clear()
    found.drop("a")
    assert {name for name, _ in woken} == {"a", "b", "c"}
    assert found.of_user("alice") == {"c"}


def test_states_are_counted() -> None:
    found, _ = sessions()

    def ready(status: str, reason: str) -> Object:
        return {"conditions": [{"type": "Ready", "status": status, "reason": reason}]}

    kept(
        found,
        session("new"),
        {**session("ready"), "status": ready("True", "Published")},
        {**session("pulling"), "status": ready("False", "PullingImage")},
        {**session("broken"), "status": ready("False", "ImageUnavailable")},
        session("asleep", operatingMode="Suspended"),
        {"metadata": {"name": "nothing-in-it"}},
    )
    assert found.states() == {State.STARTING: 3, State.READY: 1, State.FAILED: 1, State.SUSPENDED: 1}
