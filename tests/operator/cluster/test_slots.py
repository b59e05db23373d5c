"""The ledger with real passes and a server: never more pods than places, whoever asks first, and after a restart."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from vdi_operator.api.objects import Kind
from vdi_operator.api.reasons import Reason
from vdi_operator.api.session import Session
from vdi_operator.cluster import controller as module
from vdi_operator.cluster import slots as ledger
from vdi_operator.cluster.caches import GPU_LABEL, Caches
from vdi_operator.cluster.kube import Client
from vdi_operator.cluster.queue import WorkQueue
from vdi_operator.core.slots import UNCOUNTED
from vdi_operator.settings import Settings

from .api_server import Fault, Object, Server, session, until
from .test_controller import Operator, condition, names_of

Begin = Callable[..., Any]


def offer(api: Server, per_gpu: int | None, **spec: Any) -> None:
    """A template with that capacity."""
    capacity = {} if per_gpu is None else {"capacity": {"sessionsPerGPU": per_gpu}}
    whole = {"image": "registry.test/desktop:1", **capacity, **spec}
    api.put("vditemplates", {"metadata": {"name": "cad"}, "spec": whole})


def wish(api: Server, name: str, minute: int, *, user: str = "", **spec: Any) -> None:
    """A session, by default of a user of its own, as old as it is said to be."""
    one = session(name, user=user or name, **spec)
    one["metadata"]["creationTimestamp"] = f"2026-01-15T12:{minute:02}:00Z"
    api.put("vdisessions", one)


def edit(api: Server, name: str, **spec: Any) -> None:
    one = api.objects[("vdisessions", name)]
    api.put("vdisessions", {**one, "spec": {**one["spec"], **spec}})


def node(gpus: int | None, name: str = "n1", *, cordoned: bool = False) -> Object:
    labels = {} if gpus is None else {GPU_LABEL: str(gpus)}
    return {
        "metadata": {"name": name, "labels": labels},
        "spec": {"unschedulable": True} if cordoned else {},
        "status": {"conditions": [{"type": "Ready", "status": "True"}]},
    }


def place(api: Server, name: str, at: str) -> None:
    """What the scheduler does."""
    one = api.objects[("pods", names_of(name)["pods"])]
    api.put("pods", {**one, "spec": {**one["spec"], "nodeName": at}})


def tie(api: Server, name: str, at: str) -> None:
    """What the scheduler says of a pod whose home is on a node that takes none."""
    places, kind = names_of(name, name), "persistentvolumeclaims"
    home = api.objects[(kind, places[kind])]
    annotations = {**home["metadata"]["annotations"], "volume.kubernetes.io/selected-node": at}
    api.put(kind, {**home, "metadata": {**home["metadata"], "annotations": annotations}, "status": {"phase": "Bound"}})
    one = api.objects[("pods", places["pods"])]
    why = "0/2 nodes are available: 1 node(s) had volume node affinity conflict, 1 node(s) were unschedulable."
    told = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": why}
    api.put("pods", {**one, "status": {"phase": "Pending", "conditions": [told]}})


def running(api: Server) -> set[str]:
    """Sessions that have a pod."""
    prefix = "vdi-session-"
    return {name.removeprefix(prefix) for kind, name in api.objects if kind == "pods"}


def waiting(api: Server) -> dict[str, str]:
    """Sessions that say that they wait for a place, each with its sentence."""
    names = [name for kind, name in api.objects if kind == "vdisessions"]
    found = {name: condition(api, name, "Admitted") for name in names}
    return {name: one["message"] for name, one in found.items() if one.get("reason") == "CapacityReached"}


@pytest.fixture
def sites(api: Server, client: Client, tmp_path: Path) -> Begin:
    """An operator with sixteen workers, and settings of its own."""
    secret = tmp_path / "secret"
    secret.write_text("north\n")

    @asynccontextmanager
    async def begin(**settings: Any) -> AsyncIterator[Operator]:
        given: dict[str, Any] = {"relay_addresses": ("192.0.2.10",), "turn_secret_file": str(secret), "workers": 16}
        async with Operator(api, client, Settings(**given, **settings)) as found:
            yield found

    return begin


async def test_of_many_at_once_the_oldest_are_let_in_and_no_more(sites: Begin, api: Server) -> None:
    offer(api, 2)
    # The API server lists them by name: the youngest first.
    for number in range(20):
        wish(api, f"s{number:02}", 59 - number)
    async with sites(gpus=2) as operator:
        await operator.listed()
        await until(lambda: len(running(api)) == 4 and len(waiting(api)) == 16, "four run, all others wait")
        assert running(api) == {"s19", "s18", "s17", "s16"}
        assert waiting(api)["s15"] == "4 of 4 sessions on 2 GPUs (template cad: 2 per GPU); position 1 of 16"
        assert operator.controller.slots.waiting() == 16
        assert operator.controller.slots.held() == operator.controller.slots.known() == 2.0
    assert len(api.asked("POST", "pods")) == 4, "none was made and taken back"


async def test_an_older_one_that_is_heard_of_later_is_before_the_younger(
    sites: Begin, api: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "_TOLD_SECONDS", 0.1)
    offer(api, 1)
    wish(api, "runs", 0)
    async with sites(gpus=1) as operator:
        await operator.listed()
        await until(lambda: running(api) == {"runs"})
        for number in range(4):
            wish(api, f"s{number}", 9 - number)
        await operator.listed()
        await until(lambda: len(waiting(api)) == 4)
        api.remove("vdisessions", "runs")
        await operator.listed()
        await until(lambda: running(api) == {"s3"}, "the oldest is next")
        assert "runs" not in running(api)
        # The others are told where they stand now.
        await until(lambda: waiting(api).get("s2", "").endswith("position 1 of 3"))


@pytest.mark.parametrize("how", ["suspended", "deleted", "expired"])
async def test_a_place_that_is_given_back_goes_to_the_next_at_once(sites: Begin, api: Server, how: str) -> None:
    offer(api, 2)
    for number in range(4):
        wish(api, f"s{number}", number)
    async with sites(gpus=1) as operator:
        await operator.listed()
        await until(lambda: running(api) == {"s0", "s1"} and len(waiting(api)) == 2)
        if how == "deleted":
            api.remove("vdisessions", "s0")
        else:
            edit(api, "s0", **({"operatingMode": "Suspended"} if how == "suspended" else {"lifetime": "1s"}))
        await operator.listed()
        await until(lambda: running(api) == {"s1", "s2"}, "the next one runs")
        await until(lambda: set(waiting(api)) == {"s3"})


async def test_a_place_is_held_until_the_pod_is_gone(
    sites: Begin, api: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def gracefully(kind: Kind, name: str, uid: str) -> Object:
        one = api.objects[("pods", name)]
        going = {**one["metadata"], "deletionTimestamp": "2026-11-29T13:00:00Z", "deletionGracePeriodSeconds": 30}
        return api.put("pods", {**one, "metadata": going})

    offer(api, 1)
    wish(api, "old", 0)
    wish(api, "new", 1)
    async with sites(gpus=1) as operator:
        delete = operator.client.delete

        async def slowly(kind: Kind, name: str, uid: str) -> Object:
            return await (gracefully if kind.name == "Pod" else delete)(kind, name, uid)

        monkeypatch.setattr(operator.client, "delete", slowly)
        await operator.listed()
        await until(lambda: running(api) == {"old"} and set(waiting(api)) == {"new"})
        edit(api, "old", operatingMode="Suspended")
        await operator.listed()
        await until(lambda: condition(api, "old", "Ready").get("reason") == "Suspended")
        operator.queue.wake("new")
        await until(lambda: operator.queue.longest_wait() == 0.0)
        assert running(api) == {"old"}, "it is still on its GPU"
        monkeypatch.setattr(operator.client, "delete", delete)
        api.remove("pods", names_of("old")["pods"])
        await until(lambda: running(api) == {"new"})


def replaced(api: Server, name: str, minute: int, **spec: Any) -> None:
    """Another session of that name, whose former one's pod takes its time to end."""
    pod = api.objects.pop(("pods", names_of(name)["pods"]))
    api.remove("vdisessions", name)
    going = {**pod["metadata"], "deletionTimestamp": "2026-11-29T13:00:00Z", "deletionGracePeriodSeconds": 30}
    api.objects[("pods", pod["metadata"]["name"])] = pod
    api.put("pods", {**pod, "metadata": going})
    wish(api, name, minute, **spec)


