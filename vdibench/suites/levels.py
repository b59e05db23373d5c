"""Levels: so many desktops watched together by a load of Locust users, trial by trial. I/O; blocks.

One load serves all levels of a suite, and its users come anew for each trial: what a session learnt or broke in one
trial must not reach the next.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass

from vdibench.analysis import Criterion, measured_trial
from vdibench.client import DesktopSession, InputKind, Mode
from vdibench.errors import VdibenchError
from vdibench.load.driver import LoadDriver, LoadOptions
from vdibench.load.guard import limits_for
from vdibench.load.host_guard import generator_reasons
from vdibench.records import Desktop
from vdibench.suites.measurement import Measurement
from vdibench.telemetry.cgroups import usable_cores

__all__ = ["LevelLoad", "LevelPlan", "press_many"]

# Between two events: long enough for the patch to settle, and spread over more than one frame's phase.
_PAUSE_SECONDS = (0.06, 0.11)
_START_SECONDS = 5.0
_COME_AND_GO_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class LevelPlan:
    """How long a trial is watched: before anything counts, and then for the statistics."""

    warmup_seconds: float
    steady_seconds: float

    @property
    def seconds(self) -> float:
        """About how long one trial takes, coming and going included."""
        return self.warmup_seconds + self.steady_seconds + _COME_AND_GO_SECONDS


class LevelLoad:
    """The load of one suite; ends with its measurement, or before by :meth:`close`.

    :param desktops: users get them in this order; None for all of the target.
    :param suite: that its samples are recorded under; None for that of the measurement.
    :raises LoadError: the load generator does not start; the measurement is closed then.
    """

    START_SECONDS = _START_SECONDS

    def __init__(
        self,
        measurement: Measurement,
        plan: LevelPlan,
        *,
        workers: int,
        mode: str,
        scenario: str,
        desktops: Sequence[Desktop] | None = None,
        suite: str | None = None,
    ) -> None:
        self._measurement = measurement
        self._plan = plan
        self._desktops = tuple(measurement.desktops if desktops is None else desktops)
        self._suite = suite or measurement.suite
        self._workers, self._mode = workers, mode
        options = LoadOptions(
            workers=workers, mode=Mode(mode), scenario=scenario, compare_clocks=measurement.compares_clocks
        )
        with measurement.step():
            self._driver = measurement.enter(
                LoadDriver(
                    measurement.folder.path,
                    self._desktops,
                    options,
                    suite=self._suite,
                    secrets=measurement.secrets,
                    say=measurement.progress.say,
                )
            )

    def note(self, desktop: Desktop, key: str, value: str) -> None:
        """Record a fact of a desktop under the suite of this load."""
        self._measurement.recorder.move(suite=self._suite)
        self._measurement.recorder.row(desktop.id, "facts", {"key": key, "value": value})

    def measure(self, level: int, trial: int) -> dict[str, VdibenchError]:
        """One trial of the first ``level`` desktops; returns the sessions that failed, with what ended them.

        A session that fails leaves the others running: how many are good is what the level is about.

        :raises LoadError: a part of the load generator is gone; the measurement is closed then.
        """
        measurement, driver, plan = self._measurement, self._driver, self._plan
        watched = self._desktops[:level]
        measurement.recorder.watched = frozenset(desktop.id for desktop in watched)
        with measurement.step():
            self._move(level, trial, "warmup", "connect")
            failures = driver.scale(level)
            for phase, seconds in (("warmup", plan.warmup_seconds), ("steady", plan.steady_seconds)):
                if len(failures) == level:
                    break
                if phase == "steady":
                    self._move(level, trial, phase, "watch")
                failures |= driver.hold(seconds)
            self._move(level, trial, "warmup", "leave")
            driver.scale(0)
            measurement.note_loaded(watched, self._suite)
        return failures

    def guard(self, level: int, trial: int, expectations: Sequence[Criterion], *, framerate: float) -> None:
        """Say what speaks against a trial's numbers: then the run is invalid.

        :param expectations: that its sessions are held against: a generator may be late by a share of their latencies.
        :param framerate: frames per second that were asked for.
        """
        tables, mode = self._measurement.tables().tables, Mode(self._mode)
        measured = measured_trial(tables, expectations, level, trial, suite=self._suite, framerate=framerate)
        bounds = [expectation.limit(None) for metric, expectation in expectations if metric.endswith("_seconds")]
        for reason in generator_reasons(
            tables,
            suite=self._suite,
            level=level,
            trial=trial,
            workers=self._workers,
            limits=limits_for(
                [bound for bound in bounds if bound is not None],
                decoding_cores=int(usable_cores()) if mode.decodes else 1,
            ),
            cores=usable_cores(),
            shared_host=any(desktop.pids or desktop.cgroup for desktop in self._desktops),
            passed=measured.passed,
        ):
            self._measurement.invalid(reason)

    def _move(self, level: int, trial: int, phase: str, doing: str) -> None:
        self._measurement.progress.say(f"{level} desktop(s), trial {trial + 1}: {doing}")
        self._measurement.recorder.move(suite=self._suite, level=level, trial=trial, phase=phase)
        self._driver.move(level=level, trial=trial, phase=phase)

    def close(self) -> None:
        """End the load; what comes next has the machine to itself."""
        self._driver.close()
        self._measurement.recorder.move(suite=self._measurement.suite, level=1, trial=0, phase="warmup")
        self._measurement.recorder.watched = frozenset()


async def press_many(session: DesktopSession, count: int) -> None:
    """``count`` key presses and ``count`` clicks, in turn, one outstanding at a time.

    The pauses are random, so that events fall on every phase of the frame clock.
    """
    for _ in range(count):
        for kind in (InputKind.KEY, InputKind.CLICK):
            await session.press(kind)
            await asyncio.sleep(random.uniform(*_PAUSE_SECONDS))  # on every phase of the frames
