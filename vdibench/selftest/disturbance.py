"""What disturbs a self-test: a late event loop, a late relay, a full or borrowed machine. Reads /proc and the relay.

A loaded machine makes a result invalid, not wrong: each disturbance beyond its limit is a reason.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping

from vdibench.links import RelayRoute
from vdibench.report import formats
from vdibench.telemetry.machine import read_machine

__all__ = ["DisturbanceWatch", "Disturbances", "worse"]

#: Size of each disturbance by its kind, and its reason in words.
Disturbances = Mapping[str, tuple[float, str]]

MAX_LAG_SECONDS = 0.005
MAX_LATE_SECONDS = 0.0005
MAX_BUSY_RATIO = 0.97
MAX_STOLEN_RATIO = 0.05
_LAG_STEP_SECONDS = 0.005
_LAG_PERCENTILE = 0.99


def worse(first: Disturbances, second: Disturbances) -> dict[str, tuple[float, str]]:
    """Of each kind the larger one."""
    return {**first, **{kind: found for kind, found in second.items() if found[0] > first.get(kind, (0.0, ""))[0]}}


class DisturbanceWatch:
    """Watches one stretch of time after the other.

    :param cores: that this machine lets us use.
    """

    def __init__(self, route: RelayRoute, cores: float) -> None:
        self._route = route
        self._cores = cores
        self._lags: list[float] = []
        self._machine = read_machine()
        self._began = 0.0

    async def watch(self) -> None:
        """See how late the event loop wakes who sleeps in it, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            before = loop.time()
            await asyncio.sleep(_LAG_STEP_SECONDS)  # how late it returns is what is measured
            self._lags.append(max(0.0, loop.time() - before - _LAG_STEP_SECONDS))

    def begin(self) -> None:
        """A stretch begins."""
        self._lags.clear()
        self._machine, self._began = read_machine(), asyncio.get_running_loop().time()

    def end(self, when: str, late_seconds: float = MAX_LATE_SECONDS) -> Disturbances:
        """A stretch ends: what disturbed it.

        :param when: ends each reason.
        :param late_seconds: how late the relay may be, at the median, before what is judged here would suffer.
        """
        found: dict[str, tuple[float, str]] = {}
        lag = sorted(self._lags)[math.ceil(_LAG_PERCENTILE * len(self._lags)) - 1] if self._lags else math.inf
        if lag > MAX_LAG_SECONDS:
            found["loop"] = lag, f"the client's event loop was late by {formats.seconds(lag)} (p99) {when}"
        late = self._route.counters().down.late
        # Medians are compared, so the relay's median counts. Its tail is the burst of a large frame, on any machine.
        if late.count and late.p50_seconds > late_seconds:
            text = f"the relay let packets go {formats.seconds(late.p50_seconds)} late (p50) {when}"
            found["relay"] = late.p50_seconds, text
        before, after = self._machine, read_machine()
        available = (asyncio.get_running_loop().time() - self._began) * self._cores
        busy = (after.busy_cpu_seconds - before.busy_cpu_seconds) / available
        if busy > MAX_BUSY_RATIO:
            found["busy"] = busy, f"the host's processors were {formats.ratio(min(busy, 1.0))} busy {when}"
        if before.steal_cpu_seconds is not None and after.steal_cpu_seconds is not None:
            stolen = (after.steal_cpu_seconds - before.steal_cpu_seconds) / available
            if stolen > MAX_STOLEN_RATIO:
                found["stolen"] = stolen, f"the hypervisor took {formats.ratio(stolen)} of the processors {when}"
        return found
