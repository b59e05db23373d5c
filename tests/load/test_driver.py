"""A driver, Locust, workers and engines as they are: real processes, a stand-in desktop with real media."""

from __future__ import annotations

import dataclasses
import stat
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from vdibench.client import Mode
from vdibench.errors import MasterLost, StoreError, TargetUnavailable, UsageError
from vdibench.load.driver import LoadDriver, LoadOptions
from vdibench.load.histograms import merged
from vdibench.records import Credentials, Desktop, Endpoint
from vdibench.store import Recording, RunFolder

Drive = Callable[..., LoadDriver]
Desktops = Callable[[int], list[Desktop]]


def test_trials_are_recorded_where_they_belong(drive: Drive, desktops: Desktops, run_folder: RunFolder) -> None:
    driver = drive(desktops(3), workers=2)
    for level in (1, 3):
        driver.move(level=level, trial=0, phase="warmup")
        assert driver.scale(level) == {}
        assert driver.hold(0.5) == {}
        driver.move(level=level, trial=0, phase="steady")
        assert driver.hold(1.2) == {}
        driver.move(level=level, trial=0, phase="warmup")
        assert driver.scale(0) == {}
    seconds = driver.seconds
    driver.close()
    tables = Recording.open(run_folder.path)
    frames = tables.table("frames")
    steady = frames[frames["phase"] == "steady"]
    assert steady.groupby("level")["session"].unique().map(sorted).to_dict() == {
        1: ["desktop-0"],
        3: ["desktop-0", "desktop-1", "desktop-2"],
    }
    assert steady["marker_unix_seconds"].notna().any()
    requests = tables.table("requests")
    assert set(requests["error"]) == {""}
    assert requests["name"].value_counts()[["connect", "first frame", "disconnect"]].to_list() == [4, 4, 4]
    milestones = tables.table("milestones")
    assert milestones["event"].value_counts()[["started", "first_frame", "left"]].to_list() == [4, 4, 4]
    engine = tables.table("engine")
    assert set(engine["session"]) == {"engine-0", "engine-1"}
    assert (
        engine["rows"].sum()
        <= sum(len(tables.table(name)) for name in ("frames", "milestones", "network", "facts")) + 200
    )
    assert engine.groupby("unix_seconds")["sessions"].sum().max() >= 1
    assert {second.engine for second in seconds} == {"engine-0", "engine-1"}
    counted = merged(second.histograms for second in seconds)["frame_interval_seconds"]
    assert 0 < len(counted) <= len(frames)
    assert 0.02 < counted.percentile(50) < 0.5


def test_a_session_that_fails_is_named_and_leaves_the_others(
    drive: Drive, desktops: Desktops, run_folder: RunFolder
) -> None:
    ours = desktops(2)
    ours[1] = Desktop("desktop-1", Endpoint("http://127.0.0.1:9"))
    driver = drive(ours)
    driver.move(level=2, trial=1, phase="warmup")
    failed = driver.scale(2)
    assert list(failed) == ["desktop-1"]
    assert isinstance(failed["desktop-1"], TargetUnavailable)
    assert driver.hold(0.5) == {}
    assert driver.scale(0) == {}
    driver.close()
    tables = Recording.open(run_folder.path)
    milestones = tables.table("milestones")
    assert milestones.loc[milestones["event"] == "failed", "session"].to_list() == ["desktop-1"]
    facts = tables.table("facts").set_index("key")["value"]
    assert facts["failure.level-2.trial-1"] == str(failed["desktop-1"])
    requests = tables.table("requests")
    assert requests.loc[requests["error"] != "", "name"].to_list() == ["connect"]


def test_a_session_that_ends_meanwhile_is_told_by_hold(drive: Drive, stand_in: Callable[..., Any]) -> None:
    server = stand_in(fps=15)
    driver = drive([Desktop("desktop-0", Endpoint(server.url), marker_id=7)], stall_seconds=1.0)
    driver.move(level=1, trial=0, phase="steady")
    assert driver.scale(1) == {}
    server.behaviour.video = False
    began = time.monotonic()
    failed = driver.hold(60.0)
    assert list(failed) == ["desktop-0"]
    assert time.monotonic() - began < 30.0, "nobody was left to hold for"


