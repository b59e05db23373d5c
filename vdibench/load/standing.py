"""How a load stands, as its master says. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from vdibench.errors import VdibenchError
from vdibench.load.kept import KeptSeconds
from vdibench.load.messages import EngineSecond, Failure

__all__ = ["Standing"]


@dataclass
class Standing:
    """What is known.

    :ivar port: where the master listens; 0 before it does.
    :ivar workers: process, engine and host by the worker's index.
    :ivar placed: the number of the last place at which every engine records.
    :ivar users: state by desktop index: leased, shown or failed.
    :ivar failures: what ended sessions, by desktop index.
    :ivar fault: what ended the load before its time.
    :ivar over: the master's line closed.
    :ivar seconds: of engines, the last of each.
    :ivar missing: by the worker's index, why its samples did not all arrive.
    """

    port: int = 0
    workers: dict[int, tuple[int, int, str]] = field(default_factory=dict)
    placed: int = 0
    users: dict[int, str] = field(default_factory=dict)
    failures: dict[int, VdibenchError] = field(default_factory=dict)
    fault: VdibenchError | None = None
    over: bool = False
    seconds: KeptSeconds = field(default_factory=KeptSeconds)
    missing: dict[int, str] = field(default_factory=dict)

    def take(self, message: Mapping[str, Any]) -> None:
        """Hear the master; what is not known, of a newer one, is left alone."""
        what = message.get("say")
        if what == "listening":
            self.port = int(message["port"])
        elif what == "worker":
            where = (int(message["pid"]), int(message["engine_pid"]), str(message["host"]))
            self.workers[int(message["index"])] = where
        elif what == "placed":
            self.placed = max(self.placed, int(message["number"]))
        elif what == "second":
            self.seconds.append(EngineSecond.of(message))
        elif what == "user":
            self._take_user(int(message["desktop"]), str(message["state"]), message.get("failure"))
        elif what == "missing":
            self.missing.setdefault(int(message["worker"]), str(message["why"]))
        elif what == "fault":
            self.fault = self.fault or Failure.read(message).error()

    def _take_user(self, desktop: int, state: str, failure: Mapping[str, Any] | None) -> None:
        if state == "left":
            self.users.pop(desktop, None)
            return
        self.users[desktop] = state
        if failure is not None:
            self.failures[desktop] = Failure.read(failure).error()
