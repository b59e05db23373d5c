"""In which fields what the operator makes may differ from what was validated, and why. Pure.

The whole list: what is not in it must be equal. A test fails where an entry covers nothing, and
``docs/design/operator.md`` has the same list.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["ABSENT", "ANY_KIND", "DECLARED", "RELAY", "Declared", "table"]

Object = Mapping[str, Any]


class _Absent:
    """What a field is that there is not."""

    def __repr__(self) -> str:
        return "absent"


ABSENT = _Absent()
ANY_KIND = "*"
# The edge of a policy for which WebSocket sessions have no use.
RELAY = "egress to the relay"

_DESKTOP = "spec.containers[desktop]"


def _any(theirs: Any, ours: Any, made: Object) -> bool:
    return True


def _only_made(theirs: Any, ours: Any, made: Object) -> bool:
    return theirs is ABSENT


def _only_validated(theirs: Any, ours: Any, made: Object) -> bool:
    return ours is ABSENT


def _as_text(theirs: Any, ours: Any, made: Object) -> bool:
    return all(isinstance(one, str | int | float) for one in (theirs, ours)) and str(theirs) == str(ours)


def _default_pull(theirs: Any, ours: Any, made: Object) -> bool:
    """Whether it is what an API server takes where nothing is said."""
    (image,) = (str(one["image"]) for one in made["spec"]["containers"] if one["name"] == "desktop")
    name, _, digest = image.partition("@")
    tag = name.rpartition("/")[2].partition(":")[2]
    always = tag == "latest" or not (tag or digest)
    return theirs is ABSENT and ours == ("Always" if always else "IfNotPresent")


def _no_references(theirs: Any, ours: Any, made: Object) -> bool:
    return not any("$(" in str(one.get("value", "")) for one in (*theirs, *ours))


@dataclass(frozen=True, slots=True)
class Declared:
    """Fields that may differ.

    :param kind: of the object, :data:`ANY_KIND`: any.
    :param fields: with all that is in them; empty text: the whole object.
    :param why: no reason to measure again.
    :param alike: whether these two values (validated, made) are such a difference, for that object as it is made.
    :param websocket: only where both desktops speak WebSocket.
    """

    kind: str
    fields: tuple[str, ...]
    why: str
    alike: Callable[[Any, Any, Object], bool] = field(default=_any, compare=False, repr=False)
    websocket: bool = False

    def covers(self, path: str) -> str | None:
        """Which of its fields a path leads to or into; None: to none of them."""
        return next((one for one in self.fields if path == one or path.startswith((f"{one}.", f"{one}["))), None)


DECLARED: tuple[Declared, ...] = (
    Declared(
        ANY_KIND,
        ("metadata.labels[app.kubernetes.io/managed-by]",),
        "who made it; the operator finds its own by it, no Service and no policy chooses by it",
    ),
    Declared(
        ANY_KIND,
        ("metadata.ownerReferences",),
        "a session owns what goes with it; a manifest has no session",
        _only_made,
    ),
    Declared(
        "Pod",
        ("metadata.annotations[vdibench.io/made-from]",),
        "which state of which template it was made from; a manifest has no template",
        _only_made,
    ),
    Declared(
        "Pod",
        ("metadata.annotations[vdibench.io/password-minted]",),
        "which password it reads; who works by manifests makes the Secret, and starts the desktop again after another",
        _only_made,
    ),
    Declared(
        "Pod",
        (f"{_DESKTOP}.imagePullPolicy",),
        "where the manifest leaves it to the API server, the operator says what that would take",
        _default_pull,
    ),
    Declared(
        "Pod", (f"{_DESKTOP}.resources",), 'a number may be text, as the API server keeps it: 1 and "1"', _as_text
    ),
    Declared(
        "Pod",
        (f"{_DESKTOP}.env (order)",),
        "variables are read by name; order counts only where a value refers to another by $(NAME)",
        _no_references,
    ),
    Declared(
        "PersistentVolumeClaim",
        ("metadata.labels[app.kubernetes.io/instance]",),
        "a home is of a user, not of a session: what is deleted by a session's label must not be a home",
        _only_validated,
    ),
    Declared(
        "PersistentVolumeClaim",
        ("metadata.labels[vdibench.io/user-slug]", "metadata.annotations[vdibench.io/user]"),
        "whose home it is: a session may be named otherwise than its user",
        _only_made,
    ),
    Declared(
        "PodMonitor",
        ("",),
        "its kind comes with a Prometheus operator that not every cluster has, the operator has no right on it, and "
        "what a session's own metrics say was reported by a browser",
        _only_validated,
    ),
    Declared("Role", ("metadata.labels",), "of kustomize or of Helm: a Role is named, never chosen by its labels"),
    Declared(
        "NetworkPolicy",
        (RELAY,),
        "the manifests open it to every session, and WebSocket mode has no relay: such a desktop can reach less",
        _only_validated,
        websocket=True,
    ),
)


def table() -> str:
    """The list as Markdown."""
    rows = ["| object | may differ | why |", "|---|---|---|"]
    for one in DECLARED:
        kind = "every object" if one.kind == ANY_KIND else f"`{one.kind}`"
        where = f"{kind}, WebSocket" if one.websocket else kind
        fields = ", ".join(f"`{name}`" if name else "it is not made" for name in one.fields)
        rows.append(f"| {where} | {fields} | {one.why} |")
    return "\n".join(rows) + "\n"
