"""Which sessions were good, by how much, how evenly they were served, and which was worst. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from vdibench.metrics import FAILED, REGISTRY, Direction, Metric, Statistic, Tables, chosen, sessions, values
from vdibench.slo import Expectation, Objectives

__all__ = ["Criterion", "criteria", "failed", "good_sessions", "jain_index", "session_margins", "worst_session"]

# What one session must keep: a metric of its own samples, and what is expected of them.
Criterion = tuple[str, Expectation]

_OWN_TABLES = frozenset({"frames", "inputs", "network"})
_AT_MOST_ASKED = frozenset({"frames_per_second"})  # metrics that cannot exceed the frame rate that was asked for
_LEAST = 1e-9
_NOT_OF_THE_SESSION = frozenset({"event_loop_lag_seconds", "socket_drops"})  # the measuring client's


def criteria(objectives: Objectives, suite: str, context: Mapping[str, Any]) -> tuple[Criterion, ...]:
    """The objectives that apply to ``suite`` and can be asked of a single session."""
    return tuple(
        (item.objective.metric, item.objective.expectation)
        for item in objectives.applicable(suite, context)
        if item.applies
        and item.objective.definition.table in _OWN_TABLES
        and item.objective.metric not in _NOT_OF_THE_SESSION
    )


def good_sessions(
    tables: Tables,
    expectations: Sequence[Criterion],
    *,
    suite: str,
    level: int,
    trial: int,
    framerate: float | None = None,
) -> dict[str, bool]:
    """For each session of one trial, whether it kept every expectation.

    One without samples, or that was ended by a failure, is not good.

    :param framerate: frames per second asked for: the ``target`` of expectations.
    :raises ValueError: no expectation was given; everything would be good.
    """
    margins = session_margins(tables, expectations, suite=suite, level=level, trial=trial, framerate=framerate)
    return {session: margin >= 0 for session, margin in margins.items()}


def session_margins(
    tables: Tables,
    expectations: Sequence[Criterion],
    *,
    suite: str,
    level: int,
    trial: int,
    framerate: float | None = None,
) -> dict[str, float]:
    """For each session of one trial, how far inside its expectations it stood: at least 0 exactly when it was good.

    The margin of one expectation is the distance to its limit as a share of the limit: 0.6 for 20 ms where 50 ms are
    allowed, -0.2 for 60 ms. A frame rate can exceed its limit only up to what was asked for: there it is the share of
    that way, 0.5 for 57 of 60 frames where 54 must be kept. That of a session is the smallest of all its expectations,
    from -1 to 1, and -1 for one without samples or that was ended by a failure.

    :param framerate: frames per second asked for: the ``target`` of expectations.
    :raises ValueError: no expectation was given; everything would be good.
    """
    if not expectations:
        raise ValueError("a session is good by expectations: give at least one")
    found = {}
    for session, own in _by_session(tables, suite, level, trial).items():
        # What a session showed before it broke says nothing of one that lasts.
        found[session] = (
            -1.0
            if failed(own["milestones"])
            else min(
                _margin(metric, expectation, values(metric, own, suite=suite, session=session), framerate)
                for metric, expectation in expectations
            )
        )
    return found


def failed(milestones: pd.DataFrame) -> bool:
    """Whether a session was ended by a failure."""
    return bool((milestones["event"] == FAILED).any())


def _by_session(tables: Tables, suite: str, level: int, trial: int) -> dict[str, dict[str, pd.DataFrame]]:
    """The tables of each session: a statistic of one then does not search the rows of all."""
    rows = {
        name: table if name == "clock" else chosen(table, suite=suite, level=level, trial=trial, phase=None)
        for name, table in tables.items()
    }
    groups = {name: dict(iter(table.groupby("session"))) for name, table in rows.items()}
    return {
        session: {name: group.get(session, rows[name].iloc[:0]) for name, group in groups.items()}
        for session in sessions(tables, suite, level, trial)
    }


def jain_index(shares: Iterable[float]) -> float | None:
    """Jain's fairness index of what each session got: 1 when all got the same, 1/n when one got everything.

    None when there is no session, or none got anything.
    """
    numbers = [float(share) for share in shares]
    squares = sum(number * number for number in numbers)
    return sum(numbers) ** 2 / (len(numbers) * squares) if squares > 0 else None


def worst_session(
    metric: Metric | str, statistic: Statistic, tables: Tables, *, suite: str, level: int, trial: int | None = None
) -> tuple[str, float] | None:
    """The session with the worst statistic of a metric, and that statistic; None without data.

    :raises ValueError: the metric has no better direction.
    """
    known = REGISTRY.named(metric) if isinstance(metric, str) else metric
    if known.direction is Direction.NONE:
        raise ValueError(f"no value of {known.name} is better than another")
    found: list[tuple[float, str]] = []
    for session in sessions(tables, suite, level, trial):
        value = statistic.of(values(known, tables, suite=suite, level=level, trial=trial, session=session))
        if value is not None:
            found.append((value, session))
    if not found:
        return None
    value, session = max(found) if known.direction is Direction.LOWER else min(found)
    return session, value


def _margin(metric: str, expectation: Expectation, found: pd.Series, framerate: float | None) -> float:
    limit = expectation.limit(framerate)
    observed = expectation.statistic.of(found) if expectation.statistic is not None else None
    if limit is None or observed is None:
        return -1.0
    upwards = expectation.operator.startswith(">")
    distance = observed - limit if upwards else limit - observed
    best = framerate if upwards and metric in _AT_MOST_ASKED else None
    scale = best - limit if distance > 0 and best is not None and best > limit else abs(limit)
    margin = distance / scale if scale > 0 else distance
    # At the limit itself the expectation's own operator says whether it is kept.
    kept = expectation.holds(observed, limit)
    return min(max(margin, 0.0), 1.0) if kept else max(min(margin, -_LEAST), -1.0)
