"""Whether an object on a cluster is as somebody wants it: what was added by others is no difference. Pure."""

from __future__ import annotations

from typing import Any

__all__ = ["differences"]


def differences(actual: Any, wanted: Any, path: str = "") -> list[str]:
    """Where something that is wanted is not there, or, of lists, something besides it. Pure."""
    if isinstance(wanted, dict):
        known = actual if isinstance(actual, dict) else {}
        return [
            found
            for key, value in wanted.items()
            if path or key not in ("apiVersion", "kind")  # items of a list come without
            for found in differences(known.get(key), value, f"{path}.{key}")
        ]
    if isinstance(wanted, list):
        items = actual if isinstance(actual, list) else []
        if path.endswith(".tolerations"):  # an admission plug-in adds two to every pod
            items = items[: len(wanted)]
        if len(items) != len(wanted):
            return [f"{path} has {len(items)} entries, {len(wanted)} are wanted"]
        return [
            found
            for number, (one, other) in enumerate(zip(items, wanted, strict=True))
            for found in differences(one, other, f"{path}[{number}]")
        ]
    return [] if actual == wanted else [f"{path} is {actual!r}, wanted is {wanted!r}"]
