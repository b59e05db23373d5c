"""The watch itself: connect, read at intervals, connect again, end. I/O; runs in one event loop.

It ends when the user says so (Ctrl-C, SIGTERM), when the wanted time or number of readings is reached, or when the
stream is lost and nobody asked for another try.
"""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from vdibench.client import DesktopSession, InputKind, SessionOptions
from vdibench.client.culprit import may_heal
from vdibench.errors import AuthenticationError, VdibenchError
from vdibench.links import Relay, RelayRoute
from vdibench.records import Desktop
from vdibench.selkies import Role
from vdibench.watch.facts import clock_bound_seconds, nominal_frames_per_second, session_facts
from vdibench.watch.gauge import Gauge
from vdibench.watch.options import WatchOptions
from vdibench.watch.reading import Down, Reading, SessionFacts, Summary
from vdibench.watch.signals import stopped_by_signals

__all__ = ["Monitor", "Output", "retry_seconds", "worth_another_try"]

_LONGEST_RETRY_SECONDS = 30.0
# A connection that held so long was a good one: the next failure starts from the shortest delay again.
_HELD_SECONDS = 30.0
_INPUT_SECONDS = 1.0
# server_settings comes 50 ms after the channel opened; stream_info, for controllers, a second after capture began.
_SETTINGS_SECONDS, _STREAM_INFO_SECONDS = 1.0, 2.0
_LOOK_SECONDS = 0.05
# From here on a corrected latency says something of its height: half of what a good desktop may take.
_KNOWN_CLOCK_SECONDS = 0.025


class Output(Protocol):
    """Where a watch goes; called in the event loop, so it must not take long."""

    def connecting(self) -> None:
        """A connection is being tried."""

    def session(self, facts: SessionFacts) -> None:
        """There is a picture; called again when something of it changed."""

    def reading(self, now: Reading, minute: Reading) -> None:
        """An interval ended; ``minute`` covers the last minute of watching."""

    def down(self, down: Down) -> None:
        """The connection failed or was lost, and will be tried again."""

    def summary(self, summary: Summary) -> None:
        """The watch is over."""


