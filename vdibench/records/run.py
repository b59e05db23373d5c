"""``run.json``: what was run, where and with what."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

__all__ = ["RUN_SCHEMA", "Phase", "Run", "RunState"]

# History of the schema of run.json and of the tables beside it:
# 1  first
# 2  stages of a frame, the desk's own time of an input, audio loss and socket drops; loss, jitter, nack and pli are
#    float64 with NaN for "not applicable"; tables server, clock, pictures and synchronisation
# 3  tables engine and requests: load
RUN_SCHEMA = 3


class RunState(StrEnum):
    """How far a run came. Only ``FINISHED`` can have a passing verdict."""

    RUNNING = "running"
    FINISHED = "finished"
    INTERRUPTED = "interrupted"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Phase:
    """A stretch of a run: ``set-up``, ``lab`` or a notebook, with its duration."""

    name: str
    seconds: float
    note: str = ""


@dataclass(frozen=True, slots=True)
class Run:
    """The content of ``run.json``.

    :param name: folder name, ``<utc>-<suite>-<profile>``.
    :param suite: suite name, or ``pipeline`` for several.
    :param parameters: by suite, as they were in force.
    :param target: where the desktops came from: the target as it was given, such as ``lab`` or ``url:URL``.
    :param context: what objectives may ask about: ``target``, ``gpu``, ``dialect``, ``profile``.
    :param host: CPU, memory, kernel and load of the measuring machine.
    :param versions: of vdibench, Python and the libraries whose behaviour is measured.
    :param objectives: text of the objective file in force.
    :param contention: other runs that measured on this machine at the same time.
    :param pid_identity: boot and start time of process ``pid``, so that a reused pid is recognised.
    """

    name: str
    suite: str
    profile: str
    target: str
    started_unix_seconds: float
    state: RunState = RunState.RUNNING
    ended_unix_seconds: float | None = None
    pid: int = 0
    parameters: dict[str, dict[str, Any]] = field(default_factory=dict)
    context: dict[str, Any] = field(default_factory=dict)
    host: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    git_commit: str = ""
    objectives: str = ""
    phases: tuple[Phase, ...] = ()
    contention: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()
    schema: int = RUN_SCHEMA
    pid_identity: str = ""
