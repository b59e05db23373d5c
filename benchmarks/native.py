"""What reception costs with the native module, without it, and in bare C on the same sockets.

``python benchmarks/native.py`` (``make bench-native``) replays 1080p60 from a process of its own through real ICE, DTLS
and SRTP to one process of clients after the other, interleaved, and takes their CPU time over a steady window. The
floors are measured on the sockets of the native clients, with the same packets still coming: epoll and ``recvfrom``
until there is no more, and epoll and ``recvmmsg`` with the rest of :mod:`vdibench.client.rounds` after each round; both
count and do nothing else. It writes ``docs/results/native.md`` and ``native.json``; exit status 1 says that a target
was missed, 97 that this machine was too busy to say. Loopback and this machine's own addresses only.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]

import uvloop
import vdibench_native

from results import RESULTS, provenance, write
from vdibench.client import DesktopSession, FrameRecord, Mode, SessionOptions
from vdibench.client.rounds import REST_SECONDS
from vdibench.errors import RunInvalid
from vdibench.records import Desktop, Endpoint
from vdibench.replay.process import ReplayServer

# How a client process reads, and the rows that it gives.
KINDS = {"python": ("python",), "native": ("native", "recvfrom", "recvmmsg"), "decrypt": ("native-decrypt",)}
LABELS = {
    "python": "header-only, Python",
    "native": "header-only, native",
    "native-decrypt": "header-only, native, every packet decrypted",
    "recvfrom": "floor: epoll and recvfrom in C",
    "recvmmsg": f"floor: epoll, recvmmsg and {1000 * REST_SECONDS:g} ms of rest in C",
}
# Clients per core, at least.
TARGETS = {"python": 150, "native": 400, "native-decrypt": 300}
# Of the C floor with the same rest.
MOST_TIMES_FLOOR = 2.5
# A row of fewer packets is one of less work.
_ENOUGH = 0.9
_AT_ONCE = 8
_PATIENCE_SECONDS = 60.0


class _Frames:
    """A sink that counts frames."""

    def __init__(self) -> None:
        self.count = 0

    def frame(self, session: str, record: FrameRecord) -> None:
        self.count += 1

    def _nothing(self, *_: Any) -> None:
        """Nothing else is looked at."""

    input = network = milestone = fact = _nothing

    def row(self, session: str, table: str, values: Mapping[str, Any]) -> None:
        """Nothing else is looked at."""


def _used() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


async def client(url: str, kind: str, count: int, seconds: float) -> dict[str, dict[str, float]]:
    """Connect, watch, measure: cores a session, packets and frames a second of a session, by row."""
    sink = _Frames()
    options = SessionOptions(
        mode=Mode.METER,
        connect_timeout_seconds=_PATIENCE_SECONDS,
        native=kind != "python",
        authenticate=kind == "decrypt",
    )
    sessions = [DesktopSession(Desktop(f"desktop-{n}", Endpoint(url)), sink, options) for n in range(count)]
    gate = asyncio.Semaphore(_AT_ONCE)

    async def connect(session: DesktopSession) -> None:
        async with gate:
            await session.connect()
            await session.first_frame()

    found = {}
    try:
        await asyncio.gather(*map(connect, sessions))
        await asyncio.sleep(1)  # the last handshake is no part of what is measured
        row, *floors = KINDS[kind]
        packets, frames = sum(session.read().packets_received for session in sessions), sink.count
        used, began = _used(), time.monotonic()
        await asyncio.sleep(seconds)  # what is measured goes on meanwhile
        used, passed = _used() - used, time.monotonic() - began
        packets = sum(session.read().packets_received for session in sessions) - packets
        drops = sum(session.read().socket_drops for session in sessions)
        found[row] = {
            "cpu_ratio_per_session": used / passed / count,
            "packets_per_second": packets / passed / count,
            "frames_per_second": (sink.count - frames) / passed / count,
            "drops": drops,
        }
        for mode in floors:
            said = vdibench_native.floor(_sockets(sessions), seconds, mode, REST_SECONDS)
            if not said["packets"]:
                raise RunInvalid(f"floor {mode}: nothing came", "run it on a quieter machine")
            found[mode] = {
                "cpu_ratio_per_session": said["cpu_seconds"] / said["seconds"] / count,
                "packets_per_second": said["packets"] / said["seconds"] / count,
            }
    finally:
        await asyncio.gather(*(session.leave() for session in sessions))
    return found


def _sockets(sessions: list[DesktopSession]) -> list[int]:
    """Descriptors of all media sockets; the loop stands still meanwhile, so that nobody else reads them."""
    connections: list[Any] = [session.connection for session in sessions]
    return [
        host._udp.fileno()
        for connection in connections
        for hosts in connection._peer._sockets
        for host in hosts._sockets
    ]


def _one(url: str, kind: str, arguments: argparse.Namespace) -> dict[str, dict[str, float]]:
    line = [sys.executable, __file__, "--client", kind, "--url", url]
    line += ["--sessions", str(arguments.sessions), "--seconds", str(arguments.seconds)]
    limit = _PATIENCE_SECONDS + 4 * arguments.seconds
    done = subprocess.run(line, stdout=subprocess.PIPE, text=True, check=True, timeout=limit)
    found: dict[str, dict[str, float]] = json.loads(done.stdout)
    return found


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Everything, in base units."""
    rows: dict[str, list[dict[str, float]]] = {row: [] for row in LABELS}
    loads = [os.getloadavg()[0]]
    with ReplayServer() as source:
        for turn in range(arguments.rounds):
            for kind in KINDS:
                print(f"round {turn + 1}: {kind}", file=sys.stderr, flush=True)
                for row, found in _one(source.url, kind, arguments).items():
                    rows[row].append(found)
                loads.append(os.getloadavg()[0])
        description, rate = source.description, source.packets_per_second
    ratios = [
        ours["cpu_ratio_per_session"] / floor["cpu_ratio_per_session"]
        for ours, floor in zip(rows["native"], rows["recvmmsg"], strict=True)
    ]
    return {
        **provenance(),
        "native_version": vdibench_native.__version__,
        "source": description,
        "packets_per_second": rate,
        "sessions": arguments.sessions,
        "seconds": arguments.seconds,
        "rounds": arguments.rounds,
        "rest_seconds": REST_SECONDS,
        "load_average": [min(loads), max(loads)],
        "rows": {
            row: {
                "cpu_ratio_per_session": statistics.median(one["cpu_ratio_per_session"] for one in found),
                "clients_per_core": statistics.median(1 / one["cpu_ratio_per_session"] for one in found),
                "clients_per_core_range": [f(1 / one["cpu_ratio_per_session"] for one in found) for f in (min, max)],
                "packets_per_second": statistics.median(one["packets_per_second"] for one in found),
                "least_packets_per_second": min(one["packets_per_second"] for one in found),
                "drops": sum(one.get("drops", 0) for one in found),
                "target_clients_per_core": TARGETS.get(row),
            }
            for row, found in rows.items()
        },
        "times_floor": statistics.median(ratios),
        "times_floor_range": [min(ratios), max(ratios)],
        "target_times_floor": MOST_TIMES_FLOOR,
    }


