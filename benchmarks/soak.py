"""Half an hour of a hundred sessions: does memory stay flat, and is every frame that was sent accounted for?

``python benchmarks/soak.py`` (``make soak``) replays a recorded desktop from one process to sessions in another, which
writes every sample into a run folder as a load run does. It writes ``docs/results/soak.md`` and ``soak.json``; exit
status 1 says that memory grew or a record was lost. Loopback and this machine's own addresses only. The run folder
takes some hundred megabytes of the temporary folder and is removed at the end.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import threading
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
from vdibench.children import Child
from vdibench.client import DesktopSession, Mode, SessionOptions
from vdibench.client.admission import ConnectGate
from vdibench.recorder import Place, Recorder
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
_AT_ONCE = 8
_CONNECT_SECONDS, _ANSWER_SECONDS = 300.0, 300.0


# the process with the sessions


async def _host(url: str, count: int, folder: Path) -> None:
    """Hold ``count`` sessions until standard input says a line, then tell what each counted."""
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    run = RunFolder.open(folder)
    recorder = Recorder(run, Place("soak", level=count, phase="steady"))
    options = SessionOptions(mode=Mode.METER, connect_timeout_seconds=60.0, stall_seconds=30.0)
    sessions = [DesktopSession(Desktop(f"desktop-{n}", Endpoint(url)), recorder, options) for n in range(count)]
    gate, few = ConnectGate(), asyncio.Semaphore(_AT_ONCE)

    async def connect(session: DesktopSession) -> None:
        async with few:
            await gate.admit(session.desktop)
            await session.connect()
            await session.first_frame()

    try:
        await asyncio.gather(*map(connect, sessions))
        print(json.dumps({"ready": count}), flush=True)
        await lines.readline()
        counted = {session.desktop.id: session.read() for session in sessions}
    finally:
        await asyncio.gather(*(session.leave() for session in sessions))
        run.close()
    said = {
        name: {"packets_lost": counters.packets_lost, "socket_drops": counters.socket_drops}
        for name, counters in counted.items()
    }
    print(json.dumps({"sessions": said}), flush=True)


# what is watched meanwhile


@dataclass
class Watch:
    """Memory and processor of both processes, and what left, every few seconds."""

    pids: dict[str, int]
    seconds: list[float] = field(default_factory=list)
    rss: dict[str, list[float]] = field(default_factory=dict)
    late: list[float] = field(default_factory=list)
    load: list[float] = field(default_factory=list)
    left: dict[str, list[np.ndarray]] = field(default_factory=dict)

    def look(self, server: ReplayServer) -> None:
        """Take one reading."""
        self.seconds.append(time.monotonic())
        for name, pid in self.pids.items():
            self.rss.setdefault(name, []).append(psutil.Process(pid).memory_info().rss)
        self.late.append(server.count()["late_seconds"])
        self.load.append(os.getloadavg()[0])
        for name, times in server.departures().items():
            self.left.setdefault(name, []).append(times.timestamps.astype(np.uint32))

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


def account(watch: Watch, folder: Path, counters: dict[str, Any]) -> dict[str, Any]:
    """Hold every frame that left against what was recorded, session by session."""
    left = {name: np.concatenate(found) for name, found in watch.left.items()}
    keys = ("sent", "recorded", "incomplete", "vanished", "unaccounted", "twice", "packets_lost", "sessions")
    totals = dict.fromkeys(keys, 0)
    for name, (mine, whole) in recorded_frames(folder).items():
        server = max(left, key=lambda one: int(np.isin(left[one][:200], mine).sum()))
        sent = left.pop(server)
        vanished, lost = int((~np.isin(sent, mine)).sum()), int(counters[name]["packets_lost"])
        totals["sessions"] += 1
        totals["sent"] += len(sent)
        totals["recorded"] += len(sent) - vanished
        totals["incomplete"] += int((~whole[np.isin(mine, sent)]).sum())
        totals["twice"] += len(mine) - len(np.unique(mine))
        totals["vanished"] += vanished
        totals["packets_lost"] += lost
        # A frame that vanished lost a packet at least.
        totals["unaccounted"] += max(0, vanished - lost)
    return {**totals, "unmatched": len(left)}


def measure(arguments: argparse.Namespace, say: Callable[[str], None]) -> dict[str, Any]:
    """Everything, in base units."""
    trace = arguments.trace or cached_trace(LabTrace(), say)
    with tempfile.TemporaryDirectory(prefix="vdibench-soak-") as scratch, ReplayServer(trace, log=True) as server:
        run = Run(
            name="", suite="soak", profile="soak", target=f"replay:{trace.name}", started_unix_seconds=time.time()
        )
        folder = RunFolder.create(Path(scratch), run)
        folder.update(context={"synthetic": True})
        hosting = ("host", server.url, str(arguments.sessions), str(folder.path))
        with Child("soak", hosting) as client:
            say(f"connecting {arguments.sessions} sessions")
            client.hear(_CONNECT_SECONDS)
            watch = Watch({"sessions": client.pid, "replay": server.pid})
            used = {name: sum(psutil.Process(pid).cpu_times()[:2]) for name, pid in watch.pids.items()}
            before, began = server.count(), time.monotonic()
            server.departures()  # what left while they connected is not judged
            said = 0
            while (passed := time.monotonic() - began) < arguments.seconds:
                watch.look(server)
                if passed - said >= 60:
                    said = int(passed)
                    say(f"{passed:.0f} s: {watch.rss['sessions'][-1] / 2**20:.1f} MiB, load {watch.load[-1]:.1f}")
                threading.Event().wait(min(_STEP_SECONDS, max(0.1, arguments.seconds - passed)))
            watch.look(server)
            after, seconds = server.count(), time.monotonic() - began
            cores = {
                name: (sum(psutil.Process(pid).cpu_times()[:2]) - used[name]) / seconds
                for name, pid in watch.pids.items()
            }
            threading.Event().wait(_DRAIN_SECONDS)
            client.say("end")
            counters = client.hear(_ANSWER_SECONDS)["sessions"]
        folder.finish(RunState.FINISHED)
        say("holding what was recorded against what was sent")
        warm_up = min(_WARM_UP_SECONDS, _WARM_UP_SHARE * arguments.seconds)
        lag = np.concatenate(
            [rows.column("event_loop_lag_seconds").to_numpy() for rows in _rows(folder.path, "network")]
        )
        size = sum(path.stat().st_size for path in folder.path.rglob("*") if path.is_file())
        return {
            **provenance(),
            "source": server.description,
            "sessions": arguments.sessions,
            "seconds": seconds,
            "warm_up_seconds": warm_up,
            "packets_per_second": (after["packets"] - before["packets"]) / seconds / arguments.sessions,
            "refused": after["refused"] - before["refused"],
            "native_sender": after["native"],
            "cores": cores,
            "late_seconds_max": max(watch.late),
            "late_seconds_p95": float(np.percentile(watch.late, 95)),
            "loop_lag_seconds": [float(np.percentile(lag, share)) for share in (50, 99, 100)],
            "load_average": [float(f(watch.load)) for f in (min, np.mean, max)],
            "socket_drops": sum(int(one["socket_drops"]) for one in counters.values()),
            "run_folder_bytes": size,
            "memory": {name: watch.growth(name, warm_up) for name in watch.pids},
            "frames": account(watch, folder.path, counters),
        }


def page(document: dict[str, Any]) -> str:
    """The result as Markdown."""
    host, frames, cores = document["host"], document["frames"], document["cores"]
    lag, load = [1e3 * one for one in document["loop_lag_seconds"]], document["load_average"]
    lines = [
        "# Soak",
        "",
        f"Measured {document['date']} by `python benchmarks/soak.py` on {host['cpu_model']}, {host['cpu_cores']} "
        f"cores: {document['sessions']} sessions (mode meter) in one process for {document['seconds'] / 60:.1f} "
        f"minutes, synthetic: {document['source']}, {document['packets_per_second']:.0f} packets a second each, "
        f"replayed over ICE, DTLS and SRTP from a process of its own. Every sample went into a run folder of "
        f"{document['run_folder_bytes'] / 1e6:.0f} MB.",
        "",
        "| memory after the warm-up | begin | end | largest | growth, 95 % interval | at most |",
        "|---|---|---|---|---|---|",
    ]
    for name, found in document["memory"].items():
        lines.append(
            f"| process of the {name} | {found['begin_bytes'] / 2**20:.1f} MiB | {found['end_bytes'] / 2**20:.1f} MiB "
            f"| {found['largest_bytes'] / 2**20:.1f} MiB | {100 * found['growth_ratio']:+.2f} % "
            f"({100 * found['growth_low']:+.2f} to {100 * found['growth_high']:+.2f}) "
            f"| {f'{100 * GROWTH_RATIO:.0f} %' if name == 'sessions' else ''} |"
        )
    lines += [
        "",
        f"A line through one reading every {_STEP_SECONDS:g} s, n = {document['memory']['sessions']['readings']}, from "
        f"{document['warm_up_seconds']:.0f} s on.",
        "",
        "| frames | |",
        "|---|---|",
        f"| sent | {frames['sent']:,} |",
        f"| recorded | {frames['recorded']:,}, of them {frames['incomplete']:,} with a packet missing |",
        f"| lost whole on the way | {frames['vanished']:,} ({frames['packets_lost']:,} packets lost, "
        f"{document['socket_drops']:,} of them by this host's sockets, {document['refused']:,} never left) |",
        f"| neither recorded nor lost | {frames['unaccounted']:,} |",
        f"| recorded twice | {frames['twice']:,} |",
        "",
        f"Cores: sessions {cores['sessions']:.2f}, replay {cores['replay']:.2f}. Event loop of the sessions late by "
        f"{lag[0]:.1f} ms p50, {lag[1]:.1f} ms p99, {lag[2]:.0f} ms at most (the worst of each second). The replay was "
        f"late by {1e3 * document['late_seconds_p95']:.0f} ms p95, {1e3 * document['late_seconds_max']:.0f} ms at most "
        f"(the worst of each {_STEP_SECONDS:g} s). Load average of the host {load[0]:.1f} to {load[2]:.1f}, mean "
        f"{load[1]:.1f}.",
    ]
    return "\n".join(lines).rstrip() + "\n"


def missed(document: dict[str, Any]) -> list[str]:
    """What went wrong."""
    found, frames = [], document["frames"]
    growth = document["memory"]["sessions"]["growth_ratio"]
    if growth >= GROWTH_RATIO:
        found.append(f"memory grew by {100 * growth:.1f} %")
    if frames["unaccounted"] or frames["twice"] or frames["unmatched"] or not frames["sent"]:
        found.append(f"records do not add up: {frames}")
    if frames["sessions"] != document["sessions"]:
        found.append(f"{frames['sessions']} sessions were recorded")
    return found


def main() -> int:
    """Soak and write."""
    # The other process is this file too, wherever we were called from.
    places = [str(Path(__file__).parent), str(Path(__file__).parent.parent), os.environ.get("PYTHONPATH", "")]
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, places))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=1800.0)
    parser.add_argument("--sessions", type=int, default=100)
    parser.add_argument("--trace", type=Path, help="file to replay; else a lab desktop is recorded, once")
    parser.add_argument("--output", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    document = measure(arguments, lambda text: print(text, file=sys.stderr, flush=True))
    write(arguments.output, "soak", document, page(document))
    for what in missed(document):
        print(f"missed: {what}", file=sys.stderr)
    return 1 if missed(document) else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["host"]:
        asyncio.run(_host(sys.argv[2], int(sys.argv[3]), Path(sys.argv[4])))
        sys.exit(0)
    sys.exit(main())
