"""Whether a frame was decoded on the users' route, and when to look next. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from vdi_operator.api.reasons import ConditionType, Reason
from vdi_operator.api.session import Session
from vdi_operator.api.template import Template
from vdi_operator.children import names
from vdi_operator.core import pods
from vdi_operator.core.conditions import Condition, State
from vdi_operator.core.decision import CheckWanted
from vdi_operator.core.failures import Finding, Verdict
from vdi_operator.core.record import Stream
from vdi_operator.core.world import CheckResult, World

__all__ = ["AHEAD_SECONDS", "CHECKS", "LEFT_SECONDS", "RETRY_SECONDS", "Outlook", "look", "pause"]

# Checks of one pod that may fail: signalling stands up to a few seconds after health says 200.
CHECKS = 8
# Between them; the last one counts for all further ones.
RETRY_SECONDS = (0.5, 1.0, 2.0)
# After the checker left: Selkies refuses a second client from one address, which is Traefik's, for 0.5 s (close code
# 4029).
LEFT_SECONDS = 0.5
# What was written may be ahead of now by so much without a clock having been set back.
AHEAD_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Outlook:
    """What is known of the stream.

    :param stream: of this pod, None: nobody saw a frame of it.
    :param published: the URL may be given out.
    :param failing: why the last check failed.
    :param unreachable: nobody can look; no deadline counts that.
    :param again_seconds: until time alone changes something.
    """

    condition: Condition
    hardware: Condition
    stream: Stream | None = None
    published: bool = False
    wanted: CheckWanted | None = None
    failing: Finding | None = None
    unreachable: bool = False
    again_seconds: float | None = None


def look(session: Session, template: Template | None, world: World, seen: Stream | None, servable: bool) -> Outlook:
    """What is known of the stream of a session's pod, and what to ask the checker.

    :param template: None: it is gone; then nobody knows whether software is wanted.
    :param seen: what was recorded.
    :param servable: the pod is ready and routed.
    """
    uid = pods.uid(world.pod)
    check = world.check if world.check is not None and uid and world.check.pod_uid == uid else None
    stream = seen if seen is not None and uid and seen.pod_uid == uid else None
    if stream is None and check is not None and check.ok:
        stream = Stream.seen(check)
    hardware = _hardware(template, stream)
    if stream is not None and not servable:
        condition = _condition(State.NO, Reason.RESTARTING, "the desktop was seen and does not serve at present")
        return Outlook(condition, hardware, stream)
    if stream is not None:
        left = _left(stream.left_unix_seconds, LEFT_SECONDS, world.now)
        condition = _condition(State.YES, Reason.FRAME_DECODED, _seen(stream))
        return Outlook(condition, hardware, stream, published=left <= 0, again_seconds=left if left > 0 else None)
    if not servable:
        return Outlook(_condition(State.NO, Reason.PENDING, "there is nothing to look at yet"), hardware)
    if not world.settings.checker_url:
        said = "no checker is set (checkerUrl in the operator's settings), so no URL is published"
        return Outlook(_condition(State.UNKNOWN, Reason.CHECKER_UNREACHABLE, said), hardware, unreachable=True)
    return _asked(session, world, check, hardware)


def pause(check: CheckResult) -> float:
    """Seconds from the end of a check that found nothing to the next one."""
    if check.unreachable:
        return RETRY_SECONDS[-1]
    return RETRY_SECONDS[min(max(check.attempts, 1), len(RETRY_SECONDS)) - 1]


def _asked(session: Session, world: World, check: CheckResult | None, hardware: Condition) -> Outlook:
    wanted = CheckWanted(pods.uid(world.pod), names.host(session, world.settings))
    if check is None:
        return Outlook(_condition(State.UNKNOWN, Reason.CHECKING, "the checker looks"), hardware, wanted=wanted)
    said = pods.sentence(check.message) or "it did not say why"
    if check.unreachable:
        condition = _condition(State.UNKNOWN, Reason.CHECKER_UNREACHABLE, f"the checker does not answer: {said}")
        failing = None
    else:
        condition = _condition(State.UNKNOWN, Reason.CHECKING, f"no frame yet, the checker looks again: {said}")
        verdict = Verdict.FAIL if check.attempts >= CHECKS else Verdict.WAIT
        failing = Finding(Reason.STREAM_FAILED, f"no frame on the users' route: {said}", verdict)
    left = _left(check.left_unix_seconds, pause(check), world.now)
    return Outlook(
        condition,
        hardware,
        wanted=wanted if left <= 0 else None,
        failing=failing,
        unreachable=check.unreachable,
        again_seconds=left if left > 0 else None,
    )


def _left(since: float, seconds: float, now: float) -> float:
    """What is left of a pause. One that began in the future is over: somebody has set the clock back since."""
    return 0.0 if since > now + AHEAD_SECONDS else since + seconds - now


def _hardware(template: Template | None, stream: Stream | None) -> Condition:
    """Which encoder is in use.

    Software where hardware is wanted leaves Ready alone: the user has a desktop that works, and taking it away would
    help nobody. It is told to whoever can do something about it.
    """
    kind = ConditionType.HARDWARE_ENCODING
    if stream is None:
        return Condition(kind, State.UNKNOWN, Reason.PENDING, "no frame was seen yet")
    encoder = stream.encoder or "an encoder without a name"
    if stream.hardware is None:
        return Condition(kind, State.UNKNOWN, Reason.FRAME_DECODED, "the desktop does not say what encodes")
    if stream.hardware:
        return Condition(kind, State.YES, Reason.HARDWARE, encoder)
    if template is None or not template.hardware_encoding:
        return Condition(kind, State.NO, Reason.SOFTWARE_AS_WANTED, encoder)
    said = f"{encoder} encodes in software and the template wants hardware: look for NVENC on its GPU and in its image"
    return Condition(kind, State.NO, Reason.SOFTWARE_FALLBACK, said)


def _seen(stream: Stream) -> str:
    return f"{stream}" + (f" over {stream.transport}" if stream.transport else "")


def _condition(status: State, reason: Reason, message: str) -> Condition:
    return Condition(ConditionType.STREAM_READY, status, reason, message)
