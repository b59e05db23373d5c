"""Changes made at a server, in order, and what is learned where they cannot be made."""

from __future__ import annotations

from typing import Any

import pytest

from vdi_operator.api.objects import Kind, Ref
from vdi_operator.children.kinds import KINDS
from vdi_operator.cluster.errors import Unavailable
from vdi_operator.cluster.execution import Outdated, Refused, difference, execute
from vdi_operator.cluster.kube import Client
from vdi_operator.cluster.stores import Store
from vdi_operator.core.decision import Change, Verb

from .api_server import Fault, Object, Server, pod

KINDS_USED = ("Pod", "Service", "Secret", "PersistentVolumeClaim")


class Stores(dict[str, Store[str]]):
    def __init__(self) -> None:
        self.woken: list[str] = []
        super().__init__(
            {kind: Store(KINDS[kind], lambda one: "", lambda name, *_: self.woken.append(name)) for kind in KINDS_USED}
        )


@pytest.fixture
def stores() -> Stores:
    return Stores()


def create(kind: str, name: str, **spec: Any) -> Change:
    return Change(Verb.CREATE, Ref(kind, name), {**pod(name, "cad-7", **spec), "kind": kind})


async def test_the_pod_comes_after_all_before_it(api: Server, client: Client, stores: Stores) -> None:
    await execute(
        [create("Secret", "a"), create("PersistentVolumeClaim", "h"), create("Service", "s"), create("Pod", "p")],
        client,
        stores,
    )
    assert {name for _, name in api.objects} == {"a", "h", "s", "p"}
    assert api.seen[-1].path.endswith("/pods")
    assert all(len(store) == 1 for store in stores.values()), "answers are kept"
    assert stores.woken == [], "and wake nobody"


