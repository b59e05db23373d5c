"""Locust with engines: importing this module is enough. Runs inside Locust.

Listeners of Locust's events give each worker its engine and the master its desktops; in a process that is all in one,
both. What went wrong decides the exit code, which Locust alone would leave at 0.
"""

from __future__ import annotations

import logging
import os
import sys
from typing import Any

from locust import events, runners
from locust.runners import LocalRunner, MasterRunner, WorkerRunner

from vdibench.errors import LoadError, VdibenchError
from vdibench.load.master import MasterSide
from vdibench.load.roster import ROSTER_VARIABLE, read_roster
from vdibench.load.web import add_pages, facts_of
from vdibench.load.worker import WorkerSide

__all__ = ["master_side", "worker_side"]

_LOG = logging.getLogger(__name__)
_WORKER, _MASTER = "vdibench_worker", "vdibench_master"


def worker_side(environment: Any) -> WorkerSide:
    """What serves the users of this process.

    :raises LoadError: Locust runs without vdibench here.
    """
    found = getattr(environment, _WORKER, None)
    if not isinstance(found, WorkerSide):
        raise LoadError("no engine serves this process's users", "start Locust with VDIBENCH_ROSTER set")
    return found


def master_side(environment: Any) -> MasterSide | None:
    """What keeps desktops and seconds in this process; None in a worker."""
    found = getattr(environment, _MASTER, None)
    return found if isinstance(found, MasterSide) else None


def _started(environment: Any, runner: Any, web_ui: Any = None, **rest: Any) -> None:
    try:
        roster = read_roster(os.environ.get(ROSTER_VARIABLE, ""))
    except VdibenchError as error:
        _LOG.error("%s", error)
        sys.exit(error.exit_code)
    if isinstance(runner, MasterRunner | LocalRunner):
        master = MasterSide(environment, runner, roster, web_ui.stop if web_ui is not None else lambda: None)
        setattr(environment, _MASTER, master)
        if web_ui is not None:
            add_pages(web_ui, master.seconds, facts_of(roster), locked=roster.controlled)
        if isinstance(runner, MasterRunner):
            master.listening(runner.server.port)
    if isinstance(runner, WorkerRunner | LocalRunner):
        worker = WorkerSide(environment, runner, roster)
        setattr(environment, _WORKER, worker)
        if isinstance(runner, WorkerRunner):
            worker.follow_master()


def _stopped(environment: Any, **rest: Any) -> None:
    # In the master this comes before its workers are told to quit.
    if isinstance(environment.runner, MasterRunner) and (master := master_side(environment)) is not None:
        master.gather()


def _ending(environment: Any, **rest: Any) -> None:
    master, worker = getattr(environment, _MASTER, None), getattr(environment, _WORKER, None)
    if isinstance(master, MasterSide):
        master.close()
    if isinstance(worker, WorkerSide):
        # Users of a process that is all in one still run here, and want to leave.
        if environment.runner.user_count:
            environment.runner.stop()
        worker.close()


# Locust calls a worker missing after three silent seconds, and gives its users to others. On a host that a trial fills,
# workers that live are silent for longer; whether one lives is looked at by its process, or by its silence elsewhere.
runners.HEARTBEAT_LIVENESS = 20

events.init.add_listener(_started)  # type: ignore[no-untyped-call]  # Locust types it not
events.test_stop.add_listener(_stopped)  # type: ignore[no-untyped-call]  # as above
events.quitting.add_listener(_ending)  # type: ignore[no-untyped-call]  # as above
