"""Drives a load from an ordinary process: starts Locust and its workers, says where samples belong, ends all. I/O.

The owner, a command or a notebook's kernel, keeps the run folder, the desktops and the verdict. Locust is imported by
the processes that are started here, never by this one: it changes the interpreter. Calls block, and are made from one
thread; an exception out of any of them, Ctrl-C included, leaves everything to :meth:`LoadDriver.close`.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from vdibench.client.spacing import SPACING_SECONDS
from vdibench.errors import LoadError, MasterLost, StoreError, UsageError, VdibenchError, WorkerLost
from vdibench.load.health import this_host
from vdibench.load.messages import EngineSecond
from vdibench.load.options import LoadOptions
from vdibench.load.processes import LineReader, LocustProcess, end_all
from vdibench.load.roster import PRIVATE_PREFIX, ROSTER_VARIABLE, Roster, write_roster
from vdibench.load.spool import PROOF_PREFIX, note_missing
from vdibench.load.standing import Standing
from vdibench.records import Desktop
from vdibench.store import RunFolder
from vdibench.store.processes import identity, is_alive

__all__ = ["LoadDriver", "LoadOptions"]

_HERE = Path(__file__).parent
_START_SECONDS, _REMOTE_START_SECONDS = 60.0, 300.0
_EVERYWHERE = ("*", "0.0.0.0", "::")
_PLACE_SECONDS = 20.0
_LOOK_SECONDS = 0.1
_QUIT_SECONDS, _REMOTE_QUIT_SECONDS = 5.0, 35.0
_ENGINE_SECONDS = 3.0
_FAULT_SECONDS = 1.0
_LAST_SECONDS = 10.0
# Beside what the options allow a session: a master that asks its workers once a second, and a host that is full.
_USER_MARGIN_SECONDS = 20.0
_LONGEST_CONNECT_SECONDS = 80.0


class LoadDriver:
    """A load while it lasts; a context manager.

    :param folder: the run folder, which engines write to themselves.
    :param desktops: users get them by index, lowest first.
    :param suite: under which samples are recorded.
    :param secrets: what must not reach any file.
    :param say: takes a line of progress now and then.
    :raises LoadError: Locust or an engine does not start.
    """

    def __init__(
        self,
        folder: Path,
        desktops: Sequence[Desktop],
        options: LoadOptions,
        *,
        suite: str,
        secrets: Iterable[str] = (),
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        self._folder = Path(folder)
        self._desktops = tuple(desktops)
        self._options = options
        self._suite = suite
        self._secrets = tuple(secrets)
        self._say = say
        self._state = Standing()
        self._changed = threading.Condition()
        self._number = 0
        self._target = 0
        self._closed = False
        self._master: LocustProcess | None = None
        self._workers: list[LocustProcess] = []
        self._readers: list[LineReader] = []
        self._engines: dict[int, str] = {}
        self._nonce = uuid.uuid4().hex
        self._proof = self._folder / f"{PROOF_PREFIX}{self._nonce}"
        self._private = Path(tempfile.mkdtemp(prefix=PRIVATE_PREFIX))
        try:
            self._start()
        except BaseException:  # Ctrl-C too: no process stays
            self.close()
            raise

    # starting

    def _start(self) -> None:
        options = self._options
        roster = self._private / "roster.json"
        write_roster(
            roster,
            Roster(
                run=str(self._folder.resolve()),
                suite=self._suite,
                desktops=self._desktops,
                secrets=self._secrets,
                scenario=options.scenario,
                controlled=options.controlled,
                nonce=self._nonce,
                mode=options.mode,
                connect_timeout_seconds=options.connect_timeout_seconds,
                first_frame_timeout_seconds=options.first_frame_timeout_seconds,
                stall_seconds=options.stall_seconds,
                compare_clocks=options.compare_clocks,
                relay_only=options.relay_only,
            ),
        )
        self._proof.touch()
        environment = {ROSTER_VARIABLE: str(roster)}
        self._say("starting the load generator")
        self._master = LocustProcess("master", self._private / "master.log", environment)
        for number in range(options.workers):
            log = self._private / f"worker-{number}.log"
            self._workers.append(LocustProcess(f"worker {number}", log, environment))
        self._readers.append(LineReader(self._master, self._heard, self._master_ended))
        self._master.be(self._master_arguments())
        self._until(lambda state: state.port > 0, _START_SECONDS, "the Locust master did not start")
        host = "127.0.0.1" if options.host in _EVERYWHERE else options.host
        for worker in self._workers:
            worker.be([*self._files(), "--worker", "--master-host", host, "--master-port", str(self._state.port)])
        wanted = options.workers + options.remote_workers
        patience = _REMOTE_START_SECONDS if options.remote_workers else _START_SECONDS
        self._until(lambda state: len(state.workers) >= wanted, patience, "the Locust workers did not start")
        # Every process has read it.
        roster.unlink(missing_ok=True)

    def _master_arguments(self) -> list[str]:
        options = self._options
        arguments = [
            *self._files(),
            "--master",
            "--master-bind-host",
            options.host,
            "--master-bind-port",
            str(options.port),
            "--expect-workers",
            str(options.workers + options.remote_workers),
        ]
        if options.controlled:
            # A web page may look on; the number of users is still the driver's to say.
            arguments += ["--autostart"] if "--web-port" in options.arguments else ["--headless", "--only-summary"]
        return [*arguments, *options.arguments]

    def _files(self) -> list[str]:
        files = [self._options.locustfile or str(_HERE / "locustfile.py")]
        if self._options.controlled:
            files.insert(0, str(_HERE / "controlled.py"))
        return ["-f", ",".join(files)]

    # what is said

    def _heard(self, message: dict[str, Any]) -> None:
        with self._changed:
            self._state.take(message)
            if message.get("say") == "worker" and message["host"] == this_host():
                pid = int(message["engine_pid"])
                self._engines[pid] = identity(pid)
            self._changed.notify_all()

    def _master_ended(self) -> None:
        with self._changed:
            self._state.over = True
            self._changed.notify_all()

    def _until(self, met: Callable[[Standing], bool], seconds: float, otherwise: str) -> bool:
        """Wait until ``met``; with no text for it, whether it was met in time.

        :raises LoadError: it was not, or a part of the load is gone.
        """
        deadline = time.monotonic() + seconds
        while True:
            with self._changed:
                if met(self._state):
                    self._check()
                    return True
                self._check()
                left = deadline - time.monotonic()
                if left > 0:
                    self._changed.wait(min(left, _LOOK_SECONDS))
                    continue
            if not otherwise:
                return False
            raise LoadError(f"{otherwise} within {seconds:g} s", "try again on a machine with less load")

    def _check(self) -> None:
        """Raise what ended a part of the load."""
        if self._closed:
            raise UsageError("this load has ended", "start another one")
        if self._state.fault is not None:
            raise self._state.fault
        assert self._master is not None
        if self._state.over or self._master.exit_code is not None:
            self._master.wait(_LAST_SECONDS)  # its line closes a moment before it ends
            if self._finished:
                return
            raise self._gone(MasterLost, self._master)
        for worker in self._workers:
            if worker.exit_code is not None:
                if worker.exit_code >= 0 and not self._options.controlled:
                    continue  # the master knows whether it was time to
                if worker.exit_code >= 0:  # it ended by itself: why, is on its way to us
                    self._changed.wait_for(lambda: self._state.fault is not None, _FAULT_SECONDS)
                raise self._state.fault or self._gone(WorkerLost, worker)

    @property
    def _finished(self) -> bool:
        """Locust ended by itself, as one that is not controlled does at the end of its time."""
        assert self._master is not None
        return not self._options.controlled and self._state.port > 0 and self._master.exit_code in {0, 1}

    def _gone(self, kind: type[VdibenchError], process: LocustProcess) -> VdibenchError:
        words = process.last_words().splitlines() if (process.exit_code or 0) > 0 else []
        said = f", its last words: {words[-1]}" if words else ""
        return kind(f"the {process.name} of Locust {process.how_it_ended}{said}", "look at its log in the run folder")

    # driving

    def move(self, *, level: int, trial: int, phase: str) -> None:
        """Samples from now on belong there; returns when every engine records so.

        :raises LoadError: a part of the load is gone, or does not answer.
        """
        self._number += 1
        number = self._number
        self._tell({"do": "place", "number": number, "level": level, "trial": trial, "phase": phase})
        self._until(lambda state: state.placed >= number, _PLACE_SECONDS, "an engine did not move on")

    def scale(self, users: int, spawn_rate: float | None = None) -> dict[str, VdibenchError]:
        """Have so many users; returns when each shows video or has failed, with those that failed, by desktop id.

        :param spawn_rate: users a second, where it is another than the options'.
        :raises UsageError: more users than desktops.
        :raises LoadError: a part of the load is gone, or users neither show video nor fail.
        """
        if not 0 <= users <= len(self._desktops):
            raise UsageError(
                f"{users} users cannot have {len(self._desktops)} desktops", "ask for as many users as desktops"
            )
        with self._changed:
            self._state.failures.clear()
        self._target = users
        options = self._options
        rate = spawn_rate or options.spawn_rate
        self._tell({"do": "scale", "users": users, "spawn_rate": rate})
        session = (options.connect_timeout_seconds or _LONGEST_CONNECT_SECONDS) + options.first_frame_timeout_seconds
        seconds = users * max(1 / rate, SPACING_SECONDS) + session + _USER_MARGIN_SECONDS
        self._until(
            lambda state: len(state.users) == users and "leased" not in state.users.values(),
            seconds,
            f"{users} users did not come",
        )
        return self._failed()

    def hold(self, seconds: float) -> dict[str, VdibenchError]:
        """Let the users run; returns after ``seconds``, or when none is left, with those that failed meanwhile.

        :raises LoadError: a part of the load is gone.
        """
        with self._changed:
            before = set(self._state.failures)
        self._until(self._none_left, seconds, "")
        return {desktop: error for desktop, error in self._failed().items() if desktop not in self._ids(before)}

    @property
    def shown(self) -> int:
        """Users that show video now."""
        with self._changed:
            return sum(how == "shown" for how in self._state.users.values())

    def _none_left(self, state: Standing) -> bool:
        return self._target > 0 and not any(how == "shown" for how in state.users.values())

    def wait(self, seconds: float) -> bool:
        """Wait for a load that is not controlled to end by itself; whether it did within ``seconds``.

        :raises LoadError: a part of the load is gone.
        """
        assert self._master is not None
        master = self._master
        return self._until(lambda state: master.exit_code is not None, seconds, "")

    def _tell(self, message: dict[str, Any]) -> None:
        with self._changed:
            self._check()
        assert self._master is not None
        self._master.say(message)

    def _failed(self) -> dict[str, VdibenchError]:
        with self._changed:
            return {self._desktops[index].id: error for index, error in sorted(self._state.failures.items())}

    def _ids(self, indexes: Iterable[int]) -> set[str]:
        return {self._desktops[index].id for index in indexes}

    # looking on

    @property
    def seconds(self) -> list[EngineSecond]:
        """What engines said of their seconds, the last ten minutes of each."""
        with self._changed:
            return list(self._state.seconds)

    @property
    def missing(self) -> list[str]:
        """A sentence for each worker elsewhere whose samples did not all arrive; all are known once it is closed."""
        with self._changed:
            return [why for _, why in sorted(self._state.missing.items())]

    @property
    def pids(self) -> dict[str, list[int]]:
        """Processes on this host: ``master``, ``workers`` and ``engines``."""
        with self._changed:
            engines = [engine for engine in self._engines if self._engines[engine]]
        return {
            "master": [self._master.pid] if self._master is not None else [],
            "workers": [worker.pid for worker in self._workers],
            "engines": engines,
        }

    @property
    def port(self) -> int:
        """Where the master listens for workers."""
        return self._state.port

    # ending

    def close(self) -> None:
        """End everything; samples are written. Takes a few seconds at most, and is safe to call twice."""
        if self._closed:
            return
        self._closed = True
        processes = [process for process in (self._master, *self._workers) if process is not None]
        killed = False
        try:
            # The master tells its workers. One that is gone cannot.
            heads = processes[1:] if self._state.over else processes[:1]
            for process in heads:
                with suppress(LoadError):  # a process that has gone quits by itself
                    process.say({"do": "quit"})
            end_all(processes, _REMOTE_QUIT_SECONDS if self._options.remote_workers else _QUIT_SECONDS)
        except BaseException:  # a second Ctrl-C: no process stays
            end_all(processes, 0.0)
            raise
        finally:
            killed = self._end_engines()
            for reader in self._readers:
                reader.join(1.0)
            self._keep_logs(processes)
            shutil.rmtree(self._private, ignore_errors=True)
            self._proof.unlink(missing_ok=True)
        if self._state.missing:
            note_missing(self._folder, self._suite, self._state.missing, self._secrets)
        if killed:
            self._say("an engine did not end by itself and was ended")

    def _end_engines(self) -> bool:
        """Wait for engines to follow their workers; whether one had to be killed."""
        deadline = time.monotonic() + _ENGINE_SECONDS
        ours = {pid: known for pid, known in self._engines.items() if known}
        while any(is_alive(pid, known) for pid, known in ours.items()) and time.monotonic() < deadline:
            time.sleep(_LOOK_SECONDS / 2)  # they are children of others: nothing tells of their end
        left = [pid for pid, known in ours.items() if is_alive(pid, known)]
        for pid in left:
            with suppress(ProcessLookupError):  # ended meanwhile
                os.kill(pid, 9)
        return bool(left)

    def _keep_logs(self, processes: Sequence[LocustProcess]) -> None:
        """Into the run folder, without secrets."""
        with suppress(StoreError):  # a full disk: the end of a run goes on
            folder = RunFolder.open(self._folder, secrets=self._secrets)
            for process in processes:
                with suppress(OSError):  # a process that never wrote one
                    name = process.name.replace(" ", "-")
                    text = process.log.read_text(errors="replace")
                    folder.write_text(f"logs/{self._suite}-locust-{name}.log", text)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
