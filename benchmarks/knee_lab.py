"""The knee of a real host, by the search and by a full sweep, on the same desktops.

``python benchmarks/knee_lab.py`` brings one lab up, finds how many of its desktops this machine carries: by the search
and by a sweep of every level until one is bad, each in a run of its own, and writes
``docs/results/knee-lab.md`` and ``knee-lab.json``. Loopback only; a quarter of an hour on two cores. Exits 98
when a run found no knee: then nothing was compared.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]

from results import RESULTS, provenance, write
from vdibench.analysis import Knee
from vdibench.analysis.limits import limits
from vdibench.errors import NoData
from vdibench.lab import DesktopSpec, Lab, LabSpec
from vdibench.metrics import Statistic, chosen, values
from vdibench.records import Display, Workload
from vdibench.store import Recording
from vdibench.suites import gpu_density

_NAME = f"knee-{os.getpid()}"
_G2G, _P95 = "glass_to_glass_seconds", Statistic.parse("p(95)")


@dataclass
class Found:
    """What one run of the suite gave.

    :param lower: of the knee; None when no level was decided.
    :param trials: good sessions of each trial by level, in the order made.
    :param cores: in use at each level on average: host, desktops, measuring side.
    :param waiting: share of the time at each level in which some task waited for a core; NaN where nobody counts it.
    :param p95: of glass-to-glass latency at each level, in seconds.
    """

    way: str
    load_average: float
    seconds: float = 0.0
    lower: int | None = None
    upper: int | None = None
    course: tuple[int, ...] = ()
    trials: dict[int, list[int]] = field(default_factory=dict)
    cores: dict[int, tuple[float, float, float]] = field(default_factory=dict)
    waiting: dict[int, float] = field(default_factory=dict)
    p95: dict[int, float] = field(default_factory=dict)
    limit: str = ""
    invalid: tuple[str, ...] = ()


def find(way: str, options: argparse.Namespace, results: Path) -> Found:
    """One run of the suite on the lab."""
    outcome = Found(way, os.getloadavg()[0])
    began = time.monotonic()
    suite = gpu_density.GpuDensity(
        gpu_density.Parameters(
            target=f"lab:{_NAME}",
            results=str(results),
            width=options.width,
            height=options.height,
            framerate=options.framerate,
            bitrate_bps=options.bitrate,
            workload=options.workload,
            max_desktops=options.desktops,
            search=way,
            trials=options.trials if way == "sequential" else options.sweep_trials,
            warmup_seconds=options.warmup,
            steady_seconds=options.steady,
        )
    )
    suite.search()
    knee, recording = suite.knee, suite.measurement.tables()
    outcome.seconds = time.monotonic() - began
    verdict = suite.measurement.judge()
    outcome.invalid = verdict.reasons if verdict.outcome == "invalid" else ()
    if knee is not None:
        take(outcome, knee, recording)
    print(f"{way}: {_knee(outcome)}, {len(outcome.course)} trials", file=sys.stderr)
    return outcome


def take(outcome: Found, knee: Knee, recording: Recording) -> None:
    """What the tables of a run say of each level."""
    tables = recording.tables
    outcome.lower, outcome.upper = knee.lower, knee.upper
    made = [(trial.at or 0.0, level.level) for level in knee.levels for trial in level.trials]
    outcome.course = tuple(level for _, level in sorted(made))
    outcome.limit = limits(tables, knee, recording.run.host).sentence
    for level in knee.levels:
        outcome.trials[level.level] = [trial.good for trial in level.trials]
        late = _P95.of(values(_G2G, tables, suite=gpu_density.SUITE, level=level.level))
        outcome.p95[level.level] = float("nan") if late is None else late
        rows = chosen(tables["resources"], suite=gpu_density.SUITE, level=level.level)
        means = rows[rows["resource"] == "cpu_cores"].groupby("session")["value"].mean()
        outcome.waiting[level.level] = float(rows.loc[rows["resource"] == "cpu_waiting_ratio", "value"].mean())
        desktops = sum(value for scope, value in means.items() if str(scope).startswith("desktop-"))
        outcome.cores[level.level] = (means.get("host", 0.0), desktops, means.get("client", 0.0))


_ABOUT = (
    "{desktops} lab desktops of {width}×{height} at {framerate} frames per second, workload {workload}, {megabits:g} "
    "Mbit/s, software encoder, {sound}, on the host that also runs the load generator (one Locust worker, one engine, "
    "every frame decoded). A good session: p95 of glass-to-glass below 150 ms, p5 of frames per second above "
    "{enough:g}. A trial: {warmup:g} s to warm up, {steady:g} s that count. The runs came one after the other on the "
    "same desktops."
)
_LEGEND = (
    "Good sessions of each trial, commas between trials; p95 of glass-to-glass, cores in use (host / desktops / "
    "measuring side) and the share of the time in which some task waited for a core (PSI), from the sweep where it "
    "came that far, else from a search:"
)
_REMARK = (
    "Desktops that nobody watches idle beside the level and take about a hundredth of a core each. The load "
    "generator's own processor time belongs to the knee of such a host: desktops alone would be a few more."
)


def page(runs: list[Found], options: argparse.Namespace, where: dict[str, Any]) -> str:
    """The page of results."""
    sweep = next(run for run in runs if run.way == "sweep")
    searches = [run for run in runs if run.way != "sweep"]
    host = f"{where['host']['cpu_model']}, {where['host']['cpu_cores_usable']:g} cores, no GPU"
    sound = "with sound" if options.audible else "no sound"
    about = _ABOUT.format(**vars(options), megabits=options.bitrate / 1e6, enough=0.8 * options.framerate, sound=sound)
    columns = ("level", "sweep", *(f"search {number + 1}" for number in range(len(searches))), "p95", "cores", "waited")
    courses = "; ".join(" ".join(map(str, run.course)) for run in searches)
    lines = [
        "# The knee of a lab: search against full sweep",
        "",
        f"Measured {where['date']} by `python benchmarks/knee_lab.py` on {host}: {about}",
        "",
        "| | knee | trials | levels | seconds | load average before |",
        "|---|---|---|---|---|---|",
        *map(_run_row, runs),
        "",
        f"**{_agreement(runs)}** (the goal: at most 1 level apart). The levels that the searches tried, in order: "
        f"{courses or 'none'}.",
        "",
        _LEGEND,
        "",
        f"| {' | '.join(columns)} |",
        "|---" * len(columns) + "|",
        *(_level_row(level, [sweep, *searches]) for level in sorted({level for run in runs for level in run.trials})),
        "",
        *(f"- {run.way}: {run.limit}" for run in runs if run.limit),
        "",
    ]
    invalid = [f"- {run.way}: {reason}" for run in runs for reason in run.invalid]
    if invalid:
        lines += ["The guard refuses some of these numbers:", "", *invalid, ""]
    return "\n".join([*lines, _REMARK, ""])


def apart(runs: list[Found]) -> int | None:
    """Levels between the lower bound of the sweep and that of the search furthest from it; None without a knee."""
    sweeps, searches = ([run.lower for run in runs if (run.way == "sweep") is sweep] for sweep in (True, False))
    known = [lower for lower in searches if lower is not None]
    if not sweeps or sweeps[0] is None or not known or len(known) < len(searches):
        return None
    return max(abs(lower - sweeps[0]) for lower in known)


def _agreement(runs: list[Found]) -> str:
    levels = apart(runs)
    if levels is None:
        return f"No data: no knee was found by {', '.join(run.way for run in runs if run.lower is None)}"
    return f"Search and sweep lie {levels} level{'s' * (levels != 1)} apart"


def _knee(run: Found) -> str:
    if run.lower is None:
        return "no data"
    if run.upper is None:
        return f"{run.lower} … more"
    return str(run.lower) if run.upper == run.lower else f"{run.lower} … {run.upper}"


def _run_row(run: Found) -> str:
    knee = _knee(run)
    counts = f"{len(run.course)} | {len(run.trials)} | {run.seconds:.0f} | {run.load_average:.1f}"
    return f"| {run.way} | {knee} | {counts} |"


def _level_row(level: int, runs: list[Found]) -> str:
    source = next(run for run in runs if level in run.trials)
    told = " | ".join(", ".join(map(str, run.trials.get(level, ()))) or "–" for run in runs)
    cores = " / ".join(f"{value:.2f}" for value in source.cores[level])
    return f"| {level} | {told} | {source.p95[level] * 1e3:.0f} ms | {cores} | {source.waiting[level]:.0%} |"


def main() -> None:
    """Measure and write."""
    line = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    line.add_argument("--desktops", type=int, default=24, help="largest level")
    line.add_argument("--width", type=int, default=640)
    line.add_argument("--height", type=int, default=360)
    line.add_argument("--framerate", type=int, default=15)
    line.add_argument("--bitrate", type=int, default=1_000_000)
    line.add_argument("--workload", default="video", choices=[str(item) for item in Workload])
    line.add_argument(
        "--audible", action="store_true", help="with sound, which costs a lab desktop as much as the video"
    )
    line.add_argument("--trials", type=int, default=6, help="of a level, at most, in a search")
    line.add_argument("--searches", type=int, default=1, help="one before the sweep, the rest after it")
    line.add_argument("--sweep-trials", type=int, default=5)
    line.add_argument("--warmup", type=float, default=1.5)
    # Beside six others a desktop stalls for a third of a second about every two minutes. Of five seconds p5 of the
    # frame rate is the worst one, so that each such stall is a bad session; of twenty it is not.
    line.add_argument("--steady", type=float, default=20.0)
    line.add_argument("--results", type=Path, help="keep the runs here")
    line.add_argument("--output", type=Path, default=RESULTS)
    options = line.parse_args()
    where = provenance()
    ways = ("sequential", "sweep", *["sequential"] * (options.searches - 1))
    spec = DesktopSpec(
        display=Display(options.width, options.height, options.framerate),
        workload=Workload(options.workload),
        bitrate_bps=options.bitrate,
        audible=options.audible,
    )
    with (
        tempfile.TemporaryDirectory() as scratch,
        Lab.up(LabSpec((spec,) * options.desktops), name=_NAME, owned=True, timeout_seconds=180),
    ):
        results = options.results or Path(scratch)
        runs = [find(way, options, results) for way in ways]
    document = {
        **where,
        "options": vars(options) | {"results": "", "output": ""},
        "runs": [asdict(run) for run in runs],
    }
    write(options.output, "knee-lab", document, page(runs, options, where))
    if apart(runs) is None:
        sys.exit(NoData.exit_code)


if __name__ == "__main__":
    main()
