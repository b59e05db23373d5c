"""The pods of sessions as they are, and which of them has which home. Asyncio.

A user may have thousands of sessions that want one home: who has it is kept by the home, so that no pass goes through
the others.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

from vdi_operator.api.objects import Object
from vdi_operator.children import names
from vdi_operator.children.kinds import KINDS
from vdi_operator.cluster.stores import Watched
from vdi_operator.core import homes, pods

__all__ = ["Desktops", "PodFacts"]


@dataclass(frozen=True, slots=True)
class PodFacts:
    """Whose pod it is, and where.

    :param template: uid of the one that it was made from.
    :param ended: for good, so that it holds nothing any more.
    :param serves: it is ready and stays.
    :param going: it is being deleted.
    :param owner: uid of its session, empty: it says none.
    :param home: the claim that it keeps from other pods, empty: none.
    """

    session: str
    node: str
    template: str = ""
    ended: bool = False
    serves: bool = False
    going: bool = False
    owner: str = ""
    home: str = ""


class Desktops(Watched[PodFacts]):
    """All pods of sessions.

    :param freed: told of a session whose pod keeps a home from others no more, and of that home; also where an own
        request did it, as nobody else tells those others.
    """

    def __init__(
        self,
        changed: Callable[[str, PodFacts | None, PodFacts | None], None],
        freed: Callable[[str, str], None],
        *,
        labels: str,
    ) -> None:
        super().__init__(KINDS["Pod"], _pod, changed, labels=labels)
        self._freed = freed
        # Home -> sessions whose pods have it.
        self._homes: defaultdict[str, set[str]] = defaultdict(set)

    def holders(self, home: str) -> set[str]:
        """Names of the sessions whose pods have a home."""
        return set(self._homes.get(home, ()))

    def _note(self, name: str, before: PodFacts | None, after: PodFacts | None, quiet: bool) -> None:
        had = (before.session, before.home) if before is not None and before.home else None
        has = (after.session, after.home) if after is not None and after.home else None
        if had is not None and had != has:
            session, home = had
            self._homes[home].discard(session)
            if not self._homes[home]:
                del self._homes[home]
        if has is not None:
            self._homes[has[1]].add(has[0])
        super()._note(name, before, after, quiet)
        if had is not None and had != has:
            self._freed(*had)


def _pod(one: Object) -> PodFacts:
    metadata, ended = one["metadata"], pods.ended(one)
    refs = metadata.get("ownerReferences") or ()
    owners = (str(ref.get("uid", "")) for ref in refs if ref.get("kind") == "VDISession")
    annotations = metadata.get("annotations") or {}
    former = annotations.get(names.FORMER_TEMPLATE_ANNOTATION, "")
    made_from = str(annotations.get(names.TEMPLATE_ANNOTATION, former))
    return PodFacts(
        session=str((metadata.get("labels") or {}).get(names.INSTANCE_LABEL, "")),
        node=pods.node(one),
        template=made_from.partition("/")[0],
        ended=ended,
        serves=pods.ready(one),
        going=pods.going(one),
        owner=next(owners, ""),
        home="" if ended else homes.mounted(one),
    )
