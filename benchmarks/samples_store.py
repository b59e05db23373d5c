"""What a run folder's samples cost: processor time a row that is appended, and seconds until a large table is read."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

# Run from a checkout, without installing it.
sys.path[:0] = [str(Path(__file__).parent.parent)]

from vdibench.records import Run, RunState
from vdibench.store import Recording, RunFolder

# Six hundred frames a second, ten desktops of 60, shall take no more than an eighth of a core; a million rows, half an
# hour of that, shall be there within a second.
APPEND_TARGET_SECONDS, READ_TARGET_SECONDS = 200e-6, 1.0
_COUNT, _BLOCKS = 50_000, 20


def main() -> int:
    """Print both figures with their targets; returns 1 where one is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=6000, help="that are appended one by one")
    parser.add_argument("--readings", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = RunFolder.create(
            Path(place),
            Run(name="", suite="pipeline", profile="benchmark", target="lab", started_unix_seconds=time.time()),
        )
        row = {
            "suite": "stream_validation",
            "level": 1,
            "trial": 0,
            "phase": "steady",
            "session": "desktop-0",
            "arrival_unix_seconds": 1e9,
            "rtp_timestamp": 0,
            "packets": 12,
            "size_bytes": 16_000,
            "key_frame": False,
            "complete": True,
            "decoded_unix_seconds": None,
            "marker_repeated": False,
        }
        began = time.thread_time()
        for _ in range(options.rows):
            folder.append("frames", [row])
        append = (time.thread_time() - began) / options.rows
        columns = {name: [value] * _COUNT for name, value in row.items()}
        columns["arrival_unix_seconds"] = list(1e9 + np.arange(_COUNT) / 600)
        for _ in range(_BLOCKS):
            folder.append("frames", columns)
            folder.flush()
        folder.finish(RunState.FINISHED)
        reads = []
        for _ in range(options.readings):
            began = time.perf_counter()
            frames = len(Recording.open(folder.path).table("frames"))
            reads.append(time.perf_counter() - began)
    read = min(reads)
    wanted = f"<= {APPEND_TARGET_SECONDS * 1e6:.0f}"
    print(f"append: {append * 1e6:.0f} us of a processor a row ({wanted}), n = {options.rows}")
    print(f"read: {read:.2f} s for {frames} rows at best of {len(reads)} (<= {READ_TARGET_SECONDS:g})")
    return int(append > APPEND_TARGET_SECONDS or read > READ_TARGET_SECONDS)


if __name__ == "__main__":
    sys.exit(main())
