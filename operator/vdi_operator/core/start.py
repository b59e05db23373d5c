"""One pass of a session that is admitted and shall run: restarts, what ends them, and the deadline. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from vdi_operator.api.objects import Object
from vdi_operator.api.reasons import FAILURES, ConditionType, Reason
from vdi_operator.api.session import Session
from vdi_operator.api.template import Template
from vdi_operator.children import names
from vdi_operator.children.pod import made_from
from vdi_operator.children.secrets import password_minted, password_since
from vdi_operator.core import homes, pods
from vdi_operator.core.checking import AHEAD_SECONDS, Outlook, look
from vdi_operator.core.failures import Finding, Verdict, of_gone, of_pod, of_refusal
from vdi_operator.core.instants import unix
from vdi_operator.core.phases import ACCEPTED
from vdi_operator.core.record import Failure, Record, Restart
from vdi_operator.core.world import World

__all__ = [
    "GONE_SECONDS",
    "PAUSES",
    "QUEUE_SECONDS",
    "STABLE_SECONDS",
    "Progress",
    "begun",
    "given_up",
    "outdated",
    "progress",
    "routed",
]

# Before the first, second … restart; the last one counts for all further ones.
PAUSES = (1.0, 2.0, 4.0)
# A desktop that was seen and lasted so long since its last restart has its restarts back.
STABLE_SECONDS = 300.0
# Watches tell when a pod is gone or placed; these are for what a watch did not tell.
GONE_SECONDS = 5.0
QUEUE_SECONDS = 30.0
# Of a pod that waits for a node, where others or an administrator have to do something first.
_QUEUES = frozenset({Reason.NO_FREE_SLICE, Reason.HOME_NODE_FULL, Reason.DRAINING})


@dataclass(frozen=True, slots=True)
class Progress:
    """How a start stands.

    :param pod: the one that counts, None: none.
    :param wanted: there shall be a pod.
    :param problem: what keeps the desktop away.
    :param again_seconds: each until time alone changes something.
    :param restarted: this pass counted a desktop that ended.
    :param failed: this pass gave the start up.
    :param lost: the desktop that ended was one that its user may have seen.
    """

    record: Record
    outlook: Outlook
    pod: Object | None = None
    wanted: bool = False
    problem: Finding | None = None
    again_seconds: tuple[float, ...] = ()
    restarted: Restart | None = None
    failed: Failure | None = None
    lost: bool = False


@dataclass(frozen=True, slots=True)
class _Pass:
    """What does not change within a pass."""

    session: Session
    template: Template
    world: World

    @property
    def now(self) -> float:
        return self.world.now


def progress(session: Session, template: Template, world: World, past: Record) -> Progress:
    """How the start stands, from how it stood and what is.

    :param world: with nothing in it that is another session's.
    """
    this = _Pass(session, template, world)
    record = begun(session, template, world, past)
    if record.failure is not None:
        return _failed(this, record, record.failure)
    uid, served = pods.uid(world.pod), _served(record, world.pod)
    finding = _finding(this, record)
    if finding is not None and finding.reason is Reason.DRAINING and finding.verdict is Verdict.RETRY:
        # Not its fault, so it costs no attempt: an administrator empties its node.
        restart = Restart(finding.reason, finding.message, this.now, uid)
        return replace(_again(this, record, restart), lost=served)
    if finding is not None and finding.verdict in (Verdict.RETRY, Verdict.FAIL):
        return replace(_ended(this, record, finding, served), lost=served)
    if record.restart is not None and _between(this, record.restart, _due(record, this.now)):
        return _paused(this, record, record.restart)
    reason = _replaced(this, served)
    if reason:
        # Not by itself: it costs no attempt.
        return _again(this, record, Restart(Reason.RESTARTING, reason, this.now, uid))
    return _on_its_way(this, record, finding)


def routed(world: World) -> bool:
    """Whether there is a way from Traefik to the pod."""
    ways = (world.service, world.route)
    return all(one is not None and not pods.going(one) for one in ways)


def outdated(pod: Object | None, template: Template) -> bool:
    """Whether a pod was made from the template as it was before.

    A pod of an earlier operator notes the template's generation, so there any change of the template is one.
    """
    annotations: Mapping[str, str] = (pod["metadata"].get("annotations") or {}) if pod else {}
    if names.TEMPLATE_ANNOTATION in annotations:
        return annotations[names.TEMPLATE_ANNOTATION] != made_from(template)
    return annotations.get(names.FORMER_TEMPLATE_ANNOTATION, _state(template)) != _state(template)


def given_up(session: Session, template: Template, past: Record) -> bool:
    """Whether the start was given up, of session and template as they still are."""
    failure = past.failure
    return failure is not None and (failure.generation, failure.template) == (session.generation, _state(template))


def _state(template: Template) -> str:
    """Whatever is changed of a template may be the remedy of a start that was given up."""
    return f"{template.uid}/{template.generation}"


def begun(session: Session, template: Template, world: World, past: Record) -> Record:
    """The record of the present start: that of another wish is none."""
    if past.failure is not None and not given_up(session, template, past):
        return past.anew(world.now)
    if past.started is None:
        # An expired session that was prolonged, or one that somebody came back to, has had its wish for long.
        prolonged = past.reason(ConditionType.READY) in (Reason.EXPIRED, Reason.IDLE)
        return past.anew(world.now if prolonged else min(world.seen_unix_seconds, world.now))
    return past


def _finding(this: _Pass, record: Record) -> Finding | None:
    pod, world = this.world.pod, this.world
    if pod is None:
        if record.pod_uid:
            return of_gone(None, world)
        if pods.going(world.home):
            return Finding(Reason.WAITING_FOR_VOLUME, "the home is being deleted; after it a new one is made")
        asked = record.restart is None or record.restart.released
        return of_refusal(world.refusal) if world.refusal and asked else None
    if record.restart is not None and record.restart.pod_uid == pods.uid(pod):
        return None  # it was counted, and goes
    if pods.going(pod):
        if pods.uid(pod) == record.pod_uid:
            return of_gone(pod, world)
        return Finding(Reason.PENDING, "the former pod is ending")
    return of_pod(pod, this.template, world, _base(this, record))


def _between(this: _Pass, restart: Restart, due: float) -> bool:
    """Whether the desktop that was counted is still there, or the next one has to wait for its time."""
    if this.world.pod is not None:
        return restart.pod_uid == pods.uid(this.world.pod)
    return this.now < due


def _ended(this: _Pass, record: Record, finding: Finding, served: bool) -> Progress:
    """A desktop has ended by itself: one restart more, or it is given up."""
    if finding.verdict is Verdict.FAIL:
        return _give_up(this, record, finding.reason, finding.message)
    lasted = served and record.restart is not None and this.now - record.restart.at_unix_seconds > STABLE_SECONDS
    attempts = 1 if lasted else record.attempts + 1
    counted = replace(record, attempts=attempts)
    most = this.world.settings.start_attempts
    if attempts > most:
        return _give_up(this, counted, finding.reason, f"{finding.message}; tried again {most} times")
    restart = Restart(finding.reason, finding.message, this.now, pods.uid(this.world.pod))
    return _again(this, counted, restart)


def _again(this: _Pass, record: Record, restart: Restart) -> Progress:
    record = replace(record, restart=restart, pod_uid="", stream=None)
    return replace(_paused(this, record, restart), restarted=restart)


def _paused(this: _Pass, record: Record, restart: Restart) -> Progress:
    """Between two desktops: the one before is gone, or going, and the next one waits for its time."""
    said = restart.message if restart.reason is Reason.RESTARTING else f"{restart.reason}: {restart.message}"
    left = _due(record, this.now) - this.now
    waits = [left] if left > 0 else []
    if this.world.pod is not None:
        waits.append(GONE_SECONDS)
    return Progress(record, _unseen(this), problem=Finding(Reason.RESTARTING, said), again_seconds=tuple(waits))


def _give_up(this: _Pass, record: Record, reason: Reason, message: str) -> Progress:
    failure = Failure(reason, message, this.now, this.session.generation, _state(this.template))
    record = replace(record, failure=failure, restart=None, pod_uid="", stream=None)
    return replace(_failed(this, record, failure), failed=failure)


def _failed(this: _Pass, record: Record, failure: Failure) -> Progress:
    """Nothing is made until a person has done something; the slice is free for others."""
    return Progress(
        record,
        _unseen(this),
        problem=Finding(failure.reason, failure.message, Verdict.FAIL),
        again_seconds=(GONE_SECONDS,) if this.world.pod is not None else (),
    )


def _on_its_way(this: _Pass, record: Record, finding: Finding | None) -> Progress:
    """There is a pod, or there shall be one now."""
    world, going = this.world, pods.going(this.world.pod)
    pod = None if going else world.pod
    if pod is not None:
        record = replace(record, pod_uid=pods.uid(pod))
    elif record.restart is not None and world.pod is None:
        record = replace(record, restart=replace(record.restart, released=True))
    servable = pods.ready(pod) and routed(world)
    outlook = look(this.session, this.template, replace(world, pod=pod), record.stream, servable)
    record = replace(record, stream=outlook.stream)
    failing = outlook.failing
    if failing is not None and failing.verdict is Verdict.FAIL:
        return _give_up(this, record, failing.reason, failing.message)
    queues = outlook.unreachable or (finding is not None and finding.verdict is Verdict.QUEUE)
    if not queues and _queued(record):
        record = replace(record, waited=this.now)
    waits = [outlook.again_seconds, GONE_SECONDS if going else None, QUEUE_SECONDS if queues else None]
    if outlook.stream is None and not queues:
        left = _base(this, record) + this.template.start_deadline_seconds - this.now
        if left <= 0:
            # With a pod: what its desktop needs beside it is not as it must be.
            refused = of_refusal(world.refusal) if world.refusal else None
            return _late(this, record, finding or refused or failing)
        waits.append(left)
    return Progress(
        record,
        outlook,
        pod=pod,
        wanted=True,
        problem=finding,
        again_seconds=tuple(one for one in waits if one is not None),
    )


def _late(this: _Pass, record: Record, finding: Finding | None) -> Progress:
    """The time of a start is over: for the reason that it had all the time, where that one is a failure's."""
    said = f"no desktop within {this.template.start_deadline_seconds:g} s"
    if finding is None:
        return _give_up(this, record, Reason.PROGRESS_DEADLINE_EXCEEDED, said)
    if finding.reason in FAILURES:
        return _give_up(this, record, finding.reason, f"{said}: {finding.message}")
    said = f"{said}, it still was {finding.reason}: {finding.message}"
    return _give_up(this, record, Reason.PROGRESS_DEADLINE_EXCEEDED, said)


