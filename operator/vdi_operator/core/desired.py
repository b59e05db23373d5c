"""What ought to be of one session, from its wish, its template and what is. Pure.

One pass, for whoever makes it:

1. :func:`desired` decides, :func:`vdi_operator.core.plan.changes` tells the difference; changes are made in order,
   and the first that fails ends them;
2. the status is written where it differs, whole. ``session.status`` of the next pass must be no older than that one;
3. notices are posted and ``failure`` is counted once the status is known to be decided: they come with the pass that
   first says so, and again if that pass's status is lost;
4. the next pass comes with the next change, or after ``look_again_seconds``.

It may end anywhere: what was lost is decided again from what is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from vdi_operator.api.objects import Object, Ref, ref
from vdi_operator.api.reasons import ConditionType, Reason
from vdi_operator.api.session import OperatingMode, Session
from vdi_operator.api.template import Template
from vdi_operator.children import names
from vdi_operator.children.secrets import auth_secret, next_mint, rtc_secret
from vdi_operator.core import conditions, evidence, homes, idle, limits, phases, pods, slots
from vdi_operator.core.admission import Blocked, admitted, own
from vdi_operator.core.checking import Outlook, look
from vdi_operator.core.conditions import Condition, State
from vdi_operator.core.decision import CheckWanted, Decision, Follow, Notice, Place, Queue
from vdi_operator.core.failures import Finding, of_pod
from vdi_operator.core.instants import second
from vdi_operator.core.line import TOLD_RATE
from vdi_operator.core.notices import failure, notices
from vdi_operator.core.record import Record
from vdi_operator.core.start import (
    GONE_SECONDS,
    QUEUE_SECONDS,
    Progress,
    begun,
    given_up,
    outdated,
    progress,
    routed,
)
from vdi_operator.core.status import document
from vdi_operator.core.world import World

__all__ = ["EXPIRING", "desired"]

# The Event before a session's end.
EXPIRING = "Expiring"

# For what no watch tells, such as a relay.
_BLOCKED_SECONDS = 10.0
# A Secret that was minted in this pass is there in the next one.
_MINTED_SECONDS = 1.0
# Nothing tells that somebody has set the wall's clock, by which what was minted ends.
_WALL_SECONDS = 3600.0
# What a session has while it waits for this.
_WAITS: Mapping[Reason, Place] = {
    Reason.USER_LIMIT_REACHED: Place.USER,
    Reason.NAMESPACE_LIMIT_REACHED: Place.NAMESPACE,
    Reason.CAPACITY_REACHED: Place.WAITING,
}
# Whoever waits for one of these is woken when it may go on, so nobody looks often.
_WOKEN = frozenset({*_WAITS, Reason.HOME_IN_USE})
# Of a pod whose node takes no pods at present.
_SHUT = frozenset({Reason.DRAINING, Reason.HOME_NODE_LOST})
# At rest a session is told of these; the rest matters when it is to run.
_AT_REST = frozenset({Reason.TEMPLATE_NOT_FOUND, Reason.TEMPLATE_INVALID, Reason.SESSION_INVALID, Reason.HOST_TAKEN})


@dataclass(frozen=True, slots=True)
class _Verdict:
    """What a pass found, before it is written as a Decision."""

    record: Record
    found: Mapping[ConditionType, Condition]
    objects: tuple[Object, ...] = ()
    absent: tuple[Ref, ...] = ()
    again_seconds: tuple[float, ...] = ()
    check: CheckWanted | None = None
    follow: Follow | None = None
    notice: Notice | None = None
    progress: Progress | None = None
    living: bool = True
    place: Place = Place.NONE
    queue: Queue | None = None
    home_node: str = ""
    tied_node: str = ""


def desired(session: Session, template: Template | None, world: World, *, fault: str = "") -> Decision:
    """What ought to be.

    :param template: None: there is none, or it could not be read.
    :param fault: why it, or with a template the session itself, is not what it must be.
    """
    past, world = Record.of(session.status), own(session, world)
    wished, session = session.home_policy, homes.settled(session, world.pod)
    end = _end(session, template)
    if session.deleting:
        return _decided(session, world, past, None, _deleting(world, past))
    objects, blocked = admitted(session, template, world, fault)
    if end is not None and world.now >= end:
        said = f"its life ended at {second(end)}: a longer lifetime, where the template allows one, starts it again"
        verdict = _resting(session, world, past, blocked, Reason.EXPIRED, said)
    elif session.mode is OperatingMode.SUSPENDED:
        verdict = _resting(session, world, past, blocked, Reason.SUSPENDED, "as its user wants it")
    elif past.idle is not None and idle.rests(session, past):
        verdict = _resting(session, world, past, blocked, Reason.IDLE, idle.message(session, past.idle))
    elif blocked is not None or template is None:
        why = blocked or Blocked(Reason.TEMPLATE_NOT_FOUND, "there is no template")
        verdict = _blocked(session, template, world, past, objects, why)
    else:
        wait = limits.refusal(session.user, world.limit) or slots.refusal(template, world.slot)
        if wait is not None and not given_up(session, template, past):
            begin = begun(session, template, world, past)
            verdict = _blocked(session, template, world, begin, objects, wait)
        else:
            kept = session.home_policy is not wished
            verdict = _running(session, template, world, past, objects, kept=kept)
    return _decided(session, world, past, end, verdict)


def _end(session: Session, template: Template | None) -> float | None:
    """When the session's life ends: the shorter of its own and its template's."""
    longest = template.lifetime_seconds if template is not None else None
    known = [seconds for seconds in (session.lifetime_seconds, longest) if seconds is not None]
    return session.created_unix_seconds + min(known) if known else None


def _deleting(world: World, past: Record) -> _Verdict:
    """Nothing: the API server deletes the children by their owner, and the home has none."""
    said = "it is being deleted; the home stays"
    found = conditions.at_rest(world, Reason.DELETING, said)
    found[ConditionType.ADMITTED] = Condition(ConditionType.ADMITTED, State.NO, Reason.DELETING, said)
    return _Verdict(past.at_rest(), found, living=False)


def _resting(
    session: Session, world: World, past: Record, blocked: Blocked | None, reason: Reason, message: str
) -> _Verdict:
    """No desktop and no way to it. Secrets and home stay; so does the policy, for as long as the pod takes to end."""
    found = conditions.at_rest(world, reason, message)
    told = blocked if blocked is not None and blocked.reason in _AT_REST else None
    found[ConditionType.ADMITTED] = _admitted(told)
    going = (GONE_SECONDS,) if world.pod is not None else ()
    rests = past.at_rest()
    if reason is Reason.IDLE:
        rests = replace(rests, idle=past.idle)
    return _Verdict(rests, found, absent=_gone(session), again_seconds=going, living=False)


def _blocked(
    session: Session,
    template: Template | None,
    world: World,
    past: Record,
    objects: tuple[Object, ...],
    blocked: Blocked,
) -> _Verdict:
    """Nothing is made. A desktop that runs goes on running, unless what blocks it is another session."""
    place = _WAITS.get(blocked.reason, Place.NONE)
    again = QUEUE_SECONDS if blocked.reason in _WOKEN else _BLOCKED_SECONDS
    if blocked.queue is not None:
        # Of a long line no more look by themselves than are told where they stand.
        again = max(again, blocked.queue.waiting / TOLD_RATE)
    pod = world.pod
    counted = past.restart is not None and past.restart.pod_uid == pods.uid(pod)
    if pod is None or blocked.ends or counted or pods.going(pod) or pods.ended(pod):
        found = conditions.at_rest(world, blocked.reason, blocked.message)
        found[ConditionType.ADMITTED] = _admitted(blocked)
        return _Verdict(
            _waiting(world, past),
            found,
            absent=_gone(session) if blocked.ends else (),
            again_seconds=(again,),
            living=False,
            place=place,
            queue=blocked.queue,
        )
    told = replace(blocked, message=f"{blocked.message}; the desktop that runs goes on")
    # Without a name that Traefik could have there is nothing to look at and nothing to publish.
    named = blocked.reason is not Reason.SESSION_INVALID
    outlook = look(session, template, world, past.stream, named and pods.ready(pod) and routed(world))
    problem = of_pod(pod, template, world, world.now)
    found = _found(session, template, world, pod, problem, outlook, _admitted(told))
    begin = past if past.started is not None else past.anew(min(world.seen_unix_seconds, world.now))
    record = replace(
        begin,
        pod_uid=pods.uid(pod),
        stream=outlook.stream,
        milestones=phases.passed(begin.milestones, found, pod, world.now),
    )
    if blocked.reason is Reason.NO_RELAY:
        # Without the relays' addresses it would cut the streams that go through them.
        objects = tuple(one for one in objects if one["kind"] != "NetworkPolicy")
    if not objects and named and blocked.reason is not Reason.CONTAINER_CONFIG:
        # What needs no template and ends by itself.
        rtc = rtc_secret(session, world) if world.rtc is not None else None
        objects = (auth_secret(session, world), *([rtc] if rtc is not None else []))
    return _Verdict(
        record,
        found,
        objects=_for_this_pod(objects, template, world),
        again_seconds=(again, *_known(outlook.again_seconds)),
        check=outlook.wanted,
        place=place,
    )


def _running(
    session: Session, template: Template, world: World, past: Record, objects: tuple[Object, ...], *, kept: bool
) -> _Verdict:
    """There is a desktop, or there shall be one.

    :param kept: it has another home than is wished for by now.
    """
    now = progress(session, template, world, past)
    idling = idle.look(session, template, world, now.record, now.pod if now.outlook.published else None)
    if idling.stops and idling.record.idle is not None:
        return _resting(session, world, idling.record, None, Reason.IDLE, idle.message(session, idling.record.idle))
    admitted = _admitted(None, _beside(template, world, kept))
    found = _found(session, template, world, now.pod, now.problem, now.outlook, admitted)
    record = replace(idling.record, milestones=phases.passed(now.record.milestones, found, now.pod, world.now))
    wanted = objects if now.wanted else tuple(one for one in objects if one["kind"] != "Pod")
    full = now.problem is not None and now.problem.reason is Reason.HOME_NODE_FULL
    shut = now.problem is not None and now.problem.reason in _SHUT and homes.tied(now.problem.message)
    counted = world.slot is not None or world.limit is not None
    return _Verdict(
        record,
        found,
        objects=_for_this_pod(wanted, template, world),
        absent=() if now.wanted else (Ref("Pod", names.pod_name(session)),),
        again_seconds=(
            *now.again_seconds,
            *_known(idling.again_seconds),
            *_known(evidence.remaining_seconds(template, world.settings, world.wall)),
        ),
        check=now.outlook.wanted,
        follow=idling.follow,
        notice=idling.notice,
        progress=now,
        # What was given up holds nothing, so that others may have it as soon as its pod is gone.
        place=Place.HELD if counted and record.failure is None else Place.NONE,
        queue=world.home_line if full else None,
        home_node=homes.node(world.home) if full else "",
        tied_node=homes.node(world.home) if shut else "",
    )


def _found(
    session: Session,
    template: Template | None,
    world: World,
    pod: Object | None,
    problem: Finding | None,
    outlook: Outlook,
    admitted: Condition,
) -> dict[ConditionType, Condition]:
    """All conditions.

    :param pod: the one that counts.
    :param problem: what keeps the desktop away.
    """
    found = conditions.of_children(world, pod, problem)
    found[ConditionType.ADMITTED] = admitted
    found[ConditionType.STREAM_READY] = outlook.condition
    found[ConditionType.HARDWARE_ENCODING] = outlook.hardware
    found[ConditionType.TEMPLATE_DRIFTED] = _drifted(template, pod)
    if problem is not None and problem.reason is Reason.STREAM_FAILED:
        streams = ConditionType.STREAM_READY
        found[streams] = Condition(streams, State.NO, problem.reason, problem.message)
    url = names.url(session, world.settings) if outlook.published else ""
    found[ConditionType.READY] = conditions.summed(found, problem, outlook.published, url)
    return found


def _drifted(template: Template | None, pod: Object | None) -> Condition:
    kind = ConditionType.TEMPLATE_DRIFTED
    if pod is None:
        return Condition(kind, State.NO, Reason.PENDING, "there is no pod yet")
    if template is None:
        return Condition(kind, State.UNKNOWN, Reason.PENDING, "its template cannot be read")
    if outdated(pod, template):
        said = f"template {template.name} has changed: the desktop takes it at its next start"
        return Condition(kind, State.YES, Reason.TEMPLATE_CHANGED, said)
    return Condition(kind, State.NO, Reason.AS_TEMPLATE)


def _admitted(blocked: Blocked | None, message: str = "") -> Condition:
    if blocked is not None:
        return Condition(ConditionType.ADMITTED, State.NO, blocked.reason, blocked.message)
    return Condition(ConditionType.ADMITTED, State.YES, Reason.ACCEPTED, message)


def _beside(template: Template, world: World, kept: bool) -> str:
    """What is said of a session that is let in, empty: nothing."""
    said = (
        "homePolicy has changed: the desktop has the other home at its next start" if kept else "",
        evidence.told(template, world.settings),
        slots.UNCOUNTED if world.slot is not None and world.slot.gpus is None else "",
    )
    return "; ".join(filter(None, said))


def _waiting(world: World, past: Record) -> Record:
    """Of a session without a desktop that waits to be admitted: what it had before is another start's.

    A start that was given up stays so: nothing of its session has changed.
    """
    if phases.PUBLISHED in past.milestones or past.started is None:
        begin = world.now if past.started is not None else min(world.seen_unix_seconds, world.now)
    else:
        begin = past.started
    return replace(past.anew(begin), failure=past.failure)


def _gone(session: Session) -> tuple[Ref, ...]:
    """The way to a desktop, then the desktop."""
    return (
        Ref("IngressRoute", names.route_name(session)),
        Ref("Pod", names.pod_name(session)),
        Ref("Service", names.service_name(session)),
    )


def _for_this_pod(objects: tuple[Object, ...], template: Template | None, world: World) -> tuple[Object, ...]:
    """Without route and policy where a template that has changed would make them for another desktop than runs."""
    pod = world.pod
    if template is None or pod is None or pods.going(pod) or not outdated(pod, template):
        return objects
    made = {"IngressRoute": world.route, "NetworkPolicy": world.policy}
    return tuple(one for one in objects if made.get(one["kind"]) is None)


def _decided(session: Session, world: World, past: Record, end: float | None, verdict: _Verdict) -> Decision:
    """The whole decision, with what time alone changes."""
    record, told = verdict.record, list(notices(past, verdict.found, verdict.progress))
    if verdict.notice is not None:
        told.append(verdict.notice)
    waits = list(verdict.again_seconds)
    if end is not None and end > world.now:
        warn = end - world.settings.warn_seconds
        waits.append((warn if verdict.living and warn > world.now else end) - world.now)
        warned = record.warned_of is not None and abs(record.warned_of - end) < 1.0
        if verdict.living and world.now >= warn and not warned:
            record = replace(record, warned_of=end)
            said = f"the session ends at {second(end)}: save what is open; spec.lifetime prolongs it"
            told.append(Notice(EXPIRING, said, warning=True))
    if any(ref(one) == Ref("Secret", names.rtc_name(session)) for one in verdict.objects):
        mint = next_mint(world.rtc, world.settings)
        if mint is not None:
            waits.append(min(mint - world.wall, _WALL_SECONDS) if mint > world.wall else _MINTED_SECONDS)
    status = document(session, world, record, verdict.found, end)
    if verdict.queue is not None:
        status["queue"] = {"position": verdict.queue.position, "waiting": verdict.queue.waiting}
    return Decision(
        objects=verdict.objects,
        absent=verdict.absent,
        status=status,
        look_again_seconds=min(waits, default=None),
        check=verdict.check,
        follow=verdict.follow,
        notices=tuple(told),
        failure=failure(past, verdict.found, verdict.progress),
        place=verdict.place,
        home_node=verdict.home_node,
        tied_node=verdict.tied_node,
    )


def _known(seconds: float | None) -> tuple[float, ...]:
    return () if seconds is None else (seconds,)
