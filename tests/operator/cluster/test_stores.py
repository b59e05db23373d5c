"""Stores against a server that cuts watches, forgets versions, is slow and comes back."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from vdi_operator.children.kinds import KINDS
from vdi_operator.cluster import stores as module
from vdi_operator.cluster.kube import Client
from vdi_operator.cluster.stores import Store, Watched

from .api_server import Fault, Object, Server, pod, until

POD = KINDS["Pod"]
LABELS = "app.kubernetes.io/managed-by=vdi-operator"


class Told:
    """What a store says."""

    def __init__(self) -> None:
        self.changes: list[tuple[str, Any, Any]] = []

    def __call__(self, name: str, before: Any, after: Any) -> None:
        self.changes.append((name, before, after))


def facts(one: Object) -> str:
    return str((one.get("spec") or {}).get("nodeName", ""))


@asynccontextmanager
async def following(client: Client, told: Told) -> AsyncIterator[Watched[str]]:
    store = Watched(POD, facts, told, labels=LABELS)
    task = asyncio.create_task(store.run(client))
    try:
        yield store
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_it_has_what_was_there_and_what_comes(api: Server, client: Client) -> None:
    api.put("pods", pod("a", "one", nodeName="n1"))
    api.put("pods", {"metadata": {"name": "foreign"}})
    told = Told()
    async with following(client, told) as store:
        await until(store.filled.is_set)
        assert {name for name, _ in store.facts()} == {"a"}
        api.put("pods", pod("b", "two"))
        api.put("pods", pod("a", "one", nodeName="n2"))
        api.remove("pods", "b")
        await until(lambda: len(told.changes) == 4)
    assert told.changes == [("a", None, "n1"), ("b", None, ""), ("a", "n1", "n2"), ("b", "", None)]
    found = store.get("a")
    assert found is not None
    assert "managedFields" not in found["metadata"]
    assert (found["kind"], found["spec"]) == ("Pod", {"nodeName": "n2"})


async def test_after_a_cut_it_goes_on_where_it_was(api: Server, client: Client) -> None:
    told = Told()
    async with following(client, told) as store:
        await until(lambda: api.watching() == 1)
        api.put("pods", pod("a", "one"))
        await until(lambda: "a" in store)
        api.cut()
        api.put("pods", pod("b", "two"))
        await until(lambda: "b" in store)
    assert len(api.asked("GET", "pods")) == 1, "listed once only"
    assert [name for name, _, _ in told.changes] == ["a", "b"]


async def test_a_bookmark_moves_it_on(api: Server, client: Client) -> None:
    async with following(client, Told()) as store:
        await until(lambda: api.watching() == 1)
        api.say("BOOKMARK", "pods", {"metadata": {"resourceVersion": "777"}})
        await until(lambda: store._since == "777")
        api.cut()
        await until(lambda: len(api.asked("GET", "pods", watch=True)) == 2)
    assert api.asked("GET", "pods", watch=True)[1].query["resourceVersion"] == "777"


async def test_what_vanished_while_the_version_was_too_old_is_noticed(api: Server, client: Client) -> None:
    for name in ("a", "b", "c"):
        api.put("pods", pod(name, "one"))
    told = Told()
    async with following(client, told) as store:
        await until(store.filled.is_set)
        await until(lambda: api.watching() == 1)
        told.changes.clear()
        # Cut first: what comes after it no watch tells, and the store's version is older than what is remembered.
        api.cut()
        api.remove_unheard("pods", "b")
        api.put("pods", pod("d", "two"))
        api.compact()
        await until(lambda: "b" not in store and "d" in store)
    assert len(api.asked("GET", "pods")) == 2, "listed anew"
    assert sorted(name for name, _, _ in told.changes) == ["b", "d"], "what stayed the same woke nobody"


async def test_a_version_that_expires_under_way_is_listed_anew(api: Server, client: Client) -> None:
    async with following(client, Told()) as store:
        await until(lambda: api.watching() == 1)
        api.say("ERROR", "pods", {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"})
        await until(lambda: len(api.asked("GET", "pods")) == 2)
        api.put("pods", pod("a", "one"))
        await until(lambda: "a" in store)


@pytest.mark.parametrize("kind", ["Event", "Pod"])
async def test_a_quiet_watch_without_bookmarks_ages_in_silence(
    api: Server, client: Client, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    store = Watched(KINDS[kind], facts, Told())
    with caplog.at_level(logging.INFO, logger="vdi_operator"):
        task = asyncio.create_task(store.run(client))
        await until(lambda: api.watching() == 1)
        api.cut()
        api.compact()
        await until(lambda: len(api.asked("GET", KINDS[kind].plural)) == 2)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert ("too old" in caplog.text) == (kind == "Pod")


async def test_a_server_that_fails_is_asked_again(api: Server, client: Client) -> None:
    api.put("pods", pod("a", "one"))
    api.faults.append(Fault("GET", "/pods", 403, "Forbidden", times=2))
    async with following(client, Told()) as store:
        await until(store.filled.is_set)
        assert "a" in store
    assert len(api.asked("GET", "pods")) == 3


async def test_only_what_is_heard_counts_as_hearing(api: Server, client: Client) -> None:
    api.faults.append(Fault("GET", "/pods", 403, "Forbidden", times=3))
    async with following(client, Told()) as store:
        begun = store._heard
        await until(lambda: api.faults[0].times == 0)
        assert store._heard == begun
        await until(lambda: api.watching() == 1)
        opened = store._heard
        assert opened > begun
        api.say("BOOKMARK", "pods", {"metadata": {"resourceVersion": "777"}})
        await until(lambda: store._heard > opened)
        assert store.silent_seconds() >= 0.0


def stored(told: Told) -> Store[str]:
    return Store(POD, facts, told)


def versioned(name: str, version: int, uid: str = "u1", node: str = "") -> Object:
    return {"metadata": {"name": name, "uid": uid, "resourceVersion": str(version)}, "spec": {"nodeName": node}}


def test_the_echo_of_an_own_write_wakes_nobody() -> None:
    told = Told()
    store = stored(told)
    assert store.put(versioned("a", 5, node="n1"), quiet=True)
    assert not store.put(versioned("a", 5, node="n1"))
    assert told.changes == []


def test_an_older_document_does_not_replace_a_newer_one() -> None:
    store = stored(Told())
    store.put(versioned("a", 5, node="new"))
    assert not store.put(versioned("a", 4, node="old"))
    assert store.get("a") == versioned("a", 5, node="new")


def test_a_late_answer_does_not_bring_back_what_is_gone() -> None:
    store = stored(Told())
    store.put(versioned("a", 5))
    store.drop("a", "u1")
    assert not store.put(versioned("a", 6))
    assert "a" not in store
    assert store.put(versioned("a", 7, uid="u2"))


def test_only_the_object_meant_is_forgotten() -> None:
    store = stored(Told())
    store.put(versioned("a", 5, uid="u2"))
    assert not store.drop("a", "u1")
    assert "a" in store


def test_a_list_does_not_take_away_what_is_newer_than_it() -> None:
    told = Told()
    store = stored(told)
    store.put(versioned("old", 5))
    store.put(versioned("new", 9, uid="u2"))
    told.changes.clear()
    store.keep([], 8)
    assert [name for name, _ in store.facts()] == ["new"]
    assert told.changes == [("old", "", None)]


def test_who_reads_has_a_copy() -> None:
    store = stored(Told())
    store.put(versioned("a", 5, node="n1"))
    first = store.get("a")
    assert first is not None
    first["spec"]["nodeName"] = "changed"
    assert store.get("a") == versioned("a", 5, node="n1")


def test_what_is_shared_is_decoded_once_and_as_new_as_the_store() -> None:
    store = stored(Told())
    store.put(versioned("a", 5, node="n1"))
    assert store.shared("a") is store.shared("a")
    store.put(versioned("a", 6, node="n2"))
    assert store.shared("a") == store.get("a") == versioned("a", 6, node="n2")
    store.drop("a")
    assert store.shared("a") is None


def test_of_many_only_the_last_are_kept_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_DECODED", 2)
    store = stored(Told())
    for number in range(4):
        store.put(versioned(str(number), 5, uid=str(number)))
    assert len(store._decoded) == 2
    assert [store.shared(str(number)) for number in range(4)] == [store.get(str(number)) for number in range(4)]


def test_a_watch_that_is_quicker_than_the_answer_wakes_nobody() -> None:
    told = Told()
    store = stored(told)
    with store.awaiting("a"):
        store.put(versioned("a", 5, node="n1"))  # of the watch
        store.put(versioned("a", 5, node="n1"), quiet=True)  # the answer
        store.put(versioned("b", 6, uid="u2"))
    assert told.changes == [("b", None, "")]
    assert not store.newer(versioned("a", 5))
    store.put(versioned("a", 7, node="n2"))
    assert store.newer(versioned("a", 5))
    assert told.changes[1:] == [("a", "n1", "n2")]


def test_what_is_reduced_away_changes_nothing() -> None:
    told = Told()
    store = Store(POD, facts, told, reduce=lambda one: {"metadata": {"name": one["metadata"]["name"]}})
    store.put(versioned("a", 5))
    assert not store.put(versioned("a", 6))
    assert len(told.changes) == 1
    entry = store.entry("a")
    assert entry is not None
    assert entry.version == 6


def labelled(name: str, version: int) -> Object:
    one = versioned(name, version)
    key, value = LABELS.split("=")
    return {**one, "metadata": {**one["metadata"], "labels": {key: value}}}


def test_what_lost_its_label_can_be_known_again_and_what_is_deleted_cannot() -> None:
    store = Watched(POD, facts, Told(), labels=LABELS)
    assert not store.told(versioned("a", 1))
    assert store.told(labelled("a", 1))
    store.put(labelled("a", 5))
    store.drop("a", "u1")  # so a watch tells of both
    assert not store.put(labelled("a", 5)), "a late answer"
    assert store.put(versioned("a", 6))
    assert store.put(labelled("a", 7)), "it has its label again"
    assert "a" in store


async def test_one_that_is_fetched_is_as_the_server_has_it(api: Server, client: Client) -> None:
    told = Told()
    store = Watched(POD, facts, told, labels=LABELS)
    api.put("pods", {"metadata": {"name": "a"}, "spec": {"nodeName": "n1"}})
    await store.fetch(client, "a")
    found = store.get("a")
    assert found is not None
    assert found["spec"] == {"nodeName": "n1"}
    api.remove("pods", "a")
    await store.fetch(client, "a")
    assert "a" not in store
    assert told.changes == [], "who fetches knows"
