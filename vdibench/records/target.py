"""Where a desktop is and how to reach it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum

__all__ = ["Credentials", "Desktop", "Display", "Endpoint", "Workload"]


class Workload(StrEnum):
    """What the desk draws beside its marker."""

    IDLE = "idle"
    TEXT = "text"
    WINDOW = "window"
    VIDEO = "video"
    SCENE = "3d"


@dataclass(frozen=True, slots=True)
class Credentials:
    """HTTP Basic credentials. The password never appears in ``repr``, in a run folder or in arguments."""

    user: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A desktop's address.

    :param url: ``http`` or ``https`` URL of the desktop's page, without credentials, no trailing slash.
    :param credentials: Basic credentials, or None when the desktop asks for none.
    :param ca_file: PEM file of an own certificate authority for ``https``; empty for the system's.
    :param insecure: accept any certificate (said aloud in the report).
    :param token: session token of a desktop in secure mode; empty for none. Kept from ``repr``, run folders and
        arguments, like a password.
    :param resolve: ``HOST:PORT`` to connect to in the place of the URL's own, as curl's ``--connect-to``; empty for the
        URL's. The Host header, and the name that TLS asks for and checks, stay the URL's. HOST is an IP address.
    """

    url: str
    credentials: Credentials | None = None
    ca_file: str = ""
    insecure: bool = False
    token: str = field(default="", repr=False)
    resolve: str = ""


@dataclass(frozen=True, slots=True)
class Display:
    """A picture's size in pixels and its nominal rate in frames per second."""

    width: int
    height: int
    framerate: int

    def __str__(self) -> str:
        return f"{self.width}×{self.height}@{self.framerate}"


@dataclass(frozen=True, slots=True)
class Desktop:
    """One desktop that a target offers.

    :param id: stable, low-cardinality name inside a run (``desktop-0``).
    :param owned: ours to take over: only then may settings and input be sent.
    :param marker_id: 16-bit session id that the desk draws; None when no desk runs there.
    :param display: what was asked of the desktop, or None when unknown.
    :param encoder: encoder asked for (``h264enc``), empty when unknown.
    :param workload: what the desk draws, or None.
    :param pids: root processes whose trees make up the desktop, for telemetry on this host.
    :param cgroup: path of the desktop's cgroup on this host; empty when there is none.
    :param gpu: the desktop should have a GPU: absent figures are then no data, not "not applicable".
    :param dialect: how it speaks (``selkies-2-webrtc``), where that is known beforehand; empty to find out.
    :param renderer: what draws the desk's workload where that is not the X server (OpenGL's name for it); else empty.
    :param probes: folder on this host through which its desk takes requests for screenshots and clicks (the desk's
        ``--probes``); empty where there is none.
    """

    id: str
    endpoint: Endpoint
    owned: bool = False
    marker_id: int | None = None
    display: Display | None = None
    encoder: str = ""
    workload: Workload | None = None
    pids: tuple[int, ...] = ()
    cgroup: str = ""
    gpu: bool = False
    dialect: str = ""
    probes: str = ""
    renderer: str = ""

    @property
    def shows(self) -> str:
        """Its workload with what draws it, ``3d (llvmpipe)``: software is never taken for a GPU. Empty: unknown."""
        if self.workload is None or not self.renderer:
            return str(self.workload or "")
        return f"{self.workload} ({re.split(r' [(]|/', self.renderer)[0]})"
