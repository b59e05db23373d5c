"""The status of a session as one document. Pure: equal knowledge gives equal bytes, so it is written only on change.

The whole status: what is not in it is to be removed. Nothing in it counts seconds that go by.
"""

from __future__ import annotations

from collections.abc import Mapping

from vdi_operator.api.objects import Object
from vdi_operator.api.reasons import ConditionType
from vdi_operator.api.session import Session
from vdi_operator.children import names
from vdi_operator.children.secrets import turn_expiry
from vdi_operator.core import conditions, phases, pods
from vdi_operator.core.conditions import Condition
from vdi_operator.core.instants import second
from vdi_operator.core.record import Record
from vdi_operator.core.world import World

__all__ = ["document"]


def document(
    session: Session,
    world: World,
    record: Record,
    found: Mapping[ConditionType, Condition],
    end_unix_seconds: float | None,
) -> Object:
    """What is stored.

    :param record: of this pass, with its milestones, and with the conditions of the pass before.
    :param found: all conditions.
    :param end_unix_seconds: of the session's life, None: it has none.
    """
    made: Object = {
        "observedGeneration": session.generation,
        "conditions": conditions.documents(found.values(), record.conditions, world.now, session.generation),
    }
    host = _host(session, world)
    if host:
        made["host"] = host
    if found[ConditionType.READY].holds:
        made["url"] = names.url(session, world.settings)
    node = pods.node(world.pod)
    if node:
        made["node"] = node
    if world.auth is not None and not pods.going(world.auth):
        made["credentialsSecretRef"] = {"name": names.auth_name(session)}
    turn = turn_expiry(world.rtc)
    if turn is not None:
        made["turnExpiresAt"] = second(turn)
    if end_unix_seconds is not None:
        made["expiresAt"] = second(end_unix_seconds)
    return made | record.documents() | phases.documents(record.started, record.milestones)


def _host(session: Session, world: World) -> str:
    try:
        return names.host(session, world.settings)
    except ValueError:
        return ""  # Admitted says what is wrong with it