def _replaced(this: _Pass, served: bool) -> str:
    """Why a pod that is well is made again all the same, empty: it is not."""
    pod = this.world.pod
    if pod is None or pods.going(pod):
        return ""
    if outdated(pod, this.template) and not served:
        return "the template has changed before anybody saw the desktop"
    if not pods.node(pod) and homes.mounted(pod) not in ("", names.claim_name(this.session)):
        return "it is to have another home"
    if _knows_another(pod, this.world.auth):
        # It read its password when it started.
        return "its password is another one now"
    return ""


def _knows_another(pod: Object, auth: Object | None) -> bool:
    """Whether a pod has read another password than its Secret has.

    Both note which one it is. Those of an earlier operator do not, nor those of which somebody took the note away:
    there a password that is younger than the pod is another one, as far as nobody has set the API server's clock.
    """
    known, stored = password_minted(pod), password_minted(auth)
    if known and stored:
        return known != stored
    made, since = unix(pod["metadata"].get("creationTimestamp")), unix(password_since(auth))
    return made is not None and since is not None and since > made


def _base(this: _Pass, record: Record) -> float:
    """From when a deadline counts: what a restart of the operator or a wait for others took is not a start's fault."""
    since = [record.milestones.get(ACCEPTED, this.now), min(this.world.seen_unix_seconds, this.now)]
    if record.restart is not None:
        since.append(_due(record, this.now))
    if record.waited is not None:
        since.append(record.waited)
    return max(since)


def _due(record: Record, now: float) -> float:
    """When the next desktop after the last restart may start.

    A restart of the future was written before somebody set the clock back: no pause lasts until then.
    """
    if record.restart is None:
        return 0.0
    if record.restart.at_unix_seconds > now + AHEAD_SECONDS:
        return now
    pause = PAUSES[min(record.attempts, len(PAUSES)) - 1] if record.attempts else 0.0
    return record.restart.at_unix_seconds + pause


def _queued(record: Record) -> bool:
    """Whether the pass before waited for others."""
    return (
        record.waits_for(ConditionType.SCHEDULED) in _QUEUES
        or record.reason(ConditionType.STREAM_READY) == Reason.CHECKER_UNREACHABLE
    )


def _served(record: Record, pod: Object | None) -> bool:
    """Whether its user may have seen this desktop, or, without a pod, the one that was relied on."""
    uid = pods.uid(pod) or record.pod_uid
    return bool(uid) and record.stream is not None and record.stream.pod_uid == uid


def _unseen(this: _Pass) -> Outlook:
    return look(this.session, this.template, replace(this.world, pod=None), None, servable=False)
