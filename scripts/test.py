"""Every test, in two goes: what only computes on all cores, then what is timed or shares the host, one by one.

`python scripts/test.py [pytest's words]`: with words it is pytest and nothing else. Without, both goes run whatever
came of the first, and the exit status is that of the first that failed. Meanwhile what clusters are made of is
built, where it is not kept yet: from cold caches that is a quarter of an hour in which nothing else could be tested.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from vdibench.lab.cluster.binaries import build_name
from vdibench.lab.cluster.versions import GO_MODULES
from vdibench.store.caches import cache_root

ROOT = Path(__file__).parent.parent
# They need no cluster and no desktop, and nothing of them is timed.
COMPUTING = ("tests/unit", "tests/report", "tests/fuzz", "tests/operator")
# But these want a desktop,
SHOWING = ("tests/operator/checker",)
# and these ask programs that are built with a cluster's: they compute, too, where those are kept already.
ASKING = ("tests/unit/graduation", "tests/operator/chart", "tests/operator/test_manifests_equal.py")
ASKED = frozenset({"kubernetes", "helm"})
NICENESS = 10
GRACE_SECONDS = 20.0
INTERRUPTED = 130


def main(words: Sequence[str]) -> int:
    """Run the tests; returns an exit status as pytest's."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        if words:
            return _pytest(*words)
        builder = subprocess.Popen(
            ["nice", f"-n{NICENESS}", sys.executable, "-m", "vdibench.lab.cluster.prepared"],
            cwd=ROOT,
            start_new_session=True,
            # Whoever needs it waits for it, and says what is wrong if it fails.
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            return _both()
        finally:
            _end(builder)
    except KeyboardInterrupt:
        return INTERRUPTED


def _both() -> int:
    later = SHOWING if _kept() else (*SHOWING, *ASKING)
    left_out = [f"--ignore={path}" for path in later]
    # Each process has a core: threads of linear algebra beside them would only take turns.
    words = ("-q", "-n", str(os.cpu_count() or 1), "--dist", "loadfile", *left_out, *COMPUTING)
    first = _pytest(*words, OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1")
    others = (path for path in sorted((ROOT / "tests").iterdir()) if path.is_dir() and any(path.glob("**/test_*.py")))
    rest = [str(path.relative_to(ROOT)) for path in others]
    if first:
        # Said here: the last line of all stays pytest's.
        sys.stderr.write("tests that only compute have failed, see above; the others run all the same\n")
    second = _pytest(*(path for path in rest if path not in COMPUTING), *later)
    return first or second


def _kept() -> bool:
    folders = [cache_root() / "cluster" / build_name(module) for module in GO_MODULES if module.name in ASKED]
    return all(folder.is_dir() for folder in folders)


def _pytest(*words: str, **variables: str) -> int:
    process = subprocess.Popen([sys.executable, "-m", "pytest", *words], cwd=ROOT, env=os.environ | variables)
    try:
        return process.wait()
    except KeyboardInterrupt:
        # A terminal has told it as well; a kill has not. It cleans up, and says what it had.
        process.send_signal(signal.SIGINT)
        _end_within(process)
        raise


def _end(builder: subprocess.Popen[bytes]) -> None:
    if builder.poll() is None:
        os.killpg(builder.pid, signal.SIGINT)  # so that it removes its temporary folders
        _end_within(builder)


def _end_within(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