class Monitor:
    """Watches one desktop.

    :param gauge: takes the samples; may be read by others meanwhile.
    """

    def __init__(self, options: WatchOptions, gauge: Gauge, outputs: Sequence[Output]) -> None:
        self._options = options
        self._gauge = gauge
        self._outputs = outputs
        self._stop = asyncio.Event()
        self._began = time.monotonic()
        self._pictured_at: float | None = None
        self._deadline = math.inf
        self._alarm: asyncio.TimerHandle | None = None
        self._reconnects = 0
        self._failure: VdibenchError | None = None
        self._clock_bound: float | None = None
        self._route: RelayRoute | None = None

    async def run(self) -> Summary:
        """Watch until the end.

        :raises VdibenchError: what ended the watch, or why nothing was ever seen; the summary was given out before.
        """
        error: VdibenchError | None = None
        with self._link(), stopped_by_signals(self._stop.set) as signalled:
            work = asyncio.create_task(self._work())
            stopper = asyncio.create_task(self._stop.wait())
            try:
                await asyncio.wait({work, stopper}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in (work, stopper):
                    task.cancel()
                await asyncio.gather(work, stopper, return_exceptions=True)
            if not work.cancelled():
                failed = work.exception()
                if failed is not None and not isinstance(failed, VdibenchError):
                    raise failed
                error = failed
        if error is None and not signalled() and self._pictured_at is None:
            error = self._failure
        summary = self._summary(error)
        self._tell(lambda output: output.summary(summary))
        if error is not None:
            raise error
        return summary

    @contextmanager
    def _link(self) -> Iterator[None]:
        if self._options.link is None:
            yield
            return
        with Relay() as relay:
            self._route = relay.route(self._options.link)
            yield

    # connecting again and again

    async def _work(self) -> None:
        if self._options.reconnect and self._options.duration_seconds is not None:
            self._deadline = self._now() + self._options.duration_seconds
        failures = 0
        while True:
            self._arm()
            began = self._now()
            try:
                await self._connection()
                return
            except VdibenchError as error:
                if not self._options.reconnect or not worth_another_try(error, pictured=self._pictured_at is not None):
                    raise
                self._failure = error
                held = self._pictured_at is not None and self._now() - max(began, self._pictured_at) > _HELD_SECONDS
                failures = 0 if held else failures
                delay = retry_seconds(failures)
                failures += 1
                down = Down(time.time(), str(error), delay)
                self._tell(lambda output, down=down: output.down(down))  # type: ignore[misc]  # mypy infers no lambda with a default
            self._arm()
            await asyncio.sleep(delay)  # the delay that was just told
            self._reconnects += 1

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    def _arm(self) -> None:
        """While nothing is being read, time runs out by alarm."""
        if self._alarm is not None:
            self._alarm.cancel()
        loop = asyncio.get_running_loop()
        self._alarm = loop.call_at(self._deadline, self._stop.set) if self._deadline < math.inf else None

    # one connection

    async def _connection(self) -> None:
        options = self._options
        self._gauge.connecting()
        self._tell(lambda output: output.connecting())
        desktop = Desktop("desktop", options.endpoint, owned=options.take_control)
        role = Role.CONTROLLER if options.take_control else Role.VIEWER
        wanted = SessionOptions(
            role=role,
            relay_only=options.relay_only,
            route=self._route,
            compare_clocks=await asyncio.to_thread(clock_bound_seconds, options.endpoint.url, None) is None,
        )
        # Another connection may lead to another host.
        self._gauge.clock_offset_seconds = None if wanted.compare_clocks else 0.0
        async with DesktopSession(desktop, self._gauge, wanted) as session:
            await session.first_frame()
            self._pictured()
            self._gauge.begin()
            typing = asyncio.create_task(_send_input(session)) if options.send_input else None
            try:
                await self._read(session, typing)
            finally:
                if typing is not None:
                    typing.cancel()
                    await asyncio.gather(typing, return_exceptions=True)
                self._gauge.lost(session.read())

    def _pictured(self) -> None:
        if self._pictured_at is None:
            self._pictured_at = self._now()
            if self._options.duration_seconds is not None:
                self._deadline = self._pictured_at + self._options.duration_seconds
        if self._alarm is not None:
            self._alarm.cancel()

    async def _read(self, session: DesktopSession, typing: asyncio.Task[None] | None) -> None:
        interval = self._options.interval_seconds
        due = self._now() + interval
        facts = await self._introduce(session)
        while True:
            await session.watch(max(0.0, min(due, self._deadline) - self._now()))
            if typing is not None and typing.done():
                typing.result()
            over = self._now() >= self._deadline
            if self._now() >= due or (over and not self._gauge.totals.readings):
                facts = self._report(session, facts)
                due = max(due + interval, self._now())
            if over or self._gauge.totals.readings == self._options.count:
                return

    async def _introduce(self, session: DesktopSession) -> SessionFacts:
        controlling = self._options.take_control
        wanted, patience = (
            ("stream_info", _STREAM_INFO_SECONDS) if controlling else ("server_settings", _SETTINGS_SECONDS)
        )
        until = self._now() + patience
        while wanted not in session.messages and self._now() < until:
            await session.watch(_LOOK_SECONDS)
        pair = session.pair
        if pair is not None and self._route is not None:
            # The link is on this host; where the desktop's clock is says what stands behind it.
            pair = dataclasses.replace(pair, remote_address=self._route.behind(pair.remote_address))
        self._clock_bound = await asyncio.to_thread(clock_bound_seconds, self._options.endpoint.url, pair)
        if self._clock_bound != 0.0 and self._gauge.clock_offset_seconds == 0.0:
            self._gauge.clock_offset_seconds = None  # the page is served here, the picture comes from elsewhere
        facts = session_facts(session, self._gauge, self._clock_bound)
        self._tell(lambda output: output.session(facts))
        return facts

    def _compare_clocks(self, session: DesktopSession) -> None:
        """On one host there is one clock; elsewhere what the session learnt of the desktop's, with its bound."""
        if self._clock_bound != 0.0 and (known := session.clock.estimate(time.time())) is not None:
            self._clock_bound = known.bound_seconds
            if known.bound_seconds <= _KNOWN_CLOCK_SECONDS:
                self._gauge.clock_offset_seconds = known.offset_seconds

    def _report(self, session: DesktopSession, before: SessionFacts) -> SessionFacts:
        self._compare_clocks(session)
        facts = session_facts(session, self._gauge, self._clock_bound)
        # The bound of the clock shrinks with every comparison; each reading states it.
        told = dataclasses.replace(before, unix_seconds=facts.unix_seconds, clock_bound_seconds=self._clock_bound)
        if facts != told:
            self._tell(lambda output: output.session(facts))
        now, minute = self._gauge.take(
            session.read(),
            nominal=nominal_frames_per_second(session),
            backlog=session.picture.backlog,
            clock_bound_seconds=self._clock_bound,
        )
        self._tell(lambda output: output.reading(now, minute))
        return facts

    def _tell(self, what: Callable[[Output], None]) -> None:
        for output in self._outputs:
            what(output)

    def _summary(self, error: VdibenchError | None) -> Summary:
        with self._gauge.lock:
            totals = self._gauge.totals
            latency, photon = totals.glass_to_glass, totals.input_to_photon
            sent = totals.packets_received + totals.packets_lost
            return Summary(
                unix_seconds=time.time(),
                seconds=time.monotonic() - self._began,
                watched_seconds=totals.watched_seconds,
                readings=totals.readings,
                reconnects=self._reconnects,
                glass_to_glass_samples=latency.count,
                glass_to_glass_p50_seconds=latency.quantile(0.50),
                glass_to_glass_p95_seconds=latency.quantile(0.95),
                glass_to_glass_p99_seconds=latency.quantile(0.99),
                glass_to_glass_max_seconds=latency.max,
                clock_bound_seconds=self._clock_bound,
                frames=totals.frames,
                frames_per_second=totals.frames / totals.watched_seconds if totals.watched_seconds else None,
                freezes=totals.freezes,
                frozen_seconds=totals.frozen_seconds,
                packets_received=totals.packets_received,
                packets_lost=totals.packets_lost if totals.lossy else None,
                packets_lost_ratio=totals.packets_lost / sent if sent and totals.lossy else None,
                inputs_sent=totals.inputs,
                inputs_lost=totals.inputs - photon.count,
                input_to_photon_p50_seconds=photon.quantile(0.50),
                input_to_photon_p95_seconds=photon.quantile(0.95),
                input_to_photon_max_seconds=photon.max,
                event_loop_lag_max_seconds=totals.lag_max,
                error=None if error is None else str(error),
            )


def retry_seconds(failures: int) -> float:
    """How long to wait after so many failures in a row: doubling from about 1 s to 30 s, spread so that the many
    watchers of a host that came back do not all come at once."""
    most = min(_LONGEST_RETRY_SECONDS, 2.0 ** (failures + 1))
    return random.uniform(max(1.0, most / 2), most)


def worth_another_try(error: VdibenchError, *, pictured: bool) -> bool:
    """Whether time may heal ``error``; ``pictured`` says that there was a picture before."""
    if isinstance(error, AuthenticationError):
        # At first it is a mistake of the caller's; later the desktop's password changes with a new pod.
        return pictured
    return may_heal(error)


async def _send_input(session: DesktopSession) -> None:
    """A key, then a click, one a second; none where no desk would show it: it would only hit whatever is there."""
    loop = asyncio.get_running_loop()
    for kind in itertools.cycle(InputKind):
        began = loop.time()
        if session.picture.marker_seen:
            await session.press(kind)
        await asyncio.sleep(max(0.0, _INPUT_SECONDS - (loop.time() - began)))  # one a second
