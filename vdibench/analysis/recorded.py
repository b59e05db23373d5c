"""The knee of a stored run, by the objectives, the frame rate and the rule that were in force. Pure.

The same trials are judged in the same way as while they were made: a search that is read back says what it said live.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from vdibench.analysis.density import Knee, Level, knee, tried_levels
from vdibench.analysis.sequential import rule_of
from vdibench.analysis.sessions import Criterion, criteria
from vdibench.errors import ObjectiveError
from vdibench.metrics import Tables
from vdibench.records import Run
from vdibench.records.gpus import scraped_gpus
from vdibench.slo import load

__all__ = [
    "recorded_criteria",
    "recorded_framerate",
    "recorded_gpus",
    "recorded_knee",
    "recorded_levels",
    "recorded_parameters",
]


def recorded_parameters(run: Run | None, suite: str) -> Mapping[str, Any]:
    """Parameters of a suite as they were in force; none where it has none."""
    own = run.parameters.get(suite) if run is not None else None
    return own if isinstance(own, Mapping) else {}


def recorded_framerate(run: Run | None, suite: str) -> float | None:
    """Frames per second that a suite asked for, or else the run."""
    if run is None:
        return None
    for given in (recorded_parameters(run, suite), run.context):
        value = given.get("framerate")
        if isinstance(value, int | float) and value > 0:
            return float(value)
    return None


def recorded_criteria(run: Run | None, suite: str) -> Sequence[Criterion]:
    """What a good session kept, by the objectives of the run; none where nothing says so."""
    if run is None or not run.objectives.strip():
        return ()
    try:
        return criteria(load(run.objectives + "\n"), suite, run.context)
    except ObjectiveError:
        # Written by an older vdibench: the numbers can be shown, what was good by that file cannot be said.
        return ()


def recorded_knee(run: Run | None, tables: Tables, suite: str) -> Knee | None:
    """The knee; None when no level was decided or nothing says what is good."""
    found = recorded_criteria(run, suite)
    if not found:
        return None
    rule = rule_of(recorded_parameters(run, suite))
    return knee(tables, found, suite=suite, framerate=recorded_framerate(run, suite), rule=rule)


def recorded_levels(run: Run | None, tables: Tables, suite: str) -> tuple[Level, ...]:
    """Every level that was tried; none without objectives to be good by."""
    found = recorded_criteria(run, suite)
    if not found:
        return ()
    rule = rule_of(recorded_parameters(run, suite))
    return tried_levels(tables, found, suite=suite, framerate=recorded_framerate(run, suite), rule=rule)


def recorded_gpus(run: Run, facts: Iterable[tuple[object, object]]) -> tuple[int, str]:
    """How many GPUs a knee belongs to, and their names; one where the run has a GPU and does not say how many.

    :param facts: of the suite that found it, pairs of key and value.
    """
    if not run.context.get("gpu"):
        return 0, ""
    scraped = scraped_gpus(facts)
    if scraped is not None:
        named = [gpu.model for gpu in scraped.values() if gpu.whole]
    else:
        named = [str(gpu.get("name", "")) for gpu in run.host.get("gpus") or [] if isinstance(gpu, Mapping)]
    return max(1, len(named)), ", ".join(name for name in dict.fromkeys(named) if name)
