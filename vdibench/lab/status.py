"""What a lab says of itself: the content of its ``state.json``. Pure.

The file is written by the supervisor only and is readable by its user only: it holds passwords and tokens.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from vdibench.records import Credentials, Desktop, Display, Endpoint, Workload
from vdibench.selkies import Dialect

__all__ = ["STATE_FILE", "ClusterStatus", "DesktopStatus", "LabStatus", "PartStatus", "desktop_record", "lab_status"]

STATE_FILE = "state.json"


@dataclass(frozen=True, slots=True)
class PartStatus:
    """One process of the lab.

    :param state: ``waiting`` (not started), ``starting``, ``running`` or ``failed``.
    :param exit_code: exit status, negative for a signal; None while it runs.
    :param log: last lines of its log when it failed, passwords redacted.
    """

    name: str
    state: str
    pid: int | None
    exit_code: int | None
    log: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DesktopStatus:
    """One desktop.

    :param state: ``starting``, ``running``, or ``failed`` when any part of it failed.
    :param screen: X display name (``:7``), empty until there is one.
    :param dialect: how it speaks with viewers.
    """

    id: str
    state: str
    url: str
    screen: str
    display: Display
    workload: Workload
    parts: tuple[PartStatus, ...]
    dialect: Dialect

    @property
    def pids(self) -> tuple[int, ...]:
        """The processes that run."""
        return tuple(part.pid for part in self.parts if part.pid is not None and part.state == "running")

    @property
    def failure(self) -> str:
        """Which part failed and how, in one line; empty when none did."""
        return _failure(self.parts)


@dataclass(frozen=True, slots=True)
class ClusterStatus:
    """A Kubernetes of the lab.

    :param kubeconfig: file with the administrator's access; it works on this machine.
    :param node_address: where what uses the node's network listens.
    :param part: the process that holds everything of it.
    """

    kubeconfig: str
    api_url: str
    node_address: str
    part: PartStatus


@dataclass(frozen=True, slots=True)
class LabStatus:
    """A whole lab.

    :param state: ``starting``, ``running``, ``failed`` (a part died), ``stopping`` or ``gone``.
    :param owned: goes down with the process that brought it up.
    :param turn: ``(host, port)`` of the TURN server, or None.
    :param cluster: its Kubernetes, or None.
    """

    name: str
    state: str
    owned: bool
    directory: str
    supervisor_pid: int | None
    started_unix_seconds: float
    desktops: tuple[DesktopStatus, ...]
    turn: tuple[str, int] | None
    turn_part: PartStatus | None
    cluster: ClusterStatus | None

    @property
    def failure(self) -> str:
        """The failures of all parts in one line; empty when there is none."""
        found = [f"{desktop.id}: {desktop.failure}" for desktop in self.desktops if desktop.failure]
        if self.turn_part is not None and (turn := _failure((self.turn_part,))):
            found.append(turn)
        if self.cluster is not None and (cluster := _failure((self.cluster.part,))):
            found.append(f"cluster: {cluster}")
        return "; ".join(found)

    def to_json(self) -> dict[str, Any]:
        """The status as JSON types, without passwords."""
        return asdict(self)


def lab_status(document: dict[str, Any]) -> LabStatus:
    """The status in a state document."""
    turn, cluster = document["turn"], document["cluster"]
    return LabStatus(
        name=document["name"],
        state=document["state"],
        owned=document["owned"],
        directory=document["directory"],
        supervisor_pid=document["supervisor_pid"],
        started_unix_seconds=document["started_unix_seconds"],
        desktops=tuple(_desktop_status(entry) for entry in document["desktops"]),
        turn=(turn["host"], turn["port"]) if turn else None,
        turn_part=_part(turn["part"]) if turn else None,
        cluster=_cluster(cluster) if cluster else None,
    )


def desktop_record(entry: dict[str, Any]) -> Desktop:
    """The desktop of a state document's entry, as targets hand it on; its password is in there."""
    credentials = Credentials(entry["user"], entry["password"]) if entry["password"] else None
    return Desktop(
        id=entry["id"],
        endpoint=Endpoint(entry["url"], credentials, ca_file=entry["ca_file"], token=entry["token"]),
        owned=True,
        marker_id=entry["marker_id"],
        display=Display(**entry["display"]),
        encoder=entry["encoder"],
        workload=Workload(entry["workload"]),
        pids=tuple(part["pid"] for part in entry["parts"] if part["pid"] is not None),
        dialect=entry["dialect"],
        probes=entry["probes"],
        renderer=entry["renderer"],
    )


def _desktop_status(entry: dict[str, Any]) -> DesktopStatus:
    return DesktopStatus(
        id=entry["id"],
        state=entry["state"],
        url=entry["url"],
        screen=entry["screen"],
        display=Display(**entry["display"]),
        workload=Workload(entry["workload"]),
        parts=tuple(_part(part) for part in entry["parts"]),
        dialect=Dialect(entry["dialect"]),
    )


def _cluster(entry: dict[str, Any]) -> ClusterStatus:
    return ClusterStatus(
        kubeconfig=entry["kubeconfig"],
        api_url=entry["api_url"],
        node_address=entry["node_address"],
        part=_part(entry["part"]),
    )


def _part(entry: dict[str, Any]) -> PartStatus:
    return PartStatus(
        name=entry["name"],
        state=entry["state"],
        pid=entry["pid"],
        exit_code=entry["exit_code"],
        log=tuple(entry["log"]),
    )


def _failure(parts: tuple[PartStatus, ...]) -> str:
    for part in parts:
        if part.state == "failed":
            said = f": {part.log[-1]}" if part.log else ""
            return f"{part.name} {how_it_ended(part.exit_code)}{said}"
    return ""


def how_it_ended(exit_code: int | None) -> str:
    """An exit status in words."""
    if exit_code is None:
        return "failed"
    if exit_code < 0:
        return f"was killed by signal {-exit_code}"
    return f"exited with status {exit_code}"
