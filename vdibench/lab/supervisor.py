"""The process that brings a lab up, watches it and takes it down. Standard library only; Linux only.

Started as ``python -m vdibench.lab.supervisor`` with a lab directory that holds ``mark`` and ``spec.json``.
It reports on a pipe, one JSON object a line: ``{"progress": text}``, then ``{"ready": true}`` or
``{"failed": [cause, remedy]}``. It goes down on SIGTERM and when its owner's pipe closes; an owner that wants
it to outlive itself writes one byte there first.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import secrets
import shutil
import signal
import sys
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from vdibench.errors import LabError
from vdibench.lab.cluster.launch import ClusterRun, NumberLease
from vdibench.lab.cluster.prepared import Prepared
from vdibench.lab.desktop import DesktopRun
from vdibench.lab.files import write_private
from vdibench.lab.parts import Children, Part, PartFailed, base_environment
from vdibench.lab.ports import PortLeases
from vdibench.lab.spec import LabSpec
from vdibench.lab.status import STATE_FILE
from vdibench.lab.traces import ROLE_VARIABLE, kill_marked, read_mark
from vdibench.lab.turn import (
    HOST,
    await_binding,
    ice_servers,
    mint,
    relay_ports,
    turn_configuration,
)

__all__ = ["SPEC_FILE", "main"]

SPEC_FILE = "spec.json"

_CANCEL_SECONDS, _TERM_SECONDS, _KILL_SECONDS = 0.5, 0.5, 5.0
_OWNER_POLL_SECONDS = 0.5


class Supervisor:
    """One lab, from its directory to its end."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._directory: Path = options.directory
        self._mark = read_mark(self._directory)
        document = json.loads((self._directory / SPEC_FILE).read_text())
        self._owned: bool = document["owned"]
        self._timeout: float = document["timeout_seconds"]
        self._spec = LabSpec.from_json(document["spec"])
        self._prepared: dict[str, Any] | None = document["cluster"]
        self._started = time.time()
        self._begun = time.monotonic()
        self._state = "starting"
        self._stop = asyncio.Event()
        self._changed = asyncio.Event()
        self._children = Children(self._on_exit)
        self._leases = PortLeases()
        self._reaper = 0
        self._reaper_pipe = os.pipe()
        self._turn_part = Part("turn", "coturn", self._directory / "turn" / "coturn.log", "read its log")
        self._turn_secret = secrets.token_urlsafe(24)
        self._turn_port: int | None = None
        self._relay = range(0)
        self._turn_ready = asyncio.Event()
        self._credentials: dict[str, str] = {}
        self._desktops: list[DesktopRun] = []
        self._number: NumberLease | None = None
        self._cluster: ClusterRun | None = None

    async def run(self) -> int:
        """Bring the lab up, keep it until it shall end, take it down.

        :return: exit status.
        """
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGCHLD, self._children.reap)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_reader(self._options.owner_pipe, self._on_owner)
        background = [loop.create_task(self._watch_owner()), loop.create_task(self._renew())]
        status = 0
        try:
            await self._or_stop(self._bring_up())
            if not self._stop.is_set():
                self._state = "running"
                self._write_state()
                took = time.monotonic() - self._begun
                cluster = "a cluster and " if self._cluster is not None else ""
                self._progress(f"lab ready: {cluster}{len(self._desktops)} desktops in {took:.1f} s")
                self._report({"ready": True})
                await self._stop.wait()
        except PartFailed as failure:
            status = 1
            self._report({"failed": [self._redact(failure.cause), self._redact(failure.remedy)]})
        except LabError as error:
            status = 1
            self._report({"failed": [self._redact(error.cause), error.remedy]})
        finally:
            for task in background:
                task.cancel()
            await self._take_down()
        return status

    async def _or_stop(self, work: Coroutine[Any, Any, None]) -> None:
        """Do some work unless the lab shall end before."""
        task = asyncio.ensure_future(work)
        stop = asyncio.ensure_future(self._stop.wait())
        await asyncio.wait((task, stop), return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        if not task.done():
            task.cancel()
            # Taking down needs nothing of it: do not let it hold that up.
            await asyncio.wait((task,), timeout=_CANCEL_SECONDS)
            return
        task.result()

    async def _bring_up(self) -> None:
        self._lease()
        # From here on the reaper prolongs the leases until everything that uses them is gone.
        self._start_reaper()
        for desktop in self._desktops:
            desktop.make_files(self._minted(desktop.id))
        self._write_state()
        try:
            async with asyncio.timeout(self._timeout), asyncio.TaskGroup() as group:
                group.create_task(self._bring_up_turn())
                if self._cluster is not None:
                    group.create_task(self._bring_up_cluster(self._cluster))
                for desktop in self._desktops:
                    group.create_task(self._bring_up_desktop(desktop))
        except TimeoutError as error:
            waiting = [part for part in self._parts() if part.state == "starting"]
            if waiting:
                raise waiting[0].late(self._timeout) from error
            raise PartFailed(f"the lab is not ready after {self._timeout:g} s", "allow more time") from error
        except ExceptionGroup as group:
            # Several parts may fail for one reason; the first to fail is the one nearest to it.
            known = group.subgroup((PartFailed, LabError))
            if known is None:
                raise
            first: BaseException = known
            while isinstance(first, BaseExceptionGroup):
                first = first.exceptions[0]
            raise first from group
        for part in self._parts():
            if part.state == "failed":
                await part.ready("its start", asyncio.Event().wait())

    def _lease(self) -> None:
        """Take the ports and draw secrets and marker ids."""
        count = len(self._spec.desktops)
        ports = [self._leases.lease().start for _ in range(count)]
        if self._prepared is not None and self._spec.cluster is not None:
            self._number = NumberLease()
            prepared = Prepared.from_json(self._prepared)
            self._cluster = ClusterRun(self._directory, self._number.number, self._spec.cluster, prepared)
        if self._spec.turn and count:
            self._turn_port = self._leases.lease().start
            self._relay = self._leases.lease(relay_ports(count))
        markers = secrets.SystemRandom().sample(range(1, 0x10000), count)
        for index, spec in enumerate(self._spec.desktops):
            desktop = DesktopRun(f"desktop-{index}", self._directory, spec, port=ports[index], marker_id=markers[index])
            self._desktops.append(desktop)

    def _minted(self, name: str) -> str:
        lifetime = self._spec.turn_lifetime_seconds
        if self._turn_port is None:
            return ice_servers(None)
        user, password = mint(self._turn_secret, name, int(time.time() + lifetime))
        self._credentials[name] = password
        return ice_servers(self._turn_port, user, password, lifetime)

    async def _bring_up_turn(self) -> None:
        if self._turn_port is not None:
            directory = self._turn_part.log.parent
            directory.mkdir(mode=0o700)
            configuration = directory / "turnserver.conf"
            text = turn_configuration(
                port=self._turn_port, relay=self._relay, secret=self._turn_secret, directory=directory
            )
            write_private(configuration, text)
            environment = base_environment(self._mark) | {"HOME": str(directory)}
            program = shutil.which("turnserver", path=environment.get("PATH")) or "turnserver"
            self._children.start(self._turn_part, [program, "-c", configuration], environment)
            await self._turn_part.ready("its answer to STUN", await_binding(self._turn_port))
            self._turn_part.state = "running"
            self._write_state()
            self._progress(f"TURN server ready at {HOST}:{self._turn_port}")
        self._turn_ready.set()

    async def _bring_up_desktop(self, desktop: DesktopRun) -> None:
        place = f"desktop {self._desktops.index(desktop) + 1}/{len(self._desktops)}"

        def progress(text: str) -> None:
            self._write_state()
            self._progress(f"{place}: {text}")

        environment = base_environment(self._mark)
        await desktop.bring_up(self._children, environment, self._turn_ready, self._turn_port, progress)

    async def _bring_up_cluster(self, cluster: ClusterRun) -> None:
        def progress(text: str) -> None:
            self._write_state()
            self._progress(text)

        await cluster.bring_up(self._children, base_environment(self._mark), progress)

    async def _renew(self) -> None:
        """Hand out fresh TURN credentials long before the old ones end."""
        while True:
            await asyncio.sleep(self._spec.turn_lifetime_seconds / 2)  # at half of their life
            for desktop in self._desktops:
                desktop.give_rtc(self._minted(desktop.id))

    async def _watch_owner(self) -> None:
        """Notice an owner's death also when a fork of it keeps the pipe open."""
        owner = self._options.owner
        while self._options.owner_pipe >= 0:
            if os.getppid() != owner:
                self._stop.set()
                return
            await asyncio.sleep(_OWNER_POLL_SECONDS)  # a pipe that is kept open tells nothing

    def _on_owner(self) -> None:
        kept = bool(os.read(self._options.owner_pipe, 1))
        asyncio.get_running_loop().remove_reader(self._options.owner_pipe)
        os.close(self._options.owner_pipe)
        self._options.owner_pipe = -1
        if not kept:
            self._stop.set()

    def _start_reaper(self) -> None:
        def in_child() -> None:
            # Ignored signals stay ignored over exec: there is no moment at which one could end the reaper.
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)

        reader = self._reaper_pipe[0]
        numbers = (self._number.descriptor,) if self._number is not None else ()
        command: list[str | Path] = [
            sys.executable,
            "-m",
            "vdibench.lab.reaper",
            "--directory",
            self._directory,
            "--pipe",
            str(reader),
        ]
        self._reaper = self._children.spawn(
            command,
            base_environment(self._mark) | {ROLE_VARIABLE: "reaper"},
            log=self._directory / "reaper.log",
            pass_fds=(reader, self._options.lock, *self._leases.descriptors, *numbers),
            in_child=in_child,
        )

    def _on_exit(self, pid: int, code: int) -> None:
        if pid == self._reaper:
            self._start_reaper()
        if self._state == "running" and any(part.state == "failed" for part in self._parts()):
            self._state = "failed"
        if self._state != "stopping":
            self._write_state()
        self._changed.set()

    async def _take_down(self) -> None:
        self._state = "stopping"
        with contextlib.suppress(OSError):  # a full disk keeps no lab up
            self._write_state()
        for number, seconds in ((signal.SIGTERM, _TERM_SECONDS), (signal.SIGKILL, _KILL_SECONDS)):
            self._children.signal_all(number)
            with contextlib.suppress(TimeoutError):  # the next, stronger signal is for those
                async with asyncio.timeout(seconds):
                    while self._children.living:
                        self._changed.clear()
                        await self._changed.wait()
        kill_marked(self._mark, spare=frozenset({os.getpid(), self._reaper}))

    def _parts(self) -> list[Part]:
        cluster = [self._cluster.part] if self._cluster is not None else []
        return [self._turn_part, *cluster, *(part for desktop in self._desktops for part in desktop.parts)]

    def _write_state(self) -> None:
        turn = None
        if self._turn_port is not None:
            turn = {"host": HOST, "port": self._turn_port, "part": self._describe(self._turn_part)}
        document = {
            "name": self._directory.name,
            "directory": str(self._directory),
            "state": self._state,
            "owned": self._owned,
            "supervisor_pid": os.getpid(),
            "started_unix_seconds": self._started,
            "secrets": [self._turn_secret, *(secret for one in self._desktops for secret in one.server.secrets)],
            "turn": turn,
            "cluster": self._cluster.to_json(self._describe) if self._cluster is not None else None,
            "desktops": [desktop.to_json(self._describe) for desktop in self._desktops],
        }
        write_private(self._directory / STATE_FILE, json.dumps(document))

    def _describe(self, part: Part) -> dict[str, Any]:
        failed = part.state == "failed"
        return {
            "name": part.name,
            "state": part.state,
            "pid": part.pid,
            "exit_code": part.exit_code,
            "log": [self._redact(line) for line in part.last_lines()] if failed else [],
        }

    def _redact(self, text: str) -> str:
        own = [secret for desktop in self._desktops for secret in desktop.server.secrets]
        for secret in (self._turn_secret, *self._credentials.values(), *own):
            text = text.replace(secret, "***")
        return text

    def _progress(self, text: str) -> None:
        self._report({"progress": text})

    def _report(self, message: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):  # nobody listens any more
            os.write(self._options.progress, (json.dumps(message) + "\n").encode())


def main() -> None:
    """Run a supervisor until its lab is down."""
    line = argparse.ArgumentParser(prog="vdibench-lab-supervisor")
    line.add_argument("--directory", type=Path, required=True)
    line.add_argument("--owner", type=int, required=True)
    for name in ("--lock", "--progress", "--owner-pipe"):
        line.add_argument(name, type=int, required=True)
    options = line.parse_args()
    os.umask(0o077)
    sys.exit(asyncio.run(_main(options)))


async def _main(options: argparse.Namespace) -> int:
    return await Supervisor(options).run()


if __name__ == "__main__":
    main()
