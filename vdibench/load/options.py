"""How to load. Pure but for a look at whether a locustfile exists."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vdibench.client import Mode
from vdibench.errors import UsageError

__all__ = ["LoadOptions"]


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """How to load.

    :param workers: Locust workers on this host, each with an engine; 0 where all are elsewhere.
    :param remote_workers: so many more are awaited from elsewhere.
    :param mode: how much of each stream is looked at.
    :param spawn_rate: users a second.
    :param scenario: what users do, a name in ``vdibench.load.scenarios``.
    :param locustfile: a user's own, instead of a scenario; empty for ours.
    :param controlled: the number of users is said by :meth:`LoadDriver.scale`. Otherwise by Locust, with ``arguments``.
    :param arguments: more of Locust's arguments for its master (``--web-port``, ``--users``, ``--csv`` …).
    :param host: where the master listens for workers; loopback where none is elsewhere.
    :param port: of the master; 0 for a free one.
    :param compare_clocks: the desktops may be on other hosts.
    :param relay_only: WebRTC by no path but the TURN relay; a session of another dialect fails.
    """

    workers: int = 1
    remote_workers: int = 0
    mode: Mode = Mode.DECODE
    spawn_rate: float = 4.0
    scenario: str = "watch"
    locustfile: str = ""
    controlled: bool = True
    arguments: tuple[str, ...] = ()
    host: str = "127.0.0.1"
    port: int = 0
    connect_timeout_seconds: float | None = None
    first_frame_timeout_seconds: float = 10.0
    stall_seconds: float = 5.0
    compare_clocks: bool = False
    relay_only: bool = False

    def __post_init__(self) -> None:
        if self.workers < 0 or self.remote_workers < 0 or self.workers + self.remote_workers < 1:
            raise UsageError("a load needs a worker", "set workers to 1 or more")
        if not 0 < self.spawn_rate < float("inf"):
            raise UsageError(f"{self.spawn_rate:g} users a second cannot be", "set spawn_rate above 0")
        if self.locustfile and not Path(self.locustfile).is_file():
            raise UsageError(f"there is no locustfile {self.locustfile}", "give the path of a file")
