"""DaemonSets follow templates, against a server that plays the API server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from vdi_operator.cluster import prepull as module
from vdi_operator.cluster.caches import Caches
from vdi_operator.cluster.kube import Client
from vdi_operator.cluster.prepull import Prepull
from vdi_operator.cluster.queue import WorkQueue
from vdi_operator.settings import Settings

from .api_server import Fault, Server, until

PLACE = ("daemonsets", "vdi-prepull-cad")


def offer(api: Server, name: str = "cad", **spec: Any) -> None:
    api.put(
        "vditemplates",
        {"metadata": {"name": name}, "spec": {"image": "registry.test/desktop:1", "prepull": True, **spec}},
    )


def image(api: Server) -> str:
    (container,) = api.objects[PLACE]["spec"]["template"]["spec"]["containers"]
    return str(container["image"])


@pytest.fixture
async def follows(api: Server, client: Client) -> AsyncIterator[Caches]:
    queue = WorkQueue()
    caches = Caches(Settings(), queue)
    prepull = Prepull(Settings(), caches, client)
    tasks = [asyncio.create_task(caches.run(client)), asyncio.create_task(prepull.run())]
    await asyncio.wait_for(caches.filled(), 20.0)
    yield caches
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    queue.close()


async def test_it_comes_changes_and_goes_with_its_template(follows: Caches, api: Server) -> None:
    offer(api)
    await until(lambda: PLACE in api.objects, "a DaemonSet")
    offer(api, image="registry.test/desktop:2")
    await until(lambda: image(api).endswith(":2"), "the other image")
    # Else what the first one had and the second has not would stay: it would be somebody else's.
    asked = [one for one in api.seen if "daemonsets" in one.path and one.method != "GET"]
    ways = {(one.method, one.content_type, one.query.get("fieldManager")) for one in asked}
    assert ways == {("PATCH", "application/apply-patch+yaml", "vdi-operator")}
    offer(api, prepull=False)
    await until(lambda: PLACE not in api.objects, "its end with the flag")
    offer(api)
    await until(lambda: PLACE in api.objects, "another one")
    api.remove("vditemplates", "cad")
    await until(lambda: PLACE not in api.objects, "its end with the template")
    assert not api.asked("GET", "vdi-prepull-cad"), "the role may not get one"


async def test_what_somebody_deletes_is_made_again(follows: Caches, api: Server) -> None:
    offer(api)
    await until(lambda: PLACE in api.objects, "a DaemonSet")
    first = api.objects[PLACE]["metadata"]["uid"]
    api.remove(*PLACE)
    await until(lambda: PLACE in api.objects, "another one")
    assert api.objects[PLACE]["metadata"]["uid"] != first


async def test_what_is_in_its_place_without_our_label_is_taken_over(follows: Caches, api: Server) -> None:
    api.put("daemonsets", {"metadata": {"name": "vdi-prepull-cad"}, "spec": {}})
    offer(api)
    await until(
        lambda: "app.kubernetes.io/managed-by" in (api.objects[PLACE]["metadata"].get("labels") or {}), "our label"
    )
    assert image(api) == "registry.test/desktop:1"


async def test_what_is_refused_is_tried_again(follows: Caches, api: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_RETRY_SECONDS", 0.05)
    api.faults.append(Fault("PATCH", "/daemonsets", 403, "Forbidden"))
    offer(api)
    await until(lambda: PLACE in api.objects, "a DaemonSet")
    assert len(api.asked("PATCH", "daemonsets")) == 2


async def test_a_fault_of_ours_is_said_and_it_goes_on(
    follows: Caches, api: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any) -> tuple[()]:
        raise RuntimeError("as the test wants it")

    with monkeypatch.context() as patched:
        patched.setattr(module, "prepull_changes", broken)
        offer(api)
        await until(lambda: "a fault of its own" in caplog.text, "it is said")
    offer(api, image="registry.test/desktop:2")
    await until(lambda: PLACE in api.objects, "a DaemonSet")


async def test_a_status_of_its_own_asks_for_nothing(follows: Caches, api: Server) -> None:
    offer(api)
    await until(lambda: len(follows.daemon_sets) == 1, "a DaemonSet")
    seen = len(api.seen)
    api.put("daemonsets", {**api.objects[PLACE], "status": {"numberReady": 3}})
    offer(api, "other", prepull=False)
    await until(lambda: len(follows.templates) == 2, "what comes after it")
    assert [one.method for one in api.seen[seen:] if one.method != "GET"] == []
