"""A session that breaks is not a good session, and a level that breaks is a bad level."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import psutil
import pytest

from vdibench.errors import VdibenchError
from vdibench.metrics import values
from vdibench.records import Outcome
from vdibench.store import Recording, resolve
from vdibench.suites import gpu_density, latency_under_load, preflight
from vdibench.suites.measurement import Measurement

pytestmark = pytest.mark.timeout(120)
SMALL = {"width": 640, "height": 360, "framerate": 30, "warmup_seconds": 0.5, "steady_seconds": 3.0}


def kill_when_steady(measurement: Measurement, desktop: int, part: str, level: int) -> threading.Thread:
    """End one part of a desktop in the middle of a level's steady window."""
    lab = measurement.target.lab if measurement.target is not None else None
    assert lab is not None
    victim = next(item for item in lab.status().desktops[desktop].parts if item.name == part)

    def watch() -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            place = measurement.recorder.place
            if place.level == level and place.phase == "steady":
                time.sleep(1.0)  # into the window, so that there are good samples from before
                psutil.Process(victim.pid).kill()
                return
            time.sleep(0.05)  # the next look

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


def test_a_desktop_that_breaks_in_the_window_makes_its_level_bad(tmp_path: Path) -> None:
    suite = gpu_density.GpuDensity(gpu_density.Parameters(results=str(tmp_path), max_desktops=2, **SMALL))
    killer = kill_when_steady(suite.measurement, 1, "desk", level=2)
    suite.search()
    killer.join()
    assert suite.knee is not None
    assert (suite.knee.lower, suite.knee.upper) == (1, 1)
    suite.verdict()
    failed = suite.measurement.tables().table("milestones").query("event == 'failed'")
    assert set(zip(failed.session, failed.level, strict=True)) == {("desktop-1", 2)}


def test_a_first_desktop_that_breaks_ends_the_search_and_keeps_its_log(tmp_path: Path) -> None:
    suite = gpu_density.GpuDensity(gpu_density.Parameters(results=str(tmp_path), max_desktops=2, **SMALL))
    killer = kill_when_steady(suite.measurement, 0, "selkies", level=1)
    with pytest.raises(VdibenchError):
        suite.search()
    killer.join()
    folder = resolve(tmp_path, "latest")
    assert Recording.open(folder).verdict.outcome is Outcome.NO_DATA
    assert "server" in (folder / "logs" / "gpu_density-desktop-0-selkies.log").read_text().lower()


def test_a_session_that_breaks_under_load_is_a_failed_session(tmp_path: Path) -> None:
    parameters = latency_under_load.Parameters(results=str(tmp_path), max_desktops=2, inputs=0, **SMALL)
    suite = latency_under_load.LatencyUnderLoad(parameters)
    killer = kill_when_steady(suite.measurement, 1, "selkies", level=2)
    suite.measure()
    killer.join()
    verdict = suite.measurement.judge()
    lost = values("session_failure_ratio", suite.measurement.tables().tables, suite="latency_under_load", level=2)
    assert sorted(lost) == [False, True]
    result = next(item for item in verdict.objectives if item.metric == "session_failure_ratio")
    assert result.outcome is Outcome.FAIL


def test_opening_a_suite_again_replaces_the_measurement_before(tmp_path: Path) -> None:
    first = preflight.Preflight(preflight.Parameters(results=str(tmp_path)))
    second = preflight.Preflight(preflight.Parameters(results=str(tmp_path)))
    second.check_host()
    verdict = second.measurement.judge()
    assert verdict.outcome is not Outcome.INVALID, verdict.reasons
    assert "replaced by a new measurement" in " ".join(Recording.open(first.measurement.folder.path).run.errors)
