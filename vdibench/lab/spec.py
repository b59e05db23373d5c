"""What a lab should consist of. Pure.

Rates are frames per second, bit rates bits per second, durations seconds.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any

from vdibench.errors import ParameterError
from vdibench.records import Display, Workload
from vdibench.selkies import Dialect

__all__ = ["Access", "ClusterSpec", "DesktopSpec", "LabSpec", "checked_name", "workloads"]

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")
_SUBFOLDER = re.compile(r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*")

# What a lab can start: the Selkies that it installs is 2.x.
_DIALECTS = (Dialect.SELKIES_2_WEBRTC, Dialect.SELKIES_2_WEBSOCKET)

_DEFAULT_DISPLAY = Display(1920, 1080, 60)

# What Selkies and coturn accept without clamping; beyond them the lab would measure something else than asked.
_FRAMERATE = (8, 240)
_BITRATE_BPS = (100_000, 1_000_000_000)
_DITHER = (0.0, 0.9)
_SIDE_PIXELS = (64, 8192)
_DESKTOPS = (0, 64)
_TURN_LIFETIME_SECONDS = (2.0, 7 * 86400.0)
_PLAYED_NODES = (0, 500)


@dataclass(frozen=True, slots=True)
class Access:
    """How viewers reach a desktop, beside a password.

    :param tls: serve ``https`` with a certificate of an authority made for this desktop.
    :param subfolder: path under which everything is served, such as ``/desk``; empty for the root.
    :param secure: Selkies' secure mode: viewers need a session token (random per desktop).
    :raises ParameterError: no path that could stand in a URL as it is.
    """

    tls: bool = False
    subfolder: str = ""
    secure: bool = False

    def __post_init__(self) -> None:
        if not _SUBFOLDER.fullmatch(self.subfolder):
            raise ParameterError(f"{self.subfolder!r} is no sub-folder", "write one such as /desk")


@dataclass(frozen=True, slots=True)
class DesktopSpec:
    """One desktop.

    :param display: picture size in pixels and rate in frames per second; width and height even.
    :param workload: what the desk draws beside its marker.
    :param bitrate_bps: video bit rate in bits per second, a multiple of 1000.
    :param basic_auth: ask for HTTP Basic credentials (random per desktop).
    :param audible: play a quiet tone, so that audio packets flow (Selkies 2.x sends none of silence).
    :param dialect: how it speaks with viewers; one of Selkies 2.x.
    :param access: TLS, sub-folder and session token.
    :param resizable: a controller may choose another size, up to that of the display.
    :param dither: spread of the desk's drawing period, a ratio up to 0.9; more, and fewer frames in a row share a phase
        of the capture clock.
    """

    display: Display = _DEFAULT_DISPLAY
    workload: Workload = Workload.TEXT
    bitrate_bps: int = 8_000_000
    basic_auth: bool = True
    audible: bool = True
    dialect: Dialect = Dialect.SELKIES_2_WEBRTC
    access: Access = Access()
    resizable: bool = False
    dither: float = 0.2


@dataclass(frozen=True, slots=True)
class ClusterSpec:
    """A Kubernetes with one real node and the platform on it.

    :param played_nodes: nodes of eight GPU slices beside it that only say that they run pods, for scale.
    :raises ParameterError: out of range.
    """

    played_nodes: int = 0

    def __post_init__(self) -> None:
        _within("number of played nodes", self.played_nodes, _PLAYED_NODES)


@dataclass(frozen=True, slots=True)
class LabSpec:
    """A whole lab.

    :param desktops: one entry per desktop, in the order of their ids.
    :param turn: run a TURN server on loopback and give every desktop credentials for it.
    :param cluster: run a real Kubernetes beside them, in namespaces of its own.
    :param turn_lifetime_seconds: life of those credentials; they are minted anew at half of it.
    :raises ParameterError: something is out of range.
    """

    desktops: tuple[DesktopSpec, ...]
    turn: bool = True
    cluster: ClusterSpec | None = None
    turn_lifetime_seconds: float = 6 * 3600.0

    def __post_init__(self) -> None:
        _within("number of desktops", len(self.desktops), _DESKTOPS)
        if not self.desktops and self.cluster is None:
            raise ParameterError("a lab of nothing was asked for", "ask for a desktop or for a cluster")
        _within("TURN credential lifetime", self.turn_lifetime_seconds, _TURN_LIFETIME_SECONDS)
        for spec in self.desktops:
            display = spec.display
            if spec.dialect not in _DIALECTS:
                raise ParameterError(
                    f"a lab cannot speak {spec.dialect}", f"choose {' or '.join(_DIALECTS)}; 1.6 has a stand-in"
                )
            _within("frame rate", display.framerate, _FRAMERATE)
            _within("bit rate", spec.bitrate_bps, _BITRATE_BPS)
            _within("dither", spec.dither, _DITHER)
            for side in (display.width, display.height):
                _within("display side", side, _SIDE_PIXELS)
                if side % 2:
                    raise ParameterError(f"display side {side} is odd", "video encoders want even sizes")
            if spec.bitrate_bps % 1000:
                raise ParameterError(f"bit rate {spec.bitrate_bps} is no multiple of 1000 bit/s", "round it")

    def to_json(self) -> dict[str, Any]:
        """The specification as JSON types."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> LabSpec:
        """The inverse of :meth:`to_json`."""
        return cls(
            desktops=tuple(
                DesktopSpec(
                    display=Display(**desktop["display"]),
                    workload=Workload(desktop["workload"]),
                    bitrate_bps=desktop["bitrate_bps"],
                    basic_auth=desktop["basic_auth"],
                    audible=desktop["audible"],
                    dialect=Dialect(desktop["dialect"]),
                    access=Access(**desktop["access"]),
                    resizable=desktop["resizable"],
                    dither=desktop["dither"],
                )
                for desktop in document["desktops"]
            ),
            turn=document["turn"],
            cluster=ClusterSpec(**document["cluster"]) if document["cluster"] else None,
            turn_lifetime_seconds=document["turn_lifetime_seconds"],
        )


def checked_name(name: str) -> str:
    """The name, when it can be a lab's.

    :raises ParameterError: it cannot; names become directories and parts of socket paths.
    """
    if not _NAME.fullmatch(name):
        raise ParameterError(
            f"{name!r} cannot be the name of a lab",
            "use 1 to 32 lower-case letters, digits and inner hyphens",
        )
    return name


def workloads(text: str) -> tuple[Workload, ...]:
    """The workloads that a text such as ``text,3d,idle`` names.

    :raises ParameterError: it names one that there is not, or none.
    """
    known = {str(item): item for item in Workload}
    names = [name.strip() for name in text.split(",")]
    if not all(name in known for name in names):
        raise ParameterError(f"{text!r} names no workloads", f"choose from {', '.join(known)}, with commas between")
    return tuple(known[name] for name in names)


def _within(what: str, value: float, bounds: tuple[float, float]) -> None:
    low, high = bounds
    if not low <= value <= high:
        raise ParameterError(f"{what} {value:g} is out of range", f"choose {low:g} to {high:g}")
