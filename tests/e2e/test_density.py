"""The knee by a load of users, and what neighbours cost, on real desktops; and the same through papermill."""

from __future__ import annotations

import signal
from pathlib import Path

import psutil
import pytest

from vdibench.analysis import Knee, recorded_knee
from vdibench.analysis.neighbours import neighbours
from vdibench.errors import LoadError, ParameterError
from vdibench.metrics import chosen
from vdibench.records import Outcome, RunState
from vdibench.store import Recording, resolve
from vdibench.suites import gpu_density

from .commands import await_steady, start, vdibench

pytestmark = pytest.mark.timeout(240)
SMALL = {
    "width": 640,
    "height": 360,
    "framerate": 15,
    "bitrate_bps": 1_000_000,
    "warmup_seconds": 0.5,
    "steady_seconds": 3.0,
    "max_desktops": 2,
    "trials": 2,
}


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Recording, Knee | None]:
    """A finished run of two desktops that show different things, and of a light one beside a busy one; its knee."""
    folder = tmp_path_factory.mktemp("density")
    suite = gpu_density.GpuDensity(
        gpu_density.Parameters(
            results=str(folder),
            workload="window,text",
            neighbours=1,
            neighbour_trials=1,
            sharing="whole",
            **SMALL,
        )
    )
    suite.search()
    suite.neighbours()
    suite.measurement.judge()
    return Recording.open(suite.measurement.folder.path), suite.knee


@pytest.fixture(scope="module")
def density(searched: tuple[Recording, Knee | None]) -> Recording:
    return searched[0]


def test_samples_came_from_the_engine_and_every_second_of_it_is_told(density: Recording) -> None:
    engine = chosen(density.table("engine"), suite=gpu_density.SUITE, level=2, trial=0)
    assert set(engine.session) == {"engine-0"}
    assert len(engine) >= 2
    frames = chosen(density.table("frames"), suite=gpu_density.SUITE, level=2, trial=0)
    assert set(frames.session) == {"desktop-0", "desktop-1"}
    assert (frames.groupby("session").size() > 20).all()


def test_sessions_of_a_trial_are_new_ones(density: Recording) -> None:
    """Each connects, shows a frame and leaves again, in each trial of each level."""
    milestones = density.table("milestones").query("suite == 'gpu_density'")
    for (_, _, _), own in milestones.groupby(["level", "trial", "session"]):
        assert {"started", "connected", "first_frame", "left"} <= set(own.event)
        assert (own.event == "started").sum() == 1


def test_the_stored_run_gives_the_same_knee(searched: tuple[Recording, Knee | None]) -> None:
    density, live = searched
    found = recorded_knee(density.run, density.tables, gpu_density.SUITE)
    assert live is not None, "nothing was decided: there is nothing to compare"
    assert found is not None
    assert {level.level for level in live.levels} == {1, 2} or live.upper == 0
    assert found.levels == live.levels
    assert (found.lower, found.upper, found.contradicting) == (live.lower, live.upper, live.contradicting)
    result = next(
        item
        for suite in density.verdict.suites
        for item in suite.objectives
        if suite.suite == gpu_density.SUITE and item.metric == "sessions_per_host"
    )
    assert result.observed == found.lower


def test_who_is_who_beside_a_busy_desktop(density: Recording) -> None:
    assert density.run.context["sharing"] == "whole"
    facts = density.table("facts").query("suite == 'noisy_neighbour'")
    said = {(row.session, row.key): row.value for row in facts.itertuples()}
    assert said["desktop-2", "neighbour.role"] == "victim"
    assert said["desktop-2", "workload"] == "idle"
    assert said["desktop-0", "neighbour.role"] == "neighbour"
    assert said["desktop-0", "workload"] == "window"
    cells = neighbours(density.tables)
    assert {(cell.victim, cell.beside, cell.neighbours) for cell in cells} == {("idle", "window", 1)}
    assert all(cell.shift is not None for cell in cells)
    # The desktops of the search keep their own facts.
    own = density.table("facts").query("suite == 'gpu_density' and key == 'workload'")
    assert dict(zip(own.session, own.value, strict=True)) == {
        "desktop-0": "window",
        "desktop-1": "text",
        "desktop-2": "idle",
    }


