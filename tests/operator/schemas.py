"""A definition's schema as tests use it: walked, filled in as an API server fills in, and made strict."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

from vdi_operator.api.schema import definitions

OPERATOR = Path(__file__).resolve().parents[2] / "operator"
DEFINITIONS = {one["spec"]["names"]["kind"]: one for one in definitions()}


def example(name: str) -> dict[str, Any]:
    """A document of the examples."""
    return dict(yaml.safe_load((OPERATOR / "examples" / f"{name}.yaml").read_text()))


def schema(kind: str) -> dict[str, Any]:
    """The schema of its one version."""
    (version,) = DEFINITIONS[kind]["spec"]["versions"]
    return dict(version["schema"]["openAPIV3Schema"])


def walk(node: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema inside a schema, with its path."""
    yield path, node
    for name, child in node.get("properties", {}).items():
        yield from walk(child, f"{path}.{name}")
    for word in ("items", "additionalProperties"):
        if word in node:
            yield from walk(node[word], f"{path}[]")


def strict(node: dict[str, Any]) -> dict[str, Any]:
    """Fields that there are not are errors, as `kubectl` asks for; an API server by itself drops them."""
    made = deepcopy(node)
    made["properties"] |= {"apiVersion": {}, "kind": {}, "metadata": {}}
    for _, inner in list(walk(made)):
        if "properties" in inner:
            inner["additionalProperties"] = False
    return made


def filled(node: dict[str, Any], value: Any) -> Any:
    """The value with its defaults, by the API server's rule: a field that is absent, then what is in it."""
    if not isinstance(value, dict):
        return value
    made = dict(value)
    for name, child in node.get("properties", {}).items():
        if name not in made and "default" in child:
            made[name] = deepcopy(child["default"])
        if name in made:
            made[name] = filled(child, made[name])
    return made
