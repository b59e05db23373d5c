"""WebSocket against WebRTC, and 1.6 beside them: the same desktop and workload, one dialect after the other.

``python benchmarks/dialects.py`` brings a fresh desktop up for each run, alternates the dialects, watches each for a
while as its controller, presses keys and clicks, and writes ``docs/results/dialects.md`` and ``dialects.json``. One
session at a time; loopback and this machine's own addresses only.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]

from samples import Samples, percentiles

from results import RESULTS, cpu_seconds, provenance, write
from vdibench.client import DesktopSession, InputKind, SessionOptions
from vdibench.lab import DesktopSpec, Lab, LabSpec
from vdibench.records import Desktop, Display, Workload
from vdibench.selkies import Dialect, Role

_WARM_UP_SECONDS = 3.0
_COLUMNS = (
    "dialect",
    "first frame p50 (max)",
    "frames/s",
    "draw → arrival p50 / p95",
    "glass-to-glass p50 / p95",
    "its medians by run",
    "input to photon p50 / p95",
    "server CPU, cores",
    "client CPU, cores",
    "Mbit/s",
)
_PAUSE_SECONDS = (0.06, 0.11)


@dataclass
class Measured:
    """What the runs of one dialect gave, all samples pooled."""

    first_frame: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    draw_to_arrival: list[float] = field(default_factory=list)
    glass_to_glass: list[float] = field(default_factory=list)
    photon: list[float] = field(default_factory=list)
    sent: int = 0
    server_cores: list[float] = field(default_factory=list)
    client_cores: list[float] = field(default_factory=list)
    bits_per_second: list[float] = field(default_factory=list)
    medians: list[float] = field(default_factory=list)
    lag: list[float] = field(default_factory=list)
    load: list[float] = field(default_factory=list)


@contextlib.contextmanager
def desktop_of(dialect: Dialect, arguments: argparse.Namespace) -> Iterator[tuple[Desktop, list[int]]]:
    """A fresh desktop and the processes that make up its stream server."""
    display = Display(arguments.width, arguments.height, arguments.framerate)
    if dialect is Dialect.SELKIES_1_WEBRTC:
        from legacy import legacy_desktop

        with legacy_desktop(display, Workload(arguments.workload), arguments.bitrate) as (desktop, pids):
            yield desktop, pids
        return
    spec = DesktopSpec(
        display=display, workload=Workload(arguments.workload), bitrate_bps=arguments.bitrate, dialect=dialect
    )
    with Lab.up(LabSpec(desktops=(spec,)), owned=True) as lab:
        parts = {part.name: part.pid for part in lab.status().desktops[0].parts}
        yield lab.desktops[0], [pid for pid in (parts["selkies"],) if pid is not None]


async def watch(desktop: Desktop, pids: list[int], arguments: argparse.Namespace, into: Measured) -> None:
    """One session: its start, a steady window, then inputs."""
    samples = Samples()
    into.load.append(os.getloadavg()[0])
    async with DesktopSession(desktop, samples, SessionOptions(role=Role.CONTROLLER)) as session:
        await session.first_frame()
        into.first_frame.append(samples.milestones["first_frame"] - samples.milestones["started"])
        await session.watch(_WARM_UP_SECONDS)
        begin, clock, bytes_before = time.time(), time.perf_counter(), session.read().bytes_received
        server, client = cpu_seconds(pids), time.process_time()
        await session.watch(arguments.seconds)
        took = time.perf_counter() - clock
        into.server_cores.append((cpu_seconds(pids) - server) / took)
        into.client_cores.append((time.process_time() - client) / took)
        into.bits_per_second.append(8 * (session.read().bytes_received - bytes_before) / took)
        frames = samples.between(begin, begin + took)
        into.rates.append(len(frames) / took)
        into.draw_to_arrival += samples.draw_to_arrival(frames)
        latencies = samples.glass_to_glass(frames)
        into.glass_to_glass += latencies
        into.medians += percentiles(latencies, 50)
        into.lag += [one.event_loop_lag_seconds for one in samples.networks]
        for _ in range(arguments.inputs):
            for kind in (InputKind.KEY, InputKind.CLICK):
                await session.press(kind)
                await asyncio.sleep(random.uniform(*_PAUSE_SECONDS))  # on every phase of the frames
        into.photon += samples.photons()
        into.sent += len(samples.inputs)


def summary(dialect: Dialect, found: Measured) -> dict[str, Any]:
    """The row of one dialect, in base units."""
    return {
        "dialect": str(dialect),
        "runs": len(found.first_frame),
        "first_frame_p50_seconds": percentiles(found.first_frame, 50)[0],
        "first_frame_max_seconds": max(found.first_frame),
        "frames_per_second": sum(found.rates) / len(found.rates),
        "frames": len(found.glass_to_glass),
        "draw_to_arrival_p50_seconds": percentiles(found.draw_to_arrival, 50)[0],
        "draw_to_arrival_p95_seconds": percentiles(found.draw_to_arrival, 95)[0],
        "glass_to_glass_p50_seconds": percentiles(found.glass_to_glass, 50)[0],
        "glass_to_glass_p95_seconds": percentiles(found.glass_to_glass, 95)[0],
        "glass_to_glass_medians_seconds": [min(found.medians), max(found.medians)],
        "inputs_sent": found.sent,
        "inputs_seen": len(found.photon),
        "input_to_photon_p50_seconds": percentiles(found.photon, 50)[0],
        "input_to_photon_p95_seconds": percentiles(found.photon, 95)[0],
        "server_cpu_cores": sum(found.server_cores) / len(found.server_cores),
        "client_cpu_cores": sum(found.client_cores) / len(found.client_cores),
        "bits_per_second": sum(found.bits_per_second) / len(found.bits_per_second),
        "event_loop_lag_p99_seconds": percentiles(found.lag, 99)[0],
        "load_average_before": [min(found.load), max(found.load)],
    }


def page(document: dict[str, Any]) -> str:
    """The table as Markdown."""

    def ms(seconds: float) -> str:
        return f"{1000 * seconds:.1f}"

    host, asked = document["host"], document["asked"]
    lines = [
        "# WebSocket against WebRTC",
        "",
        f"Measured {document['date']} by `python benchmarks/dialects.py` on {host['cpu_model']}, {host['cpu_cores']} "
        f"cores, no GPU; client, server and desktop on the same host. {asked['width']}×{asked['height']} at "
        f"{asked['framerate']} frames per second asked, workload {asked['workload']}, {asked['bitrate'] / 1e6:g} "
        f"Mbit/s asked, software encoder; a fresh desktop for every run, dialects alternating, {asked['rounds']} "
        f"runs of {asked['seconds']:g} s each. Milliseconds; every frame decoded; the display is not included.",
        "",
        f"| {' | '.join(_COLUMNS)} |",
        f"|{'---|' * len(_COLUMNS)}",
    ]
    for row in document["dialects"]:
        low, high = row["glass_to_glass_medians_seconds"]
        cells = (
            row["dialect"],
            f"{ms(row['first_frame_p50_seconds'])} ({ms(row['first_frame_max_seconds'])})",
            f"{row['frames_per_second']:.1f}",
            f"{ms(row['draw_to_arrival_p50_seconds'])} / {ms(row['draw_to_arrival_p95_seconds'])}",
            f"{ms(row['glass_to_glass_p50_seconds'])} / {ms(row['glass_to_glass_p95_seconds'])}, n = {row['frames']:,}",
            f"{ms(low)}–{ms(high)}",
            f"{ms(row['input_to_photon_p50_seconds'])} / {ms(row['input_to_photon_p95_seconds'])}, "
            f"{row['inputs_seen']} of {row['inputs_sent']} seen",
            f"{row['server_cpu_cores']:.2f}",
            f"{row['client_cpu_cores']:.2f}",
            f"{row['bits_per_second'] / 1e6:.1f}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    lag = max(row["event_loop_lag_p99_seconds"] for row in document["dialects"])
    loads = [load for row in document["dialects"] for load in row["load_average_before"]]
    lines += [
        "",
        f"The client's event loop was late by at most {ms(lag)} ms (p99 of the worst dialect); the host had a load "
        f"average of {min(loads):.1f}–{max(loads):.1f} before the runs.",
        "",
        "`selkies-1-webrtc` is the stand-in of the tests: signalling of our own, without the seconds for which 1.6's "
        "own sleeps, in front of Debian's webrtcbin and x264enc. Each run meets a server that has served nobody yet: "
        "in WebRTC mode Selkies 2.1 then takes one to two seconds to its first frame, later sessions 0.1 to 0.3 s. "
        "Server CPU is the stream server's alone, without X server and desk. Medians of single runs differ by where "
        "capture falls against the desktop's draws, which are dithered.",
        "",
    ]
    return "\n".join(lines)


def main() -> int:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--inputs", type=int, default=20, help="keys, and as many clicks, each run")
    parser.add_argument("--width", type=int, default=1920)
    parser.add_argument("--height", type=int, default=1080)
    parser.add_argument("--framerate", type=int, default=60)
    parser.add_argument("--bitrate", type=int, default=8_000_000)
    parser.add_argument("--workload", default="text")
    parser.add_argument("--dialects", default=",".join(Dialect))
    parser.add_argument("--output", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    dialects = [Dialect(name) for name in arguments.dialects.split(",")]
    found = {dialect: Measured() for dialect in dialects}
    for number in range(arguments.rounds):
        for dialect in dialects if number % 2 == 0 else reversed(dialects):
            print(f"run {number + 1} of {arguments.rounds}: {dialect}", file=sys.stderr, flush=True)
            with desktop_of(dialect, arguments) as (desktop, pids):
                asyncio.run(watch(desktop, pids, arguments, found[dialect]))
    asked = {name: value for name, value in vars(arguments).items() if name not in {"output", "dialects"}}
    document = {
        **provenance(),
        "asked": asked,
        "dialects": [summary(dialect, found[dialect]) for dialect in dialects],
    }
    write(arguments.output, "dialects", document, page(document))
    return 0


if __name__ == "__main__":
    sys.exit(main())
