"""Half an hour of a hundred sessions: does memory stay flat, and is every frame that was sent accounted for?

``python benchmarks/soak.py`` (``make soak``) replays a recorded desktop from one process to users of a load: Locust, a
worker and its engine, which writes every sample into a run folder. It writes ``docs/results/soak.md`` and ``.json``;
exit status 1 says that memory grew or a record was lost, 97 that the machine was too busy for the load that was meant.
Loopback and this machine's own addresses only. The run folder takes some hundred megabytes of the temporary folder and
is removed at the end.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]

import numpy as np
import psutil
from scipy import stats

from results import RESULTS, provenance, write
from vdibench.client import Mode
from vdibench.errors import RunInvalid, VdibenchError
from vdibench.load.driver import LoadDriver, LoadOptions
from vdibench.records import Desktop, Endpoint, Run, RunState
from vdibench.replay.process import ReplayServer
from vdibench.replay.traces import LabTrace, cached_trace
from vdibench.store import RunFolder
from vdibench.store.parts import decode, list_parts

GROWTH_RATIO = 0.02
_STEP_SECONDS = 5.0
# Buffers, pools and caches fill before memory is expected to stay.
_WARM_UP_SHARE, _WARM_UP_SECONDS = 0.25, 300.0
# What is on its way when the last departures are read.
_DRAIN_SECONDS = 1.0
_SAY_SECONDS = 60.0
# A replay that sends less loads less.
_ENOUGH = 0.95


# what is watched meanwhile


@dataclass
class Watch:
    """Memory and processor of both processes, and what left, every few seconds."""

    pids: dict[str, list[int]]
    seconds: list[float] = field(default_factory=list)
    rss: dict[str, list[float]] = field(default_factory=dict)
    late: list[float] = field(default_factory=list)
    load: list[float] = field(default_factory=list)
    left: dict[str, list[np.ndarray]] = field(default_factory=dict)

    def look(self, server: ReplayServer) -> None:
        """Take one reading."""
        self.seconds.append(time.monotonic())
        for name, pids in self.pids.items():
            self.rss.setdefault(name, []).append(sum(psutil.Process(pid).memory_info().rss for pid in pids))
        self.late.append(server.count()["late_seconds"])
        self.load.append(os.getloadavg()[0])
        for name, times in server.departures().items():
            self.left.setdefault(name, []).append(times.timestamps.astype(np.uint32))

    def used(self) -> dict[str, float]:
        """Processor seconds until now."""
        return {name: sum(sum(psutil.Process(pid).cpu_times()[:2]) for pid in pids) for name, pids in self.pids.items()}

    def growth(self, name: str, warm_up: float) -> dict[str, float]:
        """Growth of memory after the warm-up: line through the readings, with the 95 % interval of its slope."""
        seconds = np.array(self.seconds) - self.seconds[0]
        kept = seconds >= warm_up
        x, y = seconds[kept], np.array(self.rss[name])[kept]
        line = stats.linregress(x, y)
        span = float(x[-1] - x[0])
        half = float(stats.t.ppf(0.975, len(x) - 2) * line.stderr)
        begin = float(line.intercept + line.slope * x[0])
        return {
            "begin_bytes": begin,
            "end_bytes": float(line.intercept + line.slope * x[-1]),
            "largest_bytes": float(y.max()),
            "growth_ratio": float(line.slope) * span / begin,
            "growth_low": (float(line.slope) - half) * span / begin,
            "growth_high": (float(line.slope) + half) * span / begin,
            "readings": int(kept.sum()),
        }


# what was recorded


def _rows(folder: Path, table: str) -> Iterator[Any]:
    """The rows of a table, part by part: all of them at once would not fit."""
    parts = list_parts(folder / "samples", table)
    gone = {number for part in parts for number in decode(part)[1]}
    yield from (decode(part)[0] for part in parts if part.number not in gone)


def recorded_frames(folder: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Time stamps of the frames of each session, and which of them were complete."""
    found: dict[str, tuple[list[np.ndarray], list[np.ndarray]]] = {}
    for rows in _rows(folder, "frames"):
        coded = rows.column("session").combine_chunks().dictionary_encode()
        codes = coded.indices.to_numpy(zero_copy_only=False)
        stamps = rows.column("rtp_timestamp").to_numpy().astype(np.uint32)
        whole = rows.column("complete").to_numpy(zero_copy_only=False)
        for code, name in enumerate(coded.dictionary.to_pylist()):
            own = codes == code
            mine = found.setdefault(name, ([], []))
            mine[0].append(stamps[own])
            mine[1].append(whole[own])
    return {name: (np.concatenate(stamps), np.concatenate(whole)) for name, (stamps, whole) in found.items()}


