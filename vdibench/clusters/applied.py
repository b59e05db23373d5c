"""Where a cluster has something else than the manifests that it was furnished from.

Only what a manifest states counts, since the API server fills in the rest. A policy counts whole: one rule more opens
what the others close. :func:`differences` is pure, :func:`applied` asks the API server.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from vdibench.clusters.api import Api, Object
from vdibench.errors import AuthenticationError, TargetUnavailable

__all__ = ["applied", "differences"]

_ABSENT: Any = object()
# Of which nothing but this is filled in.
_WHOLE, _FILLED_IN = ("NetworkPolicy",), {"protocol": "TCP"}
# Without rules of its own for it, the API server derives this from the rules that there are.
_DERIVED = "policyTypes"
# One label more chooses fewer things.
_SELECTORS = frozenset({"labelSelector", "namespaceSelector", "nodeSelector", "podSelector", "selector"})
# Texts in which somebody may have put a password: that they differ is said, and not how.
_UNTOLD = frozenset({"args", "binaryData", "command", "data"})
# Who made an object and for what. Nothing is chosen by these, but endpoints by those of a Service.
_DESCRIPTIVE, _CHOSEN_BY_LABELS = ("app.kubernetes.io/", "helm.sh/"), ("Service",)
_ORDERED = "initContainers"
_QUANTITIES, _QUANTITY = frozenset({"limits", "requests"}), "sizeLimit"
_AMOUNT = re.compile(r"(\d+(?:\.\d+)?)([A-Za-z]*)")
_UNITS = {
    "m": Decimal("0.001"),
    "": Decimal(1),
    **{unit: Decimal(1000**power) for power, unit in enumerate(("k", "M", "G", "T"), 1)},
    **{unit: Decimal(1024**power) for power, unit in enumerate(("Ki", "Mi", "Gi", "Ti"), 1)},
}
_PLAIN_KEY = re.compile(r"[A-Za-z0-9_-]+")
_SHOWN, _BEFORE = 100, 20
_Place = tuple[str, ...]


def applied(api: Api, objects: Iterable[Object]) -> tuple[str, ...]:
    """Where the cluster differs from these objects, one difference a line; nothing where it has them all."""
    resources = _Resources(api)
    lines: list[str] = []
    for one in objects:
        name = _name(one)
        try:
            path = resources.path(one)
            live = api.get(path) if path else None
        except AuthenticationError:
            lines.append(f"{name} may not be read by this user")
        except TargetUnavailable as error:
            lines.append(f"{name} cannot be read: {error.cause}")
        else:
            if not path:
                lines.append(f"{name} is of a kind that the cluster does not know, {one['apiVersion']}")
            elif live is None:
                lines.append(f"{name} is not there")
            else:
                lines += [f"{name}: {line}" for line in differences(one, live)]
    return tuple(lines)


def differences(stated: Object, live: Object) -> tuple[str, ...]:
    """Which fields that a manifest states an object on the cluster has otherwise. Pure."""
    found: list[str] = []
    whole = stated["kind"] in _WHOLE
    for key, value in stated.items():
        if key == "metadata":
            found += _of_metadata(stated["kind"], value, live.get(key, {}))
        elif key not in ("apiVersion", "kind", "status"):
            found += _of_values(value, live.get(key, _ABSENT), (key,), whole=whole)
    return tuple(found)


class _Resources:
    """Where the API keeps objects of a kind, as it says itself; asked once for each group and version."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._known: dict[str, dict[str, tuple[str, bool]]] = {}

    def path(self, one: Object) -> str:
        """Of an object; empty where its kind is not known."""
        version, metadata = one["apiVersion"], one["metadata"]
        root = f"/apis/{version}" if "/" in version else f"/api/{version}"
        if version not in self._known:
            entries = (self._api.get(root) or {}).get("resources") or ()
            # Those with a slash are parts of others, such as their status.
            named = [entry for entry in entries if "/" not in entry["name"]]
            self._known[version] = {entry["kind"]: (entry["name"], entry["namespaced"]) for entry in named}
        if one["kind"] not in self._known[version]:
            return ""
        plural, namespaced = self._known[version][one["kind"]]
        place = f"/namespaces/{metadata.get('namespace', 'default')}" if namespaced else ""
        return f"{root}{place}/{plural}/{metadata['name']}"


def _name(one: Object) -> str:
    metadata = one["metadata"]
    space = f"{metadata['namespace']}/" if "namespace" in metadata else ""
    return f"{one['kind']} {space}{metadata['name']}"


