"""What a session costs in each mode of the client, against what it may cost, and how soon a frame is decoded.

``python benchmarks/client_modes.py`` (``make bench-client``) starts a sender in a process of its own, which replays
canned 1080p60 through real ICE, DTLS and SRTP, then one process of clients after the other, and takes their CPU time
over a steady window. It writes ``docs/results/client-modes.md`` and ``client-modes.json``; exit status 1 says that a
target was missed. Loopback and this machine's own addresses only. Run it on an idle machine: what else runs there
costs its clients cache and clock.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]

from samples import Samples, percentiles

from results import RESULTS, provenance, write
from vdibench.client import DesktopSession, Mode
from vdibench.records import Desktop, Endpoint
from vdibench.replay.process import ReplayServer
from vdibench.selftest.cost import measure_cost
from vdibench.selftest.plan import CostStep

# Clients per core, at least. The decoder's share depends on the picture; the canned one is of middling detail.
TARGETS = {
    CostStep(Mode.METER, 40): 150,
    CostStep(Mode.SAMPLED, 10): 80,
    CostStep(Mode.DEPACKETISE, 10): 30,
    CostStep(Mode.DECODE, 4): 6,
}
DECODED_SECONDS = 0.006
_WARM_UP_SECONDS = 1.0


async def decoded_after_arrival(url: str, seconds: float) -> list[float]:
    """From a frame's last packet to its picture, one session that decodes everything."""
    samples = Samples()
    async with DesktopSession(Desktop("desktop-0", Endpoint(url)), samples) as session:
        await session.first_frame()
        await session.watch(_WARM_UP_SECONDS)
        begin = time.time()
        await session.watch(seconds)
    return [
        frame.decoded_unix_seconds - frame.arrival_unix_seconds
        for frame in samples.frames
        if frame.arrival_unix_seconds >= begin and frame.decoded_unix_seconds == frame.decoded_unix_seconds
    ]


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Everything, in base units."""
    load = os.getloadavg()[0]
    rows: dict[CostStep, list[Any]] = {step: [] for step in TARGETS}
    doubts: list[str] = []
    with ReplayServer() as source:
        for _ in range(arguments.rounds):
            for step, found in rows.items():
                costs, doubt = measure_cost(
                    [step], arguments.seconds, source, lambda text: print(text, file=sys.stderr, flush=True)
                )
                found += costs
                doubts += doubt
        latencies = asyncio.run(decoded_after_arrival(source.url, arguments.seconds))
        description, rate = source.description, source.packets_per_second
    return {
        **provenance(),
        "source": description,
        "packets_per_second": rate,
        "seconds": arguments.seconds,
        "rounds": arguments.rounds,
        "load_average_before": load,
        "doubts": doubts,
        "modes": [
            {
                "mode": str(step.mode),
                "sessions": step.sessions,
                "packets_per_second": statistics.median(row.packets_per_second for row in found),
                "cpu_ratio_per_session": statistics.median(row.cpu_ratio_per_session for row in found),
                "clients_per_core": statistics.median(row.clients_per_core for row in found),
                "clients_per_core_range": [f(row.clients_per_core for row in found) for f in (min, max)],
                "target_clients_per_core": TARGETS[step],
            }
            for step, found in rows.items()
        ],
        "decoded_after_arrival": {
            "frames": len(latencies),
            "p50_seconds": percentiles(latencies, 50)[0],
            "p95_seconds": percentiles(latencies, 95)[0],
            "target_p50_seconds": DECODED_SECONDS,
        },
    }


def page(document: dict[str, Any]) -> str:
    """The table as Markdown."""
    host, decoded = document["host"], document["decoded_after_arrival"]
    lines = [
        "# What a session costs the client",
        "",
        f"Measured {document['date']} by `python benchmarks/client_modes.py` on {host['cpu_model']}, "
        f"{host['cpu_cores']} cores; {document['source']}, {document['packets_per_second']:.0f} packets a second, from "
        f"a process of its own over ICE, DTLS and SRTP. CPU time of the whole client process, signalling, reports and "
        f"samples included; median of {document['rounds']} runs of {document['seconds']:g} s.",
        "",
        "| mode | sessions | packets/s each | % of a core each | clients per core (range) | at least |",
        "|---|---|---|---|---|---|",
    ]
    for row in document["modes"]:
        low, high = row["clients_per_core_range"]
        lines.append(
            f"| {row['mode']} | {row['sessions']} | {row['packets_per_second']:.0f} "
            f"| {100 * row['cpu_ratio_per_session']:.2f} | {row['clients_per_core']:.0f} ({low:.0f}–{high:.0f}) "
            f"| {row['target_clients_per_core']} |"
        )
    lines += [
        "",
        f"Last packet of a frame to its decoded picture, one session: {1000 * decoded['p50_seconds']:.1f} ms p50, "
        f"{1000 * decoded['p95_seconds']:.1f} ms p95, n = {decoded['frames']}; at most "
        f"{1000 * decoded['target_p50_seconds']:.0f} ms p50 is the target. The host had a load average of "
        f"{document['load_average_before']:.1f} before.",
        "",
        *[f"Doubtful: {doubt}." for doubt in document["doubts"]],
    ]
    return "\n".join(lines).rstrip() + "\n"


def missed(document: dict[str, Any]) -> list[str]:
    """Which targets were missed."""
    found = [
        f"{row['mode']}: {row['clients_per_core']:.0f} clients per core"
        for row in document["modes"]
        if row["clients_per_core"] < row["target_clients_per_core"]
    ]
    decoded = document["decoded_after_arrival"]
    if not decoded["frames"] or decoded["p50_seconds"] > decoded["target_p50_seconds"]:
        found.append(f"decoded {1000 * decoded['p50_seconds']:.1f} ms after arrival")
    return found


def main() -> int:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--output", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    document = measure(arguments)
    write(arguments.output, "client-modes", document, page(document))
    for what in missed(document):
        print(f"target missed: {what}", file=sys.stderr)
    return 1 if missed(document) else 0


if __name__ == "__main__":
    sys.exit(main())