async def test_what_has_moved_before_its_answer_came_is_told(
    api: Server, client: Client, stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = client.create

    async def overtaken(kind: Kind, body: Object) -> Object:
        made = await make(kind, body)
        if kind.name == "Pod":  # its watch tells of it, and of its node, before the answer is here
            version = str(int(made["metadata"]["resourceVersion"]) + 1)
            stores["Pod"].put(made)
            moved = {**made["metadata"], "resourceVersion": version}
            stores["Pod"].put({**made, "metadata": moved, "spec": {"nodeName": "n1"}})
        return made

    monkeypatch.setattr(client, "create", overtaken)
    assert not await execute([create("Service", "s")], client, stores)
    assert await execute([create("Pod", "p")], client, stores)
    assert stores.woken == [], "whoever asks looks again"


async def test_no_pod_where_something_before_it_failed(api: Server, client: Client, stores: Stores) -> None:
    api.faults.append(Fault("POST", "/services", 500, times=99))
    with pytest.raises(Unavailable):
        await execute([create("Secret", "a"), create("Service", "s"), create("Pod", "p")], client, stores)
    assert "a" in stores["Secret"], "what was made beside it is known"
    assert not api.asked("POST", "pods")


async def test_what_is_there_already_is_learned(api: Server, client: Client, stores: Stores) -> None:
    theirs = api.put("secrets", {"metadata": {"name": "a"}, "kind": "Secret", "data": {"k": "theirs"}})
    with pytest.raises(Outdated):
        await execute([create("Secret", "a"), create("Pod", "p")], client, stores)
    found = stores["Secret"].get("a")
    assert found is not None
    assert (found["data"], found["metadata"]["uid"]) == ({"k": "theirs"}, theirs["metadata"]["uid"])
    assert not api.asked("POST", "pods")


@pytest.mark.parametrize(
    ("status", "reason", "message"),
    [
        (403, "Forbidden", 'pods "p" is forbidden: exceeded quota: desktops'),
        (422, "Invalid", "spec.containers: Required value"),
    ],
)
async def test_a_refusal_is_handed_on_in_its_own_words(
    api: Server, client: Client, stores: Stores, status: int, reason: str, message: str
) -> None:
    api.faults.append(Fault("POST", "/pods", status, reason, message))
    with pytest.raises(Refused) as caught:
        await execute([create("Pod", "p")], client, stores)
    assert (caught.value.kind, caught.value.message) == ("Pod", message)


@pytest.mark.parametrize("verb", [Verb.APPLY, Verb.MERGE])
async def test_a_repair_that_is_refused_is_handed_on_too(
    api: Server, client: Client, stores: Stores, verb: Verb
) -> None:
    api.put("services", {**pod("s", "cad-7"), "kind": "Service"})
    api.faults.append(Fault("PATCH", "/services/s", 422, "Invalid", "spec.ports[0].name: Required value"))
    with pytest.raises(Refused) as caught:
        await execute([Change(verb, Ref("Service", "s"), {"spec": {}})], client, stores)
    assert (caught.value.kind, caught.value.message) == ("Service", "spec.ports[0].name: Required value")


async def test_a_repair_of_a_pod_that_is_gone_is_no_refusal(api: Server, client: Client, stores: Stores) -> None:
    stores["Pod"].put(api.put("pods", pod("p", "cad-7")))
    api.remove("pods", "p")
    api.faults.append(Fault("PATCH", "/pods/p", 422, "Invalid", "spec.containers: Required value"))
    with pytest.raises(Outdated):
        await execute([Change(Verb.APPLY, Ref("Pod", "p"), {"metadata": {"labels": {}}})], client, stores)
    assert "p" not in stores["Pod"]


async def test_deletion_is_of_that_object_only(api: Server, client: Client, stores: Stores) -> None:
    old = api.put("pods", pod("p", "cad-7"))
    stores["Pod"].put(old)
    await execute([Change(Verb.DELETE, Ref("Pod", "p"), uid=old["metadata"]["uid"])], client, stores)
    assert "p" not in stores["Pod"]
    await execute([Change(Verb.DELETE, Ref("Pod", "p"), uid=old["metadata"]["uid"])], client, stores)  # gone is gone
    new = api.put("pods", pod("p", "cad-7"))
    with pytest.raises(Outdated):
        await execute([Change(Verb.DELETE, Ref("Pod", "p"), uid="that-of-another")], client, stores)
    entry = stores["Pod"].entry("p")
    assert entry is not None
    assert entry.uid == new["metadata"]["uid"], "the one that is there is known now"


async def test_what_takes_its_time_to_go_stays_known(
    api: Server, client: Client, stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = api.put("pods", pod("p", "cad-7"))

    async def going(*_: Any) -> Object:
        metadata = {**one["metadata"], "deletionTimestamp": "2026-11-29T12:00:00Z", "resourceVersion": "999"}
        return {**one, "metadata": metadata}

    monkeypatch.setattr(client, "delete", going)
    await execute([Change(Verb.DELETE, Ref("Pod", "p"), uid=one["metadata"]["uid"])], client, stores)
    found = stores["Pod"].get("p")
    assert found is not None
    assert found["metadata"]["deletionTimestamp"]


@pytest.mark.parametrize(
    "rest",
    [{}, {"deletionTimestamp": "2026-11-29T12:00:00Z", "deletionGracePeriodSeconds": 0}],
    ids=["as it was", "at once"],
)
async def test_what_is_gone_with_the_answer_is_forgotten(
    api: Server, client: Client, stores: Stores, monkeypatch: pytest.MonkeyPatch, rest: Object
) -> None:
    one = api.put("pods", pod("p", "cad-7"))
    stores["Pod"].put(one)

    async def gone(*_: Any) -> Object:
        return {**one, "metadata": {**one["metadata"], **rest, "resourceVersion": "999"}}

    monkeypatch.setattr(client, "delete", gone)
    await execute([Change(Verb.DELETE, Ref("Pod", "p"), uid=one["metadata"]["uid"])], client, stores)
    assert "p" not in stores["Pod"]


async def test_repairs(api: Server, client: Client, stores: Stores) -> None:
    api.put("services", {**pod("s", "cad-7", port=1, extra=2), "kind": "Service"})
    await execute(
        [
            Change(Verb.APPLY, Ref("Service", "s"), {**pod("s", "cad-7", port=8080), "kind": "Service"}),
            Change(Verb.MERGE, Ref("Service", "s"), {"spec": {"extra": None}}),
        ],
        client,
        stores,
    )
    found = stores["Service"].get("s")
    assert found is not None
    assert found["spec"] == {"port": 8080}
    with pytest.raises(Outdated):
        await execute([Change(Verb.MERGE, Ref("Service", "gone"), {"spec": {}})], client, stores)


@pytest.mark.parametrize(
    ("stored", "wanted", "patch"),
    [
        ({}, {}, {}),
        ({"a": 1}, {"a": 1}, {}),
        ({"a": 1, "b": 2}, {"b": 3}, {"a": None, "b": 3}),
        ({"a": {"x": 1, "y": 2}}, {"a": {"x": 1}}, {"a": {"y": None}}),
        ({"a": {"x": 1}}, {"a": {"x": 1}, "b": {"z": 1}}, {"b": {"z": 1}}),
        ({"l": [{"t": 1}, {"t": 2}]}, {"l": [{"t": 1}]}, {"l": [{"t": 1}]}),
        ({"a": {"x": 1}}, {"a": "text"}, {"a": "text"}),
    ],
)
def test_a_difference_is_the_merge_patch(stored: Object, wanted: Object, patch: Object) -> None:
    assert difference(stored, wanted) == patch
