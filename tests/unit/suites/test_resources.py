"""Where figures belong that come late, and what a run says of how its resources were read."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from vdibench.metrics import values
from vdibench.recorder import Place
from vdibench.records import Run
from vdibench.store import Recording, RunFolder
from vdibench.suites.resources import PlacingRecorder, sampled
from vdibench.telemetry.sampler import EARLIEST

SUITE = "gpu_density"
USE = "gpu_utilization_ratio"


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[RunFolder]:
    run = Run(name="", suite=SUITE, profile="test", target="url", started_unix_seconds=time.time())
    with RunFolder.create(tmp_path, run) as opened:
        yield opened


def instant() -> float:
    """Between what was done and what comes."""
    time.sleep(0.002)  # moves and figures have instants of their own
    found = time.time()
    time.sleep(0.002)  # the same
    return found


def scraped(at: float, earliest: float, value: float) -> dict[str, Any]:
    return {"session": "gpu-0", "unix_seconds": at, "resource": USE, "value": value, EARLIEST: earliest}


def test_a_late_figure_goes_where_all_of_its_time_lay(folder: RunFolder) -> None:
    before = instant()
    recorder = PlacingRecorder(folder, Place(SUITE))
    warm = instant()
    recorder.move(phase="steady", level=2)
    early, late = instant(), instant()
    recorder.move(phase="warmup", level=3)
    after = instant()
    recorder.resources(
        [
            {"session": "host", "unix_seconds": after, "resource": "cpu_cores", "value": 1.0},
            scraped(late, early, 0.1),
            scraped(late, warm, 0.2),
            scraped(late, -math.inf, 0.3),
            scraped(warm, -math.inf, 0.4),
            scraped(after, early, 0.5),
            scraped(before, -math.inf, 0.6),
        ]
    )
    folder.flush()
    tables = Recording.open(folder.path).tables
    rows = tables["resources"].sort_values("value")
    assert rows[["value", "level", "phase"]].to_numpy().tolist() == [
        [0.1, 2, "steady"],
        [0.2, 2, "probe"],
        [0.3, 2, "probe"],
        [0.4, 1, "warmup"],
        [0.5, 3, "warmup"],
        [0.6, 1, "warmup"],
        [1.0, 3, "warmup"],
    ]
    assert values(USE, tables, suite=SUITE).tolist() == [0.1]
    assert (recorder.too_old, recorder.late) == (2, 3)


def test_a_window_in_which_nothing_is_sure_has_no_data(folder: RunFolder) -> None:
    recorder = PlacingRecorder(folder, Place(SUITE))
    warm = instant()
    recorder.move(phase="steady")
    recorder.resources([scraped(instant(), warm, 0.9)])
    folder.flush()
    tables = Recording.open(folder.path).tables
    assert len(tables["resources"]) == 1, "it is kept"
    assert values(USE, tables, suite=SUITE).empty
    assert (recorder.too_old, recorder.late) == (1, 1)


def test_a_run_says_how_its_resources_were_read(folder: RunFolder) -> None:
    recorder = PlacingRecorder(folder, Place(SUITE))
    with sampled((), recorder, None):
        pass
    folder.flush()
    facts = Recording.open(folder.path).table("facts")
    said = dict(zip(facts["key"], facts["value"], strict=True))
    assert said["telemetry.memory"]
    assert "telemetry.gpus" in said
    assert "telemetry.gpus.too_old" not in said, "nothing was scraped"
    assert set(facts["session"]) == {"host"}
