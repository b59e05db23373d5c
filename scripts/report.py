"""Run the pipeline for `make report`: a pass and a missed objective both count as a finished report.

`vdibench` says more with its exit code than make can carry: 0 pass, 99 objective missed, 98 no data, 97 invalid, 2
usage, 1 fault. The first two end here with 0. Signals are handed on, so that Ctrl-C and a terminated make end every
process of the run and keep what was measured.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType

__all__ = ["main"]

FINISHED = frozenset({0, 99})
MEANING = {98: "there was no or too little data", 97: "the run is invalid", 2: "it was called wrongly"}


def main(argv: list[str]) -> int:
    """Run `vdibench` of this checkout with `argv`; return 0 when it came to a verdict, else its exit code."""
    command = Path(__file__).resolve().parent.parent / ".venv" / "bin" / "vdibench"
    process = subprocess.Popen([command, *argv])

    def hand_on(number: int, frame: FrameType | None) -> None:
        if number != signal.SIGINT:  # an interrupt from the terminal has reached the whole process group
            process.send_signal(number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, hand_on)
    code = process.wait()
    if code in FINISHED:
        return 0
    reason = MEANING.get(code, "it failed" if code > 0 else f"it was ended by {signal.Signals(-code).name}")
    print(f"report: no verdict on the objectives (exit {code}): {reason}, see above", file=sys.stderr)
    return code if code > 0 else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
