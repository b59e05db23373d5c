"""From what ought to be and what is to the requests that make one the other. Pure.

What the API server adds by itself (defaults, cluster addresses, status) is no difference. What others added is one,
where it would let somebody in: in selectors, ports, rules and the labels by which pods are chosen.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from vdi_operator.api.objects import Object, Ref, ref
from vdi_operator.children.names import RESERVED_LABELS
from vdi_operator.core import pods
from vdi_operator.core.admission import foreign
from vdi_operator.core.decision import Change, Decision, Verb
from vdi_operator.core.world import World

__all__ = ["changes"]

# Where nothing may be that is not wanted. Server-side apply takes away only what its own manager once set.
_EXACT: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "NetworkPolicy": (("spec",),),
    "Service": (("spec", "selector"), ("spec", "ports")),
    "IngressRoute": (("spec",),),
    "Middleware": (("spec",),),
}
# Path of a value somewhere in those parts, where only values count.
_INSIDE = ("spec",)
# What the API server writes into those parts itself where it is absent.
_DEFAULTS: Mapping[str, Any] = {"protocol": "TCP"}
# Of these only metadata can still be changed, or none of ours to change: a pod is what it was made as, and a claim has
# the size and class of its first day.
_SETTLED: Mapping[str, tuple[str, ...]] = {
    # Not its annotations: they say which template it was made from, and which password it has read.
    "Pod": ("labels", "ownerReferences"),
    "PersistentVolumeClaim": ("labels", "annotations"),
}


def changes(decision: Decision, world: World) -> tuple[Change, ...]:
    """The requests of a pass, in their order; nothing where everything is as it ought to be.

    What shall not exist goes first. The pod is made last and only after all else is there: its existence implies the
    rest. A pod that has ended, a password that is not fit and what a deleted session of the same name left are deleted;
    a later pass, which sees them gone, makes new ones. A Secret of another type is made again at once, since it alone
    knows the password of a pod that runs.

    :raises ValueError: a home is to be deleted, which the operator never does.
    """
    made = list(_deletions(decision.absent, world))
    whole = True
    for wanted in decision.objects:
        actual = _actual(ref(wanted), world)
        is_pod = wanted["kind"] == "Pod"
        if actual is None:
            if whole or not is_pod:
                made.append(Change(Verb.CREATE, ref(wanted), wanted))
        elif pods.going(actual):
            whole = False
        elif _others(wanted, actual) or (is_pod and pods.ended(actual)) or _outworn(wanted, actual, world):
            whole = False
            made.append(_deletion(ref(wanted), actual))
        elif _retyped(wanted, actual):
            made += [_deletion(ref(wanted), actual), Change(Verb.CREATE, ref(wanted), wanted)]
        else:
            made.extend(_repairs(wanted, actual))
    return tuple(made)


def _deletions(absent: Iterable[Ref], world: World) -> Iterable[Change]:
    for one in absent:
        if one.kind == "PersistentVolumeClaim":
            raise ValueError(f"{one.name} is a home: the operator deletes none, purge-home does")
        actual = _actual(one, world)
        if actual is not None and not pods.going(actual):
            yield _deletion(one, actual)


def _deletion(one: Ref, actual: Object) -> Change:
    return Change(Verb.DELETE, one, uid=pods.uid(actual))


def _actual(one: Ref, world: World) -> Object | None:
    """What is in the place of an object."""
    places: Mapping[str, tuple[Object | None, ...]] = {
        "Pod": (world.pod,),
        "Service": (world.service,),
        "IngressRoute": (world.route,),
        "NetworkPolicy": (world.policy,),
        "Middleware": (world.login,),
        "Secret": (world.auth, world.rtc),
        "PersistentVolumeClaim": (world.home,),
    }
    found = (place for place in places[one.kind] if place is not None and place["metadata"]["name"] == one.name)
    return next(found, None)


def _others(wanted: Object, actual: Object) -> bool:
    """Whether it is another session's; what is wanted without an owner may be anybody's."""
    owners = wanted["metadata"].get("ownerReferences") or ()
    return any(foreign(str(owner["uid"]), actual) for owner in owners)


def _outworn(wanted: Object, actual: Object, world: World) -> bool:
    """Whether it is the Secret with the password, and the password had to be made anew.

    It is made anew and not edited: so it has another note, and a time of its own, by which a pod is seen to know the
    former password.
    """
    return actual is world.auth and not _covers(actual.get("data"), _compared(wanted).get("data"))


def _retyped(wanted: Object, actual: Object) -> bool:
    """Whether it is a Secret of another type, which the API server lets nobody change."""
    return wanted["kind"] == "Secret" and "type" in wanted and actual.get("type") != wanted["type"]


def _repairs(wanted: Object, actual: Object) -> Iterable[Change]:
    # What others added goes first: beside it what is wanted may be invalid, as a port is beside one without a name.
    patch = _excess(wanted, actual)
    if patch:
        yield Change(Verb.MERGE, ref(wanted), patch)
    kept = _compared(wanted)
    if not _covers(actual, kept):
        yield Change(Verb.APPLY, ref(wanted), kept)


def _compared(wanted: Object) -> Object:
    """What of an object can be repaired; with Secrets' texts as they are stored."""
    parts = _SETTLED.get(wanted["kind"])
    if parts is not None:
        metadata = {key: value for key, value in wanted["metadata"].items() if key in ("name", "namespace", *parts)}
        return {"apiVersion": wanted["apiVersion"], "kind": wanted["kind"], "metadata": metadata}
    texts = wanted.get("stringData")
    if not texts:
        return wanted
    encoded = {key: base64.b64encode(text.encode()).decode() for key, text in texts.items()}
    kept = {key: value for key, value in wanted.items() if key != "stringData"}
    return kept | {"data": {**(wanted.get("data") or {}), **encoded}}


