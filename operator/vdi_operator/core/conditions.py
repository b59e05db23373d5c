"""A session's conditions: what holds of home, pod, route and stream, and why not. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from vdi_operator.api.objects import Object
from vdi_operator.api.reasons import CONDITIONS, ConditionType, Reason
from vdi_operator.core import pods
from vdi_operator.core.failures import Finding, draining
from vdi_operator.core.instants import second
from vdi_operator.core.world import World

__all__ = ["Condition", "State", "at_rest", "documents", "fresh", "of_children", "summed"]


class State(StrEnum):
    """What a condition is, as the API has it."""

    YES = "True"
    NO = "False"
    UNKNOWN = "Unknown"


YES, NO, UNKNOWN = State.YES, State.NO, State.UNKNOWN

# A reason of another condition than PodReady is that one's.
_WHERE: Mapping[Reason, ConditionType] = {
    Reason.PENDING: ConditionType.SCHEDULED,
    Reason.NO_FREE_SLICE: ConditionType.SCHEDULED,
    Reason.HOME_NODE_FULL: ConditionType.SCHEDULED,
    Reason.DRAINING: ConditionType.SCHEDULED,
    Reason.UNSCHEDULABLE: ConditionType.SCHEDULED,
    Reason.HOME_NODE_LOST: ConditionType.SCHEDULED,
    Reason.HOME_IN_USE: ConditionType.SCHEDULED,
    Reason.QUOTA_EXCEEDED: ConditionType.SCHEDULED,
    Reason.FORBIDDEN: ConditionType.SCHEDULED,
    Reason.WAITING_FOR_VOLUME: ConditionType.HOME_BOUND,
    Reason.STREAM_FAILED: ConditionType.STREAM_READY,
}
# What cannot be repaired shows at the condition that it is about; all else, such as a Secret, at PodReady.
_REPAIRED: Mapping[str, ConditionType] = {
    "Service": ConditionType.ROUTE_READY,
    "IngressRoute": ConditionType.ROUTE_READY,
    "Middleware": ConditionType.ROUTE_READY,
    "NetworkPolicy": ConditionType.ROUTE_READY,
    "PersistentVolumeClaim": ConditionType.HOME_BOUND,
}
# From the home on, everything that a desktop needs before it is ready.
_NEEDED = (
    ConditionType.HOME_BOUND,
    ConditionType.SCHEDULED,
    ConditionType.POD_READY,
    ConditionType.ROUTE_READY,
    ConditionType.STREAM_READY,
)


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition, without its time."""

    type: ConditionType
    status: State
    reason: Reason
    message: str = ""

    @property
    def holds(self) -> bool:
        """Whether it is True."""
        return self.status == YES


def documents(found: Iterable[Condition], stored: Mapping[str, Object], now: float, generation: int) -> list[Object]:
    """As the status has them, in the order in which a start reaches them.

    ``lastTransitionTime`` stays where the status of a condition stays.
    """
    by_type = {one.type: one for one in found}
    made = []
    for kind in CONDITIONS:
        one, before = by_type[kind], stored.get(kind, {})
        since = before.get("lastTransitionTime") if before.get("status") == one.status else None
        made.append(
            {
                "type": kind.value,
                "status": one.status.value,
                "reason": one.reason.value,
                "message": one.message,
                "lastTransitionTime": since or second(now),
                "observedGeneration": generation,
            }
        )
    return made


def of_children(world: World, pod: Object | None, problem: Finding | None) -> dict[ConditionType, Condition]:
    """HomeBound to RouteReady, with the reason that keeps the desktop away at the condition that it is about.

    :param pod: of this session, None: none, or none that counts.
    """
    found = {one.type: one for one in (_home(world, pod), _scheduled(world, pod), _pod_ready(pod), _route(world))}
    if world.refusal and pod is not None:  # without a pod it is what keeps the desktop away
        refused = _refused(world, found)
        found[refused.type] = refused
    if problem is not None:
        kind = _place(problem, found[ConditionType.HOME_BOUND])
        if kind in found:
            found[kind] = Condition(kind, NO, problem.reason, problem.message)
    return found


