"""Who is next, with real passes and a server: by priority and user, within limits, and at the node of a home."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from vdi_operator.api.reasons import Reason
from vdi_operator.cluster import controller as passes
from vdi_operator.cluster import slots as ledger
from vdi_operator.cluster.kube import Client
from vdi_operator.core import homes
from vdi_operator.settings import Settings

from .api_server import Object, Server, session, until
from .test_controller import Operator, condition, names_of
from .test_slots import edit, offer, running

Begin = Callable[..., Any]

SLICE = "0/2 nodes are available: 1 Insufficient nvidia.com/gpu, 1 node(s) had volume node affinity conflict."


def wish(api: Server, name: str, minute: int, *, user: str = "", **spec: Any) -> None:
    """A session, by default of a user of its own, as old as it is said to be."""
    one = session(name, user=user or name, **spec)
    one["metadata"]["creationTimestamp"] = f"2026-01-15T12:{minute:02}:00Z"
    api.put("vdisessions", one)


def said(api: Server, name: str, kind: str = "Admitted") -> str:
    """Reason and sentence of a session's condition."""
    found = condition(api, name, kind)
    return f"{found.get('reason', '')}: {found.get('message', '')}"


def queue(api: Server, name: str) -> Object | None:
    found: Object | None = (api.objects[("vdisessions", name)].get("status") or {}).get("queue")
    return found