def lost_packets(folder: Path, since: float) -> dict[str, tuple[int, int]]:
    """Packets that each session lost from an instant on, and those of them that this host's sockets threw away.

    Counters begin with the session: what they said last before ``since`` is taken off. A loss can be negative, when
    packets that were given up come after all.
    """
    first: dict[str, tuple[float, int, int]] = {}
    last: dict[str, tuple[float, int, int]] = {}
    for rows in _rows(folder, "network"):
        columns = (
            rows.column(name).to_pylist() for name in ("session", "unix_seconds", "packets_lost", "socket_drops")
        )
        for session, instant, lost, drops in zip(*columns, strict=True):
            reading = (instant, int(lost), int(drops))
            last[session] = max(last.get(session, reading), reading)
            if instant <= since:
                first[session] = max(first.get(session, reading), reading)
    nothing = (0.0, 0, 0)
    return {
        session: (lost - first.get(session, nothing)[1], drops - first.get(session, nothing)[2])
        for session, (_, lost, drops) in last.items()
    }


def settle(sent: np.ndarray, stamps: np.ndarray, whole: np.ndarray, lost: int) -> dict[str, int]:
    """Hold the frames that left for one session against its records.

    A frame that is not there lost a packet at least, and so did one that is incomplete: of both together, as many as
    packets were lost are accounted for, and the rest are the recorder's. That is the least it can have lost: frames of
    many packets excuse more than they should.

    :param sent: RTP time stamps.
    :param stamps: of what was recorded, and ``whole``, which of it is complete.
    :param lost: packets; fewer than none excuse nothing.
    """
    mine = np.isin(stamps, sent)
    vanished = int((~np.isin(sent, stamps)).sum())
    incomplete = len(np.unique(stamps[mine & ~whole]))
    return {
        "sent": len(sent),
        "recorded": len(sent) - vanished,
        "incomplete": incomplete,
        "vanished": vanished,
        "unaccounted": max(0, vanished + incomplete - max(0, lost)),
        "twice": len(stamps) - len(np.unique(stamps)),
    }


def account(watch: Watch, folder: Path, since: float) -> dict[str, Any]:
    """Hold every frame that left against what was recorded, session by session; none makes up for another.

    :param since: unix seconds at which the first of those frames left.
    """
    left = {name: np.concatenate(found) for name, found in watch.left.items()}
    counters = lost_packets(folder, since)
    totals: dict[str, int] = {}
    strangers = 0
    for name, (stamps, whole) in recorded_frames(folder).items():
        shared = {server: int(np.isin(sent, stamps).sum()) for server, sent in left.items()}
        server = max(shared, key=lambda one: shared[one], default="")
        if not shared.get(server):
            strangers += 1
            continue
        lost, drops = counters.get(name, (0, 0))
        found = settle(left.pop(server), stamps, whole, lost) | {"sessions": 1}
        for key, value in (found | {"packets_lost": lost, "socket_drops": drops}).items():
            totals[key] = totals.get(key, 0) + value
    keys = ("sent", "recorded", "incomplete", "vanished", "unaccounted", "twice", "packets_lost", "socket_drops")
    return {**dict.fromkeys((*keys, "sessions"), 0), **totals, "unmatched": len(left) + strangers}


