"""Secrets are read once, kept, and looked at again by turns: a role that may only get them is enough."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest

from vdi_operator.api.objects import Kind
from vdi_operator.cluster import secrets as module
from vdi_operator.cluster.access import Access
from vdi_operator.cluster.kube import Client
from vdi_operator.cluster.secrets import Secrets

from .api_server import NAMESPACE, Fault, Object, Server, until


def secret(name: str, session: str, value: str = "cGFzcw==") -> Object:
    labels = {"app.kubernetes.io/instance": session}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "labels": labels}, "data": {"k": value}}


@asynccontextmanager
async def turning(client: Client, secrets: Secrets) -> AsyncIterator[None]:
    task = asyncio.create_task(secrets.turns(client))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
def woken() -> list[str]:
    return []


@pytest.fixture
def secrets(woken: list[str], monkeypatch: pytest.MonkeyPatch) -> Secrets:
    monkeypatch.setattr(module, "_ROUND_SECONDS", 0.05)
    return Secrets(woken.append)


async def test_one_is_read_once(api: Server, client: Client, secrets: Secrets, woken: list[str]) -> None:
    api.put("secrets", secret("auth", "cad-7"))
    first = await secrets.read(client, "auth")
    assert first is not None
    assert first["data"] == {"k": "cGFzcw=="}
    assert await secrets.read(client, "auth") == first
    assert len(api.seen) == 1
    assert woken == [], "the pass that reads it needs no other"


async def test_one_that_is_not_there_is_not_asked_for_all_the_time(
    api: Server, client: Client, secrets: Secrets
) -> None:
    assert await secrets.read(client, "auth") is None
    assert await secrets.read(client, "auth") is None
    secrets.suppose_absent(["rtc"])
    assert await secrets.read(client, "rtc") is None
    assert len(api.seen) == 1
    secrets.put(api.put("secrets", secret("auth", "cad-7")), quiet=True)
    assert await secrets.read(client, "auth") is not None


async def test_one_that_is_changed_or_deleted_wakes_its_session(
    api: Server, client: Client, secrets: Secrets, woken: list[str]
) -> None:
    for name, session in (("auth", "a"), ("rtc", "a"), ("other", "b")):
        api.put("secrets", secret(name, session))
        await secrets.read(client, name)
    async with turning(client, secrets):
        api.put("secrets", secret("other", "b", "bmV3"))
        await until(lambda: woken == ["b"])
        found = secrets.get("other")
        assert found is not None
        assert found["data"] == {"k": "bmV3"}
        api.remove("secrets", "rtc")
        await until(lambda: woken == ["b", "a"])
        assert secrets.get("rtc") is None
        rounds = len(api.seen)
        await until(lambda: len(api.seen) > rounds + 4)
    assert woken == ["b", "a"], "what stays the same wakes nobody"
    assert not [one for one in api.seen if one.path.endswith("/secrets")], "none is listed"


async def test_turns_go_on_after_an_error(api: Server, client: Client, secrets: Secrets, woken: list[str]) -> None:
    api.put("secrets", secret("auth", "a"))
    await secrets.read(client, "auth")
    api.faults.append(Fault("GET", "/secrets/auth", 403, "Forbidden", times=3))
    async with turning(client, secrets):
        await until(lambda: api.faults[0].times == 0)
        api.remove("secrets", "auth")
        await until(lambda: woken == ["a"])


async def test_those_of_a_session_that_is_gone_are_not_looked_at(api: Server, client: Client, secrets: Secrets) -> None:
    api.put("secrets", secret("auth", "a"))
    api.put("secrets", secret("stays", "b"))
    for name in ("auth", "stays"):
        await secrets.read(client, name)
    secrets.forget(["auth"])
    api.seen.clear()
    async with turning(client, secrets):
        await until(lambda: len(api.seen) >= 3)
    assert {one.path.rsplit("/", 1)[1] for one in api.seen} == {"stays"}


async def test_one_that_was_forgotten_and_is_still_there_is_found(
    api: Server, client: Client, secrets: Secrets
) -> None:
    there = api.put("secrets", secret("auth", "a"))
    await secrets.read(client, "auth")
    secrets.forget(["auth"])
    # As after a creation that says that there is one.
    await secrets.fetch(client, "auth")
    found = secrets.entry("auth")
    assert found is not None
    assert found.uid == there["metadata"]["uid"]


async def test_an_own_deletion_during_a_look_stays_one(
    api: Server, client: Client, secrets: Secrets, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.put("secrets", secret("auth", "a"))
    await secrets.read(client, "auth")
    get = client.get

    async def overtaken(kind: Kind, name: str) -> Object:
        found = await get(kind, name)
        secrets.drop(name, found["metadata"]["uid"], quiet=True)
        return found

    monkeypatch.setattr(client, "get", overtaken)
    await secrets.look(client, "auth")
    assert "auth" not in secrets


async def test_an_own_write_during_a_look_is_not_lost(
    api: Server, client: Client, secrets: Secrets, woken: list[str]
) -> None:
    async def looked() -> None:
        await secrets.look(client, "auth")

    look = asyncio.create_task(looked())  # finds none
    await until(lambda: api.seen)
    secrets.put(api.put("secrets", secret("auth", "a")), quiet=True)
    await look
    assert await secrets.read(client, "auth") is not None
    assert woken == []


class Loaded(Client):
    """An API server whose every answer takes a while, on a clock of its own."""

    def __init__(self, seconds: float, *, busy: bool) -> None:
        super().__init__(Access("http://192.0.2.1"), NAMESPACE)
        self.now = 0.0
        self.looks: dict[str, list[float]] = {}
        self.most = 0
        self._seconds = seconds
        self._busy = busy
        self._open_requests = 0

    async def get(self, kind: Kind, name: str) -> Object:
        self.looks.setdefault(name, []).append(self.now)
        self._open_requests += 1
        self.most = max(self.most, self._open_requests)
        if self._busy:  # the processor's time, which nobody else has meanwhile
            self.now += self._seconds
        else:
            end = self.now + self._seconds
            while self.now < end:  # noqa: ASYNC110 - the clock is the sleeper's, who sets no event
                await asyncio.sleep(0)  # a turn of the loop
        self._open_requests -= 1
        return versioned(name)

    async def sleep(self, seconds: float) -> None:
        """Moves the clock on by steps, in which others run."""
        end = self.now + seconds
        while self.now < end:
            self.now = min(end, self.now + 0.005)
            await asyncio.sleep(0)  # a turn of the loop for who waits
        await asyncio.sleep(0)  # and one for what that began


def versioned(name: str) -> Object:
    one = secret(name, name.partition(".")[0])
    return {**one, "metadata": {**one["metadata"], "uid": name, "resourceVersion": "1"}}


@pytest.mark.parametrize(("seconds", "busy"), [(0.015, True), (0.1, False)], ids=["busy", "slow"])
async def test_a_hundred_sessions_are_looked_at_in_time_however_long_each_answer_takes(
    seconds: float, busy: bool
) -> None:
    api = Loaded(seconds, busy=busy)
    secrets = Secrets(lambda session: None, clock=lambda: api.now, sleep=api.sleep)
    for number in range(100):
        for part in ("auth", "rtc"):
            secrets.put(versioned(f"s{number}.{part}"), quiet=True)
    async with turning(api, secrets):
        await until(lambda: all(len(api.looks.get(f"s{number}.rtc", ())) >= 4 for number in range(100)))
    periods = [after - before for looks in api.looks.values() for before, after in pairwise(looks)]
    assert max(periods) <= 4.2
    assert api.now >= 3 * 3.8, "and not faster than was promised"
    assert api.most <= module._AT_ONCE


async def test_one_that_gets_no_answer_keeps_no_other_waiting(
    api: Server, client: Client, secrets: Secrets, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("never", "a", "b"):
        api.put("secrets", secret(name, name))
        await secrets.read(client, name)
    get = client.get
    begun: list[str] = []

    async def hanging(kind: Kind, name: str) -> Object:
        begun.append(name)
        if name == "never":
            await asyncio.Event().wait()
        return await get(kind, name)

    monkeypatch.setattr(client, "get", hanging)
    async with turning(client, secrets):
        await until(lambda: min(begun.count("a"), begun.count("b")) >= 3)
    assert begun.count("never") == 1


async def test_looks_give_way_to_a_crowd_of_starts() -> None:
    api, crowd = Loaded(0.0, busy=False), True
    secrets = Secrets(lambda session: None, clock=lambda: api.now, sleep=api.sleep, crowded=lambda: crowd)
    for number in range(100):
        secrets.put(versioned(f"s{number}.auth"), quiet=True)
    async with turning(api, secrets):
        await until(lambda: len(api.looks) == 100)
        slow = api.now
        crowd = False
        rounds = {name: len(looks) for name, looks in api.looks.items()}
        await until(lambda: all(len(api.looks[name]) >= rounds[name] + 2 for name in api.looks))
    assert slow >= 3 * module._ROUND_SECONDS
    late = [looks[-1] - looks[-2] for looks in api.looks.values()]
    assert max(late) <= 4.2, "and the pace comes back"
