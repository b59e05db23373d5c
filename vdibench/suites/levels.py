"""One level: k desktops watched at once with the same client, in one event loop."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass

from vdibench.client import DesktopSession, InputKind
from vdibench.errors import StreamLost, VdibenchError
from vdibench.records import Desktop
from vdibench.suites.measurement import Measurement

__all__ = ["LevelPlan", "measure_level", "press_many"]

# Between two events: long enough for the patch to settle, and spread over more than one frame's phase.
_PAUSE_SECONDS = (0.06, 0.11)


@dataclass(frozen=True, slots=True)
class LevelPlan:
    """How long and what.

    :param inputs: key presses and as many clicks, on the first desktop that is under control.
    """

    warmup_seconds: float
    steady_seconds: float
    inputs: int = 0

    @property
    def seconds(self) -> float:
        """About how long one level takes, connecting included."""
        return self.warmup_seconds + max(self.steady_seconds, self.inputs * 0.36) + 1.5


async def measure_level(
    measurement: Measurement, desktops: Sequence[Desktop], plan: LevelPlan, trial: int = 0
) -> dict[str, VdibenchError]:
    """Watch ``desktops`` together; returns the sessions that failed, with what ended them.

    A session that fails leaves the others running: how many are good is what the level is about.
    """
    recorder = measurement.recorder
    recorder.move(level=len(desktops), trial=trial, phase="warmup")
    recorder.watched = frozenset(desktop.id for desktop in desktops)
    sessions = [measurement.session(desktop) for desktop in desktops]
    failures: dict[str, VdibenchError] = {}

    def fail(session: DesktopSession, error: VdibenchError) -> None:
        failures[session.desktop.id] = error
        recorder.milestone(session.desktop.id, "failed", time.time())
        recorder.fact(session.desktop.id, f"failure.level-{len(desktops)}.trial-{trial}", str(error))

    async def guarded(session: DesktopSession, step: str) -> None:
        if session.desktop.id in failures:
            return
        try:
            if step == "connect":
                await session.connect()
                await session.first_frame()
            else:
                await session.watch(plan.warmup_seconds if step == "warm up" else plan.steady_seconds)
        except VdibenchError as error:
            fail(session, error)

    try:
        for step in ("connect", "warm up", "watch"):
            if step == "watch":
                recorder.move(phase="steady")
            measurement.progress.say(f"{len(desktops)} desktop(s), trial {trial + 1}: {step}")
            await asyncio.gather(
                *(guarded(session, step) for session in sessions),
                *([_presses(sessions, plan.inputs)] if step == "watch" and plan.inputs else []),
            )
            for session in sessions:
                if step == "watch" and session.desktop.id not in failures and session.picture.marker_is_stale():
                    fail(session, StreamLost("the marker vanished from the picture", "check the desk in its log"))
    finally:
        recorder.move(phase="warmup")
        for session in sessions:
            measurement.note_session(session)
        await asyncio.gather(*(session.leave() for session in sessions))
    return failures


async def _presses(sessions: Sequence[DesktopSession], count: int) -> None:
    for session in sessions:
        if session.desktop.owned and session.picture.marker_seen:
            try:
                await press_many(session, count)
            except VdibenchError:
                return  # the session's own watch reports what ended it
            return


async def press_many(session: DesktopSession, count: int) -> None:
    """``count`` key presses and ``count`` clicks, in turn, one outstanding at a time.

    The pauses are random, so that events fall on every phase of the frame clock.
    """
    for _ in range(count):
        for kind in (InputKind.KEY, InputKind.CLICK):
            await session.press(kind)
            await asyncio.sleep(random.uniform(*_PAUSE_SECONDS))
