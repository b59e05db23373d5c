"""Injects delays, freezes and loss between a desktop and one session, and holds the session's word against them. I/O.

One session sees everything, one after the other, without connecting again: the relay changes its figures while packets
go through it. Delays hold packets on their way to the client, and, where keys are pressed, on their way back as well.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from vdibench.client import DesktopSession, InputKind, SessionOptions
from vdibench.links import DIRECT, LinkProfile, RelayRoute
from vdibench.metrics.pacing import freezes
from vdibench.records import Accuracy, Desktop
from vdibench.selftest.comparison import FRAME_BLOCK, counted, delayed, shift
from vdibench.selftest.disturbance import Disturbances, DisturbanceWatch, worse
from vdibench.selftest.plan import Plan
from vdibench.selftest.samples import Latencies, Samples, Values
from vdibench.selkies import Dialect, Role

__all__ = ["BOUNDS", "Findings", "measure_accuracy"]

#: Seconds by which a median may be wrong.
BOUNDS = {
    "capture_to_arrival_seconds": 0.001,
    "draw_to_arrival_seconds": 0.001,
    "glass_to_glass_seconds": 0.002,
    "input_to_photon_seconds": 0.002,
}
_LOSS_BOUND_PACKETS = 2
_FREEZE_BOUND_RATIO = 0.05
_FREEZE_JITTER_SECONDS = 0.2
_PAUSE_SECONDS = (0.02, 0.037)
_GRACE_SECONDS = 0.5
_REPEATS_OF_A_WINDOW = 2
# A window with presses may last so many times its length until there are enough of them.
_LONGEST_WINDOW = 3


@dataclass(frozen=True, slots=True)
class Findings:
    """Rows of one dialect, and why they must not be trusted (nothing, if all is well)."""

    rows: tuple[Accuracy, ...]
    doubts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Window:
    delay: float
    latencies: dict[str, Latencies]


class _Course:
    """One session on its way through the plan."""

    def __init__(self, session: DesktopSession, route: RelayRoute, samples: Samples, plan: Plan, cores: float) -> None:
        self._session = session
        self._route = route
        self._samples = samples
        self._plan = plan
        self._cores = cores
        self.watch = DisturbanceWatch(route, cores)
        self._disturbances: Disturbances = {}

    async def delays(self, say: Callable[[str], None]) -> list[_Window]:
        """Every window of the plan; one that was disturbed is repeated, as often as the plan has repeats."""
        plan, found, repeats = self._plan, [], self._plan.repeats
        for delay in plan.windows:
            say(f"packets held for {delay * 1e3:g} ms")
            self._change(delay)
            # What is under way with the delay of before must be through.
            await self._session.watch(plan.settle_seconds + max(plan.delays))
            window, disturbances = await self._window(delay)
            for _ in range(_REPEATS_OF_A_WINDOW):
                if not (disturbances and repeats):
                    break
                repeats -= 1
                say(f"packets held for {delay * 1e3:g} ms, again: {next(iter(disturbances.values()))[1]}")
                window, disturbances = await self._window(delay)
            self._disturbed(disturbances)
            found.append(window)
        self._change(0.0)
        return found

    async def _window(self, delay: float) -> tuple[_Window, Disturbances]:
        self._samples.clear()
        self.watch.begin()
        if self._plan.presses:
            await self._press(self._plan.window_seconds, self._plan.presses)
        else:
            await self._session.watch(self._plan.window_seconds)
        disturbances = self.watch.end(f"while packets were held for {delay * 1e3:g} ms")
        return _Window(delay, self._samples.latencies()), disturbances

    def _change(self, delay: float) -> None:
        down = replace(DIRECT.down, delay_seconds=delay)
        up = down if self._plan.presses else DIRECT.up
        self._route.set_profile(LinkProfile("selftest", down, up))

    async def _press(self, seconds: float, events: int) -> None:
        """Press keys and click for so long, and until there were so many events; a long delay makes them rare."""
        loop = asyncio.get_running_loop()
        began, made = loop.time(), 0
        while (passed := loop.time() - began) < seconds or (made < events and passed < _LONGEST_WINDOW * seconds):
            for kind in InputKind:
                await self._session.press(kind)
                await asyncio.sleep(random.uniform(*_PAUSE_SECONDS))  # on every phase of the frames
                made += 1

    async def freezes(self, say: Callable[[str], None]) -> tuple[int, float]:
        """How many freezes the session saw, and how long they were together."""
        plan = self._plan
        say(f"{plan.freezes} freezes of {plan.freeze_seconds * 1e3:g} ms")
        await self._session.watch(plan.settle_seconds)
        self._samples.clear()
        # A freeze is judged by the frames before it.
        await self._session.watch(plan.settle_seconds)
        self.watch.begin()
        for _ in range(plan.freezes):
            after = random.uniform(0, min(_FREEZE_JITTER_SECONDS, plan.freeze_period_seconds - plan.freeze_seconds))
            self._route.freeze(plan.freeze_seconds, after=after)
            await self._session.watch(plan.freeze_period_seconds)
        # A duration is judged here, to its own bound, and each freeze ends in a burst of all that was held.
        tolerable = _FREEZE_BOUND_RATIO * plan.freeze_seconds
        self._disturbed(self.watch.end("while the stream was frozen now and then", tolerable))
        gaps = np.diff(self._samples.arrivals())
        frozen = freezes(gaps)
        return int(frozen.sum()), float(gaps[frozen].sum())

    async def loss(self, say: Callable[[str], None]) -> tuple[int, float, int]:
        """Video packets that the relay dropped, that the session missed, and that were sent."""
        plan = self._plan
        say(f"{plan.loss_ratio:.0%} of the packets dropped for {plan.loss_seconds:g} s")
        await self._session.watch(_GRACE_SECONDS)
        before, missed = self._route.counters().down, self._session.read().packets_lost
        self._route.set_profile(LinkProfile("selftest", replace(DIRECT.down, loss_ratio=plan.loss_ratio), DIRECT.up))
        await self._session.watch(plan.loss_seconds)
        self._route.set_profile(DIRECT)
        await self._session.watch(_GRACE_SECONDS)
        after, missed = self._route.counters().down, self._session.read().packets_lost - missed
        passed = {kind: number - before.media_passed.get(kind, 0) for kind, number in after.media_passed.items()}
        if not passed:
            return 0, missed, 0
        # Of the payload types on this port (sound, video, retransmissions) video has by far the most packets.
        video = max(passed, key=lambda kind: passed[kind])
        dropped = after.media_dropped.get(video, 0) - before.media_dropped.get(video, 0)
        overflowed = after.dropped.get("socket", 0) - before.dropped.get("socket", 0)
        if overflowed:
            text = f"{overflowed} packets were lost in this machine's own buffers while loss was injected"
            self._disturbed({"overflow": (overflowed, text)})
        return dropped, missed, passed[video] + dropped

    def _disturbed(self, found: Disturbances) -> None:
        self._disturbances = worse(self._disturbances, found)

    @property
    def doubts(self) -> list[str]:
        """Why the numbers must not be trusted; nothing, if all is well."""
        return [text for _, text in self._disturbances.values()]


async def measure_accuracy(
    desktop: Desktop, dialect: Dialect, route: RelayRoute, plan: Plan, cores: float, say: Callable[[str], None]
) -> Findings:
    """Watch ``desktop`` through ``route`` and compare; the route's figures are changed on the way.

    :param cores: that this machine lets us use.
    :param say: told a line at each step.
    :raises VdibenchError: the desktop cannot be watched.
    """
    samples = Samples()
    options = SessionOptions(
        role=Role.CONTROLLER if desktop.owned else Role.VIEWER, route=route, dialect=dialect, stall_seconds=10.0
    )
    session = DesktopSession(desktop, samples, options)
    course = _Course(session, route, samples, plan, cores)
    watch = asyncio.get_running_loop().create_task(course.watch.watch())
    try:
        await session.connect()
        await session.first_frame()
        windows = await course.delays(lambda line: say(f"{dialect}: {line}"))
        rows = list(_latency_rows(windows, str(dialect)))
        if plan.freezes:
            rows += _freeze_rows(await course.freezes(lambda line: say(f"{dialect}: {line}")), str(dialect), plan)
        if plan.loss_seconds:
            rows.append(await _loss_row(course, dialect, plan, lambda line: say(f"{dialect}: {line}")))
    finally:
        watch.cancel()
        await session.leave()
    return Findings(tuple(rows), tuple(f"{dialect}: {doubt}" for doubt in course.doubts))


def _latency_rows(windows: list[_Window], dialect: str) -> list[Accuracy]:
    rows = []
    for metric, bound in BOUNDS.items():
        found = [window.latencies[metric] for window in windows]
        if metric == "draw_to_arrival_seconds" and any(len(one.desktop) for one in found):
            continue  # without what was spent in the desktop it would be capture_to_arrival
        if not any(len(one.values) for one in found):
            continue  # the dialect has no such thing, or the plan does not ask for it
        ways = 2 if metric == "input_to_photon_seconds" else 1
        block = 1 if metric == "input_to_photon_seconds" else FRAME_BLOCK
        level = _levelled(found)
        for number in range(1, len(windows), 2):
            moved = shift(level[number], level[number - 1], level[number + 1], block)
            rows.append(delayed(metric, dialect, ways * windows[number].delay, moved, bound))
    return rows


def _levelled(windows: list[Latencies]) -> list[Values]:
    """Latencies as if every picture had spent equally long in the desktop, where that is known.

    When a screen is captured, how long its encoder takes and when its pacer sends is the desktop's business and
    changes from second to second; the relay has no part in it.
    """
    spent = np.concatenate([window.desktop for window in windows])
    if not len(spent):
        return [window.values for window in windows]
    usual = float(np.median(spent))
    return [
        window.values - window.desktop + usual if len(window.desktop) else np.zeros(0, dtype=np.float64)
        for window in windows
    ]


def _freeze_rows(found: tuple[int, float], dialect: str, plan: Plan) -> list[Accuracy]:
    seen, seconds = found
    # From picture to picture: a hold begins somewhere in a frame's interval, half of one after a picture on average.
    injected = plan.freezes * (plan.freeze_seconds + 0.5 / plan.display.framerate)
    bound = _FREEZE_BOUND_RATIO * injected
    return [
        counted("freezes", dialect, plan.freezes, seen, "freezes", plan.freezes, 0),
        counted("freeze_duration_seconds", dialect, injected, seconds, "seconds", seen, bound),
    ]


async def _loss_row(course: _Course, dialect: Dialect, plan: Plan, say: Callable[[str], None]) -> Accuracy:
    if dialect is Dialect.SELKIES_2_WEBSOCKET:
        note = "TCP sends again what was lost"
        return Accuracy("packets_lost", str(dialect), 0, None, None, "packets", 0, 0, None, note=note, applicable=False)
    dropped, missed, sent = await course.loss(say)
    measured = None if math.isnan(missed) else missed
    return counted("packets_lost", str(dialect), dropped, measured, "packets", sent, _LOSS_BOUND_PACKETS)
