"""What an engine says of one second, as it goes to its worker, to the master and to whoever drives them. Pure.

Counts are those of this second and not cumulative, so that seconds of many engines can be added up.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from vdibench import errors
from vdibench.errors import VdibenchError

__all__ = ["EngineSecond", "Failure"]

_NOT_MEASURED = float("nan")


@dataclass(frozen=True, slots=True)
class EngineSecond:
    """One second of one engine: a row of table ``engine``, and what its sessions saw.

    :param engine: ``engine-N``, N the worker's index.
    :param unix_seconds: end of the second.
    :param users: asked of the worker; -1 where nobody said.
    :param sessions: that show video.
    :param frames: that arrived; ``freezes`` by W3C's definition, ``bytes_received`` RTP payload.
    :param histograms: values of this second by metric of the registry (``glass_to_glass_seconds``), as HDR histograms
        of microseconds in their compressed base64 form; mergeable (:mod:`vdibench.load.histograms`).
    """

    engine: str
    unix_seconds: float
    sessions: int
    users: int = -1
    cpu_ratio: float = _NOT_MEASURED
    worker_cpu_ratio: float = _NOT_MEASURED
    loop_lag_seconds: float = _NOT_MEASURED
    loop_lag_p99_seconds: float = _NOT_MEASURED
    rss_bytes: float = _NOT_MEASURED
    socket_drops: float = 0.0
    backlog: int = 0
    rows: int = 0
    frames: int = 0
    freezes: int = 0
    bytes_received: float = 0.0
    packets_lost: float = 0.0
    histograms: Mapping[str, str] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """As plain values, for a message."""
        return dataclasses.asdict(self)

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self:
        """From plain values; unknown ones, of a newer engine, are left out."""
        known = {item.name for item in dataclasses.fields(cls)}
        return cls(**{name: value for name, value in document.items() if name in known})


@dataclass(frozen=True, slots=True)
class Failure:
    """An error of our tree on its way between processes.

    :param kind: name of the class in :mod:`vdibench.errors`; unknown ones become its root.
    """

    kind: str
    cause: str
    remedy: str = ""

    @classmethod
    def of(cls, error: BaseException) -> Self:
        """What ``error`` says; one that is not of our tree is a defect."""
        if isinstance(error, VdibenchError):
            return cls(type(error).__name__, error.cause, error.remedy)
        return cls("VdibenchError", f"the client failed: {error!r}", "report this as a defect of vdibench")

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Self:
        """From plain values."""
        return cls(str(document.get("kind", "")), str(document.get("cause", "")), str(document.get("remedy", "")))

    def document(self) -> dict[str, str]:
        """As plain values, for a message."""
        return {"kind": self.kind, "cause": self.cause, "remedy": self.remedy}

    def error(self) -> VdibenchError:
        """The error again, of its own class."""
        kind = getattr(errors, self.kind, None) if self.kind in errors.__all__ else None
        return (kind or VdibenchError)(self.cause, self.remedy)
