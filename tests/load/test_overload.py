"""A load generator that does not get its turn: its numbers exist, and must not be trusted."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from commands import LoadCommand, reasons

HOGGED_SECONDS = 6.0
HOG = """
import os, sys
try:
    os.nice(-15)
    with open("/proc/self/autogroup", "w") as group:
        group.write("-20")  # sessions share a processor as groups, each with a weight of its own
except OSError:
    pass  # then there are only many of them
print("hogging", flush=True)
while os.getppid() == int(sys.argv[1]):
    for _ in range(1_000_000):
        pass
"""


@contextmanager
def hogs(count: int) -> Iterator[None]:
    """So many busy processes that come first, ended by their own ids."""
    started = [
        subprocess.Popen([sys.executable, "-c", HOG, str(os.getpid())], stdout=subprocess.PIPE, start_new_session=True)
        for _ in range(count)
    ]
    try:
        for hog in started:
            assert hog.stdout is not None
            hog.stdout.readline()
        yield
    finally:
        for hog in started:
            with suppress(ProcessLookupError):  # ended by itself
                hog.kill()
            hog.wait()
            if hog.stdout is not None:
                hog.stdout.close()


def test_a_hog_beside_it_makes_the_run_invalid(tmp_path: Path) -> None:
    arguments = ("--scenario", "watch", "--mode", "meter", "--shape", "soak:4@14s")
    with LoadCommand(tmp_path, *arguments) as command:
        command.until("4 of 4 show video")
        with hogs(4 * (os.cpu_count() or 1)):
            time.sleep(HOGGED_SECONDS)  # of the 14 s, about half
        code, out, _ = command.end()
    assert code == 97
    assert "verdict: INVALID" in out
    assert any("event loop was late" in reason for reason in reasons(command.run))