def test_credentials_are_in_a_private_file_and_nowhere_else(
    stand_in_url: str, run_folder: RunFolder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    desktop = Desktop("desktop-0", Endpoint(stand_in_url, Credentials("someone", "hidden-away-77")), marker_id=7)
    options = LoadOptions()
    with LoadDriver(run_folder.path, [desktop], options, suite="gpu_density", secrets=("hidden-away-77",)) as driver:
        driver.scale(1)
        pids = [pid for group in driver.pids.values() for pid in group]
        for pid in pids:
            process = psutil.Process(pid)
            assert "hidden-away-77" not in " ".join(process.cmdline())
            assert "hidden-away-77" not in " ".join(process.environ().values())
        kept = [path for path in tmp_path.rglob("*") if path.is_file() and b"hidden-away-77" in path.read_bytes()]
        assert kept == [], "the roster is gone once everybody has read it"
        private = list(tmp_path.glob("vdibench-load-*"))
        assert [stat.S_IMODE(path.stat().st_mode) for path in private] == [0o700]
    assert list(tmp_path.glob("vdibench-load-*")) == []


def test_locust_by_itself_ends_when_its_time_is_over(drive: Drive, desktops: Desktops, run_folder: RunFolder) -> None:
    arguments = ("--headless", "--users", "2", "--spawn-rate", "10", "--run-time", "5s", "--only-summary")
    driver = drive(desktops(2), controlled=False, arguments=arguments)
    assert driver.wait(60.0)
    driver.close()
    assert set(Recording.open(run_folder.path).table("frames")["session"]) == {"desktop-0", "desktop-1"}


def test_more_users_than_desktops_are_refused(drive: Drive, desktops: Desktops) -> None:
    driver = drive(desktops(1))
    with pytest.raises(UsageError, match="2 users"):
        driver.scale(2)
    driver.close()
    with pytest.raises(UsageError, match="ended"):
        driver.scale(1)


def test_a_locustfile_that_fails_is_told_with_its_last_words(drive: Drive, desktops: Desktops, tmp_path: Path) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text("from locust import User\nraise RuntimeError('no such luck')\n")
    with pytest.raises(MasterLost, match="no such luck"):
        drive(desktops(1), locustfile=str(broken))


def test_a_run_folder_that_is_none_is_told(desktops: Desktops, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="run"):
        LoadDriver(tmp_path, desktops(1), LoadOptions(), suite="gpu_density")


def test_a_locustfile_of_ones_own(drive: Drive, desktops: Desktops, run_folder: RunFolder, tmp_path: Path) -> None:
    own = tmp_path / "own.py"
    own.write_text(
        "from locust import task\n"
        "from vdibench.load.users import DesktopUser\n\n\n"
        "class Mine(DesktopUser):\n"
        "    @task\n"
        "    def look(self):\n"
        "        self.watch(0.2)\n"
        "        assert self.desktop.id == 'desktop-0'\n"
    )
    driver = drive(desktops(1), locustfile=str(own))
    assert driver.scale(1) == {}
    assert driver.hold(1.5) == {}
    driver.close()
    assert (Recording.open(run_folder.path).table("requests")["name"] == "watch").sum() >= 2


def test_two_loads_beside_each_other(drive: Drive, desktops: Desktops) -> None:
    first, second = drive(desktops(1)), drive(desktops(1))
    assert first.port != second.port
    assert first.scale(1) == {}
    assert second.scale(1) == {}


def test_options_that_cannot_be_are_refused() -> None:
    for wrong in ({"workers": 0}, {"spawn_rate": 0.0}, {"spawn_rate": float("nan")}, {"locustfile": "/nowhere.py"}):
        with pytest.raises(UsageError):
            LoadOptions(**wrong)  # type: ignore[arg-type]  # what is tried
    assert dataclasses.replace(LoadOptions(), mode=Mode.METER).mode is Mode.METER
