"""What a report costs: processor time, size and pictures of the page of one run, written to a copy of its folder."""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from pathlib import Path

from vdibench.report import write_report
from vdibench.store import Recording, resolve

REFERENCE = Path(__file__).parent.parent / "results" / "reference"


def main() -> None:
    """Print one line a repetition and the median."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", nargs="?", default=str(REFERENCE), help="run folder, or a run's name in results/")
    parser.add_argument("--repetitions", type=int, default=5)
    options = parser.parse_args()
    path = Path(options.run)
    if not path.is_dir():
        path = resolve(Path("results"), options.run)
    frames = len(Recording.open(path).table("frames"))
    costs = []
    for turn in range(options.repetitions):
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / path.name
            shutil.copytree(path, copy)
            before = time.process_time()
            page = write_report(copy)
            costs.append(time.process_time() - before)
            size = page.stat().st_size
        print(f"{turn + 1}: {costs[-1]:.2f} s of a processor, {size / 1e6:.2f} MB, {frames} frames", flush=True)
    print(f"median of {len(costs)}: {statistics.median(costs):.2f} s (the first one loads fonts)")


if __name__ == "__main__":
    main()
