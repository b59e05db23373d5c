"""How a GPU is best shared: knees of runs that differ in nothing but that. Reads recordings.

A run says how its GPU was shared in ``context["sharing"]``: ``time-slicing``, ``whole`` (a session has a GPU to
itself), ``mps`` or ``mig``. The knee of ``whole`` is that of one GPU like the others. Whether runs can be compared at
all is for :mod:`vdibench.analysis.metadata` to say.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from vdibench.analysis.fairness import fairness
from vdibench.analysis.limits import limits
from vdibench.analysis.recorded import recorded_knee
from vdibench.metrics import Statistic, values
from vdibench.store import Recording

__all__ = ["SHARINGS", "Shared", "sharing"]

SHARINGS = ("time-slicing", "whole", "mps", "mig")
_MEAN = Statistic("avg")


@dataclass(frozen=True, slots=True)
class Shared:
    """One run, or a way of sharing of which there is none. Figures are those of the knee's lower bound.

    :param sharing: one of :data:`SHARINGS`, or what else the run says.
    :param run: its name; empty where there is no run.
    :param lower: None where no level was decided.
    :param gpu_utilization_ratio: mean over all GPUs; None where no GPU was read.
    :param worst_seconds: largest p95 of glass-to-glass latency of a session.
    :param frame_rate_index: Jain's, of the frame rates, and ``latency_index`` of the p95 of latency.
    :param limited_by: what saturated; empty while it is undetermined.
    """

    sharing: str
    run: str = ""
    lower: int | None = None
    upper: int | None = None
    levels: int = 0
    gpu_utilization_ratio: float | None = None
    gpu_encoder_utilization_ratio: float | None = None
    worst_seconds: float | None = None
    frame_rate_index: float | None = None
    latency_index: float | None = None
    limited_by: str = ""
    synthetic: bool = False


def sharing(recordings: Iterable[Recording], *, suite: str = "gpu_density") -> tuple[Shared, ...]:
    """Every run by its way of sharing, and every way without a run, in the order of :data:`SHARINGS`."""
    found = [_shared(recording, suite) for recording in recordings]
    known = {one.sharing for one in found}
    rows = found + [Shared(mode) for mode in SHARINGS if mode not in known]
    order = {mode: index for index, mode in enumerate(SHARINGS)}
    return tuple(sorted(rows, key=lambda one: (order.get(one.sharing, len(order)), one.sharing, one.run)))


def _shared(recording: Recording, suite: str) -> Shared:
    run, tables = recording.run, recording.tables
    mode, synthetic = str(run.context.get("sharing") or "none"), bool(run.context.get("synthetic"))
    knee = recorded_knee(run, tables, suite)
    if knee is None:
        return Shared(mode, run.name, synthetic=synthetic)
    even = next((one for one in fairness(tables, suite) if one.level == knee.lower), None)

    def mean(metric: str) -> float | None:
        return _MEAN.of(values(metric, tables, suite=suite, level=knee.lower))

    return Shared(
        mode,
        run.name,
        knee.lower,
        knee.upper,
        len(knee.levels),
        mean("gpu_utilization_ratio"),
        mean("gpu_encoder_utilization_ratio"),
        even.worst.seconds if even is not None and even.worst is not None else None,
        even.frame_rate if even is not None else None,
        even.latency if even is not None else None,
        limits(tables, knee, run.host, suite=suite).resource or "",
        synthetic,
    )