def measure(arguments: argparse.Namespace, say: Callable[[str], None]) -> dict[str, Any]:
    """Everything, in base units."""
    trace = arguments.trace or cached_trace(LabTrace(), say)
    # No user is to give up because this machine had something else to do for some seconds.
    options = LoadOptions(mode=Mode.METER, connect_timeout_seconds=60.0, stall_seconds=30.0)
    with tempfile.TemporaryDirectory(prefix="vdibench-soak-") as scratch, ReplayServer(trace, log=True) as server:
        run = Run(
            name="", suite="soak", profile="soak", target=f"replay:{trace.name}", started_unix_seconds=time.time()
        )
        folder = RunFolder.create(Path(scratch), run)
        folder.update(context={"synthetic": True})
        desktops = [
            Desktop(f"desktop-{number}", Endpoint(server.url), dialect=str(server.dialect))
            for number in range(arguments.sessions)
        ]
        with LoadDriver(folder.path, desktops, options, suite="soak", say=say) as driver:
            driver.move(level=arguments.sessions, trial=0, phase="warmup")
            say(f"connecting {arguments.sessions} sessions")
            _refuse(driver.scale(arguments.sessions))
            driver.move(level=arguments.sessions, trial=0, phase="steady")
            watch = Watch({name: pids for name, pids in driver.pids.items() if pids} | {"replay": [server.pid]})
            used, before, began = watch.used(), server.count(), time.monotonic()
            server.departures()  # what left while they connected is not judged
            since = time.time()
            said = 0.0
            while (passed := time.monotonic() - began) < arguments.seconds:
                watch.look(server)
                if passed - said >= _SAY_SECONDS:
                    said = passed
                    say(f"{passed:.0f} s: engine {watch.rss['engines'][-1] / 2**20:.1f} MiB, load {watch.load[-1]:.1f}")
                _refuse(driver.hold(min(_STEP_SECONDS, max(0.1, arguments.seconds - passed))))
            watch.look(server)
            after, seconds = server.count(), time.monotonic() - began
            cores = {name: (cpu - used[name]) / seconds for name, cpu in watch.used().items()}
            _refuse(driver.hold(_DRAIN_SECONDS))
            lag = [one.loop_lag_p99_seconds for one in driver.seconds]
        folder.finish(RunState.FINISHED)
        say("holding what was recorded against what was sent")
        warm_up = min(_WARM_UP_SECONDS, _WARM_UP_SHARE * arguments.seconds)
        size = sum(path.stat().st_size for path in folder.path.rglob("*") if path.is_file())
        return {
            **provenance(),
            "source": server.description,
            "sessions": arguments.sessions,
            "seconds": seconds,
            "warm_up_seconds": warm_up,
            "packets_per_second": (after["packets"] - before["packets"]) / seconds / arguments.sessions,
            "nominal_packets_per_second": server.packets_per_second,
            "refused": after["refused"] - before["refused"],
            "native_sender": after["native"],
            "cores": cores,
            "late_seconds_max": max(watch.late),
            "late_seconds_p95": float(np.percentile(watch.late, 95)),
            "loop_lag_p99_seconds": [float(np.nanpercentile(lag, share)) for share in (50, 99, 100)],
            "load_average": [float(f(watch.load)) for f in (min, np.mean, max)],
            "run_folder_bytes": size,
            "memory": {name: watch.growth(name, warm_up) for name in watch.pids},
            "frames": account(watch, folder.path, since),
        }


def _refuse(failures: dict[str, VdibenchError]) -> None:
    """A session that failed ends the soak.

    :raises RunInvalid: there is one.
    """
    for desktop, error in failures.items():
        raise RunInvalid(f"{len(failures)} sessions failed, {desktop} first: {error}", "run it on a quieter machine")