def summed(found: Mapping[ConditionType, Condition], problem: Finding | None, published: bool, url: str) -> Condition:
    """Ready: the reason of what keeps the desktop away, else of the first condition that does not hold.

    :param published: the checker has been gone for long enough.
    """
    if problem is not None:
        return Condition(ConditionType.READY, NO, problem.reason, problem.message)
    for kind in _NEEDED:
        if not found[kind].holds:
            return Condition(ConditionType.READY, NO, found[kind].reason, found[kind].message)
    if not published:
        return Condition(ConditionType.READY, NO, Reason.CHECKING, "the checker is leaving the desktop to its user")
    return Condition(ConditionType.READY, YES, Reason.PUBLISHED, url)


def at_rest(world: World, reason: Reason, message: str) -> dict[ConditionType, Condition]:
    """HomeBound to Ready of a session that has no desktop and is to have none."""
    found = {kind: Condition(kind, NO, reason, message) for kind in (*_NEEDED, ConditionType.READY)}
    found[ConditionType.HOME_BOUND] = _home(world, None)
    found[ConditionType.HARDWARE_ENCODING] = Condition(ConditionType.HARDWARE_ENCODING, UNKNOWN, reason, message)
    found[ConditionType.TEMPLATE_DRIFTED] = Condition(ConditionType.TEMPLATE_DRIFTED, NO, reason, message)
    return found


def fresh(condition: Condition, stored: Mapping[str, Object]) -> bool:
    """Whether a condition is another one than before, in status or reason."""
    before = stored.get(condition.type, {})
    return before.get("status") != condition.status or before.get("reason") != condition.reason


def _place(problem: Finding, home: Condition) -> ConditionType:
    if problem.reason is Reason.VOLUME_FAILED:
        return ConditionType.POD_READY if home.holds else ConditionType.HOME_BOUND
    return _WHERE.get(problem.reason, ConditionType.POD_READY)


def _refused(world: World, found: Mapping[ConditionType, Condition]) -> Condition:
    """What the API server does not let repair: a way that is not as it must be is none, the rest is only told."""
    kind = _REPAIRED.get(world.refused, ConditionType.POD_READY)
    said = f"the API server refuses the repair of its {world.refused}: {pods.sentence(world.refusal)}"
    if kind is ConditionType.ROUTE_READY:
        return Condition(kind, NO, Reason.FORBIDDEN, said)
    return replace(found[kind], message=said)


def _home(world: World, pod: Object | None) -> Condition:
    kind, home = ConditionType.HOME_BOUND, world.home
    if home is None:
        return Condition(kind, NO, Reason.PENDING, "the home's claim is not there yet")
    name = home["metadata"]["name"]
    if pods.going(home) and pod is None:
        return Condition(kind, NO, Reason.WAITING_FOR_VOLUME, f"{name} is being deleted; after it a new one is made")
    phase = (home.get("status") or {}).get("phase")
    if phase == "Bound":
        volume = (home.get("spec") or {}).get("volumeName", "a volume")
        return Condition(kind, YES, Reason.BOUND, f"{name} has {volume}")
    if phase == "Lost":
        return Condition(kind, NO, Reason.VOLUME_FAILED, f"{name} has lost its volume")
    return Condition(kind, NO, Reason.WAITING_FOR_VOLUME, f"{name} waits for its volume")


def _scheduled(world: World, pod: Object | None) -> Condition:
    if pod is None:
        return Condition(ConditionType.SCHEDULED, NO, Reason.PENDING, "there is no pod yet")
    node = pods.node(pod)
    if node and draining(world.node, node):
        said = f"{node} takes no new pods: the desktop runs on until it is evicted, so save what is open"
        return Condition(ConditionType.SCHEDULED, YES, Reason.DRAINING, said)
    if node:
        return Condition(ConditionType.SCHEDULED, YES, Reason.ASSIGNED, node)
    return Condition(ConditionType.SCHEDULED, NO, Reason.PENDING, "its pod waits for a node")


def _pod_ready(pod: Object | None) -> Condition:
    if pods.ready(pod):
        return Condition(ConditionType.POD_READY, YES, Reason.SERVING)
    return Condition(ConditionType.POD_READY, NO, Reason.PENDING, "" if pod else "there is no pod yet")


def _route(world: World) -> Condition:
    kind = ConditionType.ROUTE_READY
    for what, one in (("Service", world.service), ("IngressRoute", world.route)):
        if one is None or pods.going(one):
            return Condition(kind, NO, Reason.PENDING, f"its {what} is not there yet")
    return Condition(kind, YES, Reason.ROUTED)
