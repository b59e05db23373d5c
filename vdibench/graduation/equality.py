"""Whether what the operator makes of a session is what was validated, but for :data:`DECLARED`. Pure.

Both sides are objects of the same user, so that names, labels and references to Secrets are the same texts. Lists whose
entries have names are compared by name. Policies are compared by what they let through together, since the manifests
have several that choose sessions by a label, and the operator makes one a session.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from vdibench.graduation.declared import ABSENT, ANY_KIND, DECLARED, RELAY
from vdibench.graduation.reach import ANYONE, Edge, edges

__all__ = ["Comparison", "compare", "differences"]

Object = Mapping[str, Any]

_NAME, _INSTANCE = "app.kubernetes.io/name", "app.kubernetes.io/instance"
_SESSION = "vdi-session"
_OPERATOR = "vdi-operator"
# Compared otherwise than the objects of a session.
_POLICY, _ROLE = "NetworkPolicy", "Role"
# By which the manifests open the way to the relay, to every session.
_RELAY_POLICY = "allow-session-to-coturn"
# By which the entries of a list are told apart; a mount has a name too, that of its volume.
_KEYS = ("mountPath", "name")


@dataclass(frozen=True, slots=True)
class Comparison:
    """What was found.

    :param differences: one a line.
    :param declared: kind and field of each declared difference that there was.
    """

    differences: tuple[str, ...]
    declared: frozenset[tuple[str, str]]


def differences(validated: Sequence[Object], made: Sequence[Object]) -> tuple[str, ...]:
    """In what the operator's objects are not the validated ones, one difference a line; none: they are.

    :param validated: one session and the platform around it, as they were measured.
    :param made: what the operator makes of a session of the same user, without Secrets, and the Role of its chart.
    """
    return compare(validated, made).differences


def compare(validated: Sequence[Object], made: Sequence[Object]) -> Comparison:
    """The same with the declared differences that were met."""
    ours = {_key(one): one for one in made if one["kind"] not in (_POLICY, _ROLE)}
    our_pod = _pod(ours.values())
    instance = _labels(our_pod).get(_INSTANCE, "")
    theirs = {_key(one): one for one in validated if _of_session(one, instance)}
    their_pod = _pod(theirs.values())
    comparing = _Comparing(websocket=_mode(their_pod) == _mode(our_pod) == "websockets")
    if their_pod is None:
        comparing.lines.append("Pod: none was validated")
    for key in dict.fromkeys((*theirs, *ours)):
        comparing.whole(key, theirs.get(key), ours.get(key))
    their_roles, our_roles = _roles(validated), _roles(made)
    for key in dict.fromkeys((*their_roles, *our_roles)):
        comparing.whole(key, their_roles.get(key), our_roles.get(key))
    one = their_pod or our_pod
    if one is not None:
        theirs_open, ours_open = _edges(validated, their_pod or one), _edges(made, our_pod or one)
        comparing.policies(theirs_open, ours_open, _relay_edges(validated, their_pod or one))
    return Comparison(tuple(comparing.lines), frozenset(comparing.met))


class _Comparing:
    """Goes through two documents at the same time.

    :param websocket: both desktops speak WebSocket.
    """

    def __init__(self, *, websocket: bool) -> None:
        self.lines: list[str] = []
        self.met: set[tuple[str, str]] = set()
        self._websocket = websocket

    def whole(self, key: tuple[str, str], theirs: Object | None, ours: Object | None) -> None:
        """Two objects of one kind and name, or one where there is no other."""
        kind, name = key
        maker = _maker(kind)
        if ours is None:
            if not self._declared(kind, "", theirs, ABSENT, {}):
                self.lines.append(f"{kind}: {name} was validated, and {maker} makes none")
        elif theirs is None:
            if not self._declared(kind, "", ABSENT, ours, ours):
                self.lines.append(f"{kind}: {maker} makes {name}, and none was validated")
        else:
            self._walk(kind, "", _settled(theirs), _settled(ours), ours)

    def policies(self, theirs: frozenset[Edge], ours: frozenset[Edge], relay: frozenset[Edge]) -> None:
        """What the policies of both sides let through."""
        for edge in sorted(theirs ^ ours):
            was, now = ("open", ABSENT) if edge in theirs else (ABSENT, "open")
            if not self._declared(_POLICY, RELAY if edge in relay else str(edge), was, now, {}):
                was, is_now = ("open", "shut") if edge in theirs else ("shut", "open")
                self.lines.append(
                    f"{_POLICY}: {edge} is {was} in what was validated and {is_now} in what the operator makes"
                )

    def _walk(self, kind: str, path: str, theirs: Any, ours: Any, made: Object) -> None:
        if isinstance(theirs, Mapping) and isinstance(ours, Mapping):
            for key in dict.fromkeys((*theirs, *ours)):
                self._walk(kind, _step(path, key), theirs.get(key, ABSENT), ours.get(key, ABSENT), made)
        elif isinstance(theirs, list | tuple) and isinstance(ours, list | tuple):
            self._lists(kind, path, theirs, ours, made)
        # True is 1 to Python, and not to the API.
        elif type(theirs) is not type(ours) or theirs != ours:
            self._differ(kind, path, theirs, ours, made, repr(theirs), repr(ours))

    def _lists(self, kind: str, path: str, theirs: Sequence[Any], ours: Sequence[Any], made: Object) -> None:
        key = _keyed(theirs, ours)
        if key is None:
            for number in range(max(len(theirs), len(ours))):
                one, other = (side[number] if number < len(side) else ABSENT for side in (theirs, ours))
                self._walk(kind, f"{path}[{number}]", one, other, made)
            return
        first, second = ({one[key]: one for one in side} for side in (theirs, ours))
        for name in dict.fromkeys((*first, *second)):
            one, other = (_plain(side.get(name, ABSENT)) for side in (first, second))
            self._walk(kind, f"{path}[{name}]", one, other, made)
        before, after = [name for name in first if name in second], [name for name in second if name in first]
        if before != after:
            self._differ(kind, f"{path} (order)", theirs, ours, made, ", ".join(before), ", ".join(after))

    def _differ(self, kind: str, path: str, theirs: Any, ours: Any, made: Object, was: str, is_now: str) -> None:
        if not self._declared(kind, path, theirs, ours, made):
            self.lines.append(
                f"{kind}: {path} is {was} in what was validated and {is_now} in what {_maker(kind)} makes"
            )

    def _declared(self, kind: str, path: str, theirs: Any, ours: Any, made: Object) -> bool:
        for one in DECLARED:
            field = one.covers(path) if one.kind in (ANY_KIND, kind) else None
            if field is not None and (self._websocket or not one.websocket) and one.alike(theirs, ours, made):
                self.met.add((one.kind, field))
                return True
        return False


def _maker(kind: str) -> str:
    return "the operator's chart" if kind == _ROLE else "the operator"


def _key(one: Object) -> tuple[str, str]:
    return str(one["kind"]), str(one["metadata"]["name"])


def _labels(one: Object | None) -> Mapping[str, str]:
    return ((one or {}).get("metadata") or {}).get("labels") or {}


def _of_session(one: Object, instance: str) -> bool:
    """Whether it is a session's and not the platform's: it is labelled so, or named after it."""
    if one["kind"] in (_POLICY, _ROLE):
        return False
    named = bool(instance) and str(one["metadata"]["name"]).endswith(f"-{instance}")
    return named or _labels(one).get(_NAME) == _SESSION


def _roles(objects: Sequence[Object]) -> dict[tuple[str, str], Object]:
    """The operator's own; a platform has others."""
    return {_key(one): one for one in objects if _key(one) == (_ROLE, _OPERATOR)}


