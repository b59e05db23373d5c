"""The work queue: what is woken is worked on, once, in order, and never twice at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from vdi_operator.cluster.queue import WorkQueue

from .api_server import until


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Working:
    """A queue at work, and what it has done."""

    def __init__(
        self, queue: WorkQueue, workers: int = 1, work: Callable[[str], Awaitable[None]] | None = None
    ) -> None:
        self.queue = queue
        self.done: list[str] = []
        self._own = work
        self._workers = workers

    async def __aenter__(self) -> Working:
        self.task = asyncio.create_task(self.queue.run(self._work, self._workers))
        return self

    async def __aexit__(self, *_: object) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        self.queue.close()

    async def _work(self, key: str) -> None:
        if self._own is not None:
            await self._own(key)
        self.done.append(key)


async def test_keys_come_in_their_order_and_once() -> None:
    queue = WorkQueue()
    for key in ("a", "b", "a", "c", "b"):
        queue.wake(key)
    assert queue.depth() == 3
    async with Working(queue) as working:
        await until(lambda: len(working.done) >= 3)
        queue.wake("d")
        await until(lambda: "d" in working.done)
    assert working.done == ["a", "b", "c", "d"]


async def test_urgent_keys_overtake_also_when_they_wait_already() -> None:
    queue = WorkQueue()
    for key in ("a", "b", "c"):
        queue.wake(key)
    queue.wake("new", urgent=True)
    queue.wake("c", urgent=True)
    assert queue.depth() == 4
    async with Working(queue) as working:
        await until(lambda: len(working.done) == 4)
    assert working.done == ["new", "c", "a", "b"]


async def test_a_key_woken_at_work_is_worked_on_again_and_never_beside_itself() -> None:
    queue, gate = WorkQueue(), asyncio.Event()
    at_once: dict[str, int] = {}
    most: dict[str, int] = {}
    begun: list[str] = []

    async def work(key: str) -> None:
        at_once[key] = at_once.get(key, 0) + 1
        most[key] = max(most.get(key, 0), at_once[key])
        begun.append(key)
        await gate.wait()
        at_once[key] -= 1

    async with Working(queue, 4, work) as working:
        queue.wake("a")
        queue.wake("b")
        await until(lambda: len(begun) == 2)
        for _ in range(5):
            queue.wake("a")
        assert queue.depth() == 0
        gate.set()
        await until(lambda: working.done.count("a") == 2)
        queue.wake("last")
        await until(lambda: "last" in working.done)
    assert most == {"a": 1, "b": 1, "last": 1}
    assert sorted(working.done) == ["a", "a", "b", "last"]


async def test_a_delayed_key_comes_when_it_is_due_and_not_before() -> None:
    clock = Clock()
    queue = WorkQueue(clock)
    queue.wake("a", 5.0)
    clock.now += 4.0
    queue.tick()
    assert (queue.depth(), queue.delayed()) == (0, 1)
    clock.now += 1.0
    queue.tick()
    assert (queue.depth(), queue.delayed()) == (1, 0)
    queue.close()


async def test_of_several_delays_the_earliest_counts() -> None:
    clock = Clock()
    queue = WorkQueue(clock)
    queue.wake("a", 5.0)
    queue.wake("a", 2.0)
    queue.wake("a", 9.0)
    clock.now += 2.0
    queue.tick()
    assert (queue.depth(), queue.delayed()) == (1, 0)
    clock.now += 20.0
    queue.tick()
    assert queue.depth() == 1
    queue.close()


async def test_a_pass_takes_the_delayed_wake_with_it() -> None:
    clock = Clock()
    queue = WorkQueue(clock)
    queue.wake("a", 5.0)
    queue.wake("a")
    async with Working(queue) as working:
        await until(lambda: working.done == ["a"])
        assert queue.delayed() == 0
        clock.now += 10.0
        queue.tick()
        queue.wake("b")
        await until(lambda: "b" in working.done)
    assert working.done == ["a", "b"]


async def test_work_may_ask_for_its_own_next_time() -> None:
    clock = Clock()
    queue = WorkQueue(clock)

    async def work(key: str) -> None:
        queue.wake(key, 3.0)

    async with Working(queue, work=work) as working:
        queue.wake("a")
        await until(lambda: working.done == ["a"])
        assert queue.delayed() == 1
        clock.now += 3.0
        queue.tick()
        await until(lambda: working.done == ["a", "a"])


async def test_a_delay_passes_by_itself() -> None:
    queue = WorkQueue()
    async with Working(queue) as working:
        queue.wake("late", 0.05)
        queue.wake("now")
        await until(lambda: len(working.done) == 2)
    assert working.done == ["now", "late"]


async def test_overtaken_delays_do_not_pile_up() -> None:
    clock = Clock()
    queue = WorkQueue(clock)
    for number in range(5000):
        queue.wake("a", 50_000.0 - number)
    assert len(queue._heap) < 200
    assert queue.delayed() == 1
    queue.close()


async def test_the_longest_wait_is_that_of_the_oldest_waiting_or_worked_on() -> None:
    clock, gate = Clock(), asyncio.Event()
    queue = WorkQueue(clock)
    assert queue.longest_wait() == 0.0
    queue.wake("a")
    clock.now += 2.0
    queue.wake("b")
    clock.now += 1.0
    assert queue.longest_wait() == 3.0

    async def work(key: str) -> None:
        await gate.wait()

    async with Working(queue, 2, work) as working:
        await until(lambda: queue.depth() == 0)
        clock.now += 4.0
        assert queue.longest_wait() == 4.0
        gate.set()
        await until(lambda: len(working.done) == 2)
        assert queue.longest_wait() == 0.0


async def test_a_fault_of_the_work_ends_the_queue() -> None:
    queue = WorkQueue()

    async def work(key: str) -> None:
        raise RuntimeError("no")

    queue.wake("a")
    with pytest.raises(ExceptionGroup) as caught:
        await queue.run(work, 3)
    assert [type(error) for error in caught.value.exceptions] == [RuntimeError]


async def test_a_forgotten_key_does_not_come() -> None:
    clock = Clock()
    queue = WorkQueue(clock)
    queue.wake("a", 1.0)
    queue.forget("a")
    clock.now += 2.0
    queue.tick()
    assert (queue.depth(), queue.delayed()) == (0, 0)
    queue.close()


async def test_its_load_is_what_waits_and_what_is_worked_on() -> None:
    queue, hold = WorkQueue(), asyncio.Event()

    async def work(key: str) -> None:
        await hold.wait()

    async with Working(queue, workers=1, work=work):
        for key in "abc":
            queue.wake(key)
        await until(lambda: queue.depth() == 2)
        assert queue.load() == 3
        hold.set()
        await until(lambda: queue.load() == 0)
