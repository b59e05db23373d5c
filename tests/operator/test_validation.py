"""What the operator finds of a document without an API server is what a schema's own program finds."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import jsonschema
import pytest

from vdi_operator.api.validation import faults

from .schemas import example, schema, strict

EXAMPLES = {"VDITemplate": "template", "VDISession": "session"}
# Path below the spec, a value that the schema does not allow there, and what is said.
BAD: list[tuple[str, tuple[str, ...], Any, str]] = [
    ("VDITemplate", ("image",), "", "spec.image has 0 characters, 1 is the least"),
    ("VDITemplate", ("image",), "a b", "spec.image is 'a b', it must match"),
    ("VDITemplate", ("image",), "a\n", "spec.image is 'a\\n', it must match"),
    ("VDITemplate", ("image",), "x" * 513, "spec.image has 513 characters, 512 is the most"),
    ("VDITemplate", ("image",), 7, "spec.image is 7, it must be text"),
    ("VDITemplate", ("hardwareEncoding",), "yes", "spec.hardwareEncoding is 'yes', it must be true or false"),
    ("VDITemplate", ("display",), [], "spec.display is [], it must be an object"),
    ("VDITemplate", ("display", "width"), True, "spec.display.width is True, it must be a whole number"),
    ("VDITemplate", ("display", "width"), 159, "spec.display.width is 159, 160 is the least"),
    ("VDITemplate", ("display", "depth"), 24, "spec.display.depth is unknown, known are width, height"),
    ("VDITemplate", ("gpu",), {"nodeSelector": {"a": 1}}, "spec.gpu.nodeSelector.a is 1, it must be text"),
    (
        "VDITemplate",
        ("gpu",),
        {"nodeSelector": {f"a{number}": "b" for number in range(9)}},
        "spec.gpu.nodeSelector has 9 fields, 8 is the most",
    ),
    ("VDITemplate", ("resources", "requests", "cpu"), 2, "spec.resources.requests.cpu is 2, it must be text"),
    ("VDITemplate", ("egress",), "all", "spec.egress is 'all', known are none, internet"),
    ("VDISession", ("user",), "alice ", "spec.user is 'alice ', it must match"),
    ("VDISession", ("templateRef",), {}, "spec.templateRef.name is missing"),
    ("VDISession", ("pod",), {}, "spec.pod is unknown, known are user"),
]


def changed(kind: str, path: tuple[str, ...], value: Any) -> dict[str, Any]:
    """An example with one field changed."""
    made = deepcopy(example(EXAMPLES[kind]))
    place = made["spec"]
    for step in path[:-1]:
        place = place.setdefault(step, {})
    place[path[-1]] = value
    return made


def refused(kind: str, document: dict[str, Any]) -> bool:
    return any(jsonschema.Draft202012Validator(strict(schema(kind))).iter_errors(document))


@pytest.mark.parametrize("kind", sorted(EXAMPLES))
def test_an_example_has_none(kind: str) -> None:
    assert faults(kind, example(EXAMPLES[kind])) == ()
    assert not refused(kind, example(EXAMPLES[kind]))


@pytest.mark.parametrize(("kind", "path", "value", "said"), BAD)
def test_a_fault_is_told_with_its_field(kind: str, path: tuple[str, ...], value: Any, said: str) -> None:
    document = changed(kind, path, value)
    (found,) = faults(kind, document)
    assert found.startswith(said)
    # Python's "$" is not the API server's.
    assert refused(kind, document) or value == "a\n"


def test_all_are_told_at_once() -> None:
    document = changed("VDITemplate", ("egress",), "all") | {"specs": {}}
    document["spec"]["display"] = {"width": 1, "height": 1}
    found = faults("VDITemplate", document)
    assert [line.partition(" ")[0] for line in found] == [
        "specs",
        "spec.display.width",
        "spec.display.height",
        "spec.egress",
    ]


@pytest.mark.parametrize("kind", sorted(EXAMPLES))
def test_null_counts_as_absent(kind: str) -> None:
    document = example(EXAMPLES[kind])
    for name in schema(kind)["properties"]["spec"]["properties"]:
        found = faults(kind, document | {"spec": document["spec"] | {name: None}})
        assert found in ((), (f"spec.{name} is missing",))


@pytest.mark.parametrize("kind", sorted(EXAMPLES))
def test_without_a_spec_what_is_required_is_missing(kind: str) -> None:
    assert all(line.endswith("is missing") for line in faults(kind, {"metadata": {"name": "a"}}))
    assert faults(kind, {"metadata": {"name": "a"}})
