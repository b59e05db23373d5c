"""Durations as Kubernetes writes them (``1h30m``, ``90s``). Pure."""

from __future__ import annotations

import re

__all__ = ["seconds"]

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")


def seconds(text: str) -> float:
    """Seconds of a duration of one or more parts, largest unit first or not.

    :raises ValueError: it is none, or has no unit.
    """
    if not re.fullmatch(f"(?:{_PART.pattern})+", text):
        raise ValueError(f"{text!r} is no duration: write it as 8h, 90m or 45s")
    return sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))
