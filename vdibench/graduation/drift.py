"""What differs between two documents, or two sets of Kubernetes objects, named by object and field. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

__all__ = ["differing_fields", "drift", "object_name", "objects_digest"]

_ABSENT = object()
_LONGEST = 80


def object_name(one: Mapping[str, Any]) -> str:
    """Kind, namespace and name, as ``Deployment coturn/coturn``."""
    metadata = one.get("metadata")
    metadata = metadata if isinstance(metadata, Mapping) else {}
    namespace = metadata.get("namespace")
    name = str(metadata.get("name", ""))
    return f"{one.get('kind', '')} {f'{namespace}/' if namespace else ''}{name}"


def objects_digest(objects: Iterable[Mapping[str, Any]]) -> str:
    """SHA-256 of a set of objects, in whatever order they come and however their YAML is laid out."""
    # A YAML date is no type of JSON: it counts as the text that it is.
    texts = sorted(json.dumps(one, sort_keys=True, separators=(",", ":"), default=str) for one in objects)
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()


def drift(then: Iterable[Mapping[str, Any]], now: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """One line for each object that is new or gone, and for each field that has another value."""
    before, after = _by_name(then), _by_name(now)
    lines = [f"{name} is gone" for name in sorted(before.keys() - after.keys())]
    lines += [f"{name} is new" for name in sorted(after.keys() - before.keys())]
    for name in sorted(before.keys() & after.keys()):
        lines += [f"{name}: {line}" for line in differing_fields(before[name], after[name])]
    return tuple(lines)


def differing_fields(then: object, now: object) -> tuple[str, ...]:
    """``spec.replicas is 2 and was 1``, one line a field, in the order of their paths."""
    return tuple(
        f"{path or 'it'} is {_text(new)} and was {_text(old)}" for path, old, new in _fields(then, now, "")
    )


def _by_name(objects: Iterable[Mapping[str, Any]]) -> dict[str, object]:
    """Objects by name; of two with the same name, both, so that neither hides the other."""
    named: dict[str, list[object]] = {}
    for one in objects:
        named.setdefault(object_name(one), []).append(one)
    return {name: ones[0] if len(ones) == 1 else ones for name, ones in named.items()}


def _fields(then: Any, now: Any, path: str) -> Iterator[tuple[str, object, object]]:
    if isinstance(then, Mapping) and isinstance(now, Mapping):
        for key in sorted({*then, *now}, key=str):
            where = f"{path}.{key}" if path else str(key)
            yield from _fields(then.get(key, _ABSENT), now.get(key, _ABSENT), where)
    elif _is_list(then) and _is_list(now):
        for index in range(max(len(then), len(now))):
            old = then[index] if index < len(then) else _ABSENT
            new = now[index] if index < len(now) else _ABSENT
            yield from _fields(old, new, f"{path}[{_label(old, new, index)}]")
    elif type(then) is not type(now) or then != now:
        yield path, then, now


def _is_list(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _label(old: object, new: object, index: int) -> str:
    """The item's name where both have the same one, such as a container's; else its place."""
    names = {one["name"] for one in (old, new) if isinstance(one, Mapping) and isinstance(one.get("name"), str)}
    return names.pop() if len(names) == 1 else str(index)


def _text(value: object) -> str:
    if value is _ABSENT:
        return "absent"
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
