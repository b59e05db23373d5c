"""Tables of a graduation: evidence as it is written, as it may come from elsewhere, and findings."""

from __future__ import annotations

from typing import Any

import pytest

from vdibench.report.graduation_tables import (
    evidence_table,
    evidenced_objectives_table,
    evidenced_suites_table,
    refusals_table,
    sessions_text,
)

PREDICATE: dict[str, Any] = {
    "run": {"name": "20261129T120000Z-pipeline-standard", "ended": "2026-11-29T12:40:00Z"},
    "verdict": "pass",
    "suites": [
        {"name": "stream_validation", "outcome": "pass", "reasons": [], "waived": False},
        {"name": "gpu_density", "outcome": "fail", "reasons": ["too few"], "waived": True},
    ],
    "objectives": [
        {
            "suite": "stream_validation",
            "metric": "glass_to_glass_seconds",
            "expect": "p(95) < 0.100",
            "observed": 0.0234,
            "samples": 1330,
            "unit": "seconds",
            "outcome": "pass",
        },
        {"suite": "stream_validation", "metric": "check:encoder", "outcome": "pass"},
        {"suite": "gpu_density", "metric": "sessions_per_gpu", "outcome": "not applicable"},
    ],
    "capacity": {"sessionsPerGPU": 8, "upper": 9, "per": "gpu", "rule": "a sequential test"},
    "hardware": {"class": "NVIDIA L4, driver 580.65.06"},
    "cluster": {"kubernetes": "v1.31.4+k3s1"},
    "images": [{"name": "registry.example.com/vdi/desktop:1", "digest": "sha256:" + "ab" * 32}],
    "manifests": {"overlay": "k3s/session", "platform": "k3s"},
    "waivers": [
        {"what": "gpu_density", "reason": "one user a GPU"},
        {"what": "policies", "reason": "the firewall does it"},
    ],
    "expires": {"at": "2027-02-27T12:40:00Z"},
}


def test_evidence_is_told_in_words() -> None:
    said = dict(evidence_table(PREDICATE).itertuples(index=False, name=None))
    assert said["sessions"] == "8 a GPU; up to 9 may be good"
    assert said["hardware"] == "NVIDIA L4, driver 580.65.06"
    assert said["images"] == "registry.example.com/vdi/desktop:1 (abababababab)"
    assert said["expires"] == "2027-02-27T12:40:00Z"


def test_suites_say_what_was_waived_and_why() -> None:
    rows = [tuple(row) for row in evidenced_suites_table(PREDICATE).itertuples(index=False)]
    assert rows == [
        ("stream_validation", "PASS", ""),
        ("gpu_density", "FAIL", "waived: one user a GPU"),
        ("policies", "", "waived: the firewall does it"),
    ]


def test_a_suite_that_only_missed_what_is_waived_says_what_that_was() -> None:
    missed = {"suite": "stream_validation", "metric": "check:policies", "outcome": "fail"}
    suite = {"name": "stream_validation", "outcome": "fail", "reasons": [], "waived": False}
    predicate = PREDICATE | {"suites": [suite], "objectives": [*PREDICATE["objectives"], missed]}
    first = next(evidenced_suites_table(predicate).itertuples(index=False))
    assert tuple(first) == ("stream_validation", "FAIL", "missed: policies")


def test_objectives_that_applied_have_their_units() -> None:
    rows = [tuple(row) for row in evidenced_objectives_table(PREDICATE).itertuples(index=False)]
    assert rows == [("stream_validation", "glass_to_glass_seconds", "p(95) < 0.100", "23.4 ms", "1,330", "PASS")]


@pytest.mark.parametrize(
    ("capacity", "said"),
    [
        ({"sessionsPerGPU": 8, "upper": 8, "per": "gpu"}, "8 a GPU; one more is too many"),
        ({"sessionsPerGPU": 2, "upper": None, "per": "host"}, "2 a host; no more were found to be too many"),
        ({"sessionsPerGPU": None, "upper": None, "per": ""}, "no data"),
        ({}, "no data"),
    ],
)
def test_sessions(capacity: dict[str, Any], said: str) -> None:
    assert sessions_text(capacity) == said


@pytest.mark.parametrize("predicate", [{}, {"suites": None, "objectives": {}, "images": [1], "run": []}])
def test_evidence_of_another_form_is_shown_as_far_as_it_goes(predicate: dict[str, Any]) -> None:
    assert len(evidence_table(predicate)) == len(evidence_table(PREDICATE))
    assert evidenced_suites_table(predicate).empty
    assert evidenced_objectives_table(predicate).empty


def test_findings_cannot_steer_a_terminal() -> None:
    table = refusals_table([("seal", "run.json was\x1b[31m changed", "restore it")])
    assert list(table.iloc[0]) == ["seal", "run.json was changed", "restore it"]
