"""The register: complete, without doubles, units in the names."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from vdibench.errors import ObjectiveError
from vdibench.metrics import DIALECTS, REGISTRY, Presence, Registry
from vdibench.metrics.reducers import _REDUCERS
from vdibench.metrics.reference import dialects_table, metrics_table
from vdibench.records import TABLES
from vdibench.selkies import Dialect

REFERENCE = Path(__file__).parents[3] / "docs" / "reference" / "metrics.md"


def test_a_second_metric_of_a_name_is_refused() -> None:
    registry = Registry()
    metric = registry.register(REGISTRY["jitter_seconds"])
    with pytest.raises(ValueError, match="registered already"):
        registry.register(replace(metric, boundary="elsewhere"))
    assert list(registry) == ["jitter_seconds"]


@pytest.mark.parametrize(
    "change", [{"name": "jitter"}, {"name": "jitter_ms"}, {"unit": "ms"}, {"name": "Jitter_seconds"}]
)
def test_a_name_carries_its_base_unit(change) -> None:
    with pytest.raises(ValueError, match="base unit"):
        Registry().register(replace(REGISTRY["jitter_seconds"], **change))


@pytest.mark.parametrize("metric", list(REGISTRY.values()), ids=lambda metric: metric.name)
def test_every_metric_is_complete(metric) -> None:
    assert metric.boundary.endswith(".")
    assert metric.kind in {"frame", "event", "second", "session", "reading", "run"}
    assert (metric.table in TABLES) == (metric.name in _REDUCERS)
    assert metric.table in TABLES or metric.kind == "run"


def test_an_unknown_metric_is_answered_with_the_nearest() -> None:
    with pytest.raises(ObjectiveError, match="no metric 'frame_per_second': did you mean 'frames_per_second'"):
        REGISTRY.named("frame_per_second")


def test_the_reference_page_says_what_the_register_says() -> None:
    """docs/reference/metrics.md holds what ``python -m vdibench.metrics.reference`` prints, and no other row."""
    page = REFERENCE.read_text(encoding="utf-8")
    printed = [metrics_table(), dialects_table()]
    for table in printed:
        assert f"\n\n{table}\n\n" in page
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    assert rows == [line for table in printed for line in table.splitlines() if line.startswith("| `")]


def test_the_dialects_are_those_of_the_wire() -> None:
    assert set(DIALECTS) == {str(dialect) for dialect in Dialect}
    for metric in REGISTRY.values():
        assert set(metric.dialects) == set(DIALECTS)


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("glass_to_glass_seconds", ["needs desk", "needs desk", "needs desk"]),
        ("input_to_photon_seconds", ["needs desk", "needs desk", "needs desk"]),
        (
            "capture_to_arrival_seconds",
            ["no data (its sender reports are wrong)", "yes", "no data (frames carry no time stamp)"],
        ),
        ("server_encode_seconds", ["tracer", "stats", "stats"]),
        ("packets_lost_ratio", ["yes", "yes", "not applicable (TCP)"]),
        ("jitter_seconds", ["yes", "yes", "not applicable (TCP)"]),
        ("frames_per_second", ["yes", "yes", "yes"]),
    ],
)
def test_what_each_dialect_has(name: str, cells: list[str]) -> None:
    """The metric x dialect table of the design."""
    assert [str(REGISTRY[name].reach(dialect)) for dialect in DIALECTS] == cells


def test_a_dialect_that_is_not_known_yet_may_have_everything() -> None:
    for metric in REGISTRY.values():
        for unknown in (None, "", "selkies-3"):
            assert metric.reach(unknown).presence is Presence.YES
