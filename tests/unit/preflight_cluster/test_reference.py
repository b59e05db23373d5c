"""The reference page lists the checks in order with their severity; expected findings of the lab name existing ones."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from vdibench.preflight import CLUSTER_CHECKS
from vdibench.records import Outcome

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "reference" / "preflight.md").read_text(encoding="utf-8")


def test_every_check_is_documented_in_order():
    rows = re.findall(r"^\| (blocking|warning|information) \| `(\w+)` \|", PAGE, re.MULTILINE)
    assert rows == [(str(check.severity), check.name) for check in CLUSTER_CHECKS]


def test_expected_findings_are_findings_with_reasons():
    expected = yaml.safe_load((ROOT / "tests" / "data" / "cluster" / "expected-findings.yaml").read_text())
    order = [check.name for check in CLUSTER_CHECKS]
    named = [one["check"] for one in expected]
    assert named == sorted(set(named), key=order.index)
    for one in expected:
        assert set(one) - {"probed"} == {"check", "outcomes", "says", "reason"}
        for said in (one, one.get("probed", one)):
            assert {Outcome(outcome) for outcome in said["outcomes"]} - {Outcome.PASS}
            assert said["says"]
        assert len(one["reason"].split()) > 3
