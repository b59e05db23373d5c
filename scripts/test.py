"""Every test: what only computes on all cores, clusters one by one beside it, then what is timed or shares the host.

`python scripts/test.py [pytest's words]`: with words it is pytest and nothing else. Without, all of it runs whatever
came of the parts before, and the exit status is that of the first that failed. A cluster waits for its own parts half
of the time: what only computes takes that half, by a lower priority, and is printed when it has ended. Where what
clusters are made of is not kept yet, it is built meanwhile, and clusters come last: from cold caches that is a
quarter of an hour in which nothing else could be tested.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from vdibench.lab.cluster.binaries import build_name
from vdibench.lab.cluster.versions import GO_MODULES
from vdibench.store.caches import cache_root

ROOT = Path(__file__).parent.parent
# These ask programs that are built with a cluster's: they only compute, where those are kept already. Largest first:
# each file is one process's, and one that comes last leaves the other cores nothing to do.
ASKING = (
    *("tests/unit/graduation", "tests/repository/test_ci_recipes.py", "tests/repository/test_rules.py"),
    *("tests/repository/test_policies.py", "tests/operator/chart", "tests/operator/test_manifests_equal.py"),
    *(f"tests/repository/test_{of}manifests.py" for of in ("", "load_", "session_", "turn_")),
)
# They need no cluster and no desktop, and nothing of them is timed.
COMPUTING = (
    *("tests/report", "tests/unit", "tests/operator", "tests/fuzz"),
    *(f"tests/e2e/test_{of}.py" for of in ("compare", "capacity_plan", "plan", "reference", "reference_replay")),
    *(f"tests/repository/test_{of}.py" for of in ("commands", "dependencies", "exports", "goals", "layout")),
    *(f"tests/repository/test_{of}.py" for of in ("sessions", "wheel")),
)
# But these want a desktop,
SHOWING = ("tests/operator/checker",)
# Nothing of these is timed closer than in seconds.
CLUSTERS = "tests/cluster"
NICENESS = 10
GRACE_SECONDS = 20.0
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
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
        _yield(builder)
        try:
            return _all()
        finally:
            _end(builder)
    except KeyboardInterrupt:
        return INTERRUPTED


def _all() -> int:
    kept = _kept()
    computing = (*ASKING, *COMPUTING) if kept else COMPUTING
    later = SHOWING if kept else (*SHOWING, *ASKING)
    # Each process has a core: threads of linear algebra beside them would only take turns.
    words = [
        *("-q", "-n", str(os.cpu_count() or 1), "--dist", "loadfile", "--no-loadscope-reorder"),
        *(f"--ignore={path}" for path in later),
        *computing,
    ]
    found = _beside(words) if kept else [_pytest(*words, **ONE_THREAD)]
    others = (path for path in sorted((ROOT / "tests").iterdir()) if path.is_dir() and any(path.glob("**/test_*.py")))
    rest = [path for path in (str(folder.relative_to(ROOT)) for folder in others) if path not in COMPUTING]
    # A file that is named is taken all the same: these are files of folders that are not.
    done = [f"--ignore={path}" for path in computing if path.endswith(".py") and path not in later]
    if any(found):
        # Said here: the last line of all stays pytest's.
        sys.stderr.write("tests have failed, see above; the others run all the same\n")
    found.append(_pytest(*(path for path in rest if not kept or path != CLUSTERS), *later, *done))
    return next(filter(None, found), 0)


def _beside(words: Sequence[str]) -> list[int]:
    """What computes and the clusters, at the same time; exit statuses of both."""
    with tempfile.TemporaryFile() as said:
        command = ["nice", f"-n{NICENESS}", sys.executable, "-m", "pytest", *words]
        # A group of its own: Ctrl-C at a terminal comes to it by us, as a kill does.
        computing = subprocess.Popen(
            command, cwd=ROOT, env=os.environ | ONE_THREAD, stdout=said, stderr=said, start_new_session=True
        )
        _yield(computing)
        try:
            clusters = _pytest(CLUSTERS)
            status = computing.wait()
        finally:
            _end(computing)
            said.seek(0)
            shutil.copyfileobj(said, sys.stdout.buffer)
            sys.stdout.flush()
    return [status, clusters]


def _yield(process: subprocess.Popen[bytes]) -> None:
    """Have a session of its own give way to ours: between sessions Linux counts the group's niceness, and no other."""
    with contextlib.suppress(OSError):  # another system, or a kernel without such groups: there nice is enough
        Path(f"/proc/{process.pid}/autogroup").write_text(str(NICENESS))


def _kept() -> bool:
    folders = [cache_root() / "cluster" / build_name(module) for module in GO_MODULES]
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


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGINT)  # so that it removes its temporary folders
        _end_within(process)


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
