"""Whether nobody is at a desktop any more, and what follows: a warning, then a rest that the user ends. Pure.

Only what was seen counts: a desktop is idle where looks have found nobody over the whole time-out, and not because time
went by. So a desktop that does not answer is in use, and an operator that was away begins to count anew.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from vdi_operator.api.objects import Object
from vdi_operator.api.session import Session
from vdi_operator.api.template import Template
from vdi_operator.core import pods
from vdi_operator.core.decision import Follow, Notice
from vdi_operator.core.instants import second
from vdi_operator.core.record import Idle, Record
from vdi_operator.core.world import World

__all__ = ["IDLING", "LEFT_SECONDS", "Idling", "look", "message", "rests"]

# The Event before a desktop is stopped.
IDLING = "Idling"

# After the checker left: its connection is closed by then. What a desktop still shows of it later only puts a stop off.
LEFT_SECONDS = 5.0
# By so much the look that decides may come before the time that was told: that may be one interval off, as the look is.
_EARLY_SECONDS = 1.0
# What is written of activity that goes on: a status for each look would cost more than the looks.
_COARSE_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Idling:
    """How a desktop that runs stands.

    :param record: of this pass, with what is to be remembered.
    :param follow: whom to look at, None: nobody asks.
    :param stops: it is to be stopped; ``record`` has why.
    :param notice: the warning before it.
    :param again_seconds: until time alone changes something.
    """

    record: Record
    follow: Follow | None = None
    stops: bool = False
    notice: Notice | None = None
    again_seconds: float | None = None


def rests(session: Session, past: Record) -> bool:
    """Whether a session was stopped because nobody was at it, and nobody has wished for it since."""
    return past.idle is not None and (past.idle.generation, past.idle.wake) == (session.generation, session.wake)


def message(session: Session, idle: Idle) -> str:
    """Why it rests, and what starts it again."""
    said = f"nobody has been at it since {second(idle.since_unix_seconds)}"
    return f"{said}: vdi-operator open {session.name} starts it again, with the same home"


def look(session: Session, template: Template, world: World, record: Record, pod: Object | None) -> Idling:
    """How long nobody has been at a desktop that was published.

    :param record: of this pass.
    :param pod: the one that counts.
    """
    timeout, stream, uid = template.idle_timeout_seconds, record.stream, pods.uid(pod)
    if timeout is None:
        # What was counted under another template is over.
        return Idling(replace(record, active=None, warned_idle=None))
    if stream is None or not uid or stream.pod_uid != uid or not pods.ready(pod):
        return Idling(record)
    follow = Follow(uid, stream.left_unix_seconds + LEFT_SECONDS)
    warns = timeout - min(world.settings.warn_seconds, timeout / 2)
    fact = world.activity
    if fact is None or fact.pod_uid != uid:
        return Idling(record, follow, again_seconds=warns + world.settings.idle_look_seconds)
    active, seen = fact.active_unix_seconds, fact.looked_unix_seconds - fact.active_unix_seconds
    end = record.warned_idle
    if end is not None and end < active + timeout - 0.01:
        end = None  # somebody has been there since, or it was to be stopped sooner then
    # Whoever heeds the warning is seen by a look after the time that it names, whatever asks for a pass before.
    told = warns >= timeout or (end is not None and fact.looked_unix_seconds >= end - _EARLY_SECONDS)
    if seen >= timeout and told:
        idle = Idle(world.now, active, session.generation, session.wake)
        return Idling(replace(record, active=active, idle=idle), stops=True)
    # A look in the middle of it would only say so. The one that decides asks for a pass itself; this is behind it.
    if seen < warns:
        again = max(active + warns - world.now, 0.0) + world.settings.idle_look_seconds
        return Idling(_noted(record, active), follow, again_seconds=again)
    notice = None
    if end is None:
        end = max(active + timeout, world.now + world.settings.idle_look_seconds)
        said = f"nobody has been at the desktop since {second(active)}: it is stopped at {second(end)}"
        notice = Notice(IDLING, f"{said} unless somebody connects; the home is kept", warning=True)
    again = max(end - world.now, 0.0) + world.settings.idle_look_seconds
    return Idling(replace(record, active=active, warned_idle=end), follow, notice=notice, again_seconds=again)


def _noted(record: Record, active: float) -> Record:
    """With what is known of activity, where it is news enough for a status."""
    if record.active is not None and 0 <= active - record.active < _COARSE_SECONDS:
        return record
    return replace(record, active=active)