def page(document: dict[str, Any]) -> str:
    """The result as Markdown."""
    host, frames, cores = document["host"], document["frames"], document["cores"]
    lag, load = [1e3 * one for one in document["loop_lag_p99_seconds"]], document["load_average"]
    lines = [
        "# Soak",
        "",
        f"Measured {document['date']} by `python benchmarks/soak.py` on {host['cpu_model']}, {host['cpu_cores']} "
        f"cores: {document['sessions']} sessions (mode meter) in one engine for {document['seconds'] / 60:.1f} "
        f"minutes, synthetic: {document['source']}, {document['packets_per_second']:.0f} packets a second each, "
        f"replayed over ICE, DTLS and SRTP from a process of its own. Every sample went into a run folder of "
        f"{document['run_folder_bytes'] / 1e6:.0f} MB.",
        "",
        "| memory after the warm-up | begin | end | largest | growth, 95 % interval | at most |",
        "|---|---|---|---|---|---|",
    ]
    for name, found in document["memory"].items():
        lines.append(
            f"| {name} | {found['begin_bytes'] / 2**20:.1f} MiB | {found['end_bytes'] / 2**20:.1f} MiB "
            f"| {found['largest_bytes'] / 2**20:.1f} MiB | {100 * found['growth_ratio']:+.2f} % "
            f"({100 * found['growth_low']:+.2f} to {100 * found['growth_high']:+.2f}) "
            f"| {f'{100 * GROWTH_RATIO:.0f} %' if name == 'engines' else ''} |"
        )
    lines += [
        "",
        f"A line through one reading every {_STEP_SECONDS:g} s, n = {document['memory']['engines']['readings']}, from "
        f"{document['warm_up_seconds']:.0f} s on.",
        "",
        "| frames | |",
        "|---|---|",
        f"| sent | {frames['sent']:,} |",
        f"| recorded | {frames['recorded']:,}, of them {frames['incomplete']:,} with a packet missing |",
        f"| lost whole on the way | {frames['vanished']:,} ({frames['packets_lost']:,} packets lost, "
        f"{frames['socket_drops']:,} of them by this host's sockets, {document['refused']:,} never left) |",
        f"| lost or incomplete without a lost packet to show for it, at least | {frames['unaccounted']:,} |",
        f"| recorded twice | {frames['twice']:,} |",
        "",
        f"Cores: {', '.join(f'{name} {share:.2f}' for name, share in cores.items())}. The engine's event loop was late "
        f"by {lag[0]:.1f} ms in the median second, {lag[1]:.1f} ms in 99 of 100, {lag[2]:.0f} ms at most (p99 of each "
        f"second). The replay was late by {1e3 * document['late_seconds_p95']:.0f} ms p95, "
        f"{1e3 * document['late_seconds_max']:.0f} ms at most (the worst of each {_STEP_SECONDS:g} s). Load average of "
        f"the host {load[0]:.1f} to {load[2]:.1f}, mean {load[1]:.1f}.",
        "",
        *[f"Doubtful: {doubt}." for doubt in doubts(document)],
    ]
    return "\n".join(lines).rstrip() + "\n"


def doubts(document: dict[str, Any]) -> list[str]:
    """Why the result says less than it should."""
    share = document["packets_per_second"] / document["nominal_packets_per_second"]
    return [f"only {share:.0%} of the trace's rate was sent: this machine was busy"] if share < _ENOUGH else []


def missed(document: dict[str, Any]) -> list[str]:
    """What went wrong."""
    found, frames = [], document["frames"]
    growth = document["memory"]["engines"]["growth_ratio"]
    if growth >= GROWTH_RATIO:
        found.append(f"memory grew by {100 * growth:.1f} %")
    if frames["unaccounted"] or frames["twice"] or frames["unmatched"] or not frames["sent"]:
        found.append(f"records do not add up: {frames}")
    if frames["sessions"] != document["sessions"]:
        found.append(f"{frames['sessions']} sessions were recorded")
    return found


def main() -> int:
    """Soak and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=1800.0)
    parser.add_argument("--sessions", type=int, default=100)
    parser.add_argument("--trace", type=Path, help="file to replay; else a lab desktop is recorded, once")
    parser.add_argument("--output", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    try:
        document = measure(arguments, lambda text: print(text, file=sys.stderr, flush=True))
    except VdibenchError as error:
        print(f"soak: {error}", file=sys.stderr)
        return error.exit_code
    write(arguments.output, "soak", document, page(document))
    for what in missed(document):
        print(f"missed: {what}", file=sys.stderr)
    if missed(document):
        return 1
    return RunInvalid.exit_code if doubts(document) else 0


if __name__ == "__main__":
    sys.exit(main())
