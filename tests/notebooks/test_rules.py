"""Notebooks in git: thin, stripped, and in step with their suites. The rules themselves are shown to bite."""

from __future__ import annotations

import copy
from pathlib import Path

import nbformat
import papermill
import pytest

from vdibench.suites import SUITES, Suite, notebooks_folder

from .rules import problems

NOTEBOOKS = sorted(notebooks_folder().glob("*.ipynb"))


def suite_of(path: Path) -> Suite:
    return SUITES[path.stem.partition("_")[2]]


def test_every_suite_has_its_notebook_and_every_notebook_its_suite() -> None:
    assert [path.stem for path in NOTEBOOKS] == sorted(suite.notebook for suite in SUITES.values())


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_thin_and_stripped(path: Path) -> None:
    assert problems(nbformat.read(path, as_version=4), suite_of(path).parameters) == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_papermill_reads_the_same_parameters(path: Path) -> None:
    assert set(papermill.inspect_notebook(str(path))) == suite_of(path).parameter_names


@pytest.fixture
def good() -> nbformat.NotebookNode:
    return copy.deepcopy(nbformat.read(SUITES["stream_validation"].path, as_version=4))


DEFECTS = {
    "output": (2, lambda cell: cell.outputs.append(nbformat.v4.new_output("stream", text="1")), "has outputs"),
    "count": (2, lambda cell: cell.update(execution_count=3), "execution count"),
    "loop": (3, lambda cell: cell.update(source="for step in range(3):\n    print(step)"), "holds logic: "),
    "function": (3, lambda cell: cell.update(source="def step():\n    return 1"), "holds logic: "),
    "condition": (3, lambda cell: cell.update(source="x = 1 if target else 2"), "holds logic: "),
    "comprehension": (3, lambda cell: cell.update(source="x = [y for y in target]"), "holds logic: "),
    "arithmetic": (3, lambda cell: cell.update(source="x = width * 2"), "holds logic: "),
    "import": (3, lambda cell: cell.update(source="import asyncio"), "holds logic: "),
    "missing": (
        1,
        lambda cell: cell.update(source=cell.source.replace("relay: bool", "rely: bool")),
        "parameter relay is missing",
    ),
    "unknown": (
        1,
        lambda cell: cell.update(source=cell.source + "\nextra: int = 1  # what"),
        "parameter extra is unknown",
    ),
    "default": (1, lambda cell: cell.update(source=cell.source.replace("= 1920", "= 1921")), "the suite's default is"),
    "untagged": (1, lambda cell: cell.metadata.update(tags=[]), "0 cells are tagged"),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_defect_is_found(good: nbformat.NotebookNode, defect: str) -> None:
    index, spoil, told = DEFECTS[defect]
    assert problems(good, SUITES["stream_validation"].parameters) == []
    spoil(good.cells[index])
    assert any(told in problem for problem in problems(good, SUITES["stream_validation"].parameters))
