"""From templates and what is to the requests that have their images fetched beforehand. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from vdi_operator.api.objects import Object, ref
from vdi_operator.api.template import Template
from vdi_operator.children.prepull import DIGEST_ANNOTATION, prepull
from vdi_operator.core import pods
from vdi_operator.core.decision import Change, Verb
from vdi_operator.settings import Settings

__all__ = ["prepull_changes"]


def prepull_changes(
    templates: Iterable[Template], unreadable: Iterable[str], there: Iterable[Object], settings: Settings
) -> tuple[Change, ...]:
    """What to make, to change and to delete, deletions first.

    :param templates: all that can be read.
    :param unreadable: uids of the others: what was made for them stays.
    :param there: all DaemonSets of the operator's.
    """
    wanted = {one["metadata"]["name"]: one for one in (prepull(each, settings) for each in templates if each.prepull)}
    kept, actual = set(unreadable), {one["metadata"]["name"]: one for one in there}
    gone = [
        Change(Verb.DELETE, ref({"kind": "DaemonSet", **one}), uid=pods.uid(one))
        for name, one in actual.items()
        if name not in wanted and not pods.going(one) and not kept & _owners(one)
    ]
    # The first one, too: of what was made in another way an apply takes nothing away later. And what is there without
    # our label, so that nobody told of it, is made ours.
    made = [
        Change(Verb.APPLY, ref(one), one)
        for name, one in wanted.items()
        if (known := actual.get(name)) is None or (not pods.going(known) and _digest(known) != _digest(one))
    ]
    return (*gone, *made)


def _digest(one: Object) -> str:
    return str((one["metadata"].get("annotations") or {}).get(DIGEST_ANNOTATION, ""))


def _owners(one: Object) -> set[str]:
    return {str(owner.get("uid")) for owner in one["metadata"].get("ownerReferences") or ()}
