"""What a Locust worker does for its users: its engine, their desktops, its word to the master. I/O; gevent only."""

from __future__ import annotations

import itertools
import logging
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gevent
import gevent.event

from vdibench.errors import LoadError, MasterLost, VdibenchError
from vdibench.load.bridge import EngineBridge
from vdibench.load.control import open_control_line, watch_parent
from vdibench.load.health import ProcessUse, this_host
from vdibench.load.messages import Failure
from vdibench.load.roster import Roster
from vdibench.load.shipping import Shipper
from vdibench.store.processes import identity

__all__ = ["WorkerSide"]

_LOG = logging.getLogger(__name__)
_PLACE_SECONDS = 10.0
_LEASE_SECONDS = 30.0
_HEARTBEAT_SECONDS = 5.0
_FLUSH_SECONDS = 10.0


class WorkerSide:
    """The engine of this worker and what is said to and by the master.

    :param runner: Locust's, of a worker or of a process that is all in one.
    """

    def __init__(self, environment: Any, runner: Any, roster: Roster) -> None:
        self.roster = roster
        self._environment = environment
        self._runner = runner
        self._tickets = itertools.count(1)
        self._leases: dict[int, gevent.event.AsyncResult] = {}
        self._use = ProcessUse()
        self._ending = False
        self.engine = EngineBridge(self._hear_engine, self.fail)
        runner.register_message("vdibench_leased", self._leased)
        runner.register_message("vdibench_place", self._place, concurrent=True)
        runner.register_message("vdibench_taken", self._taken)
        runner.register_message("vdibench_finish", self._finish, concurrent=True)
        self._shipper: Shipper | None = None
        gevent.spawn(self._introduce)
        gevent.spawn(self._report)

    def follow_master(self) -> None:
        """End when the master does: on this host its process or the driver's, elsewhere its silence."""
        # A driver starts workers itself, and its line tells; one of Locust's --processes is the master's child.
        if open_control_line(self._told, self._abandoned) is not None or self._environment.parsed_options.processes:
            watch_parent(self._abandoned)
        else:
            # Only where nothing better tells: on a host that a trial fills, a master that lives is silent for seconds.
            gevent.spawn(self._watch_heartbeat)

    def _told(self, message: dict[str, Any]) -> None:
        if message.get("do") == "quit":
            self._end()

    def _watch_heartbeat(self) -> None:
        while True:
            gevent.sleep(1.0)  # a master's silence is counted in seconds
            heard = self._runner.last_heartbeat_timestamp
            if heard and time.time() - heard > _HEARTBEAT_SECONDS:
                self._abandoned()
                return

    def _abandoned(self) -> None:
        self.fail(MasterLost("the master of this load is gone", "look at its log, and start the load again"))

    # what users ask for

    def lease(self) -> int:
        """The index of a desktop for one user; waits while none is free.

        :raises LoadError: none became free in time, or the engine does not serve.
        """
        self.engine.wait()  # else the user's first step would take as long as the engine's start
        ticket = next(self._tickets)
        result = self._leases[ticket] = gevent.event.AsyncResult()
        try:
            self._runner.send_message("vdibench_lease", {"ticket": ticket})
            return int(result.get(timeout=_LEASE_SECONDS))
        except BaseException as error:  # a user that is stopped while it waits, too: the lease must go back
            if result.ready() and result.successful():
                self.give_back(int(result.get()))
            else:
                self._runner.send_message("vdibench_unlease", {"ticket": ticket})
            if isinstance(error, gevent.Timeout):
                raise LoadError(
                    f"no desktop was free for a user within {_LEASE_SECONDS:g} s", "ask for as many users as desktops"
                ) from error
            raise
        finally:
            del self._leases[ticket]

    def give_back(self, desktop: int) -> None:
        """A user needs its desktop no more."""
        self._runner.send_message("vdibench_left", {"desktop": desktop})

    def state(self, desktop: int, state: str, error: VdibenchError | None = None) -> None:
        """Say how a user fares: ``shown`` or ``failed``, with the reason."""
        failure = Failure.of(error).document() if error is not None else None
        self._runner.send_message("vdibench_user", {"desktop": desktop, "state": state, "failure": failure})

    def request(self, desktop: int, name: str, began: float, seconds: float, error: VdibenchError | None) -> None:
        """Record one step of a user, a row of table ``requests``; the engine is the one writer of this worker."""
        values = {
            "unix_seconds": began,
            "name": name,
            "duration_seconds": seconds,
            "error": str(error) if error is not None else "",
        }
        session = self.roster.desktops[desktop].id if desktop >= 0 else "client"
        try:
            self.engine.tell("row", session=session, table="requests", values=values)
        except VdibenchError:
            return  # it is lost, which is said elsewhere

    # what is said to and by the master

    def _introduce(self) -> None:
        try:
            hello = self.engine.wait()
        except VdibenchError as error:
            self.fail(error)
            return
        _LOG.info("engine %s serves (%s)", hello["pid"], hello["loop"])
        if hello["spool"]:
            _LOG.info("the run folder is not on this host: samples go to the master")
            self._shipper = Shipper(Path(hello["spool"]), self._runner.send_message, self.fail)
        pid = os.getpid()
        self._runner.send_message(
            "vdibench_hello",
            {
                "index": self._runner.worker_index,
                "pid": pid,
                "identity": identity(pid),
                "host": this_host(),
                "engine_pid": hello["pid"],
                "ships": self._shipper is not None,
            },
        )

    def _report(self) -> None:
        while not self._ending:
            name, users = f"engine-{self._runner.worker_index}", self._runner.target_user_count
            try:
                self.engine.tell("worker", name=name, users=users, cpu_ratio=self._use.cpu_ratio())
            except VdibenchError:
                return
            gevent.sleep(1.0)  # once a second is how often the engine is told

    def _hear_engine(self, message: Mapping[str, Any]) -> None:
        if message.get("say") == "second":
            second = {key: value for key, value in message.items() if key != "say"}
            self._runner.send_message("vdibench_second", second)
        elif message.get("say") == "failed":
            self.state(int(message["user"]), "failed", Failure.read(message["failure"]).error())

    def _leased(self, environment: Any, msg: Any, **rest: Any) -> None:
        result = self._leases.get(msg.data["ticket"])
        if result is None:
            self.give_back(msg.data["desktop"])  # its user gave up meanwhile
        else:
            result.set(msg.data["desktop"])

    def _place(self, environment: Any, msg: Any, **rest: Any) -> None:
        place = msg.data
        try:
            self.engine.call(
                "place",
                timeout_seconds=_PLACE_SECONDS,
                level=place["level"],
                trial=place["trial"],
                phase=place["phase"],
            )
        except VdibenchError as error:
            self.fail(error)
        else:
            self._runner.send_message("vdibench_placed", {"number": place["number"]})

    def _taken(self, environment: Any, msg: Any, **rest: Any) -> None:
        if self._shipper is not None:
            self._shipper.acknowledged(msg.data["name"])

    def _finish(self, environment: Any, msg: Any, **rest: Any) -> None:
        """The master is about to end, or paused: what was recorded elsewhere must be there before."""
        if self._shipper is not None:
            try:
                self._runner.stop_users(self._runner.user_classes_count)
                self.engine.call("flush", timeout_seconds=_FLUSH_SECONDS)
                self._shipper.ship()
            except VdibenchError as error:
                self.fail(error)
                return
        self._runner.send_message("vdibench_finished", {})

    # ending

    def fail(self, error: VdibenchError) -> None:
        """Nothing more can be measured here: say so, and end with the error's exit code."""
        if self._ending:
            return
        self._ending = True
        _LOG.error("%s: %s", type(error).__name__, error)
        self._environment.process_exit_code = error.exit_code
        self._runner.send_message("vdibench_fault", Failure.of(error).document())
        self._end()

    def _end(self) -> None:
        self._ending = True
        gevent.spawn(self._runner.quit)

    def close(self) -> None:
        """End the engine, its samples written."""
        self._ending = True
        self.engine.close()
        if self._shipper is not None:
            self._shipper.close()
