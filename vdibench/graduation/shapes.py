"""What a JSON document must look like, said as a value of the same form. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

__all__ = ["mismatch"]


def mismatch(value: object, shape: Any, path: str = "it") -> str | None:
    """The first place where ``value`` is not as ``shape`` says; None where it fits.

    A mapping names the keys that must be there and leaves more of them alone; a list has one element, the shape of
    each; a tuple are alternatives; a pattern and a set are of texts; a type is itself, and a bool is no number.
    """
    if isinstance(shape, Mapping):
        return _mapping(value, shape, path)
    if isinstance(shape, list):
        if not isinstance(value, list):
            return f"{path} is no list"
        found = (mismatch(item, shape[0], f"{path}[{index}]") for index, item in enumerate(value))
        return next((one for one in found if one), None)
    return None if _fits(value, shape) else f"{path} is {_short(value)}"


def _mapping(value: object, shape: Mapping[str, Any], path: str) -> str | None:
    if not isinstance(value, Mapping):
        return f"{path} is no object"
    for key, inner in shape.items():
        where = f"{path}.{key}" if path != "it" else key
        if key not in value:
            return f"{where} is missing"
        if found := mismatch(value[key], inner, where):
            return found
    return None


def _fits(value: object, shape: Any) -> bool:
    if isinstance(shape, tuple):
        return any(_fits(value, one) for one in shape)
    if isinstance(shape, re.Pattern):
        return isinstance(value, str) and shape.fullmatch(value) is not None
    if isinstance(shape, frozenset):
        return isinstance(value, str) and value in shape
    if shape is None:
        return value is None
    return isinstance(value, shape) and (shape is bool or not isinstance(value, bool))


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
