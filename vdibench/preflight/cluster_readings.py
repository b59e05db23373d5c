"""What probes of a cluster measured, before anybody judges it. Pure records; each says why it has no value.

No reading holds a credential.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = [
    "BindingReading",
    "CertificateReading",
    "ClockReading",
    "ClusterReadings",
    "DiskReading",
    "ExporterReading",
    "NameReading",
    "SessionReading",
    "TurnReading",
]


@dataclass(frozen=True, slots=True)
class BindingReading:
    """A STUN binding by UDP.

    :param server: ``host:port`` that was asked.
    :param mapped: our address as the server sees it; empty without an answer.
    :param software: what the server calls itself.
    """

    server: str
    mapped: str = ""
    software: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True)
class TurnReading:
    """An allocation with minted credentials, a datagram to a second one, and an attempt with a wrong password.

    :param transport: ``udp`` or ``tcp``, of the way to the server.
    :param relay: the relay address that was given.
    :param allocation_seconds: from the first packet to it.
    :param passage_seconds: of the datagram from one relay address to the other; None when none arrived.
    :param wrong_password: how that was answered; ``accepted`` where it got an allocation.
    :param error: of the allocation.
    :param passage_error: of the datagram.
    """

    server: str
    transport: str
    relay: str = ""
    allocation_seconds: float = 0.0
    passage_seconds: float | None = None
    wrong_password: str = ""
    error: str = ""
    passage_error: str = ""


@dataclass(frozen=True, slots=True)
class SessionReading:
    """The RTC configuration of a running session, asked in its pod.

    :param urls: of its STUN and TURN servers.
    """

    pod: str
    urls: tuple[str, ...] = ()
    error: str = ""


@dataclass(frozen=True, slots=True)
class DiskReading:
    """A home volume, measured in a pod on that node.

    :param fsync_seconds: of each write of 4 KiB, warm-ups left out.
    :param write_bytes_per_second: of one long write with its sync.
    """

    node: str
    fsync_seconds: tuple[float, ...] = ()
    write_bytes_per_second: float = 0.0
    error: str = ""


@dataclass(frozen=True, slots=True)
class ClockReading:
    """A node's clock less ours.

    :param bound_seconds: half the round trip of the best of several questions: the offset is right within it.
    """

    node: str
    offset_seconds: float = 0.0
    bound_seconds: float = 0.0
    error: str = ""


@dataclass(frozen=True, slots=True)
class NameReading:
    """The addresses of a name under the desktops' domain that nobody has used before."""

    name: str
    addresses: tuple[str, ...] = ()
    error: str = ""


@dataclass(frozen=True, slots=True)
class CertificateReading:
    """What is shown at the ingress for a desktop's name.

    :param names: host names of the certificate.
    :param distrust: why its chain does not verify; empty when it does.
    :param error: why there is none.
    """

    server: str
    name: str
    issuer: str = ""
    names: tuple[str, ...] = ()
    begins_unix_seconds: float = 0.0
    ends_unix_seconds: float = 0.0
    distrust: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True)
class ExporterReading:
    """Series of DCGM exporters in a Prometheus.

    :param server: its URL.
    :param interval_seconds: longest time between two scrapes of an exporter; None where it does not say.
    :param without: labels that not all of the series have.
    """

    server: str
    interval_seconds: float | None = None
    without: tuple[str, ...] = ()
    error: str = ""


@dataclass(frozen=True, slots=True)
class ClusterReadings:
    """All of them.

    :param ingress: addresses at which users should reach Traefik.
    :param turn_log: first lines of coturn's log.
    :param exporter: None where no Prometheus was named.
    :param missing: area (``turn``, ``pods``, ``ingress``, ``sessions``) -> why nothing was measured there.
    """

    bindings: tuple[BindingReading, ...] = ()
    turn: tuple[TurnReading, ...] = ()
    turn_log: str = ""
    sessions: tuple[SessionReading, ...] = ()
    disks: tuple[DiskReading, ...] = ()
    clocks: tuple[ClockReading, ...] = ()
    ingress: tuple[str, ...] = ()
    resolved: NameReading | None = None
    certificate: CertificateReading | None = None
    exporter: ExporterReading | None = None
    now_unix_seconds: float = 0.0
    missing: Mapping[str, str] = field(default_factory=dict)
