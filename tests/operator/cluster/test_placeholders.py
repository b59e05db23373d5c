"""Placeholders against a server, beside real passes: made, counted, renewed, taken by sessions, and in nobody's way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from vdi_operator.api.objects import Kind
from vdi_operator.children import names
from vdi_operator.cluster import placeholders as module
from vdi_operator.cluster.kube import Client
from vdi_operator.settings import Settings

from .api_server import Fault, Object, Server, session, until
from .test_controller import Operator, condition
from .test_slots import offer, running, wish

Begin = Callable[..., Any]
CLASS = "vdi-placeholder"


def placeholders(api: Server) -> dict[str, Object]:
    """Name -> document."""
    return {
        name: one
        for (kind, name), one in api.objects.items()
        if kind == "pods" and one["metadata"]["labels"]["app.kubernetes.io/name"] == CLASS
    }


def desktops(api: Server) -> set[str]:
    return {name for name in running(api) if name not in placeholders(api)}


def asleep(api: Server, node: str = "n1") -> None:
    """What scheduler and kubelet do for all placeholders."""
    for one in placeholders(api).values():
        status = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
        api.put("pods", {**one, "spec": {**one["spec"], "nodeName": node}, "status": status})


def order(api: Server, begin: int = 0) -> list[tuple[str, str]]:
    """Method and what it was about, of each request that changed a pod."""
    found = []
    for one in api.seen[begin:]:
        if "/pods" in one.path and one.method in ("POST", "DELETE"):
            name = one.path.rsplit("/", 1)[1] if one.method == "DELETE" else one.body["metadata"].get("name", CLASS)
            found.append((one.method, CLASS if name.startswith(CLASS) else name))
    return found


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SETTLE_SECONDS", 0.01)
    monkeypatch.setattr(module, "_LOOK_SECONDS", 0.1)
    monkeypatch.setattr(module, "_REFILL_SECONDS", 0.1)
    monkeypatch.setattr(module, "_REFUSED_SECONDS", 0.1)


@pytest.fixture
def sites(api: Server, client: Client, tmp_path: Path) -> Begin:
    """An operator that looks after placeholders once its sessions were listed."""
    secret = tmp_path / "secret"
    secret.write_text("north\n")

    @asynccontextmanager
    async def begin(**settings: Any) -> AsyncIterator[Operator]:
        given: dict[str, Any] = {
            "relay_addresses": ("192.0.2.10",),
            "turn_secret_file": str(secret),
            "placeholder_priority_class": CLASS,
        }
        async with Operator(api, client, Settings(**{**given, **settings})) as found:
            await found.listed()
            keeper = asyncio.create_task(found.controller.placeholders.run())
            try:
                yield found
            finally:
                keeper.cancel()
                await asyncio.gather(keeper, return_exceptions=True)

    return begin


async def test_as_many_as_are_wanted_are_made_and_counted(sites: Begin, api: Server) -> None:
    offer(api, None, warmSlots=3)
    async with sites() as operator:
        await until(lambda: len(placeholders(api)) == 3)
        counts = operator.controller.placeholders.counts
        wanted: dict[tuple[str, str], int] = {("cad", "wanted"): 3, ("cad", "ready"): 0, ("cad", "pending"): 3}
        assert counts() == wanted
        asleep(api)
        await until(lambda: counts() == {**wanted, ("cad", "ready"): 3, ("cad", "pending"): 0})
        operator.metrics.warm_slots(counts)
        assert operator.value("vdi_warm_slots", template="cad", state="ready") == 3
        assert len(operator.caches.pods) == 0, "sessions' watches know nothing of them"
        offer(api, None, warmSlots=1)
        await until(lambda: len(placeholders(api)) == 1)
        assert len(api.asked("POST", "pods")) == 3, "of those that were there one stays"
        api.remove("vditemplates", "cad")
        await until(lambda: not placeholders(api))
        await until(lambda: counts() == {})


async def test_those_of_before_are_known_after_a_restart(sites: Begin, api: Server) -> None:
    offer(api, None, warmSlots=2)
    async with sites():
        await until(lambda: len(placeholders(api)) == 2)
    before = set(placeholders(api))
    async with sites() as operator:
        await until(lambda: operator.controller.placeholders.counts().get(("cad", "pending")) == 2)
        offer(api, None, warmSlots=3)
        await until(lambda: len(placeholders(api)) == 3)
    assert before < set(placeholders(api))


async def test_a_session_takes_one_before_its_pod_is_made(sites: Begin, api: Server) -> None:
    offer(api, None, warmSlots=2)
    async with sites() as operator:
        await until(lambda: len(placeholders(api)) == 2)
        asleep(api)
        await until(lambda: operator.controller.placeholders.counts()["cad", "ready"] == 2)
        begin = len(api.seen)
        wish(api, "alice", 0)
        await operator.listed()
        await until(lambda: desktops(api) == {"alice"})
        assert order(api, begin)[:2] == [("DELETE", CLASS), ("POST", "vdi-session-alice")]
        assert operator.value("vdi_warm_claims_total", state="warm") == 1
        await until(lambda: len(placeholders(api)) == 2, "the place is filled again")
        assert operator.value("vdi_warm_claims_total", state="cold") == 0


async def test_two_at_once_take_two(sites: Begin, api: Server) -> None:
    offer(api, None, warmSlots=2)
    async with sites() as operator:
        await until(lambda: len(placeholders(api)) == 2)
        asleep(api)
        await until(lambda: operator.controller.placeholders.counts()["cad", "ready"] == 2)
        begin = len(api.seen)
        for name in ("alice", "bob", "carol"):
            wish(api, name, 0)
        await operator.listed()
        await until(lambda: desktops(api) == {"alice", "bob", "carol"})
        taken = [one for one in api.seen[begin:] if one.method == "DELETE" and CLASS in one.path]
        assert len({one.path for one in taken}) == len(taken) == 2
        assert operator.value("vdi_warm_claims_total", state="warm") == 2
        assert operator.value("vdi_warm_claims_total", state="cold") == 1


async def test_a_home_elsewhere_takes_none(sites: Begin, api: Server) -> None:
    offer(api, None, warmSlots=1)
    metadata = {
        "name": "vdi-home-alice",
        "labels": {"app.kubernetes.io/part-of": "vdi-platform"},
        "annotations": {"vdibench.io/user": "alice", "volume.kubernetes.io/selected-node": "n2"},
    }
    api.put("persistentvolumeclaims", {"metadata": metadata, "spec": {"volumeName": "v"}, "status": {"phase": "Bound"}})
    async with sites() as operator:
        await until(lambda: len(placeholders(api)) == 1)
        asleep(api, "n1")
        await until(lambda: operator.controller.placeholders.counts()["cad", "ready"] == 1)
        before = set(placeholders(api))
        wish(api, "alice", 0)
        await operator.listed()
        await until(lambda: desktops(api) == {"alice"})
        assert set(placeholders(api)) == before
        assert operator.value("vdi_warm_claims_total", state="cold") == 1


async def test_one_that_cannot_be_taken_keeps_nobody_waiting(sites: Begin, api: Server) -> None:
    offer(api, None, warmSlots=1)
    async with sites() as operator:
        await until(lambda: len(placeholders(api)) == 1)
        asleep(api)
        await until(lambda: operator.controller.placeholders.counts()["cad", "ready"] == 1)
        api.faults.append(Fault("DELETE", f"/pods/{CLASS}", 403, "Forbidden", times=1_000_000))
        wish(api, "alice", 0)
        await operator.listed()
        await until(lambda: desktops(api) == {"alice"})
        assert len(placeholders(api)) == 1


async def test_one_whose_end_takes_long_keeps_nobody_waiting(
    sites: Begin, api: Server, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    delete, answers = client.delete, asyncio.Event()

    async def late(kind: Kind, name: str, uid: str) -> Object:
        if name.startswith(CLASS):
            await answers.wait()
        return await delete(kind, name, uid)

    monkeypatch.setattr(module, "_TAKE_SECONDS", 0.1)
    monkeypatch.setattr(client, "delete", late)
    offer(api, None, warmSlots=1)
    async with sites() as operator:
        await until(lambda: len(placeholders(api)) == 1)
        asleep(api)
        await until(lambda: operator.controller.placeholders.counts()["cad", "ready"] == 1)
        wish(api, "alice", 0)
        await operator.listed()
        await until(lambda: desktops(api) == {"alice"})
        assert len(placeholders(api)) == 1
        offer(api, None, warmSlots=0)
        answers.set()
        await until(lambda: not placeholders(api), "nobody else thinks that it is taken")


async def test_with_the_sessions_they_are_never_more_than_there_are_places(sites: Begin, api: Server) -> None:
    offer(api, 2, warmSlots=9)
    most = 0

    def counted() -> int:
        nonlocal most
        most = max(most, len(placeholders(api)))
        return len(placeholders(api))

    def beside(left: int) -> bool:
        return counted() == left

    async with sites(gpus=2) as operator:
        await until(lambda: counted() == 4)
        asleep(api)
        for number, left in enumerate((3, 2, 1, 0, 0)):
            wish(api, f"s{number}", number)
            await operator.listed()
            await until(partial(beside, left), f"{left} beside {number + 1} sessions")
        await until(lambda: len(desktops(api)) == 4)
        assert operator.controller.slots.waiting() == 1
        # The fifth is next, and none of them.
        api.remove("vdisessions", "s0")
        await operator.listed()
        await until(lambda: "s4" in desktops(api))
        api.remove("vdisessions", "s1")
        await operator.listed()
        await until(lambda: counted() == 1, "nobody waits any more")
    assert most == 4


async def test_where_a_session_waits_for_more_than_is_free_they_take_none_of_it(sites: Begin, api: Server) -> None:
    offer(api, 4, warmSlots=2)
    api.put(
        "vditemplates",
        {"metadata": {"name": "big"}, "spec": {"image": "registry.test/big:1", "capacity": {"sessionsPerGPU": 1}}},
    )
    async with sites(gpus=1) as operator:
        await until(lambda: len(placeholders(api)) == 2)
        wish(api, "alice", 0)
        await operator.listed()
        await until(lambda: desktops(api) == {"alice"})
        big = session("bob", user="bob")
        big["spec"]["templateRef"] = {"name": "big"}
        api.put("vdisessions", big)
        await operator.listed()
        await until(lambda: operator.controller.slots.waiting() == 1)
        await until(lambda: not placeholders(api), "three quarters are free, and a whole is waited for")


async def test_one_that_was_preempted_or_has_ended_is_made_anew(sites: Begin, api: Server) -> None:
    offer(api, None, warmSlots=2)
    async with sites() as operator:
        await until(lambda: len(placeholders(api)) == 2)
        asleep(api)
        await until(lambda: operator.controller.placeholders.counts()["cad", "ready"] == 2)
        gone, ended = sorted(placeholders(api))
        api.remove("pods", gone)
        api.put("pods", {**api.objects[("pods", ended)], "status": {"phase": "Failed", "reason": "Evicted"}})
        await until(lambda: len(placeholders(api)) == 2 and not {gone, ended} & set(placeholders(api)))


async def test_what_nodes_refuse_is_made_less_and_less_often_until_one_is_ready(
    sites: Begin, api: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_REFILL_SECONDS", 0.3)  # long enough for the ends of one try to come together

    def refuse() -> None:
        for one in placeholders(api).values():
            api.put("pods", {**one, "status": {"phase": "Failed", "reason": "UnexpectedAdmissionError"}})

    offer(api, None, warmSlots=2)
    async with sites() as operator:
        refused = operator.controller.placeholders._refused

        def times() -> int:
            return refused["cad"].times if "cad" in refused else 0

        def whole() -> bool:
            return [one.get("status") for one in placeholders(api).values()] == [None, None]

        for wanted in (1, 2, 4):
            await until(whole, "they are made again")
            refuse()
            await until(lambda wanted=wanted: times() == wanted, "both count as one try")
        await until(whole, "they are made again")
        asleep(api)
        await until(lambda: times() == 0, "one is ready")
        refuse()
        await until(lambda: times() == 1, "anew")
        refused["cad"] = replace(refused["cad"], until=float("inf"))
        await until(lambda: not placeholders(api), "those that have ended go")
        begin = len(api.seen)
        offer(api, None, warmSlots=2, image="registry.test/desktop:2")
        await until(lambda: len(placeholders(api)) == 2, "others are tried at once")
    made = [one.body["spec"]["containers"][0]["image"] for one in api.seen[begin:] if one.method == "POST"]
    assert made == ["registry.test/desktop:2"] * 2, "and of the former none was"


async def test_a_template_of_another_image_has_others(sites: Begin, api: Server) -> None:
    offer(api, None, warmSlots=2)
    async with sites():
        await until(lambda: len(placeholders(api)) == 2)
        offer(api, None, warmSlots=2, image="registry.test/desktop:2")

        def images() -> list[str]:
            return [one["spec"]["containers"][0]["image"] for one in placeholders(api).values()]

        await until(lambda: images() == ["registry.test/desktop:2"] * 2)


async def test_a_template_without_the_evidence_that_is_asked_for_has_none(sites: Begin, api: Server) -> None:
    offer(api, None, warmSlots=2)
    async with sites(require_evidence=True) as operator:
        counts = operator.controller.placeholders.counts
        await until(lambda: counts() == {("cad", "wanted"): 2, ("cad", "ready"): 0, ("cad", "pending"): 0})
        wish(api, "alice", 0)
        await operator.listed()
        await until(lambda: condition(api, "alice", "Admitted").get("reason") == "EvidenceMissing")
    assert not api.asked("POST", "pods")


async def test_without_a_class_it_is_said_once_and_what_is_there_goes(
    sites: Begin, api: Server, caplog: pytest.LogCaptureFixture
) -> None:
    offer(api, None, warmSlots=1)
    async with sites():
        await until(lambda: len(placeholders(api)) == 1)
    async with sites(placeholder_priority_class=""):
        await until(lambda: not placeholders(api))
        await until(lambda: "cad: warmSlots wants" in caplog.text)
        offer(api, None, warmSlots=2)
        await asyncio.sleep(0.3)  # for looks that could say it again: nothing tells of one that says nothing
    said = [one for one in caplog.records if "placeholderPriorityClass" in one.getMessage()]
    assert len(said) == 1


async def test_what_is_refused_is_said_once_and_made_when_it_is_let(
    sites: Begin, api: Server, caplog: pytest.LogCaptureFixture
) -> None:
    offer(api, None, warmSlots=1)
    refusal = Fault("POST", "/pods", 403, "Forbidden", f"no PriorityClass with name {CLASS} was found", times=1_000_000)
    api.faults.append(refusal)
    async with sites():
        await until(lambda: len(api.asked("POST", "pods")) >= 3, "it is tried again")
        refusal.times = 0
        await until(lambda: len(placeholders(api)) == 1)
    said = [one for one in caplog.records if "no PriorityClass" in one.getMessage()]
    assert len(said) == 1


async def test_a_template_that_is_refused_starves_no_other(
    sites: Begin, api: Server, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = client.create

    async def picky(kind: Kind, body: Object) -> Object:
        if body["metadata"].get("labels", {}).get(names.TEMPLATE_LABEL) == "cad":
            api.faults.append(Fault("POST", "/pods", 422, "Invalid", "as cad has it"))
        return await create(kind, body)

    monkeypatch.setattr(client, "create", picky)
    offer(api, None, warmSlots=5)
    later = {"image": "registry.test/later:1", "warmSlots": 2}
    api.put("vditemplates", {"metadata": {"name": "later"}, "spec": later})
    async with sites():
        await until(lambda: len(placeholders(api)) == 2, "those of the template after it")
        await until(lambda: len(api.asked("POST", "pods")) >= 4, "it is tried again")
    asked = [one.body["metadata"]["labels"][names.TEMPLATE_LABEL] for one in api.asked("POST", "pods")]
    assert asked[:4] == ["cad", "later", "later", "cad"], "refused once is not tried for the others of the same"


async def test_nothing_is_asked_where_nothing_is_wanted(sites: Begin, api: Server) -> None:
    offer(api, None)
    async with sites() as operator:
        wish(api, "alice", 0)
        await operator.listed()
        await until(lambda: desktops(api) == {"alice"})
        assert [name for _, name in order(api)] == ["vdi-session-alice"]
        assert operator.value("vdi_warm_claims_total", state="cold") == 0


async def test_a_pod_that_is_refused_again_and_again_takes_one_place(sites: Begin, api: Server) -> None:
    offer(api, None, warmSlots=3)
    async with sites() as operator:
        await until(lambda: len(placeholders(api)) == 3)
        asleep(api)
        await until(lambda: operator.controller.placeholders.counts()["cad", "ready"] == 3)
        api.faults.append(Fault("POST", "/pods", 403, "Forbidden", "exceeded quota", times=1_000_000))
        wish(api, "alice", 0)
        await operator.listed()
        await until(lambda: order(api).count(("POST", "vdi-session-alice")) >= 3)
        assert operator.value("vdi_warm_claims_total", state="warm") == 1
        assert order(api).count(("DELETE", CLASS)) == 1


async def test_who_waits_at_a_limit_waits_for_none_of_them(sites: Begin, api: Server) -> None:
    offer(api, 1, warmSlots=4)
    wish(api, "alice", 0)
    async with sites(gpus=2, sessions_per_namespace=1) as operator:
        await until(lambda: desktops(api) == {"alice"} and len(placeholders(api)) == 1)
        asleep(api)
        await until(lambda: operator.controller.placeholders.counts()["cad", "ready"] == 1)
        before, begin = set(placeholders(api)), len(api.seen)
        wish(api, "bob", 1)
        await operator.listed()
        await until(lambda: condition(api, "bob", "Admitted").get("reason") == "NamespaceLimitReached")
        assert operator.controller.slots.free() == 1, "bob is in no line for the place that is kept warm"
        assert set(placeholders(api)) == before
        api.remove("vdisessions", "alice")
        await operator.listed()
        await until(lambda: desktops(api) == {"bob"})
        changed = order(api, begin)
        assert changed.index(("DELETE", CLASS)) < changed.index(("POST", "vdi-session-bob")), "it gives way"