def _covers(actual: Any, wanted: Any, path: tuple[str, ...] = ()) -> bool:
    """Whether all that is wanted is there.

    ``apiVersion`` and ``kind`` are left out: objects of a list come without.
    """
    if actual == wanted:  # which costs nothing beside looking at each value
        return True
    if isinstance(wanted, dict):
        return isinstance(actual, dict) and all(
            _covers(actual.get(key), value, (*path, key))
            for key, value in wanted.items()
            if path or key not in ("apiVersion", "kind")
        )
    if isinstance(wanted, list):
        known_list = actual if isinstance(actual, list) else []
        if path == ("metadata", "ownerReferences"):
            # A list by uid, in any order.
            return all(any(_covers(one, owner, (*path, "")) for one in known_list) for owner in wanted)
        return len(known_list) >= len(wanted) and all(
            _covers(one, value, (*path, "")) for one, value in zip(known_list, wanted, strict=False)
        )
    return bool(actual == wanted)


def _excess(wanted: Object, actual: Object) -> Object:
    """The merge patch that takes away what must not be there, empty: nothing is."""
    patch: Object = {}
    found = actual["metadata"].get("labels") or {}
    labels = {key: None for key in found if key in RESERVED_LABELS and key not in wanted["metadata"].get("labels", {})}
    if labels:
        patch["metadata"] = {"labels": labels}
    for path in _EXACT.get(wanted["kind"], ()):
        part = _too_much(_at(wanted, path), _at(actual, path))
        if part is not None:
            _put(patch, path, part)
    return patch


def _too_much(wanted: Any, actual: Any) -> Any:
    """Patch of one value: a dictionary with null for what goes, a list whole; None: nothing is too much.

    A dictionary of which something goes gets what it lacks by the same patch: with less than either has, a selector
    would choose every pod until the next request.
    """
    if actual == wanted:
        return None
    if isinstance(wanted, dict) and isinstance(actual, dict):
        patch: Object = {}
        for key, value in actual.items():
            if key in wanted:
                part = _too_much(wanted[key], value)
                if part is not None:
                    patch[key] = part
            elif _DEFAULTS.get(key) != value and value not in ({}, []):
                patch[key] = None
        if patch:
            lacks = {key: value for key, value in wanted.items() if not _covers(actual.get(key), value, _INSIDE)}
            patch = lacks | patch
        return patch or None
    if isinstance(wanted, list) and isinstance(actual, list):
        # An element with other values is somebody else's, which server-side apply would keep beside ours.
        same = len(actual) == len(wanted)
        pairs = zip(wanted, actual, strict=False)
        return None if same and all(_same(one, other) for one, other in pairs) else wanted
    return None


def _same(wanted: Any, actual: Any) -> bool:
    return _too_much(wanted, actual) is None and _covers(actual, wanted, _INSIDE)


def _at(one: Object, path: Sequence[str]) -> Any:
    for key in path:
        one = one.get(key) or {}
    return one


def _put(patch: Object, path: Sequence[str], value: Any) -> None:
    for key in path[:-1]:
        patch = patch.setdefault(key, {})
    patch[path[-1]] = value
