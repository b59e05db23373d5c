"""How many sessions a GPU carries, by the lower bound of a run's knee. Reads the run's tables."""

from __future__ import annotations

from dataclasses import dataclass

from vdibench.analysis import recorded_gpus, recorded_knee
from vdibench.graduation.findings import Finding, Required
from vdibench.metrics import chosen
from vdibench.records import Outcome, Subjects
from vdibench.store import Recording

__all__ = ["Capacity", "capacity", "capacity_findings"]

_MAKE = "measure how many fit with `vdibench run 04`, with levels that reach a good one"


@dataclass(frozen=True, slots=True)
class Capacity:
    """What a template says of its capacity, and where that comes from.

    :param sessions_per_gpu: largest number that is known to be good on one GPU; 0: not even one.
    :param upper: largest number that may still be good on one; None: no level was bad.
    :param per: ``gpu``, or ``host`` where no GPU stood behind the slices: then a host counts as one.
    :param rule: how levels were decided, in words.
    """

    sessions_per_gpu: int
    upper: int | None
    per: str
    rule: str


def capacity(recording: Recording, subjects: Subjects) -> Capacity | None:
    """Sessions on one GPU, as the run has shown; None when it decided no level.

    Where a knee is shared by several GPUs, what each carries is rounded down: a part of a session is none.
    """
    run, suite = recording.run, str(Required.DENSITY)
    knee = recorded_knee(run, recording.tables, suite)
    if knee is None:
        return None
    facts = chosen(recording.table("facts"), suite=suite, phase=None)
    gpus, _ = recorded_gpus(run, zip(facts["key"], facts["value"], strict=True))
    if run.context.get("gpu"):
        # Whoever counts more is believed: sessions shared all of them, and to promise less is the safe side.
        gpus = max(gpus, sum(node.gpus * node.count for node in subjects.nodes))
    shared = max(1, gpus)
    return Capacity(
        sessions_per_gpu=knee.lower // shared,
        upper=None if knee.upper is None else knee.upper // shared,
        per="gpu" if gpus else "host",
        rule=f"{knee.rule}, shared by {shared} GPUs" if shared > 1 else knee.rule,
    )


def capacity_findings(run: str, found: Capacity | None) -> tuple[Finding, ...]:
    """What stands against shipping a template with that capacity."""
    if found is None:
        return (Finding("capacity", f"run {run} does not say how many sessions fit", _MAKE, Outcome.NO_DATA),)
    if found.sessions_per_gpu < 1:
        where = "GPU" if found.per == "gpu" else "host"
        cause = f"run {run} found no number of sessions that is good, not even one a {where}"
        remedy = "see what was missed with `vdibench report`, and measure again"
        return (Finding("capacity", cause, remedy, Outcome.FAIL),)
    return ()
