"""How a user writes a link's figures: ``50ms``, ``1%``, ``20Mbit``. Pure; base units out."""

from __future__ import annotations

import math
import re

from vdibench.errors import ParameterError

__all__ = ["bits_per_second", "count", "flag", "ratio", "seconds"]

_SECONDS = {"us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0}
_BITS = {"bit": 1.0, "kbit": 1e3, "mbit": 1e6, "gbit": 1e9}
_FLAGS = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}


def _read(key: str, text: str, units: dict[str, float], example: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+)\s*([^\d\s.]*)", text.strip())
    factor = units.get(match[2].lower().removesuffix("/s") if match else "")
    if match is None or factor is None:
        raise ParameterError(f"{key}={text} cannot be read", f"give a number and its unit, as in {key}={example}")
    value = float(match[1]) * factor
    if not math.isfinite(value):
        raise ParameterError(f"{key}={text} is no finite figure", f"give one such as {key}={example}")
    return value


def seconds(key: str, text: str) -> float:
    """``50ms``, ``0.5s``, ``200us``; a bare number has no unit and is refused, but 0."""
    return 0.0 if text.strip() == "0" else _read(key, text, _SECONDS, "50ms")


def ratio(key: str, text: str) -> float:
    """``1%`` or ``0.01``."""
    return _read(key, text, {"%": 0.01, "": 1.0}, "1%")


def bits_per_second(key: str, text: str) -> float | None:
    """``20Mbit``; None for ``unlimited``."""
    return None if text.strip().lower() == "unlimited" else _read(key, text, _BITS, "20Mbit")


def count(key: str, text: str) -> float:
    """``3`` or ``2.5``."""
    return _read(key, text, {"": 1.0}, "3")


def flag(key: str, text: str) -> bool:
    """``yes`` or ``no``."""
    value = _FLAGS.get(text.strip().lower())
    if value is None:
        raise ParameterError(f"{key}={text} cannot be read", f"give {key}=yes or {key}=no")
    return value
