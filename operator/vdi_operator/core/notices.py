"""What is worth an Event, and what counts as a failure: what this pass says and the stored status did not. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from vdi_operator.api.reasons import FAILURES, QUEUES, ConditionType, Reason
from vdi_operator.core.conditions import Condition, fresh
from vdi_operator.core.decision import Notice
from vdi_operator.core.record import Record
from vdi_operator.core.start import Progress

__all__ = ["failure", "notices"]

# Beside all failures. Steps of a start and its good end are in the conditions and would drown these.
_TOLD = frozenset(
    {
        *(*QUEUES, Reason.NO_FREE_SLICE, Reason.DRAINING),
        *(Reason.SUSPENDED, Reason.IDLE, Reason.EXPIRED),
    }
)
# Which reasons of which condition are failures of their own.
_COUNTED: Mapping[ConditionType, frozenset[Reason]] = {
    ConditionType.ADMITTED: frozenset(FAILURES),
    ConditionType.STREAM_READY: frozenset({Reason.CHECKER_UNREACHABLE}),
    ConditionType.HARDWARE_ENCODING: frozenset({Reason.SOFTWARE_FALLBACK}),
}
_WARNINGS = frozenset({*FAILURES, Reason.EXPIRED, Reason.RESTARTING, Reason.DRAINING})


def notices(
    past: Record, found: Mapping[ConditionType, Condition], progress: Progress | None = None
) -> tuple[Notice, ...]:
    """Events, each reason once.

    :param past: as stored.
    :param found: all conditions.
    :param progress: of a start.
    """
    told: dict[str, Notice] = {}
    for kind in (ConditionType.ADMITTED, ConditionType.READY, ConditionType.HARDWARE_ENCODING):
        condition = found[kind]
        if (condition.reason in _TOLD or condition.reason in FAILURES) and fresh(condition, past.conditions):
            told.setdefault(condition.reason, _notice(condition.reason, condition.message))
    scheduled = found[ConditionType.SCHEDULED]
    if scheduled.reason is Reason.DRAINING and fresh(scheduled, past.conditions):
        # Of a desktop that runs: its user has time to save.
        told.setdefault(scheduled.reason, _notice(scheduled.reason, scheduled.message))
    if progress is not None and progress.restarted is not None and progress.problem is not None:
        told.setdefault(Reason.RESTARTING, _notice(Reason.RESTARTING, progress.problem.message))
    return tuple(told.values())


def failure(past: Record, found: Mapping[ConditionType, Condition], progress: Progress | None = None) -> Reason | None:
    """What failed in this pass.

    A desktop that ended before anybody saw it is no failure yet: the start goes on, and its end counts.
    """
    if progress is not None:
        if progress.failed is not None:
            return progress.failed.reason
        if progress.lost and progress.restarted is not None and progress.restarted.reason in FAILURES:
            return progress.restarted.reason
    for kind, counted in _COUNTED.items():
        condition = found[kind]
        if condition.reason in counted and not condition.holds and fresh(condition, past.conditions):
            return condition.reason
    return None


def _notice(reason: Reason, message: str) -> Notice:
    return Notice(reason.value, message, warning=reason in _WARNINGS)
