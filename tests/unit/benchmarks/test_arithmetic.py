"""What the benchmarks make of their numbers: frames held against records, rows of too few packets, one way to write."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

FOLDER = Path(__file__).parents[3] / "benchmarks"


@pytest.fixture
def benchmarks(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """They find their neighbours as scripts do."""
    monkeypatch.setattr(sys, "path", [str(FOLDER), *sys.path])
    before = set(sys.modules)
    yield FOLDER
    for name in set(sys.modules) - before:
        if Path(str(getattr(sys.modules[name], "__file__", ""))).parent == FOLDER:
            del sys.modules[name]


@pytest.fixture
def soak(benchmarks: Path) -> ModuleType:
    return importlib.import_module("soak")


SENT = np.arange(100, dtype=np.uint32)


def settle(soak: ModuleType, gone: int, torn: int, lost: int) -> dict[str, int]:
    stamps = SENT[gone:]
    whole = np.arange(len(stamps)) >= torn
    found: dict[str, int] = soak.settle(SENT, stamps, whole, lost)
    return found


@pytest.mark.parametrize(
    ("gone", "torn", "lost", "unaccounted"),
    [
        (0, 0, 0, 0),
        (3, 0, 3, 0),
        (3, 0, 2, 1),
        # The packet of an incomplete frame excuses no other frame.
        (3, 2, 3, 2),
        (0, 2, 1, 1),
        (3, 2, 50, 0),
        # Packets that came after all are no debt, and no credit either.
        (3, 0, -4, 3),
        (0, 0, -4, 0),
    ],
)
def test_each_frame_that_is_gone_or_torn_needs_a_lost_packet_of_its_own(
    soak: ModuleType, gone: int, torn: int, lost: int, unaccounted: int
) -> None:
    found = settle(soak, gone, torn, lost)
    assert found["unaccounted"] == unaccounted
    assert (found["sent"], found["recorded"], found["vanished"], found["incomplete"]) == (100, 100 - gone, gone, torn)


def test_what_was_recorded_twice_is_counted_once_and_told(soak: ModuleType) -> None:
    stamps = np.concatenate([SENT, SENT[:4]])
    found = soak.settle(SENT, stamps, np.full(len(stamps), True), 0)
    assert (found["recorded"], found["twice"], found["unaccounted"]) == (100, 4, 0)


def network(*readings: tuple[str, float, int, int]) -> list[Any]:
    columns = zip(*readings, strict=True)
    return [pa.table(dict(zip(("session", "unix_seconds", "packets_lost", "socket_drops"), columns, strict=True)))]


def test_losses_before_the_watch_excuse_nothing_after_it(soak: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    readings = [("a", 1.0, 5, 2), ("a", 2.0, 7, 2), ("a", 9.0, 8, 3), ("b", 9.0, 4, 0), ("c", 1.0, 6, 0)]
    monkeypatch.setattr(soak, "_rows", lambda folder, table: network(*reversed(readings)))
    assert soak.lost_packets(Path(), 2.5) == {"a": (1, 1), "b": (4, 0), "c": (0, 0)}


def accounted(soak: ModuleType, monkeypatch: pytest.MonkeyPatch, recorded: dict[str, np.ndarray]) -> dict[str, Any]:
    records = {name: (stamps, np.full(len(stamps), True)) for name, stamps in recorded.items()}
    monkeypatch.setattr(soak, "recorded_frames", lambda folder: records)
    lost = {"a": (10, 0), "b": (0, 0)}
    monkeypatch.setattr(soak, "lost_packets", lambda folder, since: lost)
    watch = soak.Watch({}, left={"x": [SENT], "y": [SENT + np.uint32(1000)]})
    found: dict[str, Any] = soak.account(watch, Path(), 0.0)
    return found


def test_one_session_does_not_make_up_for_another(soak: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    found = accounted(soak, monkeypatch, {"a": SENT, "b": SENT[2:] + np.uint32(1000)})
    assert (found["unaccounted"], found["packets_lost"], found["unmatched"], found["sessions"]) == (2, 10, 0, 2)


def test_records_of_nothing_that_left_are_nobodys(soak: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    found = accounted(soak, monkeypatch, {"a": SENT, "b": SENT + np.uint32(7000)})
    assert (found["unmatched"], found["sessions"]) == (2, 1)
    assert accounted(soak, monkeypatch, {})["unmatched"] == 2


def test_a_row_of_too_few_packets_is_doubtful(benchmarks: Path) -> None:
    pytest.importorskip("vdibench_native")
    native = importlib.import_module("native")
    rows = {row: {"least_packets_per_second": 895.0} for row in native.LABELS}
    assert native.doubts({"packets_per_second": 900.0, "rows": rows}) == []
    rows["recvmmsg"]["least_packets_per_second"] = 800.0
    (doubt,) = native.doubts({"packets_per_second": 900.0, "rows": rows})
    assert "recvmmsg" in doubt
    assert "only 89%" in doubt


def test_results_are_written_in_one_way(benchmarks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = importlib.import_module("results")
    results.write(tmp_path / "new", "one", results.provenance(), "# One\n")
    document = json.loads((tmp_path / "new" / "one.json").read_text())
    assert {"date", "host", "versions"} <= set(document)
    assert (tmp_path / "new" / "one.md").read_text() == "# One\n"
    assert "# One" in capsys.readouterr().out
    others = [path for path in FOLDER.glob("*.py") if path.name != "results.py"]
    again = [path.name for path in others if "host_facts()" in (text := path.read_text()) and "versions()" in text]
    assert again in ([], ["comparison_errors.py"])  # that one writes run folders, which say it themselves


def test_the_table_of_benchmarks_is_whole() -> None:
    page = (FOLDER / "README.md").read_text()
    scripts = {path.name for path in FOLDER.glob("*.py") if '__name__ == "__main__"' in path.read_text()}
    assert {name for name in scripts if f"`{name}`" not in page} == set()
