"""What a metric is, and the register that refuses two of one name. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from enum import StrEnum

from vdibench.errors import ObjectiveError
from vdibench.metrics.dialects import EVERYWHERE, YES, Reach

__all__ = ["Direction", "Metric", "Provenance", "Registry", "define"]

_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
# Base units, and what a name must end with to carry them.
_SUFFIX = {
    "seconds": "_seconds",
    "bytes": "_bytes",
    "ratio": "_ratio",
    "cores": "_cores",
    "watts": "_watts",
    "bits/second": "_bits_per_second",
    "1/second": "_per_second",
    "1/minute": "_per_minute",
    "points": "_score",
    "packets": "",
    "sessions": "",
}


class Direction(StrEnum):
    """Which way is better; NONE where neither is in itself."""

    LOWER = "lower"
    HIGHER = "higher"
    NONE = "none"


class Provenance(StrEnum):
    """Where a value comes from."""

    MEASURED = "measured"
    DERIVED = "derived"
    REPORTED = "reported by the server"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric.

    :param unit: base unit; the name ends with it.
    :param kind: what one raw value stands for (``frame``, ``event``, ``second``, ``session``, ``reading``, ``run``).
    :param w3c: identifier in W3C webrtc-stats, empty where there is none.
    :param boundary: from where to where, in one sentence.
    :param table: the raw table it is computed from; empty when it comes from an analysis of several levels.
    :param one_way: the two ends are read from different clocks when desktop and client are different hosts.
    :param gpu: exists only where there is a GPU; elsewhere it is not applicable.
    :param dialects: whether each dialect has it, and if not, why.
    """

    name: str
    unit: str
    kind: str
    direction: Direction
    w3c: str
    provenance: Provenance
    boundary: str
    table: str
    one_way: bool = False
    gpu: bool = False
    dialects: Mapping[str, Reach] = field(default_factory=lambda: EVERYWHERE, hash=False)

    def reach(self, dialect: object) -> Reach:
        """Whether a dialect has this metric; one that is not known yet may have it."""
        return self.dialects.get(str(dialect), YES)


def define(
    name: str,
    unit: str,
    kind: str,
    direction: Direction,
    table: str,
    boundary: str,
    *,
    w3c: str = "",
    provenance: Provenance = Provenance.MEASURED,
    one_way: bool = False,
    gpu: bool = False,
    dialects: Mapping[str, Reach] = EVERYWHERE,
) -> Metric:
    """A :class:`Metric` with what is usual left out."""
    return Metric(name, unit, kind, direction, w3c, provenance, boundary, table, one_way, gpu, dialects)


class Registry(Mapping[str, Metric]):
    """Metrics by name, in order of registration."""

    def __init__(self) -> None:
        self._metrics: dict[str, Metric] = {}

    def register(self, metric: Metric) -> Metric:
        """Add a metric.

        :raises ValueError: the name is taken, or does not carry the unit.
        """
        if metric.name in self._metrics:
            raise ValueError(f"metric {metric.name} is registered already")
        suffix = _SUFFIX.get(metric.unit)
        if suffix is None or not _NAME.fullmatch(metric.name) or not metric.name.endswith(suffix):
            raise ValueError(f"metric {metric.name} must be snake_case and end with its base unit, not {metric.unit!r}")
        self._metrics[metric.name] = metric
        return metric

    def nearest(self, name: str) -> str | None:
        """The registered name most like ``name``, if any is."""
        near = get_close_matches(name, self._metrics, n=1)
        return near[0] if near else None

    def named(self, name: str) -> Metric:
        """The metric of that name.

        :raises ObjectiveError: there is none; the message names the nearest.
        """
        if name in self._metrics:
            return self._metrics[name]
        near = self.nearest(name)
        remedy = f"did you mean {near!r}?" if near else f"there are {', '.join(self._metrics)}"
        raise ObjectiveError(f"there is no metric {name!r}", remedy)

    def __getitem__(self, name: str) -> Metric:
        return self._metrics[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._metrics)

    def __len__(self) -> int:
        return len(self._metrics)
