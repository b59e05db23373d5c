"""How often ``vdibench compare`` is wrong: false alarms between equals, and a known change that must be found.

``python benchmarks/comparison_errors.py`` makes pairs of real runs of equal desktops (each run a fresh lab, a few short
sessions), more runs whose packets are held for 10 ms by a relay, and simulated sides with the correlation of real
frames; compares them as the command does and writes ``docs/results/comparison.md`` and ``comparison.json``. Loopback
and this machine's own addresses only, bounded in count and time.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]

import numpy as np
from comparison_simulation import (
    BEYOND,
    INJECTED_SECONDS,
    LIMIT,
    SIMULATED_FRAMES,
    SIMULATED_SESSIONS,
    STATISTICS,
    WITHIN,
    simulate,
)

from results import RESULTS, provenance, write
from vdibench.analysis.clusters import Side
from vdibench.analysis.comparison import ALPHA, Comparison, Difference, Finding, compare, differences
from vdibench.analysis.regressions import parse_wanted
from vdibench.client import DesktopSession, SessionOptions
from vdibench.lab import DesktopSpec, Lab, LabSpec
from vdibench.links import Relay, profile
from vdibench.metrics import Statistic, values
from vdibench.recorder import Place, Recorder
from vdibench.records import Desktop, Display, Outcome, Run, RunState, SuiteVerdict
from vdibench.selkies import Role
from vdibench.store import Recording, RunFolder
from vdibench.telemetry import Sampler, host_facts, versions

SUITE = "latency_under_load"
DELAYED = f"down.delay={INJECTED_SECONDS * 1e3:g}ms"
_DISPLAY, _BITRATE = Display(640, 360, 15), 1_000_000
# Beyond it, latencies say more of this host than of the desktop; suites call such a run invalid.
MAX_LATE_SECONDS = 0.05
_WARM_UP_SECONDS = 0.4
_LONGEST_RUN_SECONDS = 120
_KEY = ("glass_to_glass_seconds", "draw_to_arrival_seconds", "capture_to_arrival_seconds")


async def sessions(
    desktops: Sequence[Desktop], recorder: Recorder, link: str, trials: int, seconds: float, relay: Relay
) -> None:
    """Watch all desktops together, ``trials`` times, every connection a new one."""
    for trial in range(trials):
        recorder.move(level=len(desktops), trial=trial, phase="warmup")
        watched = [
            DesktopSession(
                desktop,
                recorder,
                SessionOptions(role=Role.CONTROLLER, route=relay.route(profile(link)), compare_clocks=False),
            )
            for desktop in desktops
        ]

        async def ready(session: DesktopSession) -> None:
            await session.connect()
            await session.first_frame()
            await session.watch(_WARM_UP_SECONDS)

        try:
            await asyncio.gather(*(ready(session) for session in watched))
            recorder.move(phase="steady")
            await asyncio.gather(*(session.watch(seconds) for session in watched))
            recorder.move(phase="warmup")
            for session in watched:
                same = {"unix_seconds": time.time(), "offset_seconds": 0.0, "bound_seconds": 0.0, "source": "same host"}
                recorder.row(session.desktop.id, "clock", same)
        finally:
            await asyncio.gather(*(session.leave() for session in watched))


def measure(root: Path, link: str, arguments: argparse.Namespace) -> Path:
    """One run of a fresh lab, all packets through a relay with ``link``; its folder."""
    run = Run(
        name="",
        suite=SUITE,
        profile="comparison",
        target="lab",
        started_unix_seconds=time.time(),
        parameters={SUITE: {"width": _DISPLAY.width, "height": _DISPLAY.height, "framerate": _DISPLAY.framerate}},
        context={"target": "lab", "dialect": "selkies-2-webrtc", "link": link, "clock_bound_seconds": 0.0},
        host=host_facts(),
        versions=versions(),
    )
    folder = RunFolder.create(root, run)
    spec = LabSpec(desktops=(DesktopSpec(display=_DISPLAY, bitrate_bps=_BITRATE),) * arguments.desktops)
    with Lab.up(spec, owned=True) as lab, Relay() as relay:
        recorder = Recorder(folder, Place(SUITE))
        with Sampler(lab.desktops, emit=recorder.resources):
            asyncio.run(sessions(lab.desktops, recorder, link, arguments.trials, arguments.seconds, relay))
    folder.write_verdict(SuiteVerdict(SUITE, Outcome.PASS))
    folder.finish(RunState.FINISHED)
    folder.close()
    return folder.path


def measure_apart(root: Path, link: str, arguments: argparse.Namespace) -> Path | None:
    """:func:`measure` in a process of its own, as every run of vdibench is one; None where it failed.

    What the measuring process keeps from one run to the next would be a difference between them.
    """
    options = ("--desktops", arguments.desktops, "--trials", arguments.trials, "--seconds", arguments.seconds)
    done = subprocess.run(
        [sys.executable, __file__, "--one", link, "--runs", root, *map(str, options)],
        stdout=subprocess.PIPE,
        text=True,
        timeout=_LONGEST_RUN_SECONDS,
        check=False,
    )
    return None if done.returncode else Path(done.stdout.strip())


def in_time(run: Recording) -> bool:
    """Whether the measuring client kept up with the desktops."""
    late = Statistic.parse("p(95)").of(values("decode_seconds", run.tables, suite=SUITE))
    return late is not None and late < MAX_LATE_SECONDS


def await_calm(most_load: float, until: float) -> bool:
    """Wait for a load average below ``most_load``; False when it has not come at ``until``, monotonic."""
    while os.getloadavg()[0] > most_load:
        if time.monotonic() > until:
            return False
        time.sleep(2)  # the average itself moves every five seconds
    return True


def halves(path: Path) -> list[Difference]:
    """The even trials of a run against its odd ones."""
    tables = Recording.open(path).tables
    sides = [Side([{name: rows[rows["trial"] % 2 == half] for name, rows in tables.items()}]) for half in (0, 1)]
    return differences(sides[0], sides[1], [SUITE])


def alarms(found: Sequence[Difference]) -> list[str]:
    """What was called different, with its corrected p."""
    changed = [one for one in found if one.finding in (Finding.WORSE, Finding.BETTER)]
    return [f"{one.metric} {one.statistic}: {one.finding}, p {one.p_corrected:.2g}" for one in changed]


def opened(paths: Sequence[Path]) -> list[Recording]:
    """Runs to read."""
    return [Recording.open(path) for path in paths]


def measure_all(root: Path, arguments: argparse.Namespace) -> None:
    """Equal runs, and among them some with the delay, so that what drifts on this host meets both."""
    until = time.monotonic() + arguments.most_seconds
    wanted = {"direct": 2 * arguments.pairs, DELAYED: arguments.delayed}
    made = dict.fromkeys(wanted, 0)
    while any(made[link] < count for link, count in wanted.items()):
        link = min(wanted, key=lambda one: made[one] / max(wanted[one], 1e-9))
        if time.monotonic() > until or not await_calm(arguments.most_load, until):
            print("time is up", file=sys.stderr)
            break
        folder = measure_apart(root, link, arguments)
        made[link] += folder is not None and in_time(Recording.open(folder))
        print(f"{made} of {wanted}, load {os.getloadavg()[0]:.1f}", file=sys.stderr)


def analyse(root: Path) -> dict[str, Any]:
    """What comparing says of the runs in a folder."""
    runs = [Recording.open(path) for path in sorted(root.iterdir()) if (path / "run.json").exists()]
    finished = [run for run in runs if run.run.state is RunState.FINISHED]
    usable = [run for run in finished if in_time(run)]
    equal = [run.folder for run in usable if run.run.context["link"] == "direct"]
    slow = [run.folder for run in usable if run.run.context["link"] == DELAYED]
    loads = [run.run.host["load_average_1m"] for run in usable]
    frames = usable[0].table("frames")
    steady = frames[frames["phase"] == "steady"].groupby(["trial", "session"])["arrival_unix_seconds"]
    pairs = [compare(opened(equal[at : at + 1]), opened(equal[at + 1 : at + 2])) for at in range(0, len(equal) - 1, 2)]
    asked = [parse_wanted(f"{metric} p50") for metric in _KEY]
    found = [
        compare(opened(equal[at : at + 1]), opened([path]), varied=["link"], wanted=asked)
        for at, path in enumerate(slow)
    ]
    split = [halves(path) for path in (*equal, *slow)]
    groups = [equal[at : at + 3] for at in range(0, len(equal) - 2, 3)]
    by_runs = [compare(opened(groups[at]), opened(groups[at + 1])) for at in range(0, len(groups) - 1, 2)]
    some = equal[: len(slow)]
    runs_slow = compare(opened(some), opened(slow), varied=["link"], wanted=asked) if len(slow) >= 3 else None
    return {
        "seconds": sum((run.run.ended_unix_seconds or 0) - run.run.started_unix_seconds for run in finished),
        "load_average_1m": [min(loads), float(np.median(loads)), max(loads)],
        "runs": len(usable),
        "late": len(finished) - len(usable),
        "sessions_a_run": len(steady),
        "steady_seconds": float((steady.max() - steady.min()).median()),
        "comparisons_a_pair": sorted({sum(d.p_corrected is not None for d in one.differences) for one in pairs}),
        "halves": len(split),
        "false_alarms_of_halves": [said for one in split if (said := alarms(one))],
        "pairs": len(pairs),
        "false_alarms": [said for one in pairs if (said := alarms(one.differences))],
        "pairs_of_three_runs": len(by_runs),
        "false_alarms_of_three_runs": [said for one in by_runs if (said := alarms(one.differences))],
        "itself": alarms(compare(opened(equal[:1]), opened(equal[:1])).differences) if equal else [],
        "delayed": [_injected(one) for one in found],
        "delayed_by_runs": None if runs_slow is None else _injected(runs_slow),
        "session_p95_spread_seconds": _spread(equal),
    }


def _injected(found: Comparison) -> dict[str, Any]:
    return {
        one.metric: {
            "delta_seconds": one.delta,
            "low": one.low,
            "high": one.high,
            "p": one.p,
            "p_corrected": one.p_corrected,
            "finding": str(one.finding),
            "units": list(one.units),
            "of": one.unit_of,
        }
        for one in found.differences
        if one.metric in _KEY and one.base is not None
    }


def _spread(folders: Sequence[Path]) -> dict[str, float]:
    """Standard deviation of sessions' p95 within runs, and of runs' means: what the two units must cover."""
    by_run = []
    for path in folders:
        frames = Recording.open(path).table("frames")
        frames = frames[(frames["phase"] == "steady") & ~frames["marker_repeated"]]
        taken = frames.assign(g2g=frames["decoded_unix_seconds"] - frames["marker_unix_seconds"]).dropna(subset=["g2g"])
        by_run.append(taken.groupby(["trial", "session"])["g2g"].quantile(0.95).to_numpy())
    return {
        "between_sessions": float(np.sqrt(np.mean([one.var(ddof=1) for one in by_run]))),
        "between_runs": float(np.std([one.mean() for one in by_run], ddof=1)),
    }


def page(document: dict[str, Any], command: str) -> str:
    """The page."""
    host, told = document["host"], document.get("real")
    lines = [
        "# How often a comparison is wrong",
        "",
        f"Made {document['date']} by `{command}` on {host['cpu_model']}, {host['cpu_cores']} cores, no GPU. "
        "Why it is done so: [comparison](../design/comparison.md).",
        "",
        *(_real_lines(told) if told else []),
        "## Simulated",
        "",
        f"{document['simulated_pairs']} pairs of equal sides a row. A trial has {SIMULATED_SESSIONS} sessions, a "
        f"session {SIMULATED_FRAMES} correlated, skewed frames with rare bursts; each session, and each trial for all "
        "of its sessions, has an offset drawn with the spread given. *Alarms*: share of pairs with "
        f"p < {ALPHA:g}, uncorrected; {ALPHA:.0%} is what is promised. *Found*: share of pairs with 10 ms added to one "
        f'side whose p95 is found larger with p < 0.01. *Failed*: share of pairs that fail `--fail "{LIMIT.text}"` '
        f"where the true loss is {WITHIN:.1%} (at most {ALPHA:.0%} is what is promised) and {BEYOND:.0%}. With 1 and "
        "2 trials p comes from blocks in time and holds for these sessions only: `compare` calls all of it "
        "*undecided*, and limits have no p.",
        "",
        "| trials a side | spread | p from | alarms p50 | alarms p95 | alarms mean | p < 0.01 | "
        f"95 % intervals with the truth | 10 ms found | failed at +{WITHIN:.1%} | failed at +{BEYOND:.0%} |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in document["simulated"]:
        lines.append(
            f"| {row['trials']} | {1e3 * row['spread_seconds']:g} ms | {row['method']} | "
            + " | ".join(f"{row[f'alarms_{text}']:.1%}" for text in STATISTICS)
            + f" | {row['alarms_at_0.01']:.1%} | {row['intervals_with_truth']:.1%} | {row['found_10ms_at_0.01']:.0%} "
            f"| {row['failed_within_limit']:.1%} | {row['failed_beyond_limit']:.0%} |"
        )
    return "\n".join(lines) + "\n"


def _real_lines(told: dict[str, Any]) -> list[str]:
    low, middle, high = told["load_average_1m"]
    spread = told["session_p95_spread_seconds"]
    counts = " to ".join(
        str(count) for count in sorted({*told["comparisons_a_pair"][:1], *told["comparisons_a_pair"][-1:]})
    )
    lines = [
        "## Real runs",
        "",
        f"{told['runs']} runs, each a process and a lab of its own, {_DISPLAY}, {told['sessions_a_run']} sessions of "
        f"{told['steady_seconds']:.1f} s steady, in {told['seconds'] / 60:.1f} minutes. The host did other work: its "
        f"load average was {low:.1f} to {high:.1f} before the runs, median {middle:.1f}; {told['late']} runs whose "
        f"decoder was late by more than {1e3 * MAX_LATE_SECONDS:g} ms (p95) are left out, as invalid ones. All packets "
        "went through a relay. The p95 of glass-to-glass has a standard deviation of "
        f"{1e3 * spread['between_sessions']:.1f} ms between the sessions of a run; the runs' means have one of "
        f"{1e3 * spread['between_runs']:.1f} ms.",
        "",
        "| what | result |",
        "|---|---|",
        f"| a run with itself | {len(told['itself'])} differences |",
        f"| {told['pairs']} pairs of equal runs, {counts} comparisons each | "
        f"{len(told['false_alarms'])} false alarms |",
        f"| the even trials of each run against its odd ones, {told['halves']} pairs | "
        f"{len(told['false_alarms_of_halves'])} false alarms |",
        f"| {told['pairs_of_three_runs']} pairs of three equal runs a side | "
        f"{len(told['false_alarms_of_three_runs'])} false alarms |",
        "",
    ]
    every = [*told["false_alarms"], *told["false_alarms_of_halves"], *told["false_alarms_of_three_runs"]]
    if every:
        lines += [f"False alarms: {'; '.join(' and '.join(said) for said in every)}.", ""]
    lines += [
        f"{1e3 * INJECTED_SECONDS:g} ms injected towards the client, p50, one run against one and all against as many:",
        "",
        "| pair | metric | change | 95 % interval | p | p corrected | finding |",
        "|---|---|---|---|---|---|---|",
    ]
    by_run = [("runs", told["delayed_by_runs"])] if told["delayed_by_runs"] else []
    for name, pair in [*((str(number + 1), one) for number, one in enumerate(told["delayed"])), *by_run]:
        for metric, one in pair.items():
            change, low, high = (f"{1e3 * one[key]:+.1f}" for key in ("delta_seconds", "low", "high"))
            lines.append(
                f"| {name} ({one['units'][0]} + {one['units'][1]} {one['of']}) | {metric} | {change} ms "
                f"| {low} … {high} ms | {one['p']:.2g} | {one['p_corrected']:.2g} | {one['finding']} |"
            )
    return [*lines, ""]


def main() -> None:
    """Measure, compare, simulate, write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pairs", type=int, default=20, help="pairs of equal real runs; 0: those in --runs")
    parser.add_argument("--delayed", type=int, default=3, help="runs with the delay")
    parser.add_argument("--desktops", type=int, default=2, help="desktops of a run")
    parser.add_argument(
        "--trials", type=int, default=6, help="times that a run connects to each of them: halves need 3 each"
    )
    parser.add_argument("--seconds", type=float, default=1.2, help="seconds watched by each session")
    parser.add_argument("--most-load", type=float, default=1.5, help="wait for a load average below it")
    parser.add_argument("--one", metavar="LINK", help="make one run over this link, print its folder and end")
    parser.add_argument("--most-seconds", type=float, default=600, help="start no real run after so many")
    parser.add_argument("--simulated", type=int, default=100, help="simulated pairs a row; 0: those of before")
    parser.add_argument("--runs", type=Path, help="keep the real runs there")
    parser.add_argument("--into", type=Path, default=RESULTS, help="folder for page and numbers")
    arguments = parser.parse_args()
    if arguments.one:
        print(measure(arguments.runs, arguments.one, arguments))
        return
    document: dict[str, Any] = provenance()
    before = arguments.into / "comparison.json"
    known = json.loads(before.read_text()) if before.exists() else {}
    with tempfile.TemporaryDirectory() as temporary:
        root = arguments.runs or Path(temporary)
        if arguments.pairs:
            measure_all(root, arguments)
        if arguments.pairs or arguments.runs:
            document["real"] = analyse(root)
        elif "real" in known:
            document["real"] = known["real"]
    if arguments.simulated:
        document |= {"simulated_pairs": arguments.simulated, "simulated": simulate(arguments.simulated)}
    else:
        document |= {name: known.get(name, []) for name in ("simulated_pairs", "simulated")}
    write(arguments.into, "comparison", document, page(document, "python benchmarks/comparison_errors.py"))


if __name__ == "__main__":
    main()
