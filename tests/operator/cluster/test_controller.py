"""Passes with the real decisions against a server: what is made, repaired, written, told and counted."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry

from vdi_operator.api.objects import Kind
from vdi_operator.api.schema import MILESTONES
from vdi_operator.api.session import Session
from vdi_operator.children import names
from vdi_operator.cluster import controller as module
from vdi_operator.cluster.caches import Caches
from vdi_operator.cluster.controller import Controller
from vdi_operator.cluster.kube import Client
from vdi_operator.cluster.metrics import Metrics
from vdi_operator.cluster.queue import WorkQueue
from vdi_operator.cluster.surroundings import Surroundings
from vdi_operator.settings import Settings

from .api_server import Fault, Object, Server, session, until
from .standin import Standin

PATCH_STATUS = "/status"


class Operator:
    """Everything but kopf: a test says itself when sessions are listed."""

    def __init__(self, api: Server, client: Client, settings: Settings) -> None:
        self.api = api
        self.client = client
        self.queue = WorkQueue()
        self.caches = Caches(settings, self.queue)
        self.metrics = Metrics()
        surroundings = Surroundings(settings, self.caches, client)
        self.controller = Controller(settings, client, self.caches, surroundings, self.queue, self.metrics)
        self._settings = settings

    async def __aenter__(self) -> Operator:
        self._watches = asyncio.create_task(self.caches.run(self.client))
        await asyncio.wait_for(self.caches.filled(), 20.0)
        self._passes = asyncio.create_task(self.queue.run(self.controller.pass_, self._settings.workers))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._watches.cancel()
        self._passes.cancel()
        await asyncio.gather(self._watches, self._passes, return_exceptions=True)
        await self.controller.checker.close()
        self.queue.close()

    async def listed(self) -> None:
        await self.caches.sessions.fill(self.client)

    def value(self, name: str, **labels: str) -> float:
        registry: CollectorRegistry = self.metrics.registry
        return registry.get_sample_value(name, labels) or 0.0


@pytest.fixture
def secret_file(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_text("\nnorth\nsouth\n")
    return path


@pytest.fixture
async def operator(api: Server, client: Client, url: str, secret_file: Path) -> AsyncIterator[Operator]:
    api.put("vditemplates", {"metadata": {"name": "cad"}, "spec": {"image": "registry.test/desktop:2.1.0"}})
    settings = Settings(checker_url=url, relay_addresses=("192.0.2.10",), turn_secret_file=str(secret_file), workers=4)
    async with Operator(api, client, settings) as found:
        yield found


def names_of(name: str, user: str = "alice") -> dict[str, str]:
    one = Session("vdi-sessions", name, "", 1, user, "cad")
    return {
        "secrets": names.auth_name(one),
        "persistentvolumeclaims": names.home_name(user),
        "services": names.service_name(one),
        "ingressroutes": names.route_name(one),
        "middlewares": names.login_name(one),
        "networkpolicies": names.policy_name(one),
        "pods": names.pod_name(one),
    }


def made(api: Server, name: str) -> bool:
    return all(place in api.objects for place in names_of(name).items())


def condition(api: Server, name: str, kind: str) -> Object:
    status = api.objects[("vdisessions", name)].get("status") or {}
    return next((one for one in status.get("conditions", ()) if one["type"] == kind), {})


def told(api: Server, reason: str) -> list[Object]:
    return [one.body for one in api.asked("POST", "events") if one.body["reason"] == reason]


def serve(api: Server, name: str) -> None:
    """What scheduler, kubelet and provisioner do for a desktop."""
    places = names_of(name)
    home = api.objects[("persistentvolumeclaims", places["persistentvolumeclaims"])]
    api.put(
        "persistentvolumeclaims",
        {**home, "spec": {**home["spec"], "volumeName": "pv-1"}, "status": {"phase": "Bound"}},
    )
    pod = api.objects[("pods", places["pods"])]
    status = {
        "phase": "Running",
        "podIP": "10.0.0.7",
        "conditions": [{"type": kind, "status": "True"} for kind in ("PodScheduled", "Initialized", "Ready")],
        "containerStatuses": [{"name": "desktop", "ready": True, "restartCount": 0, "state": {"running": {}}}],
    }
    api.put("pods", {**pod, "spec": {**pod["spec"], "nodeName": "gpu-1"}, "status": status})


async def begun(operator: Operator, name: str = "cad-7", *, template: str = "cad", **spec: Any) -> None:
    operator.api.put("vdisessions", session(name, templateRef={"name": template}, **spec))
    await operator.listed()


async def ready(operator: Operator, name: str = "cad-7") -> None:
    api = operator.api
    await until(lambda: made(api, name), "all children are made")
    serve(api, name)
    await until(lambda: condition(api, name, "Ready").get("status") == "True", "the session is ready")


async def test_a_session_gets_its_children_a_check_and_a_url(operator: Operator, api: Server, standin: Standin) -> None:
    await begun(operator)
    await ready(operator)
    status = api.objects[("vdisessions", "cad-7")]["status"]
    assert status["url"] == "https://cad-7.vdi.example.com/"
    assert status["stream"]["encoder"] == "nvh264enc"
    (asked, _), *rest = standin.seen
    assert rest == [], "one check"
    assert (asked["url"], asked["dialect"], asked["username"]) == (status["url"], "selkies-2-webrtc", "user")
    assert asked["password"], "that of its Secret"
    creations = [one.path.rsplit("/", 1)[1] for one in api.seen if one.method == "POST" and "/events" not in one.path]
    assert creations[-1] == "pods", "its existence implies the rest"
    assert sorted(creations) == sorted([*names_of("cad-7"), "secrets"]), "each once"
    assert not api.asked("GET", "secrets"), "of a new session nobody has to ask"
    assert not [one for one in api.seen if one.method == "PATCH" and not one.path.endswith(PATCH_STATUS)]
    assert operator.value("vdi_session_start_seconds_count", phase="total") == 1
    assert operator.value("vdi_session_start_seconds_count", phase="published") == 1
    assert not api.asked("POST", "events"), "nobody has to do anything"


async def test_a_quick_start_takes_its_children_and_one_status(
    operator: Operator, api: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_STATUS_SECONDS", 1000.0)  # however slow this machine is, a start is quick
    begin = len(api.seen)
    await begun(operator)
    await ready(operator)
    await until(lambda: operator.queue.longest_wait() == 0.0)
    # Not the test's own list, not the turns of what no watch tells of.
    asked = [(one.method, one.path.rsplit("/", 1)[1]) for one in api.seen[begin:] if one.method != "GET"]
    assert sorted(method for method, _ in asked) == ["PATCH"] + 8 * ["POST"], asked
    status = api.objects[("vdisessions", "cad-7")]["status"]
    missing = set(MILESTONES) - set(status["milestones"])
    assert not missing, "what was not written by itself is written with the last"


async def test_a_slow_start_says_how_far_it_is(
    operator: Operator, api: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_STATUS_SECONDS", 0.0)
    await begun(operator)
    await until(lambda: condition(api, "cad-7", "RouteReady").get("status") == "True", "a step")
    assert condition(api, "cad-7", "Ready")["status"] == "False"


async def test_what_keeps_a_desktop_away_is_said_at_once(
    operator: Operator, api: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_STATUS_SECONDS", 1000.0)
    await begun(operator, template="none")
    await until(lambda: condition(api, "cad-7", "Ready").get("reason") == "TemplateNotFound", "it says so")


async def test_what_a_crowd_says_of_its_steps_comes_more_slowly(
    operator: Operator, api: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_STATUS_SECONDS", 0.0)
    monkeypatch.setattr(module, "_STATUS_RATE", 0.001)
    await begun(operator)
    await ready(operator)
    patches = [one for one in api.seen if one.method == "PATCH" and one.path.endswith(PATCH_STATUS)]
    assert len(patches) == 1, "the last does not wait"


async def test_passes_change_no_document_that_others_read(operator: Operator, api: Server) -> None:
    await begun(operator)
    await ready(operator)
    await until(lambda: operator.queue.longest_wait() == 0.0)
    kept = operator.caches.of_kind()
    assert {kind for kind, store in kept.items() if len(store)} == {*kept}, "of every kind there is one"
    for store in kept.values():
        for name, _ in store.facts():
            assert store.shared(name) == store.get(name)


async def test_a_pass_that_a_result_has_overtaken_asks_for_no_second_check(
    operator: Operator, api: Server, standin: Standin, monkeypatch: pytest.MonkeyPatch
) -> None:
    checks, done, held, overtaken = asyncio.Event(), asyncio.Event(), asyncio.Event(), asyncio.Event()
    tell, checked = module.tell, operator.controller.checker._done

    async def slow() -> web.StreamResponse:
        await checks.wait()
        return await standin.frame()

    def heard(*of: Any) -> None:
        checked(*of)
        done.set()

    async def holding(*of: Any) -> None:
        if held.is_set() and not overtaken.is_set():
            checks.set()
            await done.wait()
            overtaken.set()
        await tell(*of)

    standin.reply = slow
    monkeypatch.setattr(operator.controller.checker, "_done", heard)
    monkeypatch.setattr(module, "tell", holding)
    await begun(operator)
    await until(lambda: made(api, "cad-7"), "all children are made")
    serve(api, "cad-7")
    await until(lambda: standin.seen, "a check is under way")
    held.set()
    operator.queue.wake("cad-7")  # a pass for whatever else, which knows of no result yet
    await until(lambda: condition(api, "cad-7", "Ready").get("status") == "True", "the session is ready")
    assert overtaken.is_set()
    assert len(standin.seen) == 1


@pytest.mark.parametrize("plural", ["services", "ingressroutes", "middlewares", "networkpolicies"])
async def test_what_vanishes_is_made_again(operator: Operator, api: Server, plural: str) -> None:
    await begun(operator)
    await ready(operator)
    name = names_of("cad-7")[plural]
    api.remove(plural, name)
    await until(lambda: (plural, name) in api.objects, f"{plural} is made again")


async def test_what_is_changed_by_hand_is_repaired(operator: Operator, api: Server) -> None:
    await begun(operator)
    await ready(operator)
    place = ("services", names_of("cad-7")["services"])
    wanted = api.objects[place]["spec"]["selector"]
    api.put("services", {**api.objects[place], "spec": {**api.objects[place]["spec"], "selector": {"app": "mine"}}})
    await until(lambda: api.objects[place]["spec"]["selector"] == wanted, "the selector is ours again")


async def test_a_repair_that_is_refused_is_said_and_made_when_it_is_let(operator: Operator, api: Server) -> None:
    await begun(operator)
    await ready(operator)
    place = ("services", names_of("cad-7")["services"])
    wanted = api.objects[place]["spec"]["selector"]
    refusal = Fault("PATCH", "/services/", 422, "Invalid", "spec.ports[0].name: Required value", times=1_000_000)
    api.faults.append(refusal)
    changed = {**wanted, names.INSTANCE_LABEL: "mallory"}
    api.put("services", {**api.objects[place], "spec": {**api.objects[place]["spec"], "selector": changed}})
    await until(lambda: "Required value" in condition(api, "cad-7", "RouteReady").get("message", ""), "it says why")
    assert condition(api, "cad-7", "Ready")["reason"] == "Forbidden"
    refusal.times = 0
    await until(lambda: condition(api, "cad-7", "Ready").get("status") == "True", "it is repaired")
    assert api.objects[place]["spec"]["selector"] == wanted


async def test_what_is_repaired_by_hand_is_no_longer_said_to_be_refused(operator: Operator, api: Server) -> None:
    await begun(operator)
    await ready(operator)
    place = ("services", names_of("cad-7")["services"])
    right = api.objects[place]
    api.faults.append(Fault("PATCH", "/services/", 422, "Invalid", times=1_000_000))
    changed = {**right["spec"]["selector"], names.INSTANCE_LABEL: "mallory"}
    api.put("services", {**right, "spec": {**right["spec"], "selector": changed}})
    await until(lambda: condition(api, "cad-7", "RouteReady").get("reason") == "Forbidden", "it says so")
    api.put("services", right)
    await until(lambda: condition(api, "cad-7", "Ready").get("status") == "True", "it is as it ought to be")


async def test_what_no_watch_tells_of_is_found_to_be_gone(
    operator: Operator, api: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = names_of("cad-7")["pods"]
    owners = [{"kind": "VDISession", "name": "cad-7", "uid": "that-of-another"}]
    stranger = api.put("pods", {"kind": "Pod", "metadata": {"name": name, "ownerReferences": owners}, "spec": {}})
    delete = operator.client.delete

    async def slowly(kind: Kind, one: str, uid: str) -> Object:
        if uid != stranger["metadata"]["uid"]:
            return await delete(kind, one, uid)
        going = {**stranger["metadata"], "deletionTimestamp": "2026-11-29T12:00:00Z", "deletionGracePeriodSeconds": 30}
        return api.put("pods", {**stranger, "metadata": going})

    monkeypatch.setattr(operator.client, "delete", slowly)
    await begun(operator)
    await until(lambda: "deletionTimestamp" in (operator.caches.pods.get(name) or {}).get("metadata", {}), "it goes")
    api.remove("pods", name)
    await ready(operator)


async def test_what_lost_its_label_gets_it_back(operator: Operator, api: Server) -> None:
    await begun(operator)
    await ready(operator)
    place = ("services", names_of("cad-7")["services"])
    one = api.objects[place]
    api.say("DELETED", "services", one)  # to a watch with a selector it is the same as a deletion
    api.put("services", {**one, "metadata": {**one["metadata"], "labels": {}}})
    await until(lambda: api.objects[place]["metadata"]["labels"] == one["metadata"]["labels"], "it has its label again")
    await until(lambda: condition(api, "cad-7", "Ready").get("status") == "True", "and all is well")


async def test_a_quota_is_said_and_the_pod_comes_when_there_is_room(operator: Operator, api: Server) -> None:
    text = 'pods "vdi-session-cad-7" is forbidden: exceeded quota: desktops'
    api.faults.append(Fault("POST", "/pods", 403, "Forbidden", text))
    await begun(operator)
    await until(lambda: "exceeded quota" in condition(api, "cad-7", "Ready").get("message", ""), "it says why")
    await ready(operator)


async def test_a_server_that_fails_costs_time_only(
    operator: Operator, api: Server, caplog: pytest.LogCaptureFixture
) -> None:
    api.faults.append(Fault("POST", "/services", 500, times=7))
    await begun(operator)
    await ready(operator)
    assert operator.value("vdi_reconcile_errors_total") >= 1
    assert "a pass failed: create services" in caplog.text


async def test_what_is_never_as_it_was_known_is_looked_at_less_and_less_often(
    operator: Operator, api: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    wake = operator.queue.wake

    def noted(key: str, after: float = 0.0, *, urgent: bool = False) -> None:
        if after:
            pauses.append(after)
        # What a watch tells comes at once as ever; here nothing else shall.
        wake(key, min(after, 0.01), urgent=urgent)

    monkeypatch.setattr(operator.queue, "wake", noted)
    fault = Fault("POST", "/services", 409, "AlreadyExists", times=1_000_000)
    api.faults.append(fault)
    await begun(operator)
    await until(lambda: pauses.count(5.0) >= 2, "the longest pause")
    assert [one for one in pauses if one in (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)][:8] == [
        0.1,
        0.1,
        0.2,
        0.5,
        1.0,
        2.0,
        5.0,
        5.0,
    ]
    fault.times = 0
    await ready(operator)


async def test_a_fault_of_one_session_is_its_own(
    operator: Operator, api: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    decide = module.desired
    broken = True

    def desired(one: Session, *rest: Any, **more: Any) -> Any:
        if one.name == "bad" and broken:
            raise RuntimeError("as the test wants it")
        return decide(one, *rest, **more)

    monkeypatch.setattr(module, "desired", desired)
    with caplog.at_level(logging.ERROR):
        await begun(operator, "bad", user="bob")
        await begun(operator, "good")
        await ready(operator, "good")
    assert operator.value("vdi_reconcile_errors_total") >= 1
    assert [record.__dict__["session"] for record in caplog.records if record.exc_info][:1] == ["bad"]
    broken = False
    await until(lambda: condition(api, "bad", "Admitted").get("status") == "True", "it is tried again")


async def test_a_session_that_was_changed_meanwhile_is_looked_at_again(operator: Operator, api: Server) -> None:
    await begun(operator)
    await ready(operator)
    document = api.objects[("vdisessions", "cad-7")]
    api.put("vdisessions", {**document, "spec": {**document["spec"], "operatingMode": "Suspended"}})
    api.remove("pods", names_of("cad-7")["pods"])  # something to write about; nobody told of the new mode
    await until(
        lambda: condition(api, "cad-7", "Ready").get("reason") == "Suspended", "the conflict has told of the new mode"
    )
    assert api.objects[("vdisessions", "cad-7")]["status"]["observedGeneration"] == 2
    await until(lambda: told(api, "Suspended"), "an Event")
    (event,) = told(api, "Suspended")
    assert event["involvedObject"]["name"] == "cad-7"
    assert ("persistentvolumeclaims", names.home_name("alice")) in api.objects, "the home stays"


async def test_a_session_that_cannot_be_read_says_so_and_gets_nothing(operator: Operator, api: Server) -> None:
    await begun(operator, lifetime="soon")
    await until(lambda: condition(api, "cad-7", "Admitted").get("reason") == "SessionInvalid", "it says so")
    assert "spec.lifetime" in condition(api, "cad-7", "Admitted")["message"]
    assert not made(api, "cad-7")


async def test_a_broken_template_is_named_and_its_repair_is_noticed(operator: Operator, api: Server) -> None:
    api.put("vditemplates", {"metadata": {"name": "cad"}, "spec": {"image": "i", "dialect": "vnc"}})
    await until(lambda: (operator.caches.templates.get("cad") or {}).get("spec", {}).get("dialect") == "vnc")
    await begun(operator)
    await until(lambda: condition(api, "cad-7", "Admitted").get("reason") == "TemplateInvalid", "it says so")
    api.put("vditemplates", {"metadata": {"name": "cad"}, "spec": {"image": "i"}})
    await ready(operator)


async def test_what_is_gone_is_forgotten_and_its_name_is_free(operator: Operator, api: Server) -> None:
    await begun(operator)
    await ready(operator)
    first = api.objects[("secrets", names_of("cad-7")["secrets"])]["data"]["password"]
    api.remove("vdisessions", "cad-7")
    await operator.listed()
    await until(lambda: operator.queue.longest_wait() == 0.0 and "cad-7" not in operator.caches.sessions)
    assert ("persistentvolumeclaims", names.home_name("alice")) in api.objects
    assert len(operator.caches.secrets) == 0, "nothing of it is kept"
    await begun(operator, user="bob")
    await until(lambda: ("pods", names_of("cad-7")["pods"]) in api.objects)
    assert api.objects[("secrets", names_of("cad-7")["secrets"])]["data"]["password"] != first


async def test_what_the_collector_has_not_reached_yet_is_in_nobodys_way(operator: Operator, api: Server) -> None:
    await begun(operator)
    await ready(operator)
    first = api.objects[("secrets", names_of("cad-7")["secrets"])]["metadata"]["uid"]
    # Deleted, and all that it had stays: its controllers come back late after an outage.
    api.remove_unheard("vdisessions", "cad-7")
    await operator.listed()
    await until(lambda: operator.queue.longest_wait() == 0.0 and "cad-7" not in operator.caches.sessions)
    assert ("secrets", names_of("cad-7")["secrets"]) in api.objects
    await begun(operator)
    owner = api.objects[("vdisessions", "cad-7")]["metadata"]["uid"]

    def its_own(place: tuple[str, str]) -> bool:
        return [one["uid"] for one in api.objects[place]["metadata"]["ownerReferences"]] == [owner]

    places = [place for place in names_of("cad-7").items() if place[0] != "persistentvolumeclaims"]
    await until(lambda: made(api, "cad-7") and all(map(its_own, places)), "the old ones are gone and new ones made")
    await ready(operator)
    assert api.objects[("secrets", names_of("cad-7")["secrets"])]["metadata"]["uid"] != first


async def test_a_new_process_makes_nothing_twice(
    operator: Operator, api: Server, client: Client, url: str, secret_file: Path
) -> None:
    await begun(operator)
    await ready(operator)
    await until(lambda: operator.queue.longest_wait() == 0.0)
    settings = Settings(checker_url=url, relay_addresses=("192.0.2.10",), turn_secret_file=str(secret_file))
    async with Operator(api, client, settings) as second:
        seen = len(api.seen)
        await second.listed()
        await until(lambda: second.value("vdi_reconcile_seconds_count") >= 1)
        await until(lambda: second.queue.longest_wait() == 0.0)
    written = [(one.method, one.path) for one in api.seen[seen:] if one.method in ("POST", "PATCH", "DELETE")]
    assert written == []
