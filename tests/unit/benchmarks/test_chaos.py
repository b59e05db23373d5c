"""What a bad night is judged by: what is missing, otherwise or nobody's, whether memory grew, and the page."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import random
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from vdibench.lab.cluster.faults import Fault, FaultKind, FaultProxy

FOLDER = Path(__file__).parents[3] / "benchmarks"
OPERATOR = FOLDER.parent / "operator"


@pytest.fixture
def benchmarks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """They find their neighbours as scripts do."""
    monkeypatch.setattr(sys, "path", [str(FOLDER), str(OPERATOR), *sys.path])
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if Path(str(getattr(sys.modules[name], "__file__", ""))).parent == FOLDER:
            del sys.modules[name]


@pytest.fixture
def site(benchmarks: None) -> ModuleType:
    return importlib.import_module("chaos_site")


@pytest.fixture
def page(benchmarks: None) -> ModuleType:
    return importlib.import_module("chaos_page")


LABELS = {"app.kubernetes.io/managed-by": "vdi-operator"}


def child(kind: str, name: str, **more: Any) -> dict[str, Any]:
    return {"kind": kind, "metadata": {"name": name, "labels": LABELS}, **more}


def found(*objects: dict[str, Any]) -> dict[str, dict[str, Any]]:
    kinds = ("Pod", "Service", "Secret", "IngressRoute", "Middleware", "NetworkPolicy", "PersistentVolumeClaim")
    made: dict[str, dict[str, Any]] = {kind: {} for kind in kinds}
    for one in objects:
        made[one["kind"]][one["metadata"]["name"]] = one
    return made


POD, SECRET = child("Pod", "p", spec={"image": "a"}), child("Secret", "s", data={"k": "v"})
WHOLE = {"alice": [SECRET, POD]}


def test_all_is_as_it_ought_to_be(site: ModuleType) -> None:
    strangers = [{"kind": "Secret", "metadata": {"name": "somebody-elses"}}]
    assert site.compared({"alice": "Running"}, WHOLE, found(POD, SECRET, *strangers)) == []
    assert site.compared({"alice": "Suspended"}, WHOLE, found(SECRET)) == []
    assert site.compared({"alice": "Suspended"}, WHOLE, found()) == [], "it may have been suspended before it began"
    assert site.compared({}, {}, found()) == []


@pytest.mark.parametrize(
    ("wishes", "objects", "said"),
    [
        ({"alice": "Running"}, [SECRET], "Pod p is not there"),
        ({"alice": "Running"}, [SECRET, {**POD, "spec": {"image": "b"}}], "Pod p: .spec.image is 'b', wanted is 'a'"),
        ({"alice": "Suspended"}, [SECRET, POD], "Pod p is nobody's"),
        ({}, [SECRET], "Secret s is nobody's"),
        ({"alice": "Running"}, [SECRET, POD, child("Pod", "twice")], "Pod twice is nobody's"),
    ],
)
def test_what_is_not(site: ModuleType, wishes: dict[str, str], objects: list[dict[str, Any]], said: str) -> None:
    assert site.compared(wishes, WHOLE, found(*objects)) == [said]


def test_a_child_is_known_by_its_owner_too(site: ModuleType) -> None:
    orphan = {"kind": "Pod", "metadata": {"name": "o", "ownerReferences": [{"kind": "VDISession"}]}}
    assert site.compared({}, {}, found(orphan)) == ["Pod o is nobody's"]


def test_a_child_that_goes_is_not_there(site: ModuleType) -> None:
    going = {**POD, "metadata": {**POD["metadata"], "deletionTimestamp": "2026-11-29T12:00:00Z"}}
    assert site.compared({"alice": "Running"}, WHOLE, found(SECRET, going)) == ["Pod p is going"]


def test_a_home_is_lost_when_it_is_another_one(site: ModuleType) -> None:
    expected = site.Expected(None, None, "")
    claim = {"metadata": {"uid": "1"}}
    assert expected._lost({"home": claim}) == []
    assert expected._lost({"home": claim, "other": {"metadata": {"uid": "3"}}}) == []
    assert expected._lost({"home": {"metadata": {"uid": "2"}}}) == ["home home is lost", "home other is lost"]


def test_growth_is_that_after_the_warm_up(page: ModuleType) -> None:
    begins = [(float(second), 1e6 * second) for second in range(10)]
    steady = [(10.0 + second, 2e8) for second in range(90)]
    assert page.growth(begins + steady, 10.0)["growth_ratio"] == pytest.approx(0.0, abs=1e-9)
    leaks = [(10.0 + second, 2e8 * (1 + 0.001 * second)) for second in range(90)]
    assert page.growth(begins + leaks, 10.0)["growth_ratio"] == pytest.approx(0.089)
    assert page.growth(begins, 100.0)["growth_ratio"] is None


def document(**changes: Any) -> dict[str, Any]:
    rounds = [
        {"name": "500", "count": 1, "seconds": 2.0, "unmet": [], "last": [], "wrong": []},
        {"name": "kill -9", "count": 5, "seconds": 4.0, "unmet": [], "last": ["x"], "wrong": []},
        {"name": "kill -9", "count": 5, "seconds": 1.0, "unmet": [], "last": [], "wrong": []},
    ]
    return {
        "date": "2026-11-29",
        "host": {"cpu_model": "a CPU", "cpu_cores": 2},
        "options": {"sessions": 100, "fault_seconds": 10.0},
        "seconds": 600.0,
        "rounds": rounds,
        "soak": None,
        "changes": {"create": 3},
        "pace": {"wanted_per_second": 10.0, "made_per_second": 6.8},
        "edits": 2,
        "homes": 100,
        "proxy": {"passed": 10, "error": 2},
        **changes,
    }


def test_the_page_has_each_fault_with_its_worst(page: ModuleType) -> None:
    made = document()
    made["violations"] = page.violations(made)
    assert made["violations"] == []
    text = page.page(made)
    assert "| kill -9 | 10 | 2.5 s | 4.0 s | 10 s |" in text
    assert "did: 2 × error" in text
    assert "would change their minds 10.0 times a second; the API server let them 6.8 times a second" in text
    assert "Violated: nothing." in text


def test_what_is_violated(page: ModuleType) -> None:
    late = {"name": "slow", "count": 1, "seconds": 11.0, "unmet": [], "last": [], "wrong": []}
    wrong = ["Pod p is not there"]
    never = {"name": "never", "count": 1, "seconds": None, "unmet": [], "last": [], "wrong": wrong}
    memory = {"readings": 9, "begin_bytes": 1e8, "largest_bytes": 2e8, "growth_ratio": 0.03}
    soak = {"seconds": 1800.0, "warm_up_seconds": 300.0, **memory, "end": {"seconds": 1.0, "wrong": []}}
    made = document(rounds=[late, never], soak=soak)
    made["violations"] = page.violations(made)
    assert made["violations"] == [
        "slow: converged after 11.0 s, at most 10 s",
        "never: not converged: Pod p is not there",
        "memory grew by 3.0 % in 1800 s",
    ]
    text = page.page(made)
    assert "| slow | 1 | 11.0 s | **11.0 s** | 10 s |" in text
    assert "| never | 1 | | **never** | 10 s |" in text
    assert "grew by +3.00 %" in text


def test_what_never_came_about_is_said_first(page: ModuleType) -> None:
    late = {"name": "slow", "count": 1, "seconds": 11.0, "unmet": [], "last": [], "wrong": []}
    untried = {"name": "watches", "count": 1, "seconds": 1.0, "unmet": ["cut", "tear"], "last": [], "wrong": []}
    assert page.violations(document(rounds=[late, untried])) == [
        "watches: never came about: cut, tear",
        "slow: converged after 11.0 s, at most 10 s",
    ]


@pytest.fixture
def faults(benchmarks: None) -> ModuleType:
    return importlib.import_module("chaos_faults")


async def test_a_fault_of_the_proxy_that_nobody_met_is_noted(faults: ModuleType) -> None:
    # Nobody is behind it, and nobody has a watch.
    with FaultProxy("http://127.0.0.1:9").serving() as proxy:
        stage = SimpleNamespace(proxy=proxy, seconds=0.5, unmet=[])
        trouble = faults._proxied(Fault(FaultKind.ERROR), Fault(FaultKind.LOSE), cut=(FaultKind.CUT,))
        going = asyncio.create_task(trouble(stage))
        async with aiohttp.ClientSession() as http:
            while not proxy.total(FaultKind.ERROR):
                async with http.get(f"{proxy.url}/api/v1/pods") as answer:
                    await answer.read()
        await going
    assert stage.unmet == ["lose", "cut"]


class Emptied:
    """An API server that takes every wish and has nothing else."""

    def __init__(self) -> None:
        self.edits = 0

    async def answer(self, request: web.Request) -> web.Response:
        if "vdisessions" in request.path and not request.path.endswith("/status"):
            return web.json_response({})
        self.edits += 1
        return web.json_response({}, status=404)


@pytest.fixture
async def emptied(site: ModuleType) -> AsyncIterator[tuple[Emptied, Any]]:
    server = Emptied()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", server.answer)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{runner.addresses[0][1]}") as http:
            yield server, site.Site(http)
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("sessions", [1, 3])
async def test_edits_that_hit_nothing_are_none_and_end(
    site: ModuleType,
    faults: ModuleType,
    emptied: tuple[Emptied, Any],
    monkeypatch: pytest.MonkeyPatch,
    sessions: int,
) -> None:
    monkeypatch.setattr(faults, "_PATIENCE_SECONDS", 0.5)
    monkeypatch.setattr(faults, "_EDIT_SECONDS", 0.01)
    server, asked = emptied
    churn = site.Churn(asked, [f"chaos-{number}" for number in range(sessions)], 1, 0.0)
    await churn.begin()
    stage = SimpleNamespace(
        site=asked, churn=churn, random=random.Random(1), seconds=0.0, edits=0, unmet=[], proxy=None
    )
    await faults._by_hand(stage)
    assert (stage.edits, stage.unmet) == (0, ["most of the edits"])
    assert bool(server.edits) == (sessions > 1)


async def test_the_pace_is_that_of_the_time_in_which_minds_are_changed(
    site: ModuleType, emptied: tuple[Emptied, Any]
) -> None:
    churn = site.Churn(emptied[1], ["chaos-0", "chaos-1"], 1, 0.01)
    await churn.begin()
    assert churn.pace() == {"wanted_per_second": 100.0, "made_per_second": None}
    changing = asyncio.create_task(churn.run())
    churn.go()
    for _ in range(2000):
        if sum(churn.changes.values()) >= 12:
            break
        await asyncio.sleep(0.01)  # they are at work, and nothing tells
    await churn.stop()
    changing.cancel()
    first = churn.pace()["made_per_second"]
    assert first > 0
    await churn.stop()
    assert churn.pace()["made_per_second"] == first, "the time after it does not count"


def test_kills_come_in_ones_at_least(benchmarks: None) -> None:
    chaos = importlib.import_module("chaos")
    assert chaos._positive("5") == 5
    with pytest.raises(argparse.ArgumentTypeError):
        chaos._positive("0")
