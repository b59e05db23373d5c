"""Events about a session, for ``kubectl describe``. Asyncio."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import UTC, datetime

from vdi_operator.api.objects import Object
from vdi_operator.api.session import Session
from vdi_operator.children import names
from vdi_operator.children.kinds import KINDS
from vdi_operator.cluster.errors import ApiError
from vdi_operator.cluster.kube import Client
from vdi_operator.core.decision import Notice

__all__ = ["event", "tell"]

# The API server's limit on an event's message.
_LONGEST = 1024
# Different Events that one start may have: messages are texts, and must not be counted on to repeat.
_MOST = 64

_log = logging.getLogger(__name__)


async def tell(
    client: Client, session: Session, notices: Iterable[Notice], told: set[tuple[str, str]], now: float
) -> None:
    """Post those that this start has not had yet. One that cannot be posted is logged: a session does not fail by it.

    :param told: reasons and messages until now; added to.
    """
    for notice in notices:
        key = (notice.reason, notice.message)
        if key in told or len(told) >= _MOST:
            continue
        told.add(key)
        _log.log(
            logging.WARNING if notice.warning else logging.INFO,
            notice.message,
            extra={"session": session.name, "reason": notice.reason},
        )
        try:
            await client.create(KINDS["Event"], event(session, notice, now))
        except ApiError as error:
            _log.warning("an Event was not posted: %s", error, extra={"session": session.name})


def event(session: Session, notice: Notice, now: float) -> Object:
    """The Event of a notice.

    :param now: Unix seconds.
    """
    kind = KINDS["VDISession"]
    at = datetime.fromtimestamp(int(now), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"generateName": f"{session.name}.", "namespace": session.namespace},
        "involvedObject": {
            "apiVersion": kind.api_version,
            "kind": kind.name,
            "namespace": session.namespace,
            "name": session.name,
            "uid": session.uid,
            "resourceVersion": session.resource_version,
        },
        "type": "Warning" if notice.warning else "Normal",
        "reason": notice.reason,
        "message": notice.message[:_LONGEST],
        "source": {"component": names.MANAGER},
        "reportingComponent": names.MANAGER,
        "firstTimestamp": at,
        "lastTimestamp": at,
        "count": 1,
    }
