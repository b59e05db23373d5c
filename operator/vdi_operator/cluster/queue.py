"""Keys that want a pass: each once, now or later, never two passes of one key at a time. Asyncio, no I/O."""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import Awaitable, Callable

__all__ = ["WorkQueue"]

# Overtaken entries that the heap may have beside those that count.
_SLACK = 64

# What is worked off: told a key, it raises nothing that it can handle itself.
Work = Callable[[str], Awaitable[None]]


class WorkQueue:
    """Deduplicating, delayed, with two lanes: what is urgent overtakes the crowd after a start.

    A key that is woken while it is worked on is worked on again afterwards. Of several delayed wakes the earliest
    counts, and a pass takes the delayed wake with it: passes are level-based, each says itself when it wants the next.

    :param clock: seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # Key -> since when. Dictionaries keep their order: the first is the oldest.
        self._urgent: dict[str, float] = {}
        self._ready: dict[str, float] = {}
        self._working: dict[str, float] = {}
        self._again: dict[str, bool] = {}
        self._due: dict[str, float] = {}
        self._heap: list[tuple[float, str]] = []
        self._timer: asyncio.TimerHandle | None = None
        # One token for each key in a lane.
        self._tokens = asyncio.Semaphore(0)

    def wake(self, key: str, after: float = 0.0, *, urgent: bool = False) -> None:
        """Have a pass of this key.

        :param after: seconds from now; an earlier wish stays.
        :param urgent: before all that are not.
        """
        if after > 0:
            due = self._clock() + after
            if key not in self._urgent and key not in self._ready and due < self._due.get(key, float("inf")):
                self._due[key] = due
                heapq.heappush(self._heap, (due, key))
                if len(self._heap) > 2 * len(self._due) + _SLACK:  # most were overtaken, some of them for hours
                    self._heap = [(due, key) for key, due in self._due.items()]
                    heapq.heapify(self._heap)
                self._arm()
            return
        if key in self._working:
            self._again[key] = urgent or self._again.get(key, False)
        elif urgent and key in self._ready:
            self._urgent[key] = self._ready.pop(key)
        elif key not in self._urgent and key not in self._ready:
            (self._urgent if urgent else self._ready)[key] = self._clock()
            self._tokens.release()

    def tick(self) -> None:
        """Move what is due into its lane. The queue's own timer calls this; a test with its own clock does, too."""
        now = self._clock()
        while self._heap and self._heap[0][0] <= now:
            due, key = heapq.heappop(self._heap)
            # Another due time means that this entry was overtaken.
            if self._due.get(key) == due:
                del self._due[key]
                self.wake(key)
        self._arm()

    async def run(self, work: Work, workers: int) -> None:
        """Work for ever, on so many keys at a time. What work raises ends it."""
        async with asyncio.TaskGroup() as group:
            for number in range(workers):
                group.create_task(self._work(work), name=f"worker {number}")

    def forget(self, key: str) -> None:
        """Drop a key's delayed wake."""
        self._due.pop(key, None)

    def depth(self) -> int:
        """Keys that wait for a worker."""
        return len(self._urgent) + len(self._ready)

    def load(self) -> int:
        """Keys that wait for a worker, or are with one."""
        return self.depth() + len(self._working)

    def delayed(self) -> int:
        """Keys that wait for their time."""
        return len(self._due)

    def longest_wait(self) -> float:
        """Seconds that the oldest key has waited for a worker, or has been with one."""
        lanes = (self._urgent, self._ready, self._working)
        oldest = min((min(lane.values()) for lane in lanes if lane), default=None)
        return 0.0 if oldest is None else max(0.0, self._clock() - oldest)

    def close(self) -> None:
        """No more timers."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _work(self, work: Work) -> None:
        while True:
            await self._tokens.acquire()
            lane = self._urgent or self._ready
            key = next(iter(lane))
            del lane[key]
            self._due.pop(key, None)
            self._working[key] = self._clock()
            try:
                await work(key)
            finally:
                del self._working[key]
            if key in self._again:
                self.wake(key, urgent=self._again.pop(key))

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._heap and self._due.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        if self._heap:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(max(0.0, self._heap[0][0] - self._clock()), self.tick)
