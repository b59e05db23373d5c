"""What an engine pays to record a frame, and how late that makes its loop. Prints a table; a minute or so.

    python benchmarks/engine.py [--sessions N] [--framerate F] [--seconds S]

Frames are made here, at the pace of so many sessions, and go to a real run folder: so what is measured is recording
alone, without network and decoder. Rows: one append a frame, as suites without an engine record; batches as the engine
hands them over; batches with the engine's live distributions. Each row is a process of its own.
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
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from vdibench.client import FrameRecord
from vdibench.load.batches import BatchRecorder
from vdibench.load.health import LoopLag
from vdibench.load.loop import run as in_loop
from vdibench.load.seconds import SecondTally
from vdibench.recorder import Place, Recorder
from vdibench.records import Run
from vdibench.store import RunFolder

KINDS = ("nothing", "append each", "batches", "batches and distributions")
HAND_OVER_SECONDS = 0.1


def frame(now: float) -> FrameRecord:
    """As mode METER gives it."""
    return FrameRecord(now, int(now * 90_000) % 2**32, 15, 17_000, False, True, first_arrival_unix_seconds=now - 0.001)


async def feed(kind: str, sessions: int, framerate: float, seconds: float, folder: RunFolder) -> dict[str, float]:
    """Record for so long; what it took."""
    place = Place("gpu_density")
    recorder = Recorder(folder, place) if kind == "append each" else BatchRecorder(folder, place)
    tally, lag, names = SecondTally(), LoopLag(), [f"desktop-{index}" for index in range(sessions)]
    watching = asyncio.create_task(lag.watch())
    loop = asyncio.get_running_loop()

    async def hand_over() -> None:
        second = 0
        while isinstance(recorder, BatchRecorder) and kind != "nothing":
            await asyncio.sleep(HAND_OVER_SECONDS)  # as often as the engine does
            batches = recorder.hand_over()
            if kind == "batches and distributions":
                for batch in batches:
                    tally.add_frames(batch)
                second += 1
                if second % 10 == 0:
                    tally.histograms()
                    tally.begin()

    handing = asyncio.create_task(hand_over())
    done, began, cpu = 0, loop.time(), time.process_time()
    while (passed := loop.time() - began) < seconds:
        for _ in range(int(passed * sessions * framerate) - done):
            record = frame(time.time())
            if kind != "nothing":
                recorder.frame(names[done % sessions], record)
            done += 1
        await asyncio.sleep(0.002)  # the pace of the frames is what is made here
    used = time.process_time() - cpu
    largest, p99 = lag.take()
    handing.cancel()
    watching.cancel()
    return {"frames": done, "cpu_seconds": used, "lag_p99_seconds": p99, "lag_seconds": largest}


def measure(kind: str, sessions: int, framerate: float, seconds: float) -> None:
    """In this process; says a line of JSON."""
    with tempfile.TemporaryDirectory() as root:
        run = Run(name="", suite="gpu_density", profile="benchmark", target="none", started_unix_seconds=time.time())
        with RunFolder.create(Path(root), run) as folder:
            print(json.dumps(in_loop(feed(kind, sessions, framerate, seconds, folder))))


def main() -> None:
    """One row after the other, three times in turn; medians."""
    line = argparse.ArgumentParser(description=main.__doc__)
    line.add_argument("--sessions", type=int, default=150)
    line.add_argument("--framerate", type=float, default=60.0)
    line.add_argument("--seconds", type=float, default=6.0)
    line.add_argument("--rounds", type=int, default=3)
    line.add_argument("--only", choices=KINDS, help="measure this one here, and say it as JSON")
    options = line.parse_args()
    if options.only:
        measure(options.only, options.sessions, options.framerate, options.seconds)
        return
    again = [sys.executable, __file__, "--sessions", str(options.sessions), "--framerate", str(options.framerate)]
    again += ["--seconds", str(options.seconds), "--only"]
    found: dict[str, list[dict[str, float]]] = {kind: [] for kind in KINDS}
    for _ in range(options.rounds):
        for kind in KINDS:
            said = subprocess.run([*again, kind], check=True, capture_output=True, text=True).stdout
            found[kind].append(json.loads(said))
    print(
        f"{options.sessions} sessions at {options.framerate:g} frames/s, {options.seconds:g} s, medians of "
        f"{options.rounds}; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
    )
    print(f"{'recording':<28}{'µs a frame':>12}{'frames/s':>10}{'lag p99 ms':>12}{'lag max ms':>12}")
    base = median([row["cpu_seconds"] / row["frames"] for row in found["nothing"]])
    for kind, rows in found.items():
        cost = median([row["cpu_seconds"] / row["frames"] for row in rows]) - (base if kind != "nothing" else 0.0)
        rate = median([row["frames"] / options.seconds for row in rows])
        p99, largest = (median([row[name] * 1e3 for row in rows]) for name in ("lag_p99_seconds", "lag_seconds"))
        print(f"{kind:<28}{cost * 1e6:>12.2f}{rate:>10.0f}{p99:>12.2f}{largest:>12.2f}")


def median(values: list[float]) -> float:
    """The middle one."""
    return sorted(values)[len(values) // 2]


if __name__ == "__main__":
    main()
