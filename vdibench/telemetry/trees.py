"""Who owns which process, and what each owner used. Pure: snapshots in, figures out.

An owner is a scope of the ``resources`` table: a desktop id or ``client``. A process belongs to the owner of
its nearest ancestor that is known to belong somewhere. What belonged once belongs until it ends, so that a daemon
which leaves its parent stays in the account of the desktop that started it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from vdibench.telemetry.processes import Process

__all__ = ["CpuLedger", "Ownership"]

Snapshot = Mapping[int, Process]

# The kernel gives start times in clock ticks.
_START_RESOLUTION_SECONDS = 0.02


class Ownership:
    """Assigns processes to owners.

    :param roots: root processes by owner. A root below another owner's root takes its subtree out of it, which
        is how desktops started by the measuring process do not count as the measuring side.
    :param residual: the owner whose processes go to a desktop when they are in a desktop's session.
    """

    def __init__(self, roots: Mapping[str, Iterable[Process]], residual: str = "") -> None:
        self._residual = residual
        self._seeds: dict[tuple[int, float], str] = {
            root.key: owner for owner, processes in roots.items() for root in processes
        }

    def assign(self, snapshot: Snapshot) -> dict[int, str]:
        """Owner by process id, for the processes that have one."""
        owners: dict[int, str | None] = {}
        for pid, process in snapshot.items():
            seed = self._seeds.get(process.key)
            if seed is not None:
                owners[pid] = seed
        leaders = {pid: owner for pid, owner in owners.items() if owner != self._residual}
        for pid in snapshot:
            chain: list[int] = []
            current = pid
            # A chain that meets itself is possible only in a torn snapshot with a reused id.
            while current in snapshot and current not in owners and current not in chain:
                chain.append(current)
                current = snapshot[current].parent
            owner = owners.get(current)
            for member in reversed(chain):
                if owner is None or owner == self._residual:
                    # Its parent ended before anybody looked, but it keeps the session of its desktop.
                    owner = leaders.get(snapshot[member].session, owner)
                owners[member] = owner
        assigned = {pid: owner for pid, owner in owners.items() if owner is not None}
        self._seeds = {snapshot[pid].key: owner for pid, owner in assigned.items()}
        return assigned


class CpuLedger:
    """CPU seconds by owner between two snapshots, children that were born and died in between included.

    The kernel adds the time of an ended child to its parent when the parent waits for it. That rise, less what the
    child had been charged for while it lived, goes to the child's owner where the child was known, and to the parent's
    where it was not. Time of a child that ended outside its parent's care (a daemon, or a parent that ignores its
    children's end) after the last snapshot that saw it is lost.
    """

    def __init__(self) -> None:
        self._before: Snapshot = {}
        self._before_instant: float | None = None
        self._before_owners: Mapping[int, str] = {}

    def charge(self, snapshot: Snapshot, owners: Mapping[int, str], instant: float) -> dict[str, float]:
        """Seconds used since the call before, by owner; empty at the first call, which only sets the base.

        :param instant: when the snapshot was taken, in seconds after boot.
        """
        charges: dict[str, float] = {}
        if self._before_instant is not None:
            charges = dict.fromkeys(owners.values(), 0.0)
            ended = self._ended_by_heir(snapshot)
            for pid, owner in owners.items():
                own, reaped = self._used(snapshot[pid])
                charges[owner] += own
                late = max(0.0, reaped - sum(process.cpu_seconds for process in ended.get(pid, ())))
                # Owners that cannot be told apart share what their last children used at the end.
                heirs = {self._before_owners[process.pid] for process in ended.get(pid, ())} or {owner}
                for heir in heirs:
                    charges[heir] = charges.get(heir, 0.0) + late / len(heirs)
        self._before = snapshot
        self._before_instant = instant
        self._before_owners = owners
        return charges

    def _used(self, now: Process) -> tuple[float, float]:
        """CPU seconds since the snapshot before: its own, and those of the children it waited for."""
        before = self._before.get(now.pid)
        if before is not None and before.key == now.key:
            own = now.own_cpu_seconds - before.own_cpu_seconds
            return max(0.0, own), now.reaped_cpu_seconds - before.reaped_cpu_seconds
        # Seen for the first time: its past counts only if that lies after the snapshot before.
        assert self._before_instant is not None
        born_since = now.started >= self._before_instant - _START_RESOLUTION_SECONDS
        return (now.own_cpu_seconds, now.reaped_cpu_seconds) if born_since else (0.0, 0.0)

    def _ended_by_heir(self, snapshot: Snapshot) -> dict[int, list[Process]]:
        """Owned processes that ended since the snapshot before, by their nearest ancestor that still lives."""
        found: dict[int, list[Process]] = {}
        for pid in self._before_owners:
            ended = self._before[pid]
            if self._lives(ended, snapshot):
                continue
            heir: Process | None = ended
            steps = 0
            while heir is not None and not self._lives(heir, snapshot) and steps < len(self._before):
                heir = self._before.get(heir.parent)
                steps += 1
            if heir is not None:
                found.setdefault(heir.pid, []).append(ended)
        return found

    @staticmethod
    def _lives(process: Process, snapshot: Snapshot) -> bool:
        now = snapshot.get(process.pid)
        return now is not None and now.key == process.key
