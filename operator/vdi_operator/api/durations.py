"""Durations as Kubernetes writes them (``1h30m``, ``90s``). Pure."""

from __future__ import annotations

import re

__all__ = ["LONGEST", "PATTERN", "seconds"]

# Of the schema too. Digits are spelled out: Python's \d is any script's.
PATTERN = r"^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$"
# 30 days.
LONGEST = "720h"

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)")


def seconds(text: str) -> float:
    """Seconds of a duration of one or more parts, largest unit first or not.

    :raises ValueError: it is none, has no unit, is nothing or is longer than :data:`LONGEST`.
    """
    if not re.fullmatch(PATTERN, text):
        raise ValueError(f"{text!r} is no duration: write it as 8h, 90m or 45s")
    total = _sum(text)
    if not 0 < total <= _sum(LONGEST):
        raise ValueError(f"{text!r} must be longer than nothing and at most 30 days ({LONGEST})")
    return total


def _sum(text: str) -> float:
    return sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))
