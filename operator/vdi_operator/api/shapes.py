"""Pieces of a structural schema and of a CustomResourceDefinition, as documents. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from vdi_operator.api import durations
from vdi_operator.api.objects import GROUP, VERSION, Object

__all__ = [
    "checked",
    "column",
    "definition",
    "duration",
    "flag",
    "integer",
    "moment",
    "number",
    "one_of",
    "record",
    "rule",
    "text",
    "whole",
]


def definition(
    kind: str,
    short: str,
    schema: Object,
    *,
    rules: Iterable[Object],
    columns: list[Object],
    status: bool = False,
) -> Object:
    """A CustomResourceDefinition of one version.

    :param short: short name.
    :param rules: on the whole object: of its metadata they see the name.
    :param status: whether the status is written apart from the rest.
    """
    plural = f"{kind.lower()}s"
    version: Object = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": checked(schema, *rules)},
        "additionalPrinterColumns": columns,
    }
    if status:
        version["subresources"] = {"status": {}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": kind,
                "listKind": f"{kind}List",
                "plural": plural,
                "singular": kind.lower(),
                "shortNames": [short],
                "categories": ["vdi"],
            },
            "versions": [version],
        },
    }


def column(name: str, path: str, kind: str = "string", *, wide: bool = False) -> Object:
    """A column of `kubectl get`.

    :param wide: only with `-o wide`.
    """
    return {"name": name, "type": kind, "jsonPath": path, "priority": int(wide)}


def rule(expression: str, message: str) -> Object:
    """A rule in CEL, and what is said where it does not hold."""
    return {"rule": expression, "message": message}


def checked(schema: Object, *rules: Object) -> Object:
    """A schema with rules."""
    return {**schema, "x-kubernetes-validations": list(rules)}


def record(description: str, properties: Mapping[str, Object], required: Iterable[str] = (), **more: Any) -> Object:
    """An object of fields."""
    made: Object = {"type": "object", "description": description}
    if properties:
        made["properties"] = dict(properties)
    if required:
        made["required"] = list(required)
    return made | more


def text(description: str, longest: int, pattern: str = "", default: str | None = None, **more: Any) -> Object:
    """Text of at most so many characters."""
    made: Object = {"type": "string", "description": description, "maxLength": longest}
    if pattern:
        made["pattern"] = pattern
    if default is not None:
        made["default"] = default
    return made | more


def one_of(description: str, choices: Iterable[str], default: str | None = None) -> Object:
    """One of a closed list."""
    # As plain text: YAML knows nothing of enumerations.
    made: Object = {"type": "string", "description": description, "enum": [str(choice) for choice in choices]}
    return made if default is None else made | {"default": str(default)}


def duration(description: str, default: str | None = None) -> Object:
    """A duration as :mod:`vdi_operator.api.durations` reads it."""
    return checked(
        text(description, 24, durations.PATTERN, default, minLength=2),
        rule(
            f"duration(self) > duration('0s') && duration(self) <= duration('{durations.LONGEST}')",
            f"must be longer than nothing and at most 30 days ({durations.LONGEST})",
        ),
    )


def moment(description: str) -> Object:
    """A time stamp, RFC 3339 with or without fractions of a second."""
    return text(description, 40, format="date-time")


def flag(description: str, default: bool | None = None) -> Object:
    """True or false."""
    made: Object = {"type": "boolean", "description": description}
    return made if default is None else made | {"default": default}


def whole(description: str, least: int, most: int, default: int | None = None) -> Object:
    """A whole number of a spec."""
    made = integer(description) | {"minimum": least, "maximum": most}
    return made if default is None else made | {"default": default}


def integer(description: str) -> Object:
    """A whole number of a status."""
    return {"type": "integer", "format": "int64", "description": description}


def number(description: str) -> Object:
    """A number of a status."""
    return {"type": "number", "description": description}
