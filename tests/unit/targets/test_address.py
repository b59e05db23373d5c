"""The text that names a target."""

from __future__ import annotations

import pytest

from vdibench.errors import ParameterError, UsageError
from vdibench.suites.stream_validation import Parameters
from vdibench.targets import FORMS, TargetAddress, parse_target


@pytest.mark.parametrize(
    ("text", "address", "on_cluster"),
    [
        ("lab", TargetAddress("lab"), False),
        ("lab:mine", TargetAddress("lab", "mine"), False),
        ("url:https://desktop.example.com/", TargetAddress("url", "https://desktop.example.com"), False),
        ("manifests", TargetAddress("manifests"), True),
        ("manifests:mine", TargetAddress("manifests", "mine"), True),
        ("operator", TargetAddress("operator"), True),
        ("operator:mine", TargetAddress("operator", "mine"), True),
        ("replay:trace", TargetAddress("replay", "trace"), False),
    ],
)
def test_every_form(text: str, address: TargetAddress, on_cluster: bool) -> None:
    assert parse_target(text) == address
    assert address.on_cluster is on_cluster
    assert address.kind in FORMS


@pytest.mark.parametrize("text", ["", "lab:", "operator:", "manifests:", "pods", "https://desktop.example.com"])
def test_what_is_none(text: str) -> None:
    with pytest.raises(UsageError):
        parse_target(text)


@pytest.mark.parametrize("target", ["manifests", "operator"])
def test_a_context_is_for_a_cluster_of_yours(target: str) -> None:
    assert Parameters(target=target, context="prod", template="cad").wanted().template == "cad"
    for elsewhere in (f"{target}:mine", "lab"):
        with pytest.raises(ParameterError, match="is on no cluster of yours"):
            Parameters(target=elsewhere, context="prod")
