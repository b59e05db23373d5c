"""How fast sessions were seen to start, and whether a login peak stays inside that. Pure; seconds, logins a minute.

A *burst* is all sessions that were started in one trial. What was measured is the largest burst of which every
session showed its first frame, at a level that is known to be good. It is a rate at which the machine is known to take
logins: its size over the time from the first start to the last picture, and over a minute where it took less than that,
for nobody has seen another burst follow. Beyond it nothing is known.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import pandas as pd

from vdibench.metrics import PROBE, Statistic, attempts

__all__ = ["Burst", "LoginCheck", "Standing", "check_logins", "largest_burst"]

_P95 = Statistic("p", 95.0)
_MINUTE_SECONDS = 60.0


class Standing(StrEnum):
    """What a login peak is against what was measured."""

    WITHIN = "within what was measured"
    BEYOND = "beyond what was measured"
    NO_DATA = "no data"


@dataclass(frozen=True, slots=True)
class Burst:
    """The largest number of sessions that were seen to start together, all of them with success.

    :param seconds: from the first start to the last first frame.
    :param ready_p95_seconds: from a session's start to its first frame, 95th percentile of the burst.
    """

    sessions: int
    seconds: float
    ready_p95_seconds: float

    @property
    def per_minute(self) -> float:
        """Logins a minute: not more than were seen, also when they came in a few seconds."""
        return _MINUTE_SECONDS * self.sessions / max(self.seconds, _MINUTE_SECONDS)


@dataclass(frozen=True, slots=True)
class LoginCheck:
    """The login peak of one template.

    :param per_minute: logins a minute at the peak, of all its users; None when nothing is known of it.
    :param stated: the profile states them; else they follow from the rise of who is there.
    :param each_per_minute: what comes to each GPU or host when logins spread evenly.
    :param carriers: GPUs or hosts at which the peak stays within what was measured; None without a measurement.
    """

    per_minute: float | None
    stated: bool
    each_per_minute: float | None
    measured: Burst | None
    carriers: int | None
    standing: Standing


def largest_burst(milestones: pd.DataFrame, most_sessions: int) -> Burst | None:
    """The largest burst in the milestones of one suite; of equal ones the slowest. None when there was none.

    :param milestones: rows of one suite; probes are left out, each session's first start in a trial counts.
    :param most_sessions: the largest level that is known to be good: how more of them started says nothing of a plan
        that puts no more on one GPU or host.
    """
    # The start of pods, before a suite's first trial, is under trial -1: it is no login.
    counted = (milestones["phase"] != PROBE) & (milestones["level"] <= most_sessions) & (milestones["trial"] >= 0)
    begun = attempts(milestones[counted])
    found: list[Burst] = []
    for _, trial in begun.groupby(["level", "trial"]):
        first = trial.sort_values("started_unix_seconds", kind="stable").drop_duplicates("session")
        ready = first["ready_seconds"]
        if not np.isfinite(ready).all():
            continue
        ends = first["started_unix_seconds"] + ready
        seconds = float(ends.max() - first["started_unix_seconds"].min())
        p95 = _P95.of(ready)
        if seconds > 0 and p95 is not None:
            found.append(Burst(len(first), seconds, p95))
    return max(found, key=lambda burst: (burst.sessions, burst.seconds), default=None)


def check_logins(per_minute: float | None, *, stated: bool, measured: Burst | None, carriers: int) -> LoginCheck:
    """Hold a login peak against what was measured on one GPU or host.

    :param carriers: GPUs or hosts that are planned, over which logins spread evenly.
    """
    if per_minute is None:
        return LoginCheck(None, stated, None, measured, None, Standing.NO_DATA)
    each = per_minute / carriers if carriers else 0.0
    if measured is None:
        return LoginCheck(per_minute, stated, each, None, None, Standing.NO_DATA)
    needed = int(np.ceil(per_minute / measured.per_minute - 1e-9))
    standing = Standing.WITHIN if needed <= carriers else Standing.BEYOND
    return LoginCheck(per_minute, stated, each, measured, needed, standing)
