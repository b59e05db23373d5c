"""Where an engine records: the run folder, or a folder of its own where the run folder is not there. I/O.

A worker on another host sees no run folder. Its engine keeps samples in a run folder that nobody else knows, whose part
files its worker hands to the master and removes.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from vdibench.errors import ProtocolViolation
from vdibench.load.guard import MISSING_FACT
from vdibench.load.roster import Roster
from vdibench.recorder import Place, Recorder
from vdibench.records import TABLES, Run
from vdibench.store import RunFolder

__all__ = ["PROOF_PREFIX", "note_missing", "open_folder", "rows_of", "sees_run"]

PROOF_PREFIX = ".load-"
"""A file so named, with the roster's nonce behind it, proves that a folder is the run and not one of its name."""


def sees_run(roster: Roster) -> bool:
    """Whether the run folder is on this host."""
    folder = Path(roster.run)
    return (folder / f"{PROOF_PREFIX}{roster.nonce}").is_file() if roster.nonce else (folder / "run.json").is_file()


def open_folder(roster: Roster) -> tuple[RunFolder, Path | None]:
    """Where to record, and the folder whose part files must be handed on; None where that is the run folder.

    :raises StoreError: it cannot be written.
    """
    if sees_run(roster):
        return RunFolder.open(Path(roster.run), secrets=roster.secrets), None
    root = Path(tempfile.mkdtemp(prefix="vdibench-spool-"))
    run = Run("", roster.suite, "spool", "elsewhere", time.time())
    return RunFolder.create(root, run, secrets=roster.secrets), root


def note_missing(run: Path, suite: str, missing: Mapping[int, str], secrets: Iterable[str]) -> None:
    """Say in the run folder, where the guard reads it, which workers' samples did not arrive, and why.

    :raises StoreError: the run has ended, or the disk refuses.
    """
    with RunFolder.open(run, secrets=secrets) as folder:
        recorder = Recorder(folder, Place(suite))
        for index, why in sorted(missing.items()):
            recorder.fact(f"engine-{index}", MISSING_FACT, why)


def rows_of(name: str, data: bytes) -> tuple[str, pa.Table]:
    """Table and rows of a part file that another host sent.

    :raises ProtocolViolation: it is none.
    """
    table = name.partition("-")[0]
    if table not in TABLES:
        raise ProtocolViolation(f"a worker sent samples as {name!r}", "use the same version of vdibench on every host")
    try:
        return table, pq.read_table(pa.BufferReader(data), use_threads=False)
    except (pa.ArrowException, OSError, ValueError) as error:
        cause = f"a worker sent samples as {name!r} that cannot be read: {str(error).splitlines()[0]}"
        raise ProtocolViolation(cause, "use the same version of vdibench on every host") from error
