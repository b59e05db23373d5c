"""A process that owns a load, as a command does: drives it until something ends it. ``python owner.py URL FOLDER``."""

from __future__ import annotations

import json
import signal
import sys
import time
from pathlib import Path
from types import FrameType

from vdibench.errors import VdibenchError
from vdibench.load.driver import LoadDriver, LoadOptions
from vdibench.records import Desktop, Endpoint


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main(url: str, folder: str) -> int:
    signal.signal(signal.SIGTERM, _interrupt)
    desktops = [Desktop(f"desktop-{index}", Endpoint(url), marker_id=7) for index in range(2)]
    try:
        with LoadDriver(Path(folder), desktops, LoadOptions(workers=2, spawn_rate=10.0), suite="gpu_density") as driver:
            driver.move(level=2, trial=0, phase="steady")
            failed = driver.scale(2)
            print(json.dumps({"pids": driver.pids, "failed": sorted(failed)}), flush=True)
            driver.hold(60.0)
    except VdibenchError as error:
        print(json.dumps({"error": type(error).__name__, "text": str(error)}), flush=True)
        return error.exit_code
    except KeyboardInterrupt:
        print(json.dumps({"interrupted": time.time()}), flush=True)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