def page(document: dict[str, Any]) -> str:
    """The table as Markdown."""
    host, (least, most) = document["host"], document["times_floor_range"]
    low_load, high_load = document["load_average"]
    lines = [
        "# What native reception costs",
        "",
        f"Measured {document['date']} by `python benchmarks/native.py` on {host['cpu_model']}, "
        f"{host['cpu_cores']} cores, with vdibench-native {document['native_version']}; {document['source']}, "
        f"{document['packets_per_second']:.0f} packets a second, from a process of its own over ICE, DTLS and SRTP to "
        f"{document['sessions']} sessions in one process. CPU time of the whole client process, signalling, reports "
        f"and samples included; of the floors that of the thread. Median of {document['rounds']} interleaved runs of "
        f"{document['seconds']:g} s; the load average of the host was {low_load:.1f} to {high_load:.1f}.",
        "",
        "| reception | packets/s each | % of a core each | clients per core (range) | at least |",
        "|---|---|---|---|---|",
    ]
    for row, label in LABELS.items():
        found = document["rows"][row]
        low, high = found["clients_per_core_range"]
        lines.append(
            f"| {label} | {found['packets_per_second']:.0f} | {100 * found['cpu_ratio_per_session']:.3f} "
            f"| {found['clients_per_core']:.0f} ({low:.0f}–{high:.0f}) | {found['target_clients_per_core'] or ''} |"
        )
    lines += [
        "",
        f"Native against the floor with the same rest: {document['times_floor']:.2f} times its CPU time "
        f"({least:.2f}–{most:.2f}), at most {document['target_times_floor']:g} is the target. "
        f"Datagrams that the clients' sockets dropped: {sum(row['drops'] for row in document['rows'].values()):.0f}. "
        "Over loopback the receiving half of the network stack is charged to the sender: all rows are flattered alike.",
        "",
        *[f"Doubtful: {doubt}." for doubt in doubts(document)],
    ]
    return "\n".join(lines).rstrip() + "\n"


def doubts(document: dict[str, Any]) -> list[str]:
    """Rows in one of whose runs too little came."""
    least = {row: found["least_packets_per_second"] for row, found in document["rows"].items()}
    return [
        f"{LABELS[row]}: only {rate / document['packets_per_second']:.0%} of the source's rate came in one of the runs"
        for row, rate in least.items()
        if rate < _ENOUGH * document["packets_per_second"]
    ]


def missed(document: dict[str, Any]) -> list[str]:
    """Which targets were missed."""
    found = [
        f"{LABELS[row]}: {document['rows'][row]['clients_per_core']:.0f} clients per core, not {target}"
        for row, target in TARGETS.items()
        if document["rows"][row]["clients_per_core"] < target
    ]
    if document["times_floor"] > MOST_TIMES_FLOOR:
        found.append(f"native: {document['times_floor']:.2f} times the floor")
    return found


def main() -> int:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--sessions", type=int, default=40)
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--client", choices=list(KINDS), help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.client:
        found = uvloop.run(client(arguments.url, arguments.client, arguments.sessions, arguments.seconds))
        print(json.dumps(found))
        return 0
    document = measure(arguments)
    write(arguments.output, "native", document, page(document))
    for what in missed(document):
        print(f"target missed: {what}", file=sys.stderr)
    if doubts(document):
        return RunInvalid.exit_code
    return 1 if missed(document) else 0


if __name__ == "__main__":
    sys.exit(main())