@pytest.fixture
def sites(api: Server, client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Begin:
    """An operator with sixteen workers, and settings of its own, which tells positions at once."""
    secret = tmp_path / "secret"
    secret.write_text("north\n")
    monkeypatch.setattr(ledger, "_TOLD_SECONDS", 0.1)

    @asynccontextmanager
    async def begin(**settings: Any) -> AsyncIterator[Operator]:
        given: dict[str, Any] = {"relay_addresses": ("192.0.2.10",), "turn_secret_file": str(secret), "workers": 16}
        async with Operator(api, client, Settings(**given, **settings)) as found:
            yield found

    return begin


async def test_a_priority_class_is_before_older_sessions_without(sites: Begin, api: Server) -> None:
    offer(api, 1)
    first = {"image": "registry.test/desktop:1", "capacity": {"sessionsPerGPU": 1}, "priorityClassName": "cad-first"}
    api.put("vditemplates", {"metadata": {"name": "first"}, "spec": first})
    wish(api, "runs", 0)
    async with sites(gpus=1, queue_priorities={"cad-first": 10}) as operator:
        await operator.listed()
        await until(lambda: running(api) == {"runs"})
        wish(api, "old", 1)
        wish(api, "young", 9, templateRef={"name": "first"})
        await operator.listed()
        await until(lambda: queue(api, "young") == {"position": 1, "waiting": 2})
        await until(lambda: queue(api, "old") == {"position": 2, "waiting": 2})
        api.remove("vdisessions", "runs")
        await operator.listed()
        await until(lambda: running(api) == {"young"})
        pod = api.objects[("pods", names_of("young")["pods"])]
        assert pod["spec"]["priorityClassName"] == "cad-first"
        await until(lambda: queue(api, "old") == {"position": 1, "waiting": 1})
        # Without the class there is none in the pod.
        api.remove("vdisessions", "young")
        await operator.listed()
        await until(lambda: running(api) == {"old"})
        assert "priorityClassName" not in api.objects[("pods", names_of("old")["pods"])]["spec"]
        await until(lambda: queue(api, "old") is None, "who runs has no position")


async def test_a_class_that_a_template_takes_on_counts_for_those_who_wait(sites: Begin, api: Server) -> None:
    offer(api, 1)
    api.put("vditemplates", {"metadata": {"name": "other"}, "spec": {"image": "x", "capacity": {"sessionsPerGPU": 1}}})
    for minute, name in enumerate(("runs", "old")):
        wish(api, name, minute)
    wish(api, "young", 9, templateRef={"name": "other"})
    async with sites(gpus=1, queue_priorities={"first": 1}) as operator:
        await operator.listed()
        await until(lambda: (queue(api, "young") or {}).get("position") == 2)
        spec = {"image": "x", "capacity": {"sessionsPerGPU": 1}, "priorityClassName": "first"}
        api.put("vditemplates", {"metadata": {"name": "other"}, "spec": spec})
        await until(lambda: (queue(api, "young") or {}).get("position") == 1)
        await until(lambda: (queue(api, "old") or {}).get("position") == 2)


async def test_a_flood_of_one_user_is_not_before_anothers_first_session(sites: Begin, api: Server) -> None:
    offer(api, 1)
    wish(api, "runs", 0)
    async with sites(gpus=1) as operator:
        await operator.listed()
        await until(lambda: running(api) == {"runs"})
        for number in range(40):
            wish(api, f"flood-{number:02}", 1, user="flood")
        wish(api, "bob", 2)
        await operator.listed()
        await until(lambda: queue(api, "bob") == {"position": 2, "waiting": 41})
        assert operator.controller.slots.queues()[Reason.CAPACITY_REACHED] == 41
        api.remove("vdisessions", "runs")
        await operator.listed()
        await until(lambda: running(api) == {"flood-00"}, "the oldest of all")
        # A home is open in one desktop at a time: the flood's others cannot run, and do not stand in the way.
        await until(lambda: queue(api, "bob") == {"position": 1, "waiting": 1})
        api.remove("vdisessions", "flood-00")
        await operator.listed()
        await until(lambda: running(api) == {"bob"}, "one place later")


async def test_a_user_beyond_the_limit_waits_and_holds_nobody_up(sites: Begin, api: Server) -> None:
    offer(api, None)
    wish(api, "a1", 0, user="alice")
    wish(api, "a2", 1, user="alice", homePolicy="Fresh")
    wish(api, "bob", 2)
    async with sites(sessions_per_user=1) as operator:
        await operator.listed()
        await until(lambda: running(api) == {"a1", "bob"} and said(api, "a2").startswith("UserLimitReached"))
        told = "alice has 1 of 1 sessions that run or wait for a GPU (a1); position 1 of 1: suspend or delete one of"
        assert said(api, "a2") == f"UserLimitReached: {told} them"
        assert queue(api, "a2") == {"position": 1, "waiting": 1}
        assert operator.controller.slots.queues()[Reason.USER_LIMIT_REACHED] == 1
        edit(api, "a1", operatingMode="Suspended")
        await operator.listed()
        await until(lambda: running(api) == {"a2", "bob"})
        edit(api, "a1", operatingMode="Running")
        await operator.listed()
        await until(lambda: said(api, "a1").startswith("UserLimitReached"), "it is older, and the other one runs")
        assert running(api) == {"a2", "bob"}
        api.remove("vdisessions", "a2")
        await operator.listed()
        await until(lambda: running(api) == {"a1", "bob"})
        assert operator.controller.slots.queues()[Reason.USER_LIMIT_REACHED] == 0


async def test_without_a_limit_a_user_has_a_second_desktop_on_a_fresh_home(sites: Begin, api: Server) -> None:
    offer(api, None)
    wish(api, "a1", 0, user="alice")
    wish(api, "a2", 1, user="alice", homePolicy="Fresh")
    wish(api, "a3", 2, user="alice", homePolicy="Fresh")
    async with sites() as operator:
        await operator.listed()
        await until(lambda: running(api) == {"a1", "a2"} and said(api, "a3").startswith("HomeInUse"))
        claims = {name for kind, name in api.objects if kind == "persistentvolumeclaims"}
        assert claims == {"vdi-home-alice", "vdi-fresh-home-alice"}
        api.remove("vdisessions", "a2")
        await operator.listed()
        await until(lambda: running(api) == {"a1", "a3"})
        assert len([kind for kind, _ in api.objects if kind == "persistentvolumeclaims"]) == 2, "homes stay"


async def test_the_namespace_has_a_limit_and_users_take_turns_at_it(sites: Begin, api: Server) -> None:
    offer(api, None)
    wish(api, "a1", 0, user="alice")
    wish(api, "bob", 1)
    async with sites(sessions_per_namespace=2) as operator:
        await operator.listed()
        await until(lambda: running(api) == {"a1", "bob"})
        wish(api, "a2", 2, user="alice", homePolicy="Fresh")
        wish(api, "carol", 3)
        await operator.listed()
        await until(lambda: queue(api, "a2") == {"position": 2, "waiting": 2})
        told = "NamespaceLimitReached: the namespace has 2 of 2 sessions that run or wait for a GPU; position 1 of 2"
        await until(lambda: said(api, "carol").startswith(told))
        assert operator.controller.slots.queues()[Reason.NAMESPACE_LIMIT_REACHED] == 2
        api.remove("vdisessions", "bob")
        await operator.listed()
        await until(lambda: running(api) == {"a1", "carol"}, "alice has one already")
        await until(lambda: queue(api, "a2") == {"position": 1, "waiting": 1})


async def test_limits_hold_over_a_restart_and_gpus_count_beside_them(sites: Begin, api: Server) -> None:
    offer(api, 1)
    for number in range(6):
        wish(api, f"s{number}", number)
    async with sites(gpus=1, sessions_per_namespace=3) as operator:
        await operator.listed()
        await until(lambda: running(api) == {"s0"})
        wanted = ["CapacityReached"] * 2 + ["NamespaceLimitReached"] * 3
        await until(lambda: [said(api, f"s{number}").partition(":")[0] for number in range(1, 6)] == wanted)
    api.remove("vdisessions", "s1")  # while nobody looks
    async with sites(gpus=1, sessions_per_namespace=3) as operator:
        await operator.listed()
        await until(lambda: said(api, "s3").startswith("CapacityReached"))
        await until(lambda: queue(api, "s4") == {"position": 1, "waiting": 2})
        assert running(api) == {"s0"}
        api.remove("vdisessions", "s0")
        await operator.listed()
        await until(lambda: running(api) == {"s2"})
        await until(lambda: said(api, "s4").startswith("CapacityReached"))
        assert said(api, "s5").startswith("NamespaceLimitReached")
    assert len(api.asked("POST", "pods")) == 2


async def test_who_fails_or_cannot_run_takes_no_part_of_a_limit(sites: Begin, api: Server) -> None:
    offer(api, None)
    wish(api, "lost", 0, templateRef={"name": "nobody-has-it"})
    wish(api, "a", 1)
    wish(api, "b", 2)
    async with sites(sessions_per_namespace=1) as operator:
        await operator.listed()
        await until(lambda: running(api) == {"a"} and queue(api, "b") == {"position": 1, "waiting": 1})
        edit(api, "a", lifetime="1s")  # it is over
        await operator.listed()
        await until(lambda: running(api) == {"b"})


def unplaced(api: Server, name: str, user: str, why: str, made: int) -> None:
    """What provisioner and scheduler say of a pod that its home keeps away from free slices."""
    places = names_of(name, user)
    home = api.objects[("persistentvolumeclaims", places["persistentvolumeclaims"])]
    annotations = {**home["metadata"]["annotations"], "volume.kubernetes.io/selected-node": "n1"}
    bound = {"metadata": {**home["metadata"], "annotations": annotations}, "status": {"phase": "Bound"}}
    api.put("persistentvolumeclaims", {**home, **bound})
    pod = api.objects[("pods", places["pods"])]
    metadata = {**pod["metadata"], "creationTimestamp": f"2026-11-29T13:00:{made:02}Z"}
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": why}
    api.put("pods", {**pod, "metadata": metadata, "status": {"phase": "Pending", "conditions": [condition]}})


async def test_a_full_node_of_a_home_has_a_line_of_its_own_and_a_way_out(sites: Begin, api: Server) -> None:
    offer(api, None)
    wish(api, "alice", 0)
    wish(api, "bob", 1)
    async with sites() as operator:
        await operator.listed()
        await until(lambda: running(api) == {"alice", "bob"})
        unplaced(api, "alice", "alice", SLICE, made=2)
        unplaced(api, "bob", "bob", SLICE, made=1)
        await until(lambda: queue(api, "bob") == {"position": 1, "waiting": 2})
        await until(lambda: queue(api, "alice") == {"position": 2, "waiting": 2})
        assert said(api, "alice", "Ready").startswith("HomeNodeFull: no slice of a GPU is free on the home's node n1")
        assert operator.controller.slots.queues()[Reason.HOME_NODE_FULL] == 2
        own = api.objects[("persistentvolumeclaims", "vdi-home-bob")]
        edit(api, "bob", homePolicy="Fresh")
        await operator.listed()
        await until(lambda: ("persistentvolumeclaims", "vdi-fresh-home-bob") in api.objects)

        def another() -> bool:
            pod = api.objects.get(("pods", names_of("bob")["pods"]))
            return pod is not None and homes.mounted(pod) == "vdi-fresh-home-bob"

        await until(another, "a pod with the other home")
        await until(lambda: queue(api, "bob") is None)
        await until(lambda: queue(api, "alice") == {"position": 1, "waiting": 1})
        assert api.objects[("persistentvolumeclaims", "vdi-home-bob")] == own, "it is left as it is"
        api.remove("vdisessions", "alice")
        await operator.listed()
        await until(lambda: operator.controller.slots.queues()[Reason.HOME_NODE_FULL] == 0)


async def test_positions_are_told_however_slowly_steps_are(
    sites: Begin, api: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passes, "_STATUS_SECONDS", 0.0)
    monkeypatch.setattr(passes, "_STATUS_RATE", 0.001)
    offer(api, 1)
    for minute, name in enumerate(("runs", "next", "last")):
        wish(api, name, minute)
    async with sites(gpus=1) as operator:
        await operator.listed()
        await until(lambda: queue(api, "last") == {"position": 2, "waiting": 2})
        api.remove("vdisessions", "runs")
        await operator.listed()
        await until(lambda: queue(api, "last") == {"position": 1, "waiting": 1})
