"""What ended a suite, left in the run folder for the runner: the one line and the exit code. Written once a suite."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from vdibench.errors import VdibenchError
from vdibench.store import RunFolder

__all__ = ["Failure", "read_failure", "write_failure"]

INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Failure:
    """The one-line message and the exit code that it asks for."""

    suite: str
    message: str
    exit_code: int


def _path(suite: str) -> str:
    return f"failures/{suite}.json"


def write_failure(folder: RunFolder, suite: str, error: BaseException | None, message: str) -> None:
    """Leave word of what ended ``suite``."""
    code = error.exit_code if isinstance(error, VdibenchError) else 1
    if isinstance(error, KeyboardInterrupt):
        code = INTERRUPTED
    folder.write_text(_path(suite), json.dumps({"message": message, "exit_code": code}))


def read_failure(run: Path, suite: str) -> Failure | None:
    """Word of what ended ``suite``; None when nothing did."""
    try:
        said = json.loads((run / _path(suite)).read_text())
        return Failure(suite, str(said["message"]), int(said["exit_code"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
