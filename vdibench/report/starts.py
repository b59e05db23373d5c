"""Session starts one by one, with their steps: what the chart and the table of session ready share. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from vdibench.metrics import attempts, phases
from vdibench.metrics.windows import PROBE, streams

__all__ = ["Start", "starts"]


@dataclass(frozen=True, slots=True)
class Start:
    """One start of a session.

    :param ready_seconds: from the start to the first decoded frame; None when there was none.
    :param steps: event and seconds since the step before, up to the first frame.
    """

    level: int
    trial: int
    session: str
    started_unix_seconds: float
    ready_seconds: float | None
    steps: tuple[tuple[str, float], ...]

    @property
    def seconds(self) -> float:
        """How long the steps that were reached took together."""
        return sum(seconds for _, seconds in self.steps)


def starts(milestones: pd.DataFrame) -> list[Start]:
    """Every start in the rows of one suite, in order of time; probes (through the relay, say) are no starts of its."""
    found = []
    for stream, rows in streams(milestones[milestones["phase"] != PROBE]):
        ordered = rows.sort_values("unix_seconds", kind="stable")
        for _, one in ordered.groupby((ordered["event"] == "started").cumsum()):
            begun = attempts(one)
            if begun.empty:
                continue  # steps without a start belong to nothing
            steps = phases(one)
            ready = float(begun["ready_seconds"].iloc[0])
            found.append(
                Start(
                    stream.level,
                    stream.trial,
                    stream.session,
                    float(begun["started_unix_seconds"].iloc[0]),
                    None if ready != ready else ready,
                    tuple(zip(steps["event"].astype(str), steps["seconds"].astype(float), strict=True)),
                )
            )
    return sorted(found, key=lambda start: start.started_unix_seconds)
