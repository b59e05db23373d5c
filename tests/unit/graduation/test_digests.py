"""Digests say the same of the same thing, however it is laid out."""

from __future__ import annotations

import datetime
import hashlib
from typing import Any

import pytest

from vdi_operator.api.evidence import digest
from vdibench.graduation.digests import OPERATIONAL, chart_digests, objects_digest, spec_digest

ONE: dict[str, Any] = {"kind": "StorageClass", "metadata": {"name": "homes", "labels": {"a": "1", "b": "2"}}}
TWO: dict[str, Any] = {"kind": "Namespace", "metadata": {"name": "vdi-sessions"}}


def test_the_order_of_objects_and_of_their_keys_says_nothing() -> None:
    turned = {"metadata": {"labels": {"b": "2", "a": "1"}, "name": "homes"}, "kind": "StorageClass"}
    assert objects_digest([ONE, TWO]) == objects_digest([TWO, turned])


@pytest.mark.parametrize(
    "others", [[], [ONE], [ONE, TWO, TWO], [ONE, {**TWO, "kind": "Pod"}], [ONE, {**TWO, "x": None}]]
)
def test_other_objects_have_another_digest(others: list[dict[str, Any]]) -> None:
    assert objects_digest([ONE, TWO]) != objects_digest(others)


def test_a_date_of_yaml_is_the_text_that_it_becomes_in_json() -> None:
    assert objects_digest([{"day": datetime.date(2026, 11, 29)}]) == objects_digest([{"day": "2026-11-29"}])


def test_a_spec_is_digested_as_json_without_blanks_in_utf_8() -> None:
    said = '{"display":{"height":720,"width":1280},"image":"ü"}'.encode()
    spec = {"image": "ü", "display": {"width": 1280, "height": 720}}
    assert spec_digest(spec) == hashlib.sha256(said).hexdigest()


def test_the_operator_leaves_out_the_same() -> None:
    spec = dict.fromkeys((*OPERATIONAL, "image"), "x")
    assert spec_digest(spec) == digest(spec) == spec_digest({"image": "x"})


def test_a_spec_may_hold_what_is_no_text() -> None:
    assert spec_digest({"a": "\ud800"}) != spec_digest({"a": "\ud801"})


def test_files_are_subjects_and_the_evidence_is_none() -> None:
    files = {
        "Chart.yaml": b"name: vdi\n",
        "graduated/templates.yaml": b"[]\n",
        "graduated/evidence.json": b"{}",
        "graduated/evidence.dsse.json": b"{}",
        "graduated/evidence-old.json": b"{}",
        "evidence.json": b"",
    }
    found = chart_digests(files)
    assert found == {
        f"chart/{path}": hashlib.sha256(files[path]).hexdigest()
        for path in ("Chart.yaml", "graduated/templates.yaml", "graduated/evidence-old.json", "evidence.json")
    }
