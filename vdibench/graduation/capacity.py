"""How many sessions a GPU carries, by the lower bound of a run's knee. Reads the run's tables."""

from __future__ import annotations

from vdibench.analysis import recorded_gpus, recorded_knee
from vdibench.graduation.findings import Finding, Required
from vdibench.graduation.statement import Capacity
from vdibench.metrics import chosen
from vdibench.records import Subjects
from vdibench.store import Recording

__all__ = ["UNKNOWN", "capacity", "capacity_findings"]

# Of a run that did not ask, which takes a waiver.
UNKNOWN = Capacity(lower=0, upper=None, per="gpu", rule="not measured")
_MAKE = "measure how many fit with `vdibench run 04`, with levels that reach a good one"


def capacity(recording: Recording, subjects: Subjects) -> Capacity | None:
    """Sessions on one GPU, as the run has shown; None when it decided no level.

    Where a knee is shared by several GPUs, what each carries is rounded down: a part of a session is none. Without a
    GPU behind its slices, a host counts as one.
    """
    run, suite = recording.run, str(Required.DENSITY)
    knee = recorded_knee(run, recording.tables, suite)
    if knee is None:
        return None
    facts = chosen(recording.table("facts"), suite=suite, phase=None)
    gpus, _ = recorded_gpus(run, zip(facts["key"], facts["value"], strict=True))
    if run.context.get("gpu"):
        # Whoever counts more is believed: sessions shared all of them, and to promise less is the safe side.
        gpus = max(gpus, sum(node.gpus for node in subjects.nodes))
    shared = max(1, gpus)
    return Capacity(
        lower=knee.lower // shared,
        upper=None if knee.upper is None else knee.upper // shared,
        per="gpu" if gpus else "host",
        rule=f"{knee.rule}, shared by {shared} GPUs" if shared > 1 else knee.rule,
    )


def capacity_findings(run: str, found: Capacity | None) -> tuple[Finding, ...]:
    """What stands against shipping a template with that capacity."""
    if found is None:
        return (Finding("capacity", f"run {run} does not say how many sessions fit", _MAKE),)
    if found.lower < 1:
        cause = f"run {run} found no number of sessions that is good, not even one a {found.per.replace('gpu', 'GPU')}"
        return (Finding("capacity", cause, "see what was missed with `vdibench report`, and measure again"),)
    return ()