@pytest.mark.parametrize("heard", [True, False], ids=["its end is heard of", "its end is not"])
async def test_a_session_of_a_former_ones_name_has_nothing_of_its_place(sites: Begin, api: Server, heard: bool) -> None:
    offer(api, 2)
    api.put("vditemplates", {"metadata": {"name": "large"}, "spec": {"image": "x", "capacity": {"sessionsPerGPU": 1}}})
    wish(api, "a", 0)
    async with sites(gpus=1) as operator:
        await operator.listed()
        await until(lambda: running(api) == {"a"})
        replaced(api, "a", 5, templateRef={"name": "large"})
        if heard:
            operator.caches.sessions.drop("a")
            await until(lambda: operator.queue.longest_wait() == 0.0)
        await operator.listed()
        await until(lambda: set(waiting(api)) == {"a"}, "the whole GPU is not free")
        assert operator.controller.slots.held() == 0.5, "of the former one"
        api.remove("pods", names_of("a")["pods"])
        await until(lambda: operator.controller.slots.held() == 1.0, "it has a place of its own")
        await until(lambda: running(api) == {"a"})
        assert "deletionTimestamp" not in api.objects[("pods", names_of("a")["pods"])]["metadata"]
        api.remove("vdisessions", "a")
        await operator.listed()
        await until(lambda: operator.controller.slots.held() == 0.0)


