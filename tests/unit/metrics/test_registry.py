"""The register: complete, without doubles, units in the names."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from vdibench.errors import ObjectiveError
from vdibench.metrics import REGISTRY, Registry
from vdibench.metrics.reducers import _REDUCERS
from vdibench.records import TABLES

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
    """docs/reference/metrics.md is written from the register; each metric has its row."""
    page = REFERENCE.read_text(encoding="utf-8")
    lines = [line for line in page.splitlines() if line.startswith("| `")]
    expected = [
        f"| `{m.name}` | {m.unit} | {m.kind} | {m.direction} | {f'`{m.w3c}`' if m.w3c else ''} | {m.provenance} "
        f"| {m.boundary} |"
        for m in REGISTRY.values()
    ]
    assert lines == expected