def _of_metadata(kind: str, stated: Object, live: Object) -> Iterator[str]:
    for part in ("labels", "annotations"):
        has = live.get(part) or {}
        for key, value in (stated.get(part) or {}).items():
            if kind in _CHOSEN_BY_LABELS or not key.startswith(_DESCRIPTIVE):
                yield from _of_values(value, has.get(key, _ABSENT), ("metadata", part, key), whole=False)


def _of_values(stated: Any, live: Any, place: _Place, *, whole: bool) -> Iterator[str]:
    if place[-1] in _SELECTORS:
        if stated != live:
            yield _line(stated, live, place)
    elif isinstance(stated, Mapping) and isinstance(live, Mapping):
        yield from _of_maps(stated, live, place, whole=whole)
    elif isinstance(stated, list) and isinstance(live, list):
        yield from _of_lists(stated, live, place, whole=whole)
    elif not _alike(stated, live, place):
        yield _line(stated, live, place)


def _of_maps(stated: Mapping[str, Any], live: Mapping[str, Any], place: _Place, *, whole: bool) -> Iterator[str]:
    if live and not stated:
        yield _line(stated, live, place)
        return
    for key, value in stated.items():
        yield from _of_values(value, live.get(key, _ABSENT), (*place, key), whole=whole)
    for key in live if whole else ():
        if key not in stated and key != _DERIVED and _FILLED_IN.get(key) != live[key]:
            yield f"{_where((*place, key))} is {_cut(_text(live[key]), 0)}, the manifest does not say it"


def _of_lists(stated: list[Any], live: list[Any], place: _Place, *, whole: bool) -> Iterator[str]:
    wanted, found = _by_name(stated), _by_name(live)
    if wanted is not None and found is not None and place[-1] != _ORDERED:
        for name, item in wanted.items():
            yield from _of_values(item, found.get(name, _ABSENT), (*place, f"[{name}]"), whole=whole)
        for name in found:
            if name not in wanted:
                yield f"{_where((*place, f'[{name}]'))} is there, the manifest does not have it"
    elif len(stated) != len(live):
        yield _line(stated, live, place)
    else:
        for index, (item, other) in enumerate(zip(stated, live, strict=True)):
            yield from _of_values(item, other, (*place, f"[{index}]"), whole=whole)


def _by_name(items: Sequence[Any]) -> dict[str, Any] | None:
    """A list of things that have names, by these; None where they have none."""
    named = {item["name"]: item for item in items if isinstance(item, Mapping) and isinstance(item.get("name"), str)}
    return named if len(named) == len(items) else None


def _alike(stated: Any, live: Any, place: _Place) -> bool:
    if stated is None:
        return True
    if live is _ABSENT:
        # The API server leaves these out of what it says.
        return stated in ("", [])
    if isinstance(stated, bool) or isinstance(live, bool):
        return stated is live
    if stated == live:
        return True
    is_quantity = place[-1] == _QUANTITY or (len(place) > 1 and place[-2] in _QUANTITIES)
    amount = _amount(stated)
    return is_quantity and amount is not None and amount == _amount(live)


def _amount(value: Any) -> Decimal | None:
    found = _AMOUNT.fullmatch(str(value))
    if found is None or found[2] not in _UNITS:
        return None
    return Decimal(found[1]) * _UNITS[found[2]]


def _line(stated: Any, live: Any, place: _Place) -> str:
    if live is not _ABSENT and not _UNTOLD.isdisjoint(place):
        return f"{_where(place)} is not what the manifest says"
    wanted, found = _text(stated), _text(live)
    start = 0
    if max(len(wanted), len(found)) > _SHOWN:
        start = max(0, _shared(wanted, found) - _BEFORE)
    return f"{_where(place)} is {_cut(found, start)}, the manifest says {_cut(wanted, start)}"


def _shared(one: str, other: str) -> int:
    """How many characters both begin with."""
    shorter = min(len(one), len(other))
    return next((at for at in range(shorter) if one[at] != other[at]), shorter)


def _text(value: Any) -> str:
    return "absent" if value is _ABSENT else json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)


def _cut(text: str, start: int) -> str:
    end = start + _SHOWN
    return f"{'…' if start else ''}{text[start:end]}{'…' if end < len(text) else ''}"


def _where(place: _Place) -> str:
    text = place[0]
    for key in place[1:]:
        if key.startswith("["):
            text += key
        else:
            text += f".{key}" if _PLAIN_KEY.fullmatch(key) else f'["{key}"]'
    return text