async def test_a_session_of_a_former_ones_name_is_held_to_its_own_users_limit(sites: Begin, api: Server) -> None:
    offer(api, None)
    wish(api, "a", 0, user="alice")
    wish(api, "b", 1, user="bob")
    async with sites(sessions_per_user=1) as operator:
        await operator.listed()
        await until(lambda: running(api) == {"a", "b"})
        replaced(api, "a", 5, user="bob", homePolicy="Fresh")
        await operator.listed()
        await until(lambda: condition(api, "a", "Admitted").get("reason") == "UserLimitReached")
        assert "bob has 1 of 1 sessions that run or wait for a GPU (b);" in condition(api, "a", "Admitted")["message"]
        wish(api, "c", 6, user="alice")
        await operator.listed()
        await until(lambda: "(a (ending))" in condition(api, "c", "Admitted").get("message", ""), "alice's still ends")
        api.remove("pods", names_of("a")["pods"])
        await until(lambda: running(api) == {"b", "c"})
        assert condition(api, "a", "Admitted")["reason"] == "UserLimitReached"


async def test_a_new_process_tells_former_sessions_of_a_name_from_the_present_ones(sites: Begin, api: Server) -> None:
    offer(api, 1)
    wish(api, "a", 0)
    wish(api, "b", 1)
    async with sites(gpus=1) as operator:
        await operator.listed()
        await until(lambda: running(api) == {"a"} and set(waiting(api)) == {"b"})
    replaced(api, "a", 5)
    async with sites(gpus=1) as operator:
        await operator.listed()
        await until(lambda: set(waiting(api)) == {"a", "b"})
        api.remove("pods", names_of("a")["pods"])
        await until(lambda: running(api) == {"b"}, "who has waited longer")
        await until(lambda: set(waiting(api)) == {"a"})


async def test_a_new_process_knows_who_holds_what_and_who_is_next(sites: Begin, api: Server) -> None:
    offer(api, 2)
    for number in range(6):
        wish(api, f"s{number}", 9 - number)
    async with sites(gpus=1) as operator:
        await operator.listed()
        await until(lambda: running(api) == {"s5", "s4"} and len(waiting(api)) == 4)
    api.remove("vdisessions", "s5")  # while nobody looks
    async with sites(gpus=1) as operator:
        await operator.listed()
        await until(lambda: running(api) == {"s4", "s3"}, "the oldest of those who wait")
        await until(lambda: set(waiting(api)) == {"s0", "s1", "s2"})
        assert operator.controller.slots.held() == 1.0
    assert len(api.asked("POST", "pods")) == 3


