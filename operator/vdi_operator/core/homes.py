"""Which home a session has, where it lies, and who waits for that place. Pure.

A user has one home, and with ``homePolicy: Fresh`` a second, temporary one beside it. Neither is ever deleted here.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from vdi_operator.api.objects import Object
from vdi_operator.api.session import HomePolicy, Session
from vdi_operator.children import names
from vdi_operator.core import pods
from vdi_operator.core.decision import Queue

__all__ = ["Waiters", "is_fresh", "mounted", "node", "settled", "tied"]

# Where the scheduler chose to bind a claim: known before there is a volume.
_SELECTED_NODE = "volume.kubernetes.io/selected-node"
# In what the scheduler says of a node that could take a pod and not its home; newer schedulers say it otherwise.
_TIED = re.compile(r"volume node affinity conflict|match PersistentVolume's node affinity")


def node(home: Object | None) -> str:
    """To which node a home is bound, empty: none, or the claim does not say."""
    annotations: Mapping[str, Any] = (home["metadata"].get("annotations") or {}) if home is not None else {}
    return str(annotations.get(_SELECTED_NODE) or "")


def is_fresh(home: Object | None) -> bool:
    """Whether it is a temporary one."""
    return home is not None and names.own_home(home["metadata"]["name"]) != home["metadata"]["name"]


def mounted(pod: Object | None) -> str:
    """Name of the claim that a pod has as its home, empty: none."""
    for volume in ((pod.get("spec") or {}).get("volumes") or ()) if pod is not None else ():
        if volume.get("name") == "home":
            return str((volume.get("persistentVolumeClaim") or {}).get("claimName") or "")
    return ""


def tied(said: str) -> bool:
    """Whether the scheduler says that other nodes cannot take a pod because of its home."""
    return _TIED.search(said) is not None


def settled(session: Session, pod: Object | None) -> Session:
    """The session with the policy by which its desktop was made.

    A pod that has a node keeps the home that it was made with: another wish counts for the next one. A pod without a
    node is made again.

    :param pod: the session's own.
    """
    if pod is None or pods.going(pod) or pods.ended(pod) or not pods.node(pod):
        return session
    claim = mounted(pod)
    for policy in HomePolicy:
        other = session if policy is session.home_policy else replace(session, home_policy=policy)
        if names.claim_name(other) == claim:
            return other
    return session


class Waiters:
    """Whose pods wait for the node of their home, by node; the pod that was made first is first.

    The scheduler chooses among them, by the pods' priority and then much in this order.
    """

    def __init__(self) -> None:
        self._lines: dict[str, list[tuple[float, str]]] = {}
        self._at: dict[str, tuple[str, float]] = {}

    def __len__(self) -> int:
        return len(self._at)

    def look(self, at: str, name: str, since: float) -> Queue:
        """Where a session stands, or would stand."""
        line, own = self._lines.get(at, []), self._at.get(name)
        there = own is not None and own[0] == at
        place = bisect.bisect_left(line, (since, name)) - (there and own is not None and own[1] < since)
        return Queue(place + 1, len(line) + (not there))

    def wait(self, at: str, name: str, since: float) -> list[str]:
        """A session waits for a node from now on.

        :returns: who stands otherwise for it.
        """
        if self._at.get(name) == (at, since):
            return []
        moved = self.leave(name)
        self._at[name] = (at, since)
        line = self._lines.setdefault(at, [])
        bisect.insort(line, (since, name))
        return [*moved, *(other for _, other in line if other != name)]

    def leave(self, name: str) -> list[str]:
        """A session waits for no node.

        :returns: who stands otherwise for it.
        """
        own = self._at.pop(name, None)
        if own is None:
            return []
        at, since = own
        line = self._lines[at]
        del line[bisect.bisect_left(line, (since, name))]
        if not line:
            del self._lines[at]
        return [other for _, other in line]
