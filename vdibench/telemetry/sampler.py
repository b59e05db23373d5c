"""Readings of the ``resources`` table in a thread of its own, so that it runs beside any event loop or kernel.

Everything is read where it is: /proc, control groups, NVML; the GPUs of other machines by way of a
:class:`vdibench.telemetry.gpus.GpuSource`. An absent resource makes no row, never a zero; a desktop that ended makes no
row from then on. ``emit`` and ``gone`` are called in the sampler's thread.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from vdibench.errors import VdibenchError
from vdibench.records import Desktop
from vdibench.telemetry.cgroups import Cgroup
from vdibench.telemetry.gpus import GpuSource, open_gpus
from vdibench.telemetry.machine import MachineReading, read_machine
from vdibench.telemetry.memory import MemoryMeter
from vdibench.telemetry.processes import Process, machine_age_seconds, read_processes
from vdibench.telemetry.trees import CpuLedger, Ownership

__all__ = ["EARLIEST", "Sampler"]

Row = dict[str, Any]
# Of a row: no earlier than this did what it says begin, in Unix seconds.
EARLIEST = "earliest_unix_seconds"


class Sampler:
    """Reads CPU, memory and GPU figures at a fixed rate. A context manager: entering starts, leaving stops.

    Scopes are every desktop with ``pids`` or ``cgroup``, ``client`` (this process with its descendants, without
    those of a desktop), ``host`` (the machine) and ``gpu-N``. A desktop in a control group is accounted by the
    group, any other by its process tree. A desktop has ended when one of its root processes has, or, without known
    ones, when its group is empty: a part of a desktop is not a desktop.

    :param desktops: what to watch; those without processes on this host make no rows.
    :param interval_seconds: from one reading to the next.
    :param emit: takes the rows of one reading; its error ends the sampling and comes out of :meth:`stop`. A figure that
        was not read here and now has :data:`EARLIEST` in its row, which is no column and is for ``emit`` to take out.
    :param place: gives the columns ``suite``, ``level``, ``trial`` and ``phase`` of a reading; without it the rows
        have none and ``emit`` must add them.
    :param gone: told the id of a desktop that ended, once.
    :param gpus: where GPU figures come from, which the caller closes; None looks for NVML on this machine.
    """

    def __init__(
        self,
        desktops: Sequence[Desktop],
        interval_seconds: float = 1.0,
        *,
        emit: Callable[[list[Row]], None],
        place: Callable[[], Mapping[str, Any]] | None = None,
        gone: Callable[[str], None] | None = None,
        gpus: GpuSource | None = None,
    ) -> None:
        self.interval_seconds = interval_seconds
        self._emit = emit
        self._place = place
        self._tell_gone = gone
        self._gpus = gpus
        self._owns_gpus = gpus is None
        self._gone: set[str] = set()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._error: Exception | None = None
        self._cost_cpu_seconds = 0.0
        self._cost_wall_seconds = 0.0
        self._ledger = CpuLedger()
        self._memory = MemoryMeter()
        self._instant: float | None = None
        self._machine: MachineReading | None = None
        self._group_cpu: dict[str, float] = {}
        self._groups = {desktop.id: group for desktop in desktops if (group := _group_of(desktop)) is not None}
        snapshot = read_processes()
        self._roots: dict[str, list[Process]] = {}
        for desktop in desktops:
            roots = [snapshot[pid] for pid in desktop.pids if pid in snapshot]
            if len(roots) < len(desktop.pids):
                self._gone.add(desktop.id)
            elif roots:
                self._roots[desktop.id] = roots
        self._watched = [desktop.id for desktop in desktops if desktop.id in self._roots or desktop.id in self._groups]
        self._announce: list[str] = [desktop.id for desktop in desktops if desktop.id in self._gone]
        self._ownership = Ownership({**self._roots, "client": [snapshot[os.getpid()]]}, residual="client")

    @property
    def gone(self) -> frozenset[str]:
        """Ids of the desktops that ended."""
        return frozenset(self._gone)

    @property
    def cost_ratio(self) -> float | None:
        """CPU time of the sampler's own thread, in cores; None before it has run."""
        if self._cost_wall_seconds <= 0:
            return None
        return self._cost_cpu_seconds / self._cost_wall_seconds

    def facts(self) -> dict[str, str]:
        """How the figures were made, as text by dotted name."""
        facts = {"telemetry.memory": self._memory.source}
        for desktop in self._watched:
            group = self._groups.get(desktop)
            facts[f"telemetry.{desktop}"] = f"cgroup v{group.version}" if group else "process tree"
        facts.update(self._gpus.facts() if self._gpus is not None else {"telemetry.gpus": "none"})
        if self.cost_ratio is not None:
            facts["telemetry.cost_ratio"] = f"{self.cost_ratio:.5f}"
        return facts

    def start(self) -> None:
        """Begin; the first reading is taken at once and has no CPU figures, which need two.

        :raises VdibenchError: when it was started before.
        """
        if self._thread is not None:
            raise VdibenchError("the sampler was started twice", "make a new one for each stretch of a run")
        if self._owns_gpus:
            self._gpus = open_gpus()
        self._thread = threading.Thread(target=self._run, name="vdibench-telemetry", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End, after the reading under way; safe to call twice. Raises what ``emit`` or ``gone`` raised."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
        if self._owns_gpus and self._gpus is not None:
            self._gpus.close()
            self._owns_gpus = False
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def read(self) -> list[Row]:
        """One reading now, without ``emit``. For callers that keep their own time; not beside a running thread."""
        unix_seconds = time.time()
        snapshot = read_processes()
        instant = machine_age_seconds()
        elapsed = None if self._instant is None else instant - self._instant
        self._instant = instant
        self._find_gone(snapshot)
        owners = self._ownership.assign(snapshot)
        charges = self._ledger.charge(snapshot, owners, instant)
        self._memory.forget_all_but(snapshot.values())

        figures: list[tuple[str, str, float]] = []
        for scope in (*self._watched, "client"):
            if scope in self._gone:
                continue
            group = self._groups.get(scope)
            if group is not None:
                figures += self._group_figures(scope, group, elapsed)
                continue
            if elapsed and scope in charges:
                figures.append((scope, "cpu_cores", charges[scope] / elapsed))
            members = [snapshot[pid] for pid, owner in owners.items() if owner == scope]
            figures.append((scope, "memory_bytes", float(self._memory.total_bytes(members, instant))))
        figures += self._host_figures(elapsed)
        place = dict(self._place()) if self._place is not None else {}
        rows = [
            {**place, "session": scope, "unix_seconds": unix_seconds, "resource": resource, "value": value}
            for scope, resource, value in figures
        ]
        for one in self._gpus.figures() if self._gpus is not None else ():
            taken = unix_seconds if one.unix_seconds is None else one.unix_seconds
            row = {**place, "session": one.scope, "unix_seconds": taken, "resource": one.resource, "value": one.value}
            earliest = one.earliest_unix_seconds
            rows.append(row if earliest is None else {**row, EARLIEST: earliest})
        return rows

    def _run(self) -> None:
        began = time.monotonic()
        due = began
        try:
            while True:
                self._emit(self.read())
                while self._announce:
                    desktop = self._announce.pop(0)
                    if self._tell_gone is not None:
                        self._tell_gone(desktop)
                self._cost_cpu_seconds = time.thread_time()
                now = time.monotonic()
                # A reading that came late does not make the next ones crowd.
                due = max(due + self.interval_seconds, now)
                stopping = self._stopping.wait(due - now)
                self._cost_wall_seconds = time.monotonic() - began
                if stopping:
                    return
        except Exception as error:  # handed to the thread that stops the sampler; nobody else could see it
            self._error = error

    def _find_gone(self, snapshot: Mapping[int, Process]) -> None:
        for desktop in self._watched:
            if desktop in self._gone:
                continue
            roots = self._roots.get(desktop)
            ended = (
                not all(_alive(root, snapshot) for root in roots)
                if roots is not None
                else not self._groups[desktop].populated()
            )
            if ended:
                self._gone.add(desktop)
                self._announce.append(desktop)

    def _group_figures(self, scope: str, group: Cgroup, elapsed: float | None) -> Iterable[tuple[str, str, float]]:
        cpu, memory = group.cpu_seconds(), group.memory_bytes()
        before = self._group_cpu.get(scope)
        if cpu is not None:
            self._group_cpu[scope] = cpu
            if before is not None and elapsed:
                yield scope, "cpu_cores", max(0.0, cpu - before) / elapsed
        if memory is not None:
            yield scope, "memory_bytes", float(memory)

    def _host_figures(self, elapsed: float | None) -> Iterable[tuple[str, str, float]]:
        now, before = read_machine(), self._machine
        self._machine = now
        if before is not None and elapsed:
            yield "host", "cpu_cores", max(0.0, now.busy_cpu_seconds - before.busy_cpu_seconds) / elapsed
            if now.steal_cpu_seconds is not None:
                stolen = now.steal_cpu_seconds - (before.steal_cpu_seconds or 0.0)
                yield "host", "cpu_steal_cores", max(0.0, stolen) / elapsed
            if now.cpu_waiting_seconds is not None and before.cpu_waiting_seconds is not None:
                waited = now.cpu_waiting_seconds - before.cpu_waiting_seconds
                # The kernel counts in periods of its own: a second may get a little of the one before.
                yield "host", "cpu_waiting_ratio", min(1.0, max(0.0, waited) / elapsed)
        yield "host", "memory_bytes", float(now.memory_bytes)
        if now.load_average_1m is not None:
            yield "host", "load_average_1m", now.load_average_1m


def _group_of(desktop: Desktop) -> Cgroup | None:
    return Cgroup.find(desktop.cgroup) if desktop.cgroup else None


def _alive(root: Process, snapshot: Mapping[int, Process]) -> bool:
    now = snapshot.get(root.pid)
    return now is not None and now.key == root.key and not now.zombie
