from __future__ import annotations

import asyncio

import aiohttp
import pytest

from vdibench.client.lifetime import Lifetime
from vdibench.errors import Disconnected, StreamLost, TargetUnavailable, VdibenchError


async def test_the_first_reason_counts() -> None:
    life = Lifetime()
    life.end(StreamLost("first", "x"))
    life.end(StreamLost("second", "x"))
    with pytest.raises(StreamLost, match="first"):
        await life.until(asyncio.Event().wait())
    await life.close()


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (TargetUnavailable("as it is", "x"), TargetUnavailable, "as it is"),
        (ConnectionResetError("reset"), Disconnected, "the session broke: reset"),
        (aiohttp.ClientError("client"), Disconnected, "the session broke: client"),
        (ValueError("own"), VdibenchError, r"the client failed: ValueError\('own'\)"),
    ],
)
async def test_an_error_in_the_background_ends_what_waits(
    error: Exception, kind: type[VdibenchError], words: str
) -> None:
    life = Lifetime()

    async def fail() -> None:
        raise error

    life.spawn(fail())
    with pytest.raises(kind, match=words) as caught:
        await life.until(asyncio.Event().wait())
    assert type(caught.value) is kind
    await life.close()


async def test_work_that_ends_first_gives_its_result_and_its_own_error() -> None:
    life = Lifetime()

    async def work() -> int:
        return 5

    async def fail() -> int:
        raise ConnectionError("mine")

    assert await life.until(work()) == 5
    with pytest.raises(ConnectionError, match="mine"):
        await life.until(fail())
    await life.close()


async def test_work_is_cancelled_with_who_waits_for_it() -> None:
    life = Lifetime()
    ended = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    waiting = asyncio.create_task(life.until(work()))
    await asyncio.sleep(0)  # a turn of the loop: the wait begins
    await asyncio.sleep(0)  # another: so does the work
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert ended.is_set()
    await life.close()


async def test_closing_ends_the_tasks_and_gives_those_who_wait_a_reason() -> None:
    life = Lifetime()
    before = asyncio.all_tasks()
    life.spawn(asyncio.sleep(100))  # longer than the test: closing ends it
    waiting = asyncio.create_task(life.until(asyncio.Event().wait()))
    await asyncio.sleep(0)  # a turn of the loop: the wait begins
    await life.close()
    with pytest.raises(StreamLost, match="ended on this side"):
        await waiting
    life.spawn(asyncio.sleep(100))  # closed before: never begins
    life.end(StreamLost("too late", "x"))
    with pytest.raises(StreamLost, match="ended on this side"):
        await life.until(asyncio.Event().wait())
    assert asyncio.all_tasks() == before