async def test_who_rests_stands_in_no_line_of_a_new_process() -> None:
    def known(name: str, status: Object, generation: int = 1, **spec: Any) -> None:
        one = session(name, user=name, **spec)
        metadata = {**one["metadata"], "uid": f"u-{name}", "generation": generation, "resourceVersion": "1"}
        caches.sessions.put({**one, "metadata": metadata, "status": {"observedGeneration": 1, **status}})

    def because(reason: str) -> Object:
        return {"conditions": [{"type": "Ready", "status": "False", "reason": reason}]}

    settings, queue = Settings(gpus=8, sessions_per_user=1, sessions_per_namespace=8), WorkQueue()
    caches = Caches(settings, queue)
    slots = ledger.Slots(settings, caches, queue)
    template = {"name": "cad", "uid": "t", "generation": 1, "resourceVersion": "1"}
    caches.templates.put({"metadata": template, "spec": {"image": "i:1", "capacity": {"sessionsPerGPU": 1}}})
    known("idle", because("Idle"))
    known("expired", because("Expired"))
    known("failed", {"failure": {"reason": "CrashLoop"}, **because("CrashLoop")})
    assert slots.free() == 8
    known("asleep", because("Suspended"), operatingMode="Suspended")
    slots = ledger.Slots(settings, caches, queue)
    known("waits", because("CapacityReached"))
    known("prolonged", because("Expired"), generation=2)
    known("new", {"observedGeneration": 0})
    assert slots.free() == 5
    assert slots.queues()[Reason.USER_LIMIT_REACHED] == slots.queues()[Reason.NAMESPACE_LIMIT_REACHED] == 3
    queue.close()


async def test_a_pod_that_is_refused_keeps_its_place_for_the_next_try(sites: Begin, api: Server) -> None:
    offer(api, 1)
    wish(api, "old", 0)
    wish(api, "new", 1)
    api.faults.append(Fault("POST", "/pods", 403, "Forbidden", "exceeded quota: desktops"))
    async with sites(gpus=1) as operator:
        await operator.listed()
        await until(lambda: running(api) == {"old"}, "at the next try")
        await until(lambda: set(waiting(api)) == {"new"})