def _pod(objects: Iterable[Object]) -> Object | None:
    return next((one for one in objects if one["kind"] == "Pod"), None)


def _variables(pod: Object | None) -> dict[str, str]:
    """Those of its containers that have a value."""
    containers = ((pod or {}).get("spec") or {}).get("containers") or ()
    listed = [one for container in containers for one in container.get("env") or ()]
    return {str(one.get("name")): str(one["value"]) for one in listed if "value" in one}


def _mode(pod: Object | None) -> str:
    return _variables(pod).get("SELKIES_MODE", "")


def _edges(objects: Sequence[Object], pod: Object) -> frozenset[Edge]:
    policies = [one for one in objects if one["kind"] == _POLICY]
    return edges(policies, _labels(pod), str(pod["metadata"].get("namespace", "")))


def _relay_edges(validated: Sequence[Object], pod: Object) -> frozenset[Edge]:
    """The way to the relay: one address, and a port by both protocols. Whatever else its policy opens is none."""
    opened = _edges([one for one in validated if _key(one) == (_POLICY, _RELAY_POLICY)], pod)
    single = {edge for edge in opened if edge.way == "egress" and _is_address(edge.peer)}
    return frozenset(edge for edge in single if all(replace(edge, port=port) in single for port in _both(edge.port)))


def _both(port: str) -> tuple[str, str]:
    number = port.partition("/")[0]
    return f"{number}/TCP", f"{number}/UDP"


def _is_address(peer: str) -> bool:
    """Whether a peer is one address and nothing more."""
    block = {} if peer == ANYONE else json.loads(peer).get("ipBlock", {})
    try:
        return ipaddress.ip_network(block.get("cidr", "")).num_addresses == 1
    except ValueError:
        return False


def _settled(one: Object) -> Object:
    """With labels and annotations, be it none, so that each of them is a field of its own."""
    metadata = one["metadata"]
    return {**one, "metadata": {**metadata, **{name: metadata.get(name) or {} for name in ("labels", "annotations")}}}


def _step(path: str, key: object) -> str:
    text = str(key)
    if "." in text or "/" in text:
        return f"{path}[{text}]"
    return f"{path}.{text}" if path else text


def _keyed(theirs: Sequence[Any], ours: Sequence[Any]) -> str | None:
    """By which key the entries of both lists have names, each another one; None: by none."""
    for key in _KEYS:
        names = [[one.get(key) if isinstance(one, Mapping) else None for one in side] for side in (theirs, ours)]
        if all(isinstance(name, str) for side in names for name in side) and all(
            len(set(side)) == len(side) for side in names
        ):
            return key
    return None


def _plain(entry: Any) -> Any:
    """Of a variable with a value, the value."""
    if isinstance(entry, Mapping) and entry.keys() == {"name", "value"}:
        return entry["value"]
    return entry
