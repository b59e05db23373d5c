"""Session starts one by one, with their steps: what the chart and the tables of session ready share. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from vdibench.metrics import attempts, phases
from vdibench.metrics.windows import PROBE, Stream, streams
from vdibench.report import formats

__all__ = ["NEW_POD", "Start", "starts"]

NEW_POD = "new pod"
"""What a start is called that began with the session's objects and not with a client's request."""

_STARTED, _FAILED = "started", "failed"
_REASON = "failure."


@dataclass(frozen=True, slots=True)
class Start:
    """One start of a session.

    :param trial: below 0 where the session itself was made, before any trial of the suite.
    :param ready_seconds: from the start to the first decoded frame; None when there was none.
    :param steps: event and seconds since the step before, up to the first frame.
    :param reason: why there was no frame, where the run says.
    """

    level: int
    trial: int
    session: str
    started_unix_seconds: float
    ready_seconds: float | None
    steps: tuple[tuple[str, float], ...]
    reason: str = ""

    @property
    def seconds(self) -> float:
        """How long the steps that were reached took together."""
        return sum(seconds for _, seconds in self.steps)

    @property
    def of_pod(self) -> bool:
        """Whether it began with the session's objects."""
        return self.trial < 0

    @property
    def where(self) -> str:
        """Where in the run it belongs."""
        return NEW_POD if self.of_pod else f"{formats.counted(self.level, 'session')}, trial {self.trial}"

    @property
    def reached(self) -> str:
        """The last step that it came to."""
        return next((event for event, _ in reversed(self.steps) if event != _FAILED), _STARTED)


def starts(milestones: pd.DataFrame, facts: pd.DataFrame) -> list[Start]:
    """Every start in the rows of one suite, in order of time; probes (through the relay, say) are no starts of its."""
    found = []
    reasons = _reasons(facts)
    for stream, rows in streams(milestones[milestones["phase"] != PROBE]):
        ordered = rows.sort_values("unix_seconds", kind="stable")
        for _, one in ordered.groupby((ordered["event"] == _STARTED).cumsum()):
            begun = attempts(one)
            if begun.empty:
                continue  # steps without a start belong to nothing
            steps = phases(one)
            ready = float(begun["ready_seconds"].iloc[0])
            shown = ready == ready
            found.append(
                Start(
                    stream.level,
                    stream.trial,
                    stream.session,
                    float(begun["started_unix_seconds"].iloc[0]),
                    ready if shown else None,
                    tuple(zip(steps["event"].astype(str), steps["seconds"].astype(float), strict=True)),
                    "" if shown else reasons.get(stream, ""),
                )
            )
    return sorted(found, key=lambda start: start.started_unix_seconds)


def _reasons(facts: pd.DataFrame) -> dict[Stream, str]:
    """What ended a session, the last that was said, by its place in the run."""
    said = facts["key"].map(lambda key: str(key).startswith(_REASON)).astype(bool)
    return {stream: str(rows["value"].iloc[-1]) for stream, rows in streams(facts[said & (facts["phase"] != PROBE)])}
