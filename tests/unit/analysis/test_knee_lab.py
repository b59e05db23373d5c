"""What `benchmarks/knee_lab.py` says of its runs; the runs themselves take a lab and minutes."""

from __future__ import annotations

import argparse
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

PATH = Path(__file__).parents[3] / "benchmarks" / "knee_lab.py"
OPTIONS = argparse.Namespace(
    desktops=4,
    width=640,
    height=360,
    framerate=15,
    workload="video",
    bitrate=1_000_000,
    warmup=1.5,
    steady=5.0,
    audible=False,
)
WHERE = {"date": "2026-01-01", "host": {"cpu_model": "X", "cpu_cores_usable": 2.0}}


@pytest.fixture(scope="module")
def lab() -> ModuleType:
    spec = importlib.util.spec_from_file_location("knee_lab", PATH)
    assert spec is not None
    assert spec.loader is not None
    before = list(sys.path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["knee_lab"] = module  # dataclasses look their module up
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path[:] = before
    return module


def runs(lab: ModuleType, *lower: int | None) -> list[object]:
    """A search, the sweep, and further searches."""
    return [lab.Found("sweep" if number == 1 else "sequential", 0.1, lower=known) for number, known in enumerate(lower)]


@pytest.mark.parametrize(
    ("lower", "levels"),
    [((9, 9, 9), 0), ((8, 9, 11), 2), ((0, 0), 0), ((None, None), None), ((9, None), None), ((9, 9, None), None)],
)
def test_what_was_not_found_agrees_with_nothing(lab: ModuleType, lower: tuple[int | None, ...], levels: int) -> None:
    found = runs(lab, *lower)
    assert lab.apart(found) == levels
    page = lab.page(found, OPTIONS, WHERE)
    assert ("No data: no knee was found by" in page) is (levels is None)
    assert (f"Search and sweep lie {levels} level" in page) is (levels is not None)


def test_without_a_knee_it_exits_as_a_run_without_data(
    lab: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class NoLab:
        def __enter__(self) -> None: ...
        def __exit__(self, *_: object) -> None: ...

    monkeypatch.setattr(lab.Lab, "up", lambda *_, **__: NoLab())
    monkeypatch.setattr(lab, "provenance", lambda: WHERE)
    monkeypatch.setattr(sys, "argv", ["knee_lab.py", "--output", str(tmp_path)])
    monkeypatch.setattr(lab, "find", lambda way, *_: lab.Found(way, 0.1))
    with pytest.raises(SystemExit) as ended:
        lab.main()
    assert ended.value.code == 98
    assert (tmp_path / "knee-lab.md").exists()
    monkeypatch.setattr(lab, "find", lambda way, *_: lab.Found(way, 0.1, lower=3))
    lab.main()
