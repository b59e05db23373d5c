"""The roster: which desktops users get, how they are watched and where samples go. A file of mode 0600. File I/O.

It holds the desktops' credentials, which is why it is a file and stands in no argument, message or environment. The
variable :data:`ROSTER_VARIABLE` names it to Locust's processes and to their engines. On other hosts it may come from a
mounted secret; the run folder it names need not exist there.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vdibench.client import Mode, SessionOptions
from vdibench.errors import UsageError
from vdibench.lab.files import write_private
from vdibench.records import Credentials, Desktop, Display, Endpoint, Workload
from vdibench.selkies import Dialect, Role

__all__ = ["PRIVATE_PREFIX", "ROSTER_VARIABLE", "Roster", "forget_roster", "read_roster", "write_roster"]

ROSTER_VARIABLE = "VDIBENCH_ROSTER"

PRIVATE_PREFIX = "vdibench-load-"
"""What the folder that a driver makes for its roster is called, in the system's temporary folder."""

_SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Roster:
    """What the processes of one load need to know.

    :param run: the run folder.
    :param suite: under which samples are recorded.
    :param desktops: by index: user ``k`` gets the lowest free one.
    :param secrets: what must not reach any file.
    :param scenario: name in ``vdibench.load.scenarios``.
    :param controlled: a driver says how many users there are and where their samples belong; a user whose session
        fails does not come back then.
    :param nonce: stands in the name of a file in the run folder: who sees it sees the run.
    :param connect_timeout_seconds: None for what the dialect needs.
    :param relay_only: WebRTC by no path but the TURN relay; a session of another dialect fails.
    """

    run: str
    suite: str
    desktops: tuple[Desktop, ...]
    secrets: tuple[str, ...] = field(default=(), repr=False)
    scenario: str = "watch"
    controlled: bool = False
    nonce: str = ""
    mode: Mode = Mode.DECODE
    connect_timeout_seconds: float | None = None
    first_frame_timeout_seconds: float = 10.0
    stall_seconds: float = 5.0
    compare_clocks: bool = False
    relay_only: bool = False

    def session_options(self, desktop: Desktop) -> SessionOptions:
        """How to watch ``desktop``: as its controller only where it is ours to take."""
        return SessionOptions(
            role=Role.CONTROLLER if desktop.owned else Role.VIEWER,
            connect_timeout_seconds=self.connect_timeout_seconds,
            first_frame_timeout_seconds=self.first_frame_timeout_seconds,
            stall_seconds=self.stall_seconds,
            mode=self.mode,
            dialect=Dialect(desktop.dialect) if desktop.dialect else None,
            compare_clocks=self.compare_clocks,
            relay_only=self.relay_only,
        )


def write_roster(path: Path, roster: Roster) -> None:
    """Write a roster, whole, for its user's eyes only."""
    write_private(path, json.dumps({"schema": _SCHEMA, **dataclasses.asdict(roster)}))


def forget_roster() -> None:
    """Remove what the driver of this process made for its roster, because the driver is gone and cannot."""
    folder = Path(os.environ.get(ROSTER_VARIABLE, "")).parent
    if folder.name.startswith(PRIVATE_PREFIX):
        shutil.rmtree(folder, ignore_errors=True)


def read_roster(path: str) -> Roster:
    """Read a roster.

    :raises UsageError: there is none at ``path``, or it is not one.
    """
    remedy = f"start the load with `vdibench load`, or let {ROSTER_VARIABLE} name the file that it wrote"
    if not path:
        raise UsageError("nobody says which desktops the users get", remedy)
    try:
        document = json.loads(Path(path).read_text())
        if not isinstance(document, dict) or document.pop("schema", None) != _SCHEMA:
            raise UsageError(f"{path} is no roster of this version", remedy)
        document["desktops"] = tuple(_desktop(entry) for entry in document["desktops"])
        document["secrets"] = tuple(map(str, document.get("secrets", ())))
        document["mode"] = Mode(document.get("mode", Mode.DECODE))
        return Roster(**document)
    except OSError as error:
        raise UsageError(f"cannot read the roster {path}: {error.strerror}", remedy) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        # The error's own words may hold what stands in the file.
        raise UsageError(f"{path} is no roster: {type(error).__name__}", remedy) from None


def _desktop(entry: Mapping[str, Any]) -> Desktop:
    values = dict(entry)
    endpoint = dict(values["endpoint"])
    if endpoint.get("credentials"):
        endpoint["credentials"] = Credentials(**endpoint["credentials"])
    values["endpoint"] = Endpoint(**endpoint)
    if values.get("display"):
        values["display"] = Display(**values["display"])
    if values.get("workload"):
        values["workload"] = Workload(values["workload"])
    values["pids"] = tuple(values.get("pids", ()))
    return Desktop(**values)
