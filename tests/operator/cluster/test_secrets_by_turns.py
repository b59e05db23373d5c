"""Secrets are read once, kept, and looked at again by turns: a role that may only get them is enough."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from vdi_operator.cluster import secrets as module
from vdi_operator.cluster.kube import Client
from vdi_operator.cluster.secrets import Secrets

from .api_server import Fault, Object, Server, until


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


def test_a_hundred_sessions_are_seen_within_the_objective() -> None:
    assert 100 / module.SESSIONS_PER_SECOND <= 5.0
