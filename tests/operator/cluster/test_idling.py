"""A desktop that nobody is at, from looks over HTTP to its end, and its user who comes back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from vdi_operator.cluster import activity as module
from vdi_operator.cluster.kube import Client
from vdi_operator.core import idle
from vdi_operator.settings import Settings

from .api_server import Fault, Server, session, until
from .test_controller import Operator, condition, made, names_of, ready, serve, told

PAGES = {"sessions": [{"id": "a1", "role": "controller"}]}


class Pages:
    """Of a desktop."""

    def __init__(self) -> None:
        self.there = True
        self.asked = 0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked += 1
        return web.json_response(PAGES if self.there else {"sessions": []})


@pytest.fixture
async def pages(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Pages]:
    """Behind the address that every pod here gets."""
    found = Pages()
    app = web.Application()
    app.router.add_get("/api/sessions", found.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    monkeypatch.setattr(module, "SESSION_PORT", runner.addresses[0][1])
    monkeypatch.setattr(idle, "LEFT_SECONDS", 0.0)
    yield found
    await runner.cleanup()


@pytest.fixture
async def operator(api: Server, client: Client, url: str, tmp_path: Path, pages: Pages) -> AsyncIterator[Operator]:
    (tmp_path / "secret").write_text("north\n")
    template = {"image": "registry.test/desktop:2.1.0", "idleTimeout": "1s"}
    api.put("vditemplates", {"metadata": {"name": "cad"}, "spec": template})
    settings = Settings(
        checker_url=url,
        relay_addresses=("192.0.2.10",),
        turn_secret_file=str(tmp_path / "secret"),
        workers=4,
        idle_look_seconds=1.0,
    )
    async with Operator(api, client, settings) as found:
        looking = asyncio.create_task(found.controller.activity.run())
        yield found
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)


def reason(api: Server) -> str:
    return str(condition(api, "cad-7", "Ready").get("reason", ""))


def moved(api: Server) -> None:
    """Its pod is where the pages are."""
    pod = api.objects[("pods", names_of("cad-7")["pods"])]
    api.put("pods", {**pod, "status": {**pod["status"], "podIP": "127.0.0.1"}})


async def test_it_is_kept_stopped_and_started_again(operator: Operator, api: Server, pages: Pages) -> None:
    api.put("vdisessions", session("cad-7"))
    await operator.listed()
    await ready(operator)
    moved(api)
    await until(lambda: operator.value("vdi_idle_looks_total", outcome="active") >= 3, "looks at somebody")
    assert reason(api) == "Published"
    pages.there = False
    await until(lambda: reason(api) == "Idle", "the end of a desktop that nobody is at")
    pod = ("pods", names_of("cad-7")["pods"])
    await until(lambda: pod not in api.objects, "the end of its pod")
    assert ("secrets", names_of("cad-7")["secrets"]) in api.objects
    assert operator.value("vdi_sessions_idled_total") == 1
    await until(lambda: told(api, "Idle"), "an Event")
    assert len(told(api, "Idle")) == 1
    await until(lambda: operator.controller.activity.followed() == 0, "nobody to be followed")
    asked = pages.asked
    pages.there = True
    one = api.objects[("vdisessions", "cad-7")]
    api.put("vdisessions", {**one, "metadata": {**one["metadata"], "annotations": {"vdibench.io/wake": "again"}}})
    await operator.listed()
    await until(lambda: made(api, "cad-7"), "all children again")
    serve(api, "cad-7")
    moved(api)
    await until(lambda: reason(api) == "Published", "the desktop")
    assert "idle" not in api.objects[("vdisessions", "cad-7")]["status"]
    await until(lambda: pages.asked > asked, "looks at the other pod")


@pytest.fixture
async def unhurried(api: Server, client: Client, url: str, tmp_path: Path, pages: Pages) -> AsyncIterator[Operator]:
    """An operator whose looks a test makes, each half an hour after the one before; its desktop is there."""
    (tmp_path / "secret").write_text("north\n")
    api.put("vditemplates", {"metadata": {"name": "cad"}, "spec": {"image": "i:1", "idleTimeout": "30m"}})
    settings = Settings(
        checker_url=url,
        relay_addresses=("192.0.2.10",),
        turn_secret_file=str(tmp_path / "secret"),
        idle_look_seconds=1800.0,
        warn_seconds=0.0,
    )
    async with Operator(api, client, settings) as found:
        api.put("vdisessions", session("cad-7"))
        await found.listed()
        await ready(found)
        moved(api)
        states = found.controller.activity._states
        await until(lambda: "cad-7" in states and states["cad-7"].followed.address == "127.0.0.1", "it is followed")
        yield found


async def looked(operator: Operator, times: int) -> None:
    activity, begin = operator.controller.activity, 100.0
    async with aiohttp.ClientSession() as http:
        for number in range(times):
            now = begin + 1800.0 * number
            activity._monotonic = lambda now=now: now  # nobody here waits for half an hour
            await activity._look(http, activity._states["cad-7"])


async def test_the_look_that_decides_has_the_desktop_stopped_and_no_later_one(
    unhurried: Operator, api: Server, pages: Pages
) -> None:
    pages.there = False
    await looked(unhurried, 2)
    await until(lambda: reason(api) == "Idle", "its end, and no timer is due for another half an hour")


async def test_a_stop_that_fails_is_tried_again_by_the_same_looks(
    unhurried: Operator, api: Server, pages: Pages
) -> None:
    refusal = Fault("DELETE", "/ingressroutes/", 500, times=1_000_000)
    api.faults.append(refusal)
    pages.there = False
    await looked(unhurried, 2)
    await until(lambda: unhurried.value("vdi_reconcile_errors_total") >= 1, "a pass that fails")
    assert unhurried.controller.activity.followed() == 1, "whoever comes now is seen"
    refusal.times = 0
    await until(lambda: reason(api) == "Idle", "the next try")
    await until(lambda: unhurried.controller.activity.followed() == 0, "nobody to be followed")


async def test_a_desktop_that_does_not_answer_runs_on(operator: Operator, api: Server, pages: Pages) -> None:
    api.put("vdisessions", session("cad-7"))
    await operator.listed()
    await until(lambda: made(api, "cad-7"), "all children are made")
    serve(api, "cad-7")
    pod = api.objects[("pods", names_of("cad-7")["pods"])]
    # Nobody listens at that one.
    api.put("pods", {**pod, "status": {**pod["status"], "podIP": "127.0.0.2"}})
    await until(lambda: operator.value("vdi_idle_looks_total", outcome="unknown") >= 1, "looks at nothing")
    assert reason(api) == "Published"
