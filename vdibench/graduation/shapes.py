"""What evidence must look like, said as a value of the same form, and whether a document does. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from vdibench.graduation.findings import REQUIRED
from vdibench.records import Outcome

__all__ = ["PREDICATE_SHAPE", "SUBJECTS_SHAPE", "mismatch"]

# Digits are spelled out: Python's \d is any script's.
_DIGEST = re.compile("[0-9a-f]{64}")
_IMAGE_DIGEST = re.compile("(sha256:[0-9a-f]{64})?")
_INSTANT = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")
_OUTCOME = frozenset(str(outcome) for outcome in Outcome)

SUBJECTS_SHAPE = [{"name": str, "digest": {"sha256": _DIGEST}}]
PREDICATE_SHAPE = {
    "run": {
        "name": str,
        "started": _INSTANT,
        "ended": _INSTANT,
        "vdibench": str,
        "gitCommit": str,
        "sealSha256": _DIGEST,
    },
    "verdict": _OUTCOME,
    "suites": [{"name": str, "outcome": _OUTCOME, "reasons": [str], "waived": bool}],
    "objectives": [
        {
            "suite": str,
            "metric": str,
            "expect": str,
            "observed": (int, float, None),
            "samples": int,
            "unit": str,
            "outcome": _OUTCOME,
        }
    ],
    "capacity": {
        "sessionsPerGPU": (int, None),
        "upper": (int, None),
        "per": frozenset({"gpu", "host", ""}),
        "rule": str,
    },
    "hardware": {"class": str, "lab": bool, "cpu": str, "gpus": [{"product": str, "driver": str, "count": int}]},
    "cluster": {"kubernetes": str, "nodes": [{"kubelet": str, "kernel": str, "runtime": str, "driver": str}]},
    "images": [{"name": str, "digest": _IMAGE_DIGEST}],
    "manifests": {
        "overlay": str,
        "platform": str,
        "sha256": {"session": _DIGEST, "platform": _DIGEST, "parts": _DIGEST},
    },
    "waivers": [{"what": frozenset(str(one) for one in REQUIRED), "reason": str}],
    "expires": {"ageSeconds": (int, float), "at": _INSTANT},
}


def mismatch(value: object, shape: Any, path: str = "") -> str | None:
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
        return f"{path or 'it'} is no object"
    for key, inner in shape.items():
        where = f"{path}.{key}" if path else key
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
