"""Which suite measures what: decides before a run where an objective in short form applies. Data only."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from vdibench.metrics import Metric

__all__ = ["KNEE", "LEVELED", "STAGED", "SUITES", "finds_knee", "measures", "measures_anything"]

KNEE = "knee"
_STREAM = frozenset({"frames", "network", "milestones", "resources", "server", "clock"})
_PICTURE = frozenset({"pictures", "synchronisation"})

# Suite -> the raw tables that it fills, and "knee" where it searches for one.
SUITES: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "preflight": frozenset(),
        "stream_validation": _STREAM | _PICTURE | {"inputs"},
        "latency_under_load": _STREAM | {"inputs"},
        "gpu_density": _STREAM | {KNEE},
        "load": _STREAM | {"inputs"},
        "graduation": frozenset(),
        "capacity_report": frozenset(),
    }
)
LEVELED = frozenset({"latency_under_load", "gpu_density", "load"})
# Their levels are what the user asked for, with or without a first: an objective that names none looks at the highest.
STAGED = frozenset({"load"})
_UNKNOWN = _STREAM | _PICTURE | {"inputs"}


def measures(suite: str, metric: Metric) -> bool:
    """Whether the suite measures the metric at all, whatever the target."""
    return (metric.table or KNEE) in SUITES.get(suite, _UNKNOWN)


def finds_knee(suite: str) -> bool:
    """Whether the suite searches for a knee."""
    return KNEE in SUITES.get(suite, _UNKNOWN)


def measures_anything(suite: str) -> bool:
    """False for suites that only check or only report."""
    return bool(SUITES.get(suite, _UNKNOWN))
