"""What the checks are told. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from vdibench.records import Display

__all__ = ["HostContext", "TurnServer"]


@dataclass(frozen=True, slots=True)
class TurnServer:
    """A TURN server and credentials that it should accept. The password never appears in ``repr``."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class HostContext:
    """What is planned on this host; the checks ask whether it can carry that.

    :param results_folder: where runs are stored; it need not exist.
    :param desktops: desktops that will run at once.
    :param display: picture of each desktop.
    :param lab: the desktops run on this host; elsewhere their programs, ports and X server do not apply.
    :param gpu: the profile wants a GPU on this host.
    :param turn: TURN server to try; None starts one for the moment in a lab, and does not apply elsewhere.
    :param run_name: the caller's own run, which is no contention.
    :param check_seconds: time limit of each check.
    """

    results_folder: Path
    desktops: int = 1
    display: Display = field(default_factory=lambda: Display(1920, 1080, 60))
    lab: bool = True
    gpu: bool = False
    turn: TurnServer | None = None
    run_name: str = ""
    check_seconds: float = 20.0