def test_nothing_of_the_load_stays(density: Recording) -> None:
    assert density.run.state is RunState.FINISHED
    mine = psutil.Process().children(recursive=True)
    assert not [process for process in mine if "vdibench.load" in " ".join(process.cmdline())]
    assert density.path("logs", "gpu_density-locust-master.log").exists()


def test_an_engine_that_is_killed_ends_the_search_with_its_name(tmp_path: Path) -> None:
    suite = gpu_density.GpuDensity(gpu_density.Parameters(results=str(tmp_path), **SMALL | {"steady_seconds": 60.0}))
    measurement = suite.measurement
    measured: list[int] = []

    def kill_once(line: str) -> None:
        engines = [
            process
            for process in psutil.Process().children(recursive=True)
            if "vdibench.load.engine" in " ".join(process.cmdline())
        ]
        if line.endswith("watch") and engines and not measured:
            measured.append(engines[0].pid)
            engines[0].kill()

    say = measurement.progress.say
    measurement.progress.say = lambda line: (say(line), kill_once(line))[0]  # type: ignore[method-assign]  # to know when
    with pytest.raises(LoadError, match="engine"):
        suite.search()
    assert measured
    recording = Recording.open(resolve(tmp_path, "latest"))
    assert recording.run.state is RunState.FAILED
    assert "engine" in " ".join(recording.run.errors)


@pytest.mark.parametrize(
    "wrong",
    [
        {"search": "guess"},
        {"sharing": "some"},
        {"scenario": "party"},
        {"client_mode": "look"},
        {"error_rate": 0.5},
        {"victim": "film"},
        {"workers": 0},
    ],
)
def test_what_cannot_be_is_refused_before_anything_starts(tmp_path: Path, wrong: dict[str, object]) -> None:
    with pytest.raises(ParameterError):
        gpu_density.Parameters(results=str(tmp_path), **wrong)
    assert not list(tmp_path.iterdir())


@pytest.mark.timeout(400)
def test_03_and_04_run_through_papermill_with_the_standard_profile_cut_short(tmp_path: Path) -> None:
    short = {
        **{name: str(value) for name, value in SMALL.items() if name not in {"max_desktops", "trials"}},
        "steady_seconds": "1.5",  # of eight windows, whose numbers nobody looks at
        "max_desktops": "2",
        "trials": "2",
        "neighbours": "1",
        "neighbour_trials": "1",
        "inputs": "2",
        "links": "4g",
        "link_seconds": "2",
    }
    options = [word for name, value in short.items() for word in ("-p", name, value)]
    done = vdibench("run", "03", "04", "--no-selftest", "--profile", "standard", *options, cwd=tmp_path, timeout=380)
    # Seconds are too few for its objectives, and how busy this machine is decides whether they count at all.
    assert done.returncode in {0, 97, 98, 99}, done.stderr
    assert "verdict: " in done.stdout.splitlines()[-1]
    recording = Recording.open(resolve(tmp_path / "results", "latest"))
    assert recording.run.state is RunState.FINISHED, recording.run.errors
    assert {"latency_under_load", "gpu_density", "noisy_neighbour"} <= set(recording.table("frames").suite)
    inputs = recording.table("inputs").query("suite == 'latency_under_load' and phase == 'steady'")
    assert inputs.groupby(["level", "session"]).size().index.tolist() == [
        (1, "desktop-0"),
        (2, "desktop-0"),
        (2, "desktop-1"),
    ]
    assert inputs.photon_unix_seconds.notna().mean() > 0.8


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_search_that_is_ended_keeps_its_samples_and_leaves_no_process(tmp_path: Path, number: signal.Signals) -> None:
    options = [word for name, value in (SMALL | {"steady_seconds": 90.0}).items() for word in ("-p", name, str(value))]
    process = start("run", "04", "--no-selftest", *options, cwd=tmp_path)
    try:
        folder = await_steady(tmp_path / "results", process)
        tree = psutil.Process(process.pid).children(recursive=True)
        assert [one for one in tree if "vdibench.load.engine" in " ".join(one.cmdline())]
        process.send_signal(number)
        process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()
    _, left = psutil.wait_procs(tree, timeout=30)
    assert not left, [one.cmdline() for one in left]
    recording = Recording.open(folder)
    assert recording.run.state is RunState.INTERRUPTED
    assert (recording.table("frames").phase == "steady").sum() > 20
    assert recording.verdict.outcome is Outcome.NO_DATA
