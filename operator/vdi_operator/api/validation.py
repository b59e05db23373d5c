"""What of a document its schema does not allow, field by field, without an API server. Pure.

Enough for the words of :mod:`vdi_operator.api.shapes`. An API server drops unknown fields in silence, unless kubectl
asks it not to; here they are faults. Rules in CEL, which hold between fields, are the API server's alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from vdi_operator.api.objects import Object
from vdi_operator.api.schema import definitions

__all__ = ["faults"]

# What every object has beside the fields of its schema.
_EVERY = ("apiVersion", "kind", "metadata")
_WORDS = {"object": "an object", "string": "text", "boolean": "true or false", "integer": "a whole number"}
_TYPES: Mapping[str, Any] = {"object": Mapping, "string": str, "boolean": bool, "integer": int}


def faults(kind: str, document: Mapping[str, Any]) -> tuple[str, ...]:
    """One line for each field of its spec that the schema of that kind does not allow; none: it may be applied."""
    (schema,) = (
        one["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        for one in definitions()
        if one["spec"]["names"]["kind"] == kind
    )
    known = (*_EVERY, *schema["properties"])
    found = [_unknown(str(name), known) for name in document if name not in known]
    spec = document.get("spec")
    return (*found, *_faults(schema["properties"]["spec"], {} if spec is None else spec, "spec"))


def _faults(schema: Object, value: Any, path: str) -> Iterator[str]:
    kind = schema["type"]
    # Python counts with truths.
    if not isinstance(value, _TYPES[kind]) or (kind == "integer" and isinstance(value, bool)):
        yield f"{path} is {value!r}, it must be {_WORDS[kind]}"
    elif kind == "object":
        yield from _fields(schema, value, path)
    elif value not in schema.get("enum", (value,)):
        yield f"{path} is {value!r}, known are {', '.join(schema['enum'])}"
    elif kind == "string":
        yield from _text(schema, value, path)
    elif kind == "integer":
        yield from _between(schema, "minimum", "maximum", value, f"{path} is {value}")


def _fields(schema: Object, value: Mapping[str, Any], path: str) -> Iterator[str]:
    known, others = schema.get("properties", {}), schema.get("additionalProperties")
    yield from (f"{path}.{name} is missing" for name in schema.get("required", ()) if value.get(name) is None)
    yield from _between(schema, "minProperties", "maxProperties", len(value), f"{path} has {len(value)} fields")
    for name, inner in value.items():
        rule = known.get(name, others)
        if rule is None:
            yield _unknown(f"{path}.{name}", known)
        elif inner is not None:  # null counts as absent
            yield from _faults(rule, inner, f"{path}.{name}")


def _text(schema: Object, value: str, path: str) -> Iterator[str]:
    length = tuple(_between(schema, "minLength", "maxLength", len(value), f"{path} has {len(value)} characters"))
    yield from length
    # To the API server "$" is the very end; Python's is also in front of a last line break.
    if not length and "pattern" in schema and not re.search(re.sub(r"\$$", r"\\Z", schema["pattern"]), value):
        yield f"{path} is {value!r}, it must match {schema['pattern']}"


def _between(schema: Object, least: str, most: str, value: int, said: str) -> Iterator[str]:
    if value < schema.get(least, value):
        yield f"{said}, {schema[least]} is the least"
    if value > schema.get(most, value):
        yield f"{said}, {schema[most]} is the most"


def _unknown(path: str, known: Iterable[str]) -> str:
    return f"{path} is unknown, known are {', '.join(known)}"
