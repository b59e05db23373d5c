"""What the Locust master does: desktops for users, workers that must be there, the driver's word. I/O; gevent only."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gevent
import gevent.lock
import gevent.queue
from locust.runners import STATE_STOPPED, STATE_STOPPING

from vdibench.errors import VdibenchError, WorkerLost
from vdibench.load.control import ControlLine, open_control_line, watch_parent
from vdibench.load.health import this_host
from vdibench.load.kept import KeptSeconds
from vdibench.load.leases import Leases
from vdibench.load.messages import EngineSecond, Failure
from vdibench.load.roster import Roster, forget_roster
from vdibench.load.shipping import Receiver
from vdibench.store.processes import is_alive

__all__ = ["MasterSide", "WorkerSeen"]

_LOG = logging.getLogger(__name__)
_LOOK_SECONDS = 0.25
# A worker elsewhere says something every second. Three in a row may be late on a host that is full; more are not.
_SILENCE_SECONDS = 4.0
_GATHER_SECONDS = 30.0
_LAST_SECONDS = 1.5  # what failed ends soon


@dataclass
class WorkerSeen:
    """A worker that introduced itself.

    :param heard: monotonic instant of its last word.
    """

    node: str
    index: int
    pid: int
    identity: str
    host: str
    engine_pid: int
    heard: float
    ships: bool = False


class MasterSide:
    """Leases, places, seconds and faults.

    :param runner: Locust's, of a master or of a process that is all in one.
    :param stop_web: ends the web page, where there is one.
    :ivar seconds: what engines said of late.
    :ivar fault: what ended the load before its time; None while nothing did.
    """

    def __init__(self, environment: Any, runner: Any, roster: Roster, stop_web: Callable[[], None]) -> None:
        self.roster = roster
        self.seconds = KeptSeconds()
        self.fault: VdibenchError | None = None
        self.workers: dict[str, WorkerSeen] = {}
        self._environment = environment
        self._runner = runner
        self._stop_web = stop_web
        self._leases = Leases(len(roster.desktops))
        self._place: dict[str, Any] | None = None
        self._placed: set[str] = set()
        self._receiver: Receiver | None = None
        self._unfinished: set[str] = set()
        self._gathering = gevent.lock.RLock()
        self._gathered = False
        self._scales: gevent.queue.Queue = gevent.queue.Queue()
        self._ending = False
        for name, listener in (
            ("hello", self._hello),
            ("lease", self._lease),
            ("unlease", self._unlease),
            ("left", self._left),
            ("user", self._user),
            ("placed", self._placed_by),
            ("second", self._second),
            ("fault", self._fault),
            ("part", self._part),
            ("finished", self._finished),
        ):
            runner.register_message(f"vdibench_{name}", listener)
        self._control: ControlLine | None = open_control_line(self._told, self._orphaned)
        if self._control is not None:
            watch_parent(self._orphaned)
        gevent.spawn(self._watch_workers)

    def listening(self, port: int) -> None:
        """The master takes workers at ``port``."""
        self._say("listening", port=port)

    def _say(self, what: str, **values: Any) -> None:
        if self._control is not None:
            self._control.say({"say": what, **values})

    # the driver

    def _told(self, message: dict[str, Any]) -> None:
        what = message.get("do")
        if what == "place":
            self._place = {key: message[key] for key in ("level", "trial", "phase", "number")}
            self._placed.clear()
            self._runner.send_message("vdibench_place", self._place)
        elif what == "scale":
            self._scales.put((int(message["users"]), float(message["spawn_rate"])))
        elif what == "quit":
            self.end()

    def _orphaned(self) -> None:
        """The driver is gone."""
        forget_roster()
        self.end()

    def next_scale(self) -> tuple[int, float]:
        """Wait until the driver wants another number of users; returns it and the users a second."""
        users, rate = self._scales.get()
        # Leaving costs nobody anything: all at once.
        return users, max(rate, float(len(self._leases.held))) if users == 0 else rate

    # workers

    def _hello(self, environment: Any, msg: Any, **rest: Any) -> None:
        said = msg.data
        seen = WorkerSeen(
            msg.node_id,
            int(said["index"]),
            int(said["pid"]),
            str(said["identity"]),
            str(said["host"]),
            int(said["engine_pid"]),
            time.monotonic(),
            bool(said.get("ships")),
        )
        self.workers[msg.node_id] = seen
        if self._place is not None:
            self._runner.send_message("vdibench_place", self._place, self._address(msg.node_id))
        self._say("worker", index=seen.index, pid=seen.pid, engine_pid=seen.engine_pid, host=seen.host)

    @staticmethod
    def _address(node: str) -> str | None:
        return None if node == "local" else node

    def _watch_workers(self) -> None:
        here = this_host()
        suspects: set[str] = set()
        while not self._ending:
            gevent.sleep(_LOOK_SECONDS)  # Locust tells of none of it
            for worker in tuple(self.workers.values()):
                if not _is_gone(worker, here):
                    suspects.discard(worker.node)
                elif worker.node not in suspects:
                    suspects.add(worker.node)  # its farewell may still be on its way
                elif not self._ending:
                    self._lost(worker)

    def _lost(self, worker: WorkerSeen) -> None:
        del self.workers[worker.node]
        if worker.ships:
            self._miss(worker, "it is gone")
        over = self._runner.state in {STATE_STOPPING, STATE_STOPPED}
        if over and worker.node not in self._runner.clients:
            return  # it was told to quit, and said so
        for holder, ticket, desktop in self._leases.lost(worker.node):
            self._grant(str(holder), ticket, desktop)
        self.fail(
            WorkerLost(
                f"worker {worker.index} (process {worker.pid}) is gone with its users",
                "look at its log; memory and signals are what ends a process",
            )
        )

    def _heard_of(self, node: str) -> None:
        if (worker := self.workers.get(node)) is not None:
            worker.heard = time.monotonic()

    def _second(self, environment: Any, msg: Any, **rest: Any) -> None:
        self._heard_of(msg.node_id)
        self.seconds.append(EngineSecond.of(msg.data))
        self._say("second", **msg.data)

    def _placed_by(self, environment: Any, msg: Any, **rest: Any) -> None:
        if self._place is None or msg.data["number"] != self._place["number"]:
            return
        self._placed.add(msg.node_id)
        if self._placed >= self.workers.keys():
            self._say("placed", number=self._place["number"])

    # samples of workers elsewhere

    def _part(self, environment: Any, msg: Any, **rest: Any) -> None:
        self._heard_of(msg.node_id)
        try:
            if self._receiver is None:
                self._receiver = Receiver(self.roster)
            name = self._receiver.take(msg.node_id, msg.data)
        except VdibenchError as error:
            self.fail(error)
            return
        if name is not None:
            self._runner.send_message("vdibench_taken", {"name": name}, self._address(msg.node_id))

    def _finished(self, environment: Any, msg: Any, **rest: Any) -> None:
        self._unfinished.discard(msg.node_id)

    def gather(self) -> None:
        """Wait until workers elsewhere have handed over what they recorded; bounded, and once for what there is.

        Before the load ends. Whoever did not is told to the driver, which makes the run invalid.
        """
        with self._gathering:  # a test that stops and a driver that wants to quit come at one time
            if self._gathered:
                return
            self._gathered = True
            self._gather()

    def _gather(self) -> None:
        self._unfinished = {worker.node for worker in self.workers.values() if worker.ships}
        for node in self._unfinished:
            self._runner.send_message("vdibench_finish", {}, self._address(node))
        seconds, here = _GATHER_SECONDS if self.fault is None else _LAST_SECONDS, this_host()
        deadline = time.monotonic() + seconds
        while waited := [self.workers[node] for node in self._unfinished & self.workers.keys()]:
            over = time.monotonic() >= deadline
            for worker in waited:
                if _is_gone(worker, here):
                    self._miss(worker, "it is gone")
                elif over:
                    self._miss(worker, f"it did not hand them over within {seconds:g} s")
            if self._unfinished:
                gevent.sleep(_LOOK_SECONDS)  # Locust tells of none of it

    def _miss(self, worker: WorkerSeen, why: str) -> None:
        """Samples of a worker are not all in the run folder, and will not be."""
        self._unfinished.discard(worker.node)
        sentence = f"samples of worker {worker.index} on {worker.host} are missing: {why}"
        _LOG.error("%s", sentence)
        if not self._environment.process_exit_code:  # what ended the load says more
            self._environment.process_exit_code = 1
        self._say("missing", worker=worker.index, why=sentence)

    # users

    def _lease(self, environment: Any, msg: Any, **rest: Any) -> None:
        desktop = self._leases.take(msg.node_id, msg.data["ticket"])
        if desktop is not None:
            self._grant(msg.node_id, msg.data["ticket"], desktop)

    def _grant(self, node: str, ticket: Any, desktop: int) -> None:
        self._gathered = False  # there is somebody again to record of
        self._say("user", desktop=desktop, state="leased", failure=None)
        self._runner.send_message("vdibench_leased", {"ticket": ticket, "desktop": desktop}, self._address(node))

    def _unlease(self, environment: Any, msg: Any, **rest: Any) -> None:
        self._leases.forget(msg.node_id, msg.data["ticket"])

    def _left(self, environment: Any, msg: Any, **rest: Any) -> None:
        desktop = msg.data["desktop"]
        self._say("user", desktop=desktop, state="left", failure=None)
        if (following := self._leases.give_back(desktop, msg.node_id)) is not None:
            node, ticket, given = following
            self._grant(str(node), ticket, given)

    def _user(self, environment: Any, msg: Any, **rest: Any) -> None:
        self._say("user", **msg.data)

    # ending

    def _fault(self, environment: Any, msg: Any, **rest: Any) -> None:
        error = Failure.read(msg.data).error()
        if msg.node_id in self._unfinished and (worker := self.workers.get(msg.node_id)) is not None:
            self._miss(worker, error.cause)  # amid the handing over, which it ends
        self.fail(error)

    def fail(self, error: VdibenchError) -> None:
        """End the load before its time, with the error's exit code; only the first error counts."""
        if self._ending:
            return
        self.fault = error
        _LOG.error("%s: %s", type(error).__name__, error)
        self._environment.process_exit_code = error.exit_code
        self._say("fault", **Failure.of(error).document())
        self.end()

    def end(self) -> None:
        """End the load; safe to call twice."""
        if self._ending:
            return
        self._ending = True
        gevent.spawn(self._end)

    def _end(self) -> None:
        # Not left to Locust's own end of the test: where a shape runs, Locust quits without waiting for its listeners.
        # Where it does call them, this was done before, and is not done again.
        self.gather()
        self._runner.quit()
        self._stop_web()

    def close(self) -> None:
        """The process is about to end."""
        self._ending = True
        if self._receiver is not None:
            self._receiver.close()


def _is_gone(worker: WorkerSeen, here: str) -> bool:
    if worker.host == here:
        return not is_alive(worker.pid, worker.identity)
    return time.monotonic() - worker.heard > _SILENCE_SECONDS
