"""Probes: a stalled loop, a stuck queue and a dead watch fail; nothing else does."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
import pytest

from vdi_operator.cluster.health import Health, Heartbeat, serve


@dataclass
class Watch:
    title: str = "pods"
    silent: float = 1.0

    def silent_seconds(self) -> float:
        return self.silent


def health(heartbeat: Heartbeat, watch: Watch, waited: Callable[[], float], succeeded: Callable[[], float]) -> Health:
    return Health(heartbeat, waited, succeeded, [watch], lambda: ["services"])


@asynccontextmanager
async def probing(found: Health) -> AsyncIterator[Callable[[str], Awaitable[tuple[int, str]]]]:
    runner = await serve(found, lambda: b"vdi_sessions 1\n", "127.0.0.1", 0)
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    async with aiohttp.ClientSession() as http:

        async def get(path: str) -> tuple[int, str]:
            async with http.get(url + path) as response:
                return response.status, await response.text()

        yield get
    await runner.cleanup()


async def test_a_blocked_loop_is_seen_and_logged_with_its_place(caplog: pytest.LogCaptureFixture) -> None:
    async with Heartbeat(stall_seconds=0.6) as heartbeat:
        found = health(heartbeat, Watch(), lambda: 0.0, time.monotonic)
        async with probing(found) as get:
            assert await get("/healthz") == (200, "ok\n")
            with caplog.at_level(logging.ERROR):
                time.sleep(1.5)  # noqa: ASYNC251  # what a fault in a handler would do to everybody
            status, text = await get("/healthz")
    assert status == 503
    assert "the event loop" in text
    assert "test_a_blocked_loop_is_seen" in caplog.text, "where it stood"


async def test_a_stall_is_shown_for_a_while_only() -> None:
    async with Heartbeat(stall_seconds=0.6) as heartbeat:
        time.sleep(1.5)  # noqa: ASYNC251  # a stall
        assert heartbeat.complaint()
        heartbeat._beat = time.monotonic()
        assert "did not come round for" in heartbeat.complaint()
        heartbeat._stalled_until -= 3600.0
        assert heartbeat.complaint() == ""


@pytest.mark.parametrize(
    ("waited", "since", "bad"), [(31.0, 31.0, True), (31.0, 1.0, False), (1.0, 3600.0, False), (0.0, 3600.0, False)]
)
async def test_sessions_that_wait_while_no_pass_succeeds(waited: float, since: float, bad: bool) -> None:
    async with Heartbeat() as heartbeat:
        found = health(heartbeat, Watch(), lambda: waited, lambda: time.monotonic() - since)
        async with probing(found) as get:
            status, text = await get("/healthz")
    assert (status == 503) is bad
    assert ("sessions have waited" in text) is bad


async def test_a_watch_that_hears_nothing_is_named() -> None:
    watch = Watch(silent=121.0)
    async with Heartbeat() as heartbeat, probing(health(heartbeat, watch, lambda: 0.0, time.monotonic)) as get:
        assert await get("/healthz") == (503, "nothing was heard of pods for 121 s\n")
        watch.silent = 119.0
        assert (await get("/healthz"))[0] == 200


async def test_readiness_says_what_is_missing_and_metrics_are_there() -> None:
    async with Heartbeat() as heartbeat, probing(health(heartbeat, Watch(), lambda: 0.0, time.monotonic)) as get:
        assert await get("/readyz") == (503, "services were not listed yet\n")
        assert await get("/metrics") == (200, "vdi_sessions 1\n")


async def test_an_address_that_is_taken_is_an_error() -> None:
    async with Heartbeat() as heartbeat:
        found = health(heartbeat, Watch(), lambda: 0.0, time.monotonic)
        runner = await serve(found, bytes, "127.0.0.1", 0)
        with pytest.raises(OSError, match="in use"):
            await serve(found, bytes, *runner.addresses[0][:2])
        await runner.cleanup()
