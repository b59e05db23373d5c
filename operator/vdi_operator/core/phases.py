"""How far a start came and how long each part of it took. Pure.

An instant is that of the pass that first saw a milestone. What was never seen by itself has its time in the next one
that was, and a milestone that was there before an earlier one took no time: so the phases always add up to the whole.
"""

from __future__ import annotations

from collections.abc import Mapping

from vdi_operator.api.objects import Object
from vdi_operator.api.reasons import ConditionType
from vdi_operator.api.schema import MILESTONES
from vdi_operator.core import pods
from vdi_operator.core.conditions import Condition
from vdi_operator.core.instants import micro, moment, number

__all__ = ["ACCEPTED", "PUBLISHED", "documents", "passed"]

ACCEPTED, PUBLISHED = "accepted", "published"

# What stands for a milestone; containerStarted is the pod's own.
_BY_CONDITION: Mapping[str, ConditionType] = {
    ACCEPTED: ConditionType.ADMITTED,
    "homeBound": ConditionType.HOME_BOUND,
    "scheduled": ConditionType.SCHEDULED,
    "podReady": ConditionType.POD_READY,
    "routed": ConditionType.ROUTE_READY,
    "streamReady": ConditionType.STREAM_READY,
    PUBLISHED: ConditionType.READY,
}


def passed(
    before: Mapping[str, float], found: Mapping[ConditionType, Condition], pod: Object | None, now: float
) -> dict[str, float]:
    """The milestones of a start with those that this pass is the first to see; after the last nothing is added.

    :param before: instants in Unix seconds.
    :param found: all conditions.
    """
    if PUBLISHED in before:
        return dict(before)
    made = {}
    for name in MILESTONES:
        kind = _BY_CONDITION.get(name)
        seen = pods.running(pod) if kind is None else found[kind].holds
        if name in before or seen:
            made[name] = before.get(name, now)
    return made


def documents(begin: float | None, milestones: Mapping[str, float]) -> Object:
    """``milestones``, ``phases`` and, once it was published, ``readyInSeconds`` of a status.

    :param begin: Unix seconds, None: there is no start.
    """
    if begin is None or not milestones:
        return {}
    phases: Object = {}
    last = first = micro(begin)
    for name in MILESTONES:
        if name not in milestones:
            continue
        at = max(last, micro(milestones[name]))
        phases[name] = number(at - last)
        last = at
    found: Object = {
        "milestones": {name: moment(milestones[name]) for name in MILESTONES if name in milestones},
        "phases": phases,
    }
    if PUBLISHED in milestones:
        found["readyInSeconds"] = number(last - first)
    return found