async def test_who_cannot_be_passed_gives_way(sites: Begin, api: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    decide = module.desired
    broken = True

    def desired(one: Session, *rest: Any, **more: Any) -> Any:
        if one.name == "bad" and broken:
            raise RuntimeError("as the test wants it")
        return decide(one, *rest, **more)

    monkeypatch.setattr(module, "desired", desired)
    offer(api, 1)
    wish(api, "bad", 0)
    wish(api, "good", 1)
    async with sites(gpus=1) as operator:
        await operator.listed()
        await until(lambda: running(api) == {"good"}, "after some failures")
        broken = False
        await until(lambda: set(waiting(api)) == {"bad"}, "now it waits")


async def test_who_is_kept_out_by_something_else_does_not_stand_in_the_way(sites: Begin, api: Server) -> None:
    offer(api, 1)
    wish(api, "a", 0, host="desk")
    wish(api, "b", 1, host="desk")
    wish(api, "c", 2)
    async with sites(gpus=1) as operator:
        await operator.listed()
        await until(lambda: running(api) == {"a"} and condition(api, "b", "Admitted").get("reason") == "HostTaken")
        edit(api, "a", operatingMode="Suspended")  # it keeps its host
        await operator.listed()
        await until(lambda: running(api) == {"c"})


async def test_a_template_that_bears_more_lets_more_in_at_once(sites: Begin, api: Server) -> None:
    offer(api, 1)
    for number in range(4):
        wish(api, f"s{number}", number)
    async with sites(gpus=1) as operator:
        await operator.listed()
        await until(lambda: running(api) == {"s0"} and len(waiting(api)) == 3)
        offer(api, 3)
        await until(lambda: running(api) == {"s0", "s1", "s2"})
        offer(api, 1)
        await until(lambda: "3 of 1 sessions" in waiting(api).get("s3", ""))
        # Nobody is ended; that nobody has seen their desktops yet, made of the former template, is another matter.
        await until(lambda: running(api) == {"s0", "s1", "s2"})
        api.remove("vdisessions", "s1")
        await operator.listed()
        await until(lambda: operator.controller.slots.held() == 2.0)
        await until(lambda: running(api) == {"s0", "s2"})
        offer(api, None)
        await until(lambda: running(api) == {"s0", "s2", "s3"}, "nobody counts any more")


async def test_gpus_are_those_of_nodes_that_take_pods(sites: Begin, api: Server) -> None:
    offer(api, 1)
    for number in range(4):
        wish(api, f"s{number}", number)
    api.put("nodes", node(1))
    async with sites(read_nodes=True) as operator:
        await operator.listed()
        await until(lambda: running(api) == {"s0"} and len(waiting(api)) == 3)
        api.put("nodes", node(2))
        await until(lambda: running(api) == {"s0", "s1"})
        api.put("nodes", node(2, cordoned=True))
        await until(lambda: operator.controller.slots.known() == 0.0)
        api.remove("vdisessions", "s0")
        await operator.listed()
        await until(lambda: operator.controller.slots.held() == 1.0)
        assert running(api) == {"s1"}
        api.put("nodes", node(None))
        await until(lambda: running(api) == {"s1", "s2", "s3"}, "nobody knows how many there are")
        await until(lambda: condition(api, "s3", "Admitted").get("message") == UNCOUNTED)


async def test_a_node_that_is_emptied_keeps_nobody_out_of_another(sites: Begin, api: Server) -> None:
    offer(api, 2)
    for number in range(7):
        wish(api, f"s{number}", number)
    for name in ("n1", "n2"):
        api.put("nodes", node(1, name))
    async with sites(read_nodes=True) as operator:
        slots = operator.controller.slots
        await operator.listed()
        await until(lambda: running(api) == {"s0", "s1", "s2", "s3"} and len(waiting(api)) == 3)
        for number in range(4):
            place(api, f"s{number}", "n1" if number < 2 else "n2")
        api.put("nodes", node(1, "n1", cordoned=True))
        await until(lambda: "2 of 2 sessions on 1 GPU" in waiting(api).get("s4", ""), "of the other node")
        assert slots.held() == 2.0
        api.remove("vdisessions", "s2")
        await operator.listed()
        await until(lambda: running(api) == {"s0", "s1", "s3", "s4"}, "a place of the other node is given")
        place(api, "s4", "n2")
        evicted = api.remove("pods", names_of("s0")["pods"])
        await until(lambda: api.objects.get(("pods", evicted["metadata"]["name"]), evicted) != evicted, "its next pod")
        tie(api, "s0", "n1")
        await until(lambda: "uncordon n1" in condition(api, "s0", "Scheduled").get("message", ""), "it waits for that")
        api.remove("vdisessions", "s3")
        await operator.listed()
        await until(lambda: running(api) == {"s0", "s1", "s4", "s5"}, "and keeps nobody out of the other")
        api.put("nodes", node(1, "n1"))
        await until(lambda: slots.known() == 2.0)
        await until(lambda: "4 of 4 sessions on 2 GPUs" in waiting(api).get("s6", ""), "all of it counts again")
        assert running(api) == {"s0", "s1", "s4", "s5"}


async def test_where_nobody_knows_the_gpus_all_are_let_in(sites: Begin, api: Server) -> None:
    offer(api, 1)
    for number in range(3):
        wish(api, f"s{number}", number)
    async with sites() as operator:
        await operator.listed()
        await until(lambda: len(running(api)) == 3)
        await until(lambda: condition(api, "s2", "Admitted").get("message") == UNCOUNTED)
        assert operator.controller.slots.known() != operator.controller.slots.known(), "NaN"


async def test_sessions_without_a_slice_are_not_counted(sites: Begin, api: Server) -> None:
    offer(api, 1, gpu={"count": 0}, hardwareEncoding=False)
    for number in range(3):
        wish(api, f"s{number}", number)
    async with sites(gpus=1) as operator:
        await operator.listed()
        await until(lambda: len(running(api)) == 3)
        assert (waiting(api), operator.controller.slots.held()) == ({}, 0.0)


async def test_places_come_and_go_under_churn_and_are_never_too_many(sites: Begin, api: Server) -> None:
    offer(api, 3)
    most = 0
    async with sites(gpus=1) as operator:

        def count() -> int:
            nonlocal most
            most = max(most, len(running(api)))
            return most

        for number in range(30):
            wish(api, f"s{number:02}", number % 60)
        await operator.listed()
        for _ in range(27):
            await until(lambda: count() and len(running(api)) == 3)
            api.remove("vdisessions", min(running(api)))
            await operator.listed()
        await until(lambda: running(api) == {"s27", "s28", "s29"}, "the last ones run")
    assert count() == 3
    made = [one.body["metadata"]["name"] for one in api.asked("POST", "pods")]
    assert [*sorted(made[:3]), *made[3:]] == sorted(made), "in the order of their age; the first ones at once"
