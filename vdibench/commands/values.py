"""Values as people type them. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from vdibench.errors import ParameterError

__all__ = ["duration_seconds", "parameter_file", "parameter_values"]

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def parameter_values(pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """``-p NAME VALUE`` pairs; values are read as YAML, as papermill does (``true``, ``3``, ``text``)."""
    try:
        return {name: yaml.safe_load(value) for name, value in pairs}
    except yaml.YAMLError as error:
        raise ParameterError(f"a parameter's value cannot be read: {error}", "put it in quotes") from error


def parameter_file(path: Path) -> dict[str, Any]:
    """Names and values from a YAML file.

    :raises ParameterError: it cannot be read, or holds something else than names and values.
    """
    try:
        document = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise ParameterError(f"cannot read parameters from {path}: {error}", "give a YAML file") from error
    if not isinstance(document, dict) or not all(isinstance(name, str) for name in document):
        raise ParameterError(f"{path} holds no parameters", "write one 'name: value' a line")
    return document


def duration_seconds(text: str) -> float:
    """``90``, ``90s``, ``15m``, ``2h`` or ``7d`` in seconds.

    :raises ParameterError: something else, or not above zero.
    """
    number, unit = (text[:-1], text[-1]) if text[-1:] in _UNITS else (text, "s")
    try:
        seconds = float(number) * _UNITS[unit]
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise ParameterError(f"{text!r} is no duration", "write seconds, or 15m, 2h, 7d")
    return seconds
