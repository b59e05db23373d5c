"""The process beside a supervisor that removes what is left when the supervisor is gone. Linux only.

It sleeps on a pipe whose other end only the supervisor has; the kernel closes that end however the supervisor
ends. Then it ends every process with the lab's mark and removes every file of the lab. It holds the lab's
lock and port leases until that is done, so nobody takes them for free too early.
"""

from __future__ import annotations

import argparse
import os
import signal
from pathlib import Path

from vdibench.lab.traces import MARK_VARIABLE, sweep

__all__ = ["main"]


def main() -> None:
    """Wait for the end of the supervisor, then sweep."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    line = argparse.ArgumentParser(prog="vdibench-lab-reaper")
    line.add_argument("--directory", type=Path, required=True)
    line.add_argument("--pipe", type=int, required=True)
    arguments = line.parse_args()
    mark = os.environ[MARK_VARIABLE]
    while os.read(arguments.pipe, 1):
        pass
    sweep(arguments.directory, mark, spare=frozenset({os.getpid()}))


if __name__ == "__main__":
    main()
