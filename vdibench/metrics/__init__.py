"""Metrics: what is measured, its boundary and unit, and pure reducers from raw tables to raw values.

>>> Statistic.parse("p(95)").of(values("glass_to_glass_seconds", recording.tables, suite="stream_validation"))
"""

from vdibench.metrics.clocks import worst_bound
from vdibench.metrics.dialects import DIALECTS, Presence, Reach
from vdibench.metrics.metric import Direction, Metric, Provenance, Registry
from vdibench.metrics.milestones import FAILED, attempts, phases
from vdibench.metrics.reducers import levels, sessions, trials, values
from vdibench.metrics.registry import REGISTRY
from vdibench.metrics.statistics import AGGREGATIONS, PERCENTILE_METHOD, Statistic, percentile_bounds
from vdibench.metrics.windows import PROBE, STEADY, Tables, chosen

__all__ = [
    "AGGREGATIONS",
    "DIALECTS",
    "FAILED",
    "PERCENTILE_METHOD",
    "PROBE",
    "REGISTRY",
    "STEADY",
    "Direction",
    "Metric",
    "Presence",
    "Provenance",
    "Reach",
    "Registry",
    "Statistic",
    "Tables",
    "attempts",
    "chosen",
    "levels",
    "percentile_bounds",
    "phases",
    "sessions",
    "trials",
    "values",
    "worst_bound",
]
