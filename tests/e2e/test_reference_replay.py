"""The reference run replays to the byte: its verdict, its plan, and what its figures draw.

What it gave when it was committed lies in ``tests/data/reference``. VDIBENCH_GOLDEN=1 writes that anew; read what git
says of it then: without a new run, something in the evaluation has changed.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex

from vdibench.graduation.recomputation import recomputed
from vdibench.report.evidence import Evidence
from vdibench.report.sections import sections
from vdibench.report.style import Chart
from vdibench.store import Recording
from vdibench.store.documents import dump
from vdibench.store.redaction import Redactor

from .commands import called

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT / "results" / "reference"
GOLDEN = ROOT / "tests" / "data" / "reference"
# Of a number in a figure: more differ between builds of numpy.
DIGITS = 9


def held_against_golden(name: str, found: str) -> None:
    """Compare with what is committed, or write it anew."""
    path = GOLDEN / name
    if os.environ.get("VDIBENCH_GOLDEN") == "1":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(found)
    assert found == path.read_text()


@pytest.fixture(scope="module")
def reference() -> Recording:
    return Recording.open(REFERENCE)


def test_the_stored_verdict_is_computed_again_to_the_byte(reference: Recording) -> None:
    assert dump(recomputed(reference), Redactor()) == (REFERENCE / "verdict.json").read_bytes()


def test_the_plan_is_the_same_to_the_byte(tmp_path: Path) -> None:
    shutil.copytree(REFERENCE, tmp_path / "results" / "reference")
    done = called("plan", "--users", "500", "--run", "reference", "--profile", "office", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    held_against_golden("plan.json", done.stdout)


def test_every_figure_draws_the_same_data(reference: Recording) -> None:
    drawn = {
        block.file: [plotted(axes) for axes in block.chart.axes]
        for section in sections(Evidence.of(reference))
        for block in section.blocks
        if isinstance(block.chart, Chart)
    }
    assert len(drawn) > 5
    assert all(any(any(part.values()) for part in axes) for axes in drawn.values()), "a figure without data"
    held_against_golden("figures.json", json.dumps(drawn, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


def test_a_figure_of_other_data_is_told_apart(reference: Recording) -> None:
    chart = next(block.chart for section in sections(Evidence.of(reference)) for block in section.blocks if block.chart)
    before = [plotted(axes) for axes in chart.axes]
    for line in (line for axes in chart.axes for line in axes.lines):
        line.set_ydata(np.asarray(line.get_ydata(), dtype=float) * 1.001)
    for patch in (patch for axes in chart.axes for patch in axes.patches):
        patch.set_alpha(0.1)  # how it looks is no data
    assert [plotted(axes) for axes in chart.axes] != before


def plotted(axes: Axes) -> dict[str, Any]:
    """What axes draw, in the units of their data."""
    return {
        "lines": [_digest(line.get_xydata(), to_hex(line.get_color())) for line in axes.lines],
        "patches": _together([patch.get_path().vertices for patch in axes.patches]),
        "points": _together([np.asarray(dots.get_offsets(), dtype=float) for dots in axes.collections]),
        "words": [text.get_text() for text in axes.texts if text.get_text()],
    }


def _together(parts: list[Any]) -> dict[str, Any]:
    return _digest(np.concatenate(parts)) if parts else {}


def _digest(points: Any, colour: str = "") -> dict[str, Any]:
    """Enough of an array to tell it from another, and short: its shape, corners, and moments of each column."""
    array = np.asarray(points, dtype=float)
    array = array[np.isfinite(array).all(axis=1)] if array.ndim == 2 else array.reshape(-1, 1)
    told: dict[str, Any] = {"count": len(array)} | ({"colour": colour} if colour else {})
    if len(array):
        rounded = {
            "first": array[0],
            "last": array[-1],
            "mean": array.mean(axis=0),
            "spread": array.std(axis=0),
            "least": array.min(axis=0),
            "most": array.max(axis=0),
        }
        told |= {name: [float(f"{value:.{DIGITS}g}") for value in row] for name, row in rounded.items()}
    return told
